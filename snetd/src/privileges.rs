// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the process asks of the system for itself, before it has threads.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::config::{Config, KernelUse};
use crate::confinement;

/// What the daemon needs of root's power, in the order in which it needs it: the group of
/// the socket (where its own is another one), memory that stays, the kernel module, to look
/// at programs wherever they are and at whoever runs them, and to see the answers of name servers.
const NEEDED: [Capability; 6] = [
    Capability::CAP_CHOWN,
    Capability::CAP_IPC_LOCK,
    Capability::CAP_NET_ADMIN,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_SYS_PTRACE,
    Capability::CAP_NET_RAW,
];

/// Of what the kernel ends when memory runs out, this goes nearly last.
const OOM_SCORE: &str = "-900";

/// Prepares the process. Fails when it can't be the decider safely.
pub(crate) fn prepare(config: &Config) -> Result<()> {
    // Files are made with their own modes; this is for what a library might make.
    umask(Mode::from_bits_truncate(0o027));
    if let Err(error) = fs::write("/proc/self/oom_score_adj", OOM_SCORE) {
        tracing::info!("the score for memory shortage stays as it is: {error}");
    }
    // Memory that has to be read from a disk might need a call that waits for the verdict.
    let locked = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
    if let Err(error) = drop_capabilities() {
        tracing::warn!("the capabilities that aren't needed are kept: {error}");
    }
    confine();
    match locked.context("can't lock the daemon's memory: set LimitMEMLOCK=infinity") {
        Ok(()) => Ok(()),
        Err(error) if config.kernel == KernelUse::Required => Err(error),
        Err(error) => {
            tracing::warn!("{error:#}");
            Ok(())
        }
    }
}

/// Prepares the daemon of one user. It holds nobody but who asks for it, so that its memory
/// needn't be locked.
pub(crate) fn prepare_for_user() {
    umask(Mode::from_bits_truncate(0o077));
    if let Err(error) = drop_capabilities() {
        tracing::warn!("the capabilities that aren't needed are kept: {error}");
    }
    confine();
}

/// Prepares a copy of the database, whoever asks for it: it is done by whoever could have done it
/// all the same. Where that is a daemon that somebody got into, what was left in place of the
/// database leads root nowhere, and no file of root's is left there.
pub(crate) fn prepare_for_copy(database: &Path) -> Result<()> {
    umask(Mode::from_bits_truncate(0o077));
    if let Some((user, group)) = owner_of_way(database)?.filter(|_| Uid::effective().is_root()) {
        setgroups(&[]).context("can't leave root's groups")?;
        setresgid(group, group, group).context("can't become the group of the database")?;
        setresuid(user, user, user).context("can't become the owner of the database")?;
    }
    confine();
    Ok(())
}

/// Below a directory of somebody's, all is theirs. Nothing where all directories are root's.
fn owner_of_way(file: &Path) -> Result<Option<(Uid, Gid)>> {
    let way: Vec<&Path> = file.ancestors().skip(1).collect();
    for directory in way.into_iter().rev() {
        match directory.metadata() {
            Ok(found) if found.uid() != 0 => {
                return Ok(Some((Uid::from_raw(found.uid()), Gid::from_raw(found.gid()))));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("can't look at the directory {}", directory.display())
                });
            }
        }
    }
    Ok(None)
}

/// Threads made later are confined as well.
fn confine() {
    if let Err(error) = confinement::enter() {
        tracing::warn!("system calls that aren't needed stay possible: {error:#}");
    }
}

/// Threads made later inherit what is left.
fn drop_capabilities() -> Result<(), caps::errors::CapsError> {
    let needed: CapsHashSet = NEEDED.into_iter().collect();
    let given = caps::read(None, CapSet::Permitted)?;
    if given.is_subset(&needed) {
        return Ok(());
    }
    let left: CapsHashSet = given.intersection(&needed).copied().collect();
    caps::set(None, CapSet::Effective, &left)?;
    caps::set(None, CapSet::Permitted, &left)
}
