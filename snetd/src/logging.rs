// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is written to standard error. Never called from the decision path.

use std::fmt;
use std::io::IsTerminal;

use tracing::{Event, Level as Severity, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::Level;

/// Changes the level while the daemon runs.
pub(crate) struct LogLevel(reload::Handle<LevelFilter, Registry>);

impl LogLevel {
    /// Logs from this level on.
    pub(crate) fn set(&self, level: Level) {
        // Fails only when nothing is logged any more.
        let _ = self.0.reload(LevelFilter::from(level));
    }
}

/// Begins logging.
pub(crate) fn begin(level: Level) -> LogLevel {
    let (filter, handle) = reload::Layer::new(LevelFilter::from(level));
    // systemd says by this variable that it reads standard error, and adds the time itself.
    let lines = if std::env::var_os("JOURNAL_STREAM").is_some() {
        layer().with_writer(std::io::stderr).event_format(WithPriority).boxed()
    } else {
        let colours = std::io::stderr().is_terminal();
        layer().with_writer(std::io::stderr).with_target(false).with_ansi(colours).boxed()
    };
    // Fails only when logging was begun before.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    LogLevel(handle)
}

/// Lines as sd-daemon(3) describes them: the priority in front.
struct WithPriority;

impl<S, N> FormatEvent<S, N> for WithPriority
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Severity::ERROR => 3,
            Severity::WARN => 4,
            Severity::INFO => 6,
            _ => 7,
        };
        write!(writer, "<{priority}>")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}
