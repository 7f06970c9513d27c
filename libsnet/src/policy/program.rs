// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the programs of rules are at a moment: files, told by device and inode.
//!
//! Owns the comparison of an executable with them. Looking at files is the daemon's: it
//! fills a [`ProgramTable`] and hands it to [`super::Policy::compile`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Program, Rule};
use crate::types::{Exe, ProgramOwner, Subject};

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

impl From<&ProgramOwner> for Identity {
    fn from(program: &ProgramOwner) -> Self {
        Self { device: program.device, inode: program.inode }
    }
}

impl From<&Exe> for Identity {
    fn from(exe: &Exe) -> Self {
        Self { device: exe.device, inode: exe.inode }
    }
}

/// A file that a program may be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Candidate {
    /// Its path as the kernel tells it: absolute, with no symbolic link in it.
    pub path: PathBuf,
    /// The file that was there; `None` when there was none. A path may be given several
    /// times: each of the files counts.
    pub identity: Option<Identity>,
}

/// For each program of the rules, the files that it may be.
///
/// A name has a candidate in each directory of the search path: those without a file tell
/// where a new one may come to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProgramTable {
    programs: BTreeMap<Program, Vec<Candidate>>,
}

impl ProgramTable {
    /// A table without programs.
    pub fn new() -> Self {
        Self::default()
    }

    /// The programs that a table for these rules has to hold: those of the enabled ones,
    /// and their parents, each once, without those that no path tells.
    pub fn wanted<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> BTreeSet<&'r Program> {
        rules
            .into_iter()
            .filter(|rule| rule.spec.enabled)
            .flat_map(|Rule { spec, .. }| {
                // A container's program is no file of the host.
                let own = Some(&spec.program).filter(|_| spec.container.is_none());
                own.into_iter().chain(&spec.parent)
            })
            .filter(|program| !matches!(program, Program::Any | Program::Sha256(_)))
            .collect()
    }

    /// Says what a program may be. `false` when the table says so already.
    pub fn set(&mut self, program: Program, candidates: Vec<Candidate>) -> bool {
        if self.get(&program) == Some(candidates.as_slice()) {
            return false;
        }
        self.programs.insert(program, candidates);
        true
    }

    /// What a program may be; `None` when that was never said.
    pub fn get(&self, program: &Program) -> Option<&[Candidate]> {
        self.programs.get(program).map(Vec::as_slice)
    }

    /// The programs that may be the file at this path: those to resolve again on
    /// [`super::Outcome::Stale`].
    pub fn at<'t>(&'t self, path: &'t Path) -> impl Iterator<Item = &'t Program> {
        let may_be = move |program: &Program, candidates: &[Candidate]| match program {
            Program::Pattern(pattern) => pattern.matches(path),
            _ => candidates.iter().any(|found| found.path == path),
        };
        let programs = self.programs.iter();
        programs.filter(move |(program, known)| may_be(program, known)).map(|(program, _)| program)
    }

    /// The first existing file of a program, for people.
    pub fn file(&self, program: &Program) -> Option<&Path> {
        let found = self.get(program)?.iter().find(|candidate| candidate.identity.is_some());
        found.map(|candidate| candidate.path.as_path())
    }
}

/// The namespaces in which paths mean what they mean to the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Host {
    /// Inode of the mount namespace. `None` leaves it to device and inode to tell the
    /// host's file from a container's: a service that systemd sandboxes runs the host's
    /// files in a mount namespace of its own.
    pub mnt_ns: Option<u32>,
    /// Inode of the user namespace. Who owns another one may call itself by any
    /// executable (`PR_SET_MM_EXE_FILE`).
    pub user_ns: u32,
}

impl Host {
    /// The executable of a process of the host; `None` when it is no such process or the
    /// kernel couldn't tell.
    pub(super) fn exe<'s>(&self, subject: &'s Subject) -> Option<&'s Exe> {
        subject.exe.as_ref().filter(|_| self.is_of_host(subject))
    }

    /// Do paths mean to this process what they mean to the daemon?
    pub fn is_of_host(&self, subject: &Subject) -> bool {
        self.user_ns == subject.user_ns && self.mnt_ns.is_none_or(|mnt_ns| mnt_ns == subject.mnt_ns)
    }
}
