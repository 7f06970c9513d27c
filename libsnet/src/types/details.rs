// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel doesn't tell of a process, and a decider looks up while its call is held.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// What was found out about a process. `None` means that nobody has looked, or that it couldn't
/// be told.
///
/// The command line and the parent are what they were at the look: a process may write over its
/// own command line, and its parent may end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Details {
    /// The arguments, its name first, with a space between each two.
    pub command: Option<String>,
    /// The program of the parent process.
    pub parent: Option<Parent>,
    /// The content of the executable.
    pub sha256: Option<Sha256>,
}

impl Details {
    /// Adds what was found out later.
    pub fn complete(&mut self, later: Self) {
        let Self { command, parent, sha256 } = std::mem::take(self);
        *self = Self {
            command: command.or(later.command),
            parent: parent.or(later.parent),
            sha256: sha256.or(later.sha256),
        };
    }
}

/// The program of a parent process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Parent {
    /// The file at this path of the host.
    Host(PathBuf),
    /// None, or one that the host doesn't have at the path at which the process has it.
    Elsewhere,
}

/// A SHA-256 sum. Written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256(pub [u8; 32]);

/// A text that is no SHA-256 sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the 64 hexadecimal digits that sha256sum prints")]
pub struct ParseSha256Error;

impl FromStr for Sha256 {
    type Err = ParseSha256Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().map(|digit| char::from(digit).to_digit(16));
        let digits: Option<Vec<u8>> =
            digits.map(|digit| digit.and_then(|digit| u8::try_from(digit).ok())).collect();
        let bytes: Option<Vec<u8>> = digits.ok_or(ParseSha256Error)?.chunks(2).map(byte).collect();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(ParseSha256Error)
    }
}

fn byte(digits: &[u8]) -> Option<u8> {
    match digits {
        [high, low] => Some(high << 4 | low),
        _ => None,
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::text::serde_as_text!(Sha256);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_read_as_it_is_written() {
        let text = "00ff".repeat(16);
        let sum: Sha256 = text.parse().unwrap();
        assert_eq!((sum.0[0], sum.0[1], sum.to_string()), (0, 255, text.clone()));
        assert_eq!(text.to_uppercase().parse(), Ok(sum));
        for wrong in ["", "00", &text[1..], &text.replace('f', "g"), &format!("{text}00")] {
            assert_eq!(wrong.parse::<Sha256>(), Err(ParseSha256Error), "{wrong}");
        }
    }
}
