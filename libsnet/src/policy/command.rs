// SPDX-License-Identifier: MIT OR Apache-2.0
//! Patterns of command lines: `* /usr/local/bin/backup.py *`.

use std::fmt;
use std::str::FromStr;

/// Longest pattern, in bytes.
const MAX: usize = 4096;

/// Which command lines a rule is about. `*` stands for any text, `?` for one letter, `[abc]` for
/// one of these; a command line is its arguments with a space between each two.
///
/// Who starts a program chooses its command line, and a program may write over its own: this
/// tells the scripts of an interpreter apart, and no friend from foe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandPattern(glob::Pattern);

/// A text that is no pattern of command lines.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no pattern of command lines: {why}")]
pub struct ParseCommandError {
    text: String,
    why: String,
}

impl CommandPattern {
    /// Is it about this command line?
    pub fn matches(&self, command: &str) -> bool {
        self.0.matches(command)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for CommandPattern {
    type Err = ParseCommandError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |why: &str| ParseCommandError {
            text: text.chars().take(100).collect(),
            why: why.to_owned(),
        };
        if text.is_empty() {
            return Err(refuse("it is empty"));
        }
        if text.len() > MAX {
            return Err(refuse("it is longer than 4096 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(refuse("it has a control character, for which ? may stand"));
        }
        glob::Pattern::new(text).map(Self).map_err(|error| refuse(error.msg))
    }
}

impl fmt::Display for CommandPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

crate::text::serde_as_text!(CommandPattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, command: &str) -> bool {
        pattern.parse::<CommandPattern>().unwrap().matches(command)
    }

    #[test]
    fn a_star_is_any_text() {
        let script = "* /usr/local/bin/backup.py*";
        assert!(matches(script, "python3 -I /usr/local/bin/backup.py --all"));
        assert!(!matches(script, "python3 /home/web/usr/local/bin/backup.py"));
        assert!(!matches("backup.py", "python3 backup.py"), "all of it is meant");
        assert!(matches("python?.[0-9]* *", "python3.11 x"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_reason() {
        for (text, why) in [("", "empty"), ("a\nb", "control"), ("[a", "range"), ("a***", "wild")] {
            let error = text.parse::<CommandPattern>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!("x".repeat(MAX + 1).parse::<CommandPattern>().is_err());
    }
}
