// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pieces of text that are safe to print.

use comfy_table::{Attribute, Cell, Color};
use libsnet::policy::Action;
use libsnet::types::Verdict;

use super::printable;

/// What a piece of text says by its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Good,
    Bad,
    Dim,
    Bold,
}

impl Style {
    fn codes(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Bad => Some("31"),
            Self::Dim => Some("2"),
            Self::Bold => Some("1"),
        }
    }
}

/// A piece of text on one line, without anything that a terminal would obey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    text: String,
    style: Style,
}

impl Span {
    /// Text in a style.
    pub(crate) fn new(text: impl ToString, style: Style) -> Self {
        Self { text: printable(&text.to_string()).into_owned(), style }
    }

    /// Text as it is.
    pub(crate) fn plain(text: impl ToString) -> Self {
        Self::new(text, Style::Plain)
    }

    /// Text that matters less.
    pub(crate) fn dim(text: impl ToString) -> Self {
        Self::new(text, Style::Dim)
    }

    /// A value, or `-` where there is none.
    pub(crate) fn optional(value: Option<impl ToString>) -> Self {
        value.map_or_else(|| Self::dim("-"), Self::plain)
    }

    /// The text, filled with spaces up to a width.
    pub(crate) fn padded(mut self, width: usize) -> Self {
        let missing = width.saturating_sub(self.text.chars().count());
        self.text.extend(std::iter::repeat_n(' ', missing));
        self
    }

    pub(super) fn render(&self, color: bool) -> String {
        match self.style.codes() {
            Some(codes) if color => format!("\x1b[{codes}m{}\x1b[0m", self.text),
            _ => self.text.clone(),
        }
    }

    pub(super) fn cell(&self) -> Cell {
        let cell = Cell::new(&self.text);
        match self.style {
            Style::Plain => cell,
            Style::Good => cell.fg(Color::DarkGreen),
            Style::Bad => cell.fg(Color::DarkRed),
            Style::Dim => cell.add_attribute(Attribute::Dim),
            Style::Bold => cell.add_attribute(Attribute::Bold),
        }
    }
}

/// What a rule does, in its colour.
pub(crate) fn action(action: Action) -> Span {
    match action.verdict() {
        Some(decided) => verdict(decided),
        None => Span::new(action, Style::Bold),
    }
}

/// A verdict in its colour.
pub(crate) fn verdict(verdict: Verdict) -> Span {
    let style = match verdict {
        Verdict::Allow => Style::Good,
        Verdict::Deny => Style::Bad,
    };
    Span::new(verdict, style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_escape_sequences_are_printed() {
        let span = Span::new("\x1b[2Jx", Style::Bad);
        assert_eq!(span.render(true), "\x1b[31m\\u{1b}[2Jx\x1b[0m");
        assert_eq!(span.render(false), "\\u{1b}[2Jx");
    }

    #[test]
    fn padding_counts_what_is_shown() {
        assert_eq!(Span::plain("ab").padded(4).render(false), "ab  ");
        assert_eq!(Span::plain("abcdef").padded(4).render(false), "abcdef");
    }
}
