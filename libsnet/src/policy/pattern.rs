// SPDX-License-Identifier: MIT OR Apache-2.0
//! Patterns of paths: `/opt/*/bin/server`, `/nix/store/*/bin/firefox`, `/home/*/**/*.AppImage`.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use glob::MatchOptions;

/// Which paths a rule is about. `*` and `?` stand for anything within a part of a path, `**` for
/// any parts, `[abc]` for one of these.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern(glob::Pattern);

const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Pattern {
    /// The pattern that a text is; an error says what is wrong with it.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        glob::Pattern::new(text).map(Self).map_err(|error| error.msg.to_owned())
    }

    /// Is it a pattern rather than the path of one file?
    pub(super) fn is_one(text: &str) -> bool {
        text.contains(['*', '?'])
    }

    /// How the path of one file is written: one that looks like a pattern as the pattern that
    /// matches just it, so that nobody widens a rule by the name of a file.
    pub(super) fn of_path(text: &str) -> Cow<'_, str> {
        if Self::is_one(text) { glob::Pattern::escape(text).into() } else { text.into() }
    }

    /// Is it about this path? Paths that aren't UTF-8 are matched by none.
    pub fn matches(&self, path: &Path) -> bool {
        self.0.matches_path_with(path, OPTIONS)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_within_its_part_of_a_path() {
        let matches =
            |pattern: &str, path: &str| Pattern::new(pattern).unwrap().matches(Path::new(path));
        assert!(matches("/opt/*/bin/server", "/opt/one/bin/server"));
        assert!(!matches("/opt/*/bin/server", "/opt/one/two/bin/server"));
        assert!(!matches("/opt/*", "/opt/one/two"));
        assert!(matches("/opt/**/server", "/opt/one/two/server"));
        assert!(matches("/home/*/.local/bin/app-?.?", "/home/web/.local/bin/app-1.2"));
        assert!(!matches("/opt/*", "/srv/opt/one"));
    }

    #[test]
    fn the_path_of_a_file_is_no_pattern_for_others() {
        use crate::policy::Program;
        let program = Program::Path("/home/web/*".into());
        let Ok(Program::Pattern(read)) = program.to_string().parse() else { panic!("{program}") };
        assert!(read.matches(Path::new("/home/web/*")) && !read.matches(Path::new("/home/web/x")));
        let json = serde_json::to_string(&Program::Path("/usr/bin/[".into())).unwrap();
        assert_eq!(json, "\"/usr/bin/[\"");
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_reason() {
        assert!(Pattern::new("/opt/a**").is_err());
        assert!(Pattern::new("/opt/[a*").is_err());
    }
}
