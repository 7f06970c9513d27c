// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything that goes to stdout: text with or without colours, tables, JSON.
//!
//! Text is made of [`Span`]s, which are sanitised when they are made, so that no name or note
//! can move the cursor of the terminal it is shown on.

mod span;
mod table;
mod text;
mod time;

use std::io::{self, ErrorKind, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

pub(crate) use span::{Span, Style, action, verdict};
pub(crate) use table::Table;
pub(crate) use text::printable;
pub(crate) use time::{Times, duration, now};

/// When to use colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    fn is_on(self, terminal: bool) -> bool {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|it| it != "dumb")
            }
        }
    }
}

/// Writing to stdout failed.
#[derive(Debug, thiserror::Error)]
#[error("can't write to stdout")]
pub(crate) struct OutputError(#[from] io::Error);

type Result = std::result::Result<(), OutputError>;

/// Where answers go, and how they look.
pub(crate) struct Output {
    /// JSON instead of text?
    pub(crate) json: bool,
    /// How times look.
    pub(crate) times: Times,
    terminal: bool,
    color: bool,
}

impl Output {
    /// Output on stdout.
    pub(crate) fn new(json: bool, utc: bool, color: Color) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { json, times: Times::new(utc), terminal, color: color.is_on(terminal) }
    }

    /// A line of text.
    pub(crate) fn line(&self, spans: &[Span]) -> Result {
        let mut line: String = spans.iter().map(|span| span.render(self.color)).collect();
        line.push('\n');
        write(line.as_bytes())
    }

    /// A table; nothing when it has no rows.
    pub(crate) fn table(&self, table: &Table) -> Result {
        if table.is_empty() {
            return Ok(());
        }
        write(format!("{}\n", table.render(self.terminal, self.color)).as_bytes())
    }

    /// A JSON document on a line of its own.
    pub(crate) fn document(&self, document: &impl Serialize) -> Result {
        let json = serde_json::to_string(document).map_err(io::Error::from)?;
        write(format!("{}\n", text::plain_json(&json)).as_bytes())
    }

    /// Bytes as they are: a script or a man page.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Result {
        write(bytes)
    }

    /// Something the person should know beside the answer. Goes to stderr.
    pub(crate) fn note(&self, note: &str) {
        // A note that nobody can read is no failure.
        let _ = writeln!(io::stderr(), "note: {}", printable(note));
    }
}

/// One write for a line, so that a signal never leaves half of it. A reader that has gone
/// (`| head`) has what it wanted: what was begun is still done, and the exit code still tells
/// how it ended. Streams notice it by themselves.
fn write(bytes: &[u8]) -> Result {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
