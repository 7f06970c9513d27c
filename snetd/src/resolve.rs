// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the program of a rule to the files that it may be.
//!
//! Owns the look at the file system, which may wait for a disk or the network: called on
//! blocking threads only, never on the decision path. Hands a
//! [`ProgramTable`] to `Policy::compile`.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libsnet::policy::{Candidate, Identity, Program, ProgramTable, Rule};

/// Every file that the program may be now, and the paths where one may appear. Of a pattern:
/// none, until a program at a path that matches makes a call ([`seen`]).
pub(crate) fn candidates(program: &Program, search_path: &[PathBuf]) -> Vec<Candidate> {
    let mut found = Vec::new();
    match program {
        Program::Any | Program::Pattern(_) | Program::Sha256(_) => {}
        Program::Path(path) => look_at(path, &mut found),
        Program::Name(name) => {
            for directory in search_path {
                look_at(&directory.join(name), &mut found);
            }
        }
    }
    found
}

/// The programs of all enabled rules, looked at now; of patterns those that are known.
pub(crate) fn table(rules: &[Rule], search_path: &[PathBuf], known: &ProgramTable) -> ProgramTable {
    let mut table = ProgramTable::new();
    for program in ProgramTable::wanted(rules) {
        let found = match (program, known.get(program)) {
            (Program::Pattern(_), Some(known)) => {
                known.iter().filter_map(|candidate| at(&candidate.path)).collect()
            }
            _ => candidates(program, search_path),
        };
        table.set(program.clone(), found);
    }
    table
}

/// Files of one pattern that are known at once: whoever may make files can't make these many.
const OF_PATTERN: usize = 1024;

/// The candidates of a pattern once the file at this path, which matches, was looked at.
pub(crate) fn seen(known: &[Candidate], path: &Path) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> =
        known.iter().filter(|candidate| candidate.path != path).cloned().collect();
    if candidates.len() >= OF_PATTERN {
        candidates.remove(0);
    }
    candidates.extend(at(path));
    candidates
}

fn at(path: &Path) -> Option<Candidate> {
    Some(Candidate { path: path.to_owned(), identity: Some(identity(path)?) })
}

/// Notes the file at the path, under the path by which the kernel will know it, and the
/// path itself: a file put there later is the program as well.
fn look_at(path: &Path, found: &mut Vec<Candidate>) {
    let place = place(path);
    let file = fs::canonicalize(&place).ok().and_then(|file| {
        let identity = identity(&file)?;
        Some(Candidate { path: file, identity: Some(identity) })
    });
    let elsewhere = file.as_ref().is_none_or(|file| file.path != place);
    let empty = elsewhere.then_some(Candidate { path: place, identity: None });
    for candidate in file.into_iter().chain(empty) {
        if !found.contains(&candidate) {
            found.push(candidate);
        }
    }
}

/// The path with the links before its last part followed, as far as they lead anywhere.
fn place(path: &Path) -> PathBuf {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return path.to_owned();
    };
    fs::canonicalize(directory).map_or_else(|_| path.to_owned(), |real| real.join(name))
}

/// The file at a path, when it is one that can be executed at all.
pub(crate) fn identity(path: &Path) -> Option<Identity> {
    let found = path.metadata().ok().filter(fs::Metadata::is_file)?;
    Some(Identity { device: found.dev(), inode: found.ino() })
}

/// What who makes a rule for this program should know.
pub(crate) fn notes(program: &Program, candidates: &[Candidate]) -> Vec<String> {
    let files: Vec<&Path> = candidates
        .iter()
        .filter(|candidate| candidate.identity.is_some())
        .map(|candidate| candidate.path.as_path())
        .collect();
    let mut notes = match (program, files.as_slice()) {
        (Program::Any | Program::Pattern(_) | Program::Sha256(_), _) => Vec::new(),
        (_, []) => vec![missing(program, candidates)],
        (Program::Name(_), [_, _, ..]) => {
            let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            vec![format!("{program} is several files: {}", names.join(", "))]
        }
        _ => Vec::new(),
    };
    for file in files {
        notes.extend(renamed(program, file));
        notes.extend(interpreted(file));
    }
    notes
}

fn missing(program: &Program, candidates: &[Candidate]) -> String {
    match program {
        Program::Path(path) if path.is_dir() => {
            format!("{program} is a directory: the rule will be about a program put in its place")
        }
        Program::Name(_) => {
            let places: Vec<_> = candidates
                .iter()
                .filter_map(|candidate| candidate.path.parent())
                .map(|directory| directory.display().to_string())
                .collect();
            format!(
                "{program} isn't installed yet: the rule will be about it once it is in one of {}",
                places.join(", ")
            )
        }
        _ => format!("{program} doesn't exist yet: the rule will be about it once it does"),
    }
}

/// A link to a file of another name: `nc` that is `nc.openbsd`, or an applet of a program
/// that is many in one.
fn renamed(program: &Program, file: &Path) -> Option<String> {
    let name = match program {
        Program::Any | Program::Pattern(_) | Program::Sha256(_) => return None,
        Program::Name(name) => Path::new(name).file_name()?,
        Program::Path(path) => path.file_name()?,
    };
    (file.file_name()? != name).then(|| {
        format!(
            "{program} is a link to {0}: the rule is about {0}, by whatever name it is run",
            file.display()
        )
    })
}

