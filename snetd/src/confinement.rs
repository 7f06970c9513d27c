// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the daemon forbids itself, for good: system calls that it never makes, and that somebody
//! who got into it would want. Why it has no Landlock: ADR 16.

use anyhow::{Context, Result};
use nix::libc::{self, c_long};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// They fail with `EPERM`.
const FORBIDDEN: &[c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    // Another view of the system.
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_open_by_handle_at,
    // The kernel.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The clock.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
];

/// Confines this thread, and those that it makes later.
pub(crate) fn enter() -> Result<()> {
    let rules = FORBIDDEN.iter().map(|number| (*number, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let machine = std::env::consts::ARCH.try_into().context("this machine isn't known")?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, machine)?;
    let program: BpfProgram = filter.try_into()?;
    // Makes new privileges impossible first.
    Ok(seccompiler::apply_filter(&program)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_confined_thread_starts_no_program_and_leaves_no_namespace() {
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let other = format!("/proc/{}/exe", child.id());
        let confined = std::thread::spawn(move || {
            enter().unwrap();
            let started = Command::new("/bin/true").status().map_err(|error| error.raw_os_error());
            let left = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS);
            let read = std::fs::read_link(other);
            (started.map(drop), left, read)
        });
        let (started, left, read) = confined.join().unwrap();
        assert_eq!(started, Err(Some(libc::EPERM)));
        assert_eq!(left, Err(nix::errno::Errno::EPERM));
        assert!(read.is_ok(), "it looks at other processes: {read:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(Command::new("/bin/true").status().is_ok(), "another thread");
    }
}
