// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program name or path of the command line means on this machine.
//!
//! Only for telling: the daemon resolves names through its own search path.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libsnet::policy::Program;

use crate::exit::UsageError;

/// `search_path` of a snetd that isn't configured otherwise.
const USUAL: &[&str] =
    &["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The program that a word names. A relative path becomes absolute, as nobody else knows what
/// it is relative to; names and plain absolute paths stay as typed.
pub(crate) fn parse(word: &str) -> Result<Program, UsageError> {
    if !word.contains('/') {
        return word.parse().map_err(UsageError::new);
    }
    let typed = Path::new(word);
    if word.starts_with('/') && matches!(word.parse(), Ok(Program::Pattern(_))) {
        return word.parse().map_err(UsageError::new);
    }
    if typed.is_dir() {
        return Err(UsageError(format!("'{word}' is a directory, not a program")));
    }
    let path = if is_plain(typed) { typed.to_owned() } else { absolute(typed)? };
    match path.to_str() {
        Some(text) => text.parse().map_err(UsageError::new),
        None => Err(UsageError(format!("the path of '{word}' isn't UTF-8: {}", path.display()))),
    }
}

/// Absolute, and without `.`, `..` and doubled slashes?
fn is_plain(path: &Path) -> bool {
    let same: PathBuf = path.components().collect();
    path.is_absolute()
        && same.as_os_str() == path.as_os_str()
        && !path.components().any(|part| part == std::path::Component::ParentDir)
}

/// The canonical path of a file, or of its directory when the file doesn't exist yet.
fn absolute(path: &Path) -> Result<PathBuf, UsageError> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let absolute = std::path::absolute(path).map_err(UsageError::new)?;
    let parent = absolute.parent().and_then(|parent| parent.canonicalize().ok());
    match (parent, absolute.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.join(name)),
        _ => Err(UsageError(format!("'{}': its directory doesn't exist", path.display()))),
    }
}

/// The file that a name means in the search path of this user, canonical.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    find_in(name, std::env::split_paths(&path))
}

/// Is there such a program in the directories that the daemon searches as shipped?
pub(crate) fn is_usual(name: &str) -> bool {
    find_in(name, USUAL.iter().map(PathBuf::from)).is_some()
}

/// Where the daemon looks for a program as shipped.
pub(crate) fn usual_places(name: &str) -> impl Iterator<Item = PathBuf> {
    USUAL.iter().map(move |directory| Path::new(directory).join(name))
}

/// The same for a program that is in none of the directories that the daemon searches as
/// shipped.
pub(crate) fn find_unusual(name: &str) -> Option<String> {
    if is_usual(name) { None } else { find(name)?.to_str().map(str::to_owned) }
}

fn find_in(name: &str, directories: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    directories
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| is_executable(file))
        .and_then(|file| file.canonicalize().ok())
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(directory: &Path, name: &str) -> PathBuf {
        let file = directory.join(name);
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file.canonicalize().unwrap()
    }

    #[test]
    fn names_and_plain_paths_stay_as_typed() {
        assert_eq!(parse("curl").unwrap(), Program::Name("curl".into()));
        assert_eq!(parse("any").unwrap(), Program::Any);
        assert_eq!(parse("/no/such/file").unwrap(), Program::Path("/no/such/file".into()));
    }

    #[test]
    fn other_paths_become_canonical() {
        let dir = tempfile::tempdir().unwrap();
        let file = executable(dir.path(), "prog");
        let odd = format!("{}/../{}//prog", dir.path().display(), {
            dir.path().file_name().unwrap().to_str().unwrap()
        });
        assert_eq!(parse(&odd).unwrap(), Program::Path(file.clone()));
        let missing = odd.replace("prog", "missing");
        assert_eq!(parse(&missing).unwrap(), Program::Path(file.with_file_name("missing")));
        assert!(parse("./no/such/directory/x").unwrap_err().0.contains("directory doesn't exist"));
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for word in ["", ".", "..", "/", "/tmp", "./"] {
            assert!(parse(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_name_is_found_in_the_first_directory_that_has_it() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let file = executable(two.path(), "prog");
        fs::write(one.path().join("prog"), "not executable").unwrap();
        let directories = [one.path().to_owned(), two.path().to_owned()];
        assert_eq!(find_in("prog", directories.into_iter()), Some(file));
        assert_eq!(find_in("prog", [PathBuf::from(".")].into_iter()), None);
    }
}