fn interpreted(file: &Path) -> Option<String> {
    let mut start = Vec::new();
    File::open(file).ok()?.take(256).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let interpreter = line.split_whitespace().next().unwrap_or("?");
    Some(format!(
        "{} is a script: the program that the kernel sees is its interpreter {interpreter}, so \
         the rule will decide nothing",
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_of_a_pattern_are_those_that_were_seen() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().canonicalize().unwrap().join("tool");
        assert_eq!(seen(&[], &file), [], "nothing is there");
        fs::write(&file, "").unwrap();
        let known = seen(&[], &file);
        assert_eq!(known, [Candidate { path: file.clone(), identity: identity(&file) }]);
        fs::remove_file(&file).unwrap();
        assert_eq!(seen(&known, &file), [], "it is gone");
        let many: Vec<Candidate> = (0..OF_PATTERN)
            .map(|n| Candidate { path: format!("/{n}").into(), identity: None })
            .collect();
        fs::write(&file, "").unwrap();
        assert_eq!(seen(&many, &file).len(), OF_PATTERN);
    }

    struct Tree {
        root: PathBuf,
        search_path: Vec<PathBuf>,
        _dir: tempfile::TempDir,
    }

    /// `bin` holds nc → nc.openbsd, tool and a script; `sbin` is a link to `bin`; `local`
    /// holds another tool.
    fn tree() -> Tree {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for directory in ["bin", "local"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        symlink("bin", root.join("sbin")).unwrap();
        fs::write(root.join("bin/nc.openbsd"), "\x7fELF").unwrap();
        symlink("nc.openbsd", root.join("bin/nc")).unwrap();
        fs::write(root.join("bin/tool"), "\x7fELF").unwrap();
        fs::write(root.join("local/tool"), "\x7fELF").unwrap();
        fs::write(root.join("bin/script"), "#! /usr/bin/env python3\n").unwrap();
        let search_path = ["local", "bin", "sbin", "absent"].map(|name| root.join(name)).to_vec();
        Tree { root, search_path, _dir: dir }
    }

    impl Tree {
        fn of(&self, program: &str) -> (Vec<(String, bool)>, Vec<String>) {
            let program: Program =
                program.replace("ROOT", self.root.to_str().unwrap()).parse().unwrap();
            let found = candidates(&program, &self.search_path);
            let notes = notes(&program, &found);
            let short = |candidate: &Candidate| {
                let path = candidate.path.strip_prefix(&self.root).unwrap();
                (path.display().to_string(), candidate.identity.is_some())
            };
            (found.iter().map(short).collect(), notes)
        }
    }

    fn pairs(list: &[(&str, bool)]) -> Vec<(String, bool)> {
        list.iter().map(|(path, exists)| ((*path).to_owned(), *exists)).collect()
    }

    #[test]
    fn a_name_is_its_file_in_every_directory_once() {
        let (found, notes) = tree().of("tool");
        assert_eq!(
            found,
            pairs(&[("local/tool", true), ("bin/tool", true), ("absent/tool", false)])
        );
        assert!(notes[0].contains("several files"), "{notes:?}");
    }

    #[test]
    fn a_link_is_the_file_that_it_leads_to() {
        let (found, notes) = tree().of("ROOT/sbin/nc");
        assert_eq!(found, pairs(&[("bin/nc.openbsd", true), ("bin/nc", false)]));
        assert!(notes[0].contains("nc is a link to") && notes[0].contains("nc.openbsd"));
    }

    #[test]
    fn what_does_not_exist_is_kept_as_the_places_where_it_would_be() {
        let tree = tree();
        let (found, notes) = tree.of("curl");
        assert_eq!(
            found,
            pairs(&[("local/curl", false), ("bin/curl", false), ("absent/curl", false)])
        );
        assert!(notes[0].contains("isn't installed yet"), "{notes:?}");
        let (found, notes) = tree.of("ROOT/opt/x");
        assert_eq!(found, pairs(&[("opt/x", false)]));
        assert!(notes[0].contains("doesn't exist yet"), "{notes:?}");
        assert!(tree.of("ROOT/bin").1[0].contains("is a directory"));
    }

    #[test]
    fn a_script_is_pointed_out_with_its_interpreter() {
        let (_, notes) = tree().of("script");
        assert!(notes[0].contains("script") && notes[0].contains("/usr/bin/env"), "{notes:?}");
    }

    #[test]
    fn the_identity_is_that_of_stat() {
        let tree = tree();
        let program = Program::Path(tree.root.join("bin/tool"));
        let found = candidates(&program, &[]);
        let stat = fs::metadata(tree.root.join("bin/tool")).unwrap();
        let identity = Identity { device: stat.dev(), inode: stat.ino() };
        assert_eq!(found[0].identity, Some(identity));
    }

    #[test]
    fn only_enabled_rules_are_looked_up() {
        let tree = tree();
        let rule = |id, program: &str, enabled| Rule {
            id: libsnet::types::RuleId(id),
            spec: serde_json::from_value(serde_json::json!({
                "action": "deny", "program": program, "enabled": enabled,
                "scope": { "operations": "any", "protocols": "any" },
            }))
            .unwrap(),
        };
        let rules = [rule(1, "tool", true), rule(2, "nc", false)];
        let table = table(&rules, &tree.search_path, &ProgramTable::new());
        assert!(table.get(&Program::Name("tool".into())).is_some());
        assert!(table.get(&Program::Name("nc".into())).is_none());
    }
}
