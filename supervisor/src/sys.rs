// SPDX-License-Identifier: MIT OR Apache-2.0
//! The system calls that no safe crate offers, each with a safe face: seccomp notifications,
//! other processes' memory and descriptors, socket calls with addresses as raw bytes, and what
//! one thread alone may be told to be.
//!
//! The only place with `unsafe` in it. Owns no state and makes no decision.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{null, null_mut};

use libc::{
    iovec, msghdr, seccomp_notif, seccomp_notif_addfd, seccomp_notif_resp, sock_filter, sock_fprog,
};

/// What the kernel may put where it would put an errno, to make the call again when the signal
/// that is pending has been handled, unless its handler wants `EINTR`.
pub(crate) const ERESTARTSYS: i32 = 512;

pub(crate) type Notification = seccomp_notif;

fn checked(value: c_int) -> io::Result<c_int> {
    if value < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

fn checked_long(value: c_long) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::Error::last_os_error())
}

fn checked_size(value: isize) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::Error::last_os_error())
}

/// A descriptor that the kernel just gave.
fn owned(value: c_long) -> io::Result<OwnedFd> {
    let fd = checked(i32::try_from(value).unwrap_or(-1))?;
    // SAFETY: the kernel returned it to this call, so that nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts the calling thread, and what it will fork and execute, under a filter; gives the
/// listener, which is close-on-exec. From here on no new program gains rights.
pub(crate) fn install_filter(program: &mut [sock_filter]) -> io::Result<OwnedFd> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = sock_fprog { len, filter: program.as_mut_ptr() };
    let flags =
        libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: prctl with plain numbers; the program outlives the call and `len` is its length.
    unsafe {
        checked(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        owned(libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            &raw const program,
        ))
    }
}

/// Waits for a call to be held. `ENOENT` when its thread died just now.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> io::Result<Notification> {
    // SAFETY: all-zero is a valid notification, which is what the kernel asks for; it writes no
    // more than this struct, whose size it checks as part of the request's number.
    unsafe {
        let mut notification: seccomp_notif = zeroed();
        let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
        checked(libc::ioctl(listener.as_raw_fd(), request, &raw mut notification))?;
        Ok(notification)
    }
}

/// Is the call still held, so that its thread's number still means that thread?
pub(crate) fn is_held(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads one u64.
    let valid = unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id)
    };
    valid == 0
}

/// How a held call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It returns this.
    Value(i64),
    /// It fails with this errno.
    Fails(i32),
    /// The kernel makes it, with whatever its arguments point at by then.
    Continues,
}

/// Ends a held call. Whoever died meanwhile needs no answer.
pub(crate) fn end(listener: BorrowedFd<'_>, id: u64, end: End) {
    let (val, error, flags) = match end {
        End::Value(value) => (value, 0, 0),
        End::Fails(errno) => (0, -errno, 0),
        End::Continues => (0, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32),
    };
    let response = seccomp_notif_resp { id, val, error, flags };
    // SAFETY: the kernel reads one response of this size.
    unsafe {
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const response);
    }
}

/// Gives the caller a descriptor for `fd`, and ends its call with the number.
pub(crate) fn end_with_descriptor(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    close_on_exec: bool,
) -> io::Result<()> {
    let add = seccomp_notif_addfd {
        id,
        flags: libc::SECCOMP_ADDFD_FLAG_SEND as u32,
        srcfd: u32::try_from(fd.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?,
        newfd: 0,
        newfd_flags: if close_on_exec { libc::O_CLOEXEC as u32 } else { 0 },
    };
    // SAFETY: the kernel reads one request of this size.
    unsafe {
        let request = libc::SECCOMP_IOCTL_NOTIF_ADDFD;
        checked(libc::ioctl(listener.as_raw_fd(), request, &raw const add)).map(drop)
    }
}

/// `PIDFD_THREAD`, since Linux 6.9.
const PIDFD_THREAD: u32 = libc::O_EXCL as u32;

/// A descriptor for a process, or for one thread of it.
pub(crate) fn pidfd_open(pid: u32, thread: bool) -> io::Result<OwnedFd> {
    let flags = if thread { PIDFD_THREAD } else { 0 };
    // SAFETY: plain numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) })
}

/// A duplicate of a descriptor of another process; close-on-exec.
pub(crate) fn pidfd_getfd(process: BorrowedFd<'_>, fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), fd, 0) })
}

/// Do two threads share their table of descriptors?
pub(crate) fn same_descriptors(one: u32, other: u32) -> io::Result<bool> {
    const KCMP_FILES: c_int = 2;
    // SAFETY: plain numbers.
    checked_long(unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, 0, 0) })
        .map(|order| order == 0)
}

/// Reads memory of another thread; gives how much was there.
pub(crate) fn read_memory(tid: u32, address: u64, into: &mut [u8]) -> io::Result<usize> {
    if into.is_empty() {
        return Ok(0);
    }
    let local = iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let remote = iovec { iov_base: address as *mut c_void, iov_len: into.len() };
    // SAFETY: the kernel writes no more than the length of `into`, and checks the other
    // address in the other process.
    checked_size(unsafe {
        libc::process_vm_readv(tid as i32, &raw const local, 1, &raw const remote, 1, 0)
    })
}

/// Writes memory of another thread; gives how much it took.
pub(crate) fn write_memory(tid: u32, address: u64, from: &[u8]) -> io::Result<usize> {
    let local = iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
    let remote = iovec { iov_base: address as *mut c_void, iov_len: from.len() };
    // SAFETY: the kernel only reads `from`, and checks the other address in the other process.
    checked_size(unsafe {
        libc::process_vm_writev(tid as i32, &raw const local, 1, &raw const remote, 1, 0)
    })
}

/// `connect()` with an address as it came.
pub(crate) fn connect(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `len` bytes.
    checked(unsafe {
        libc::connect(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as u32)
    })
    .map(drop)
}

/// `bind()` with an address as it came.
pub(crate) fn bind(socket: BorrowedFd<'_>, address: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `len` bytes.
    checked(unsafe {
        libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as u32)
    })
    .map(drop)
}

/// `listen()`, with any backlog.
pub(crate) fn listen(socket: BorrowedFd<'_>, backlog: i32) -> io::Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { libc::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

/// `accept4()`, with the peer's address as the kernel tells it. Close-on-exec here.
pub(crate) fn accept(socket: BorrowedFd<'_>, nonblock: bool) -> io::Result<(OwnedFd, Vec<u8>)> {
    let flags = libc::SOCK_CLOEXEC | if nonblock { libc::SOCK_NONBLOCK } else { 0 };
    let mut address = vec![0u8; size_of::<libc::sockaddr_storage>()];
    let mut length = address.len() as u32;
    // SAFETY: the kernel writes at most `length` bytes of the buffer, and the length.
    let accepted = owned(c_long::from(unsafe {
        libc::accept4(socket.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut length, flags)
    }))?;
    address.truncate(length as usize);
    Ok((accepted, address))
}

/// `getsockname()` as raw bytes.
pub(crate) fn socket_name(socket: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut address = vec![0u8; size_of::<libc::sockaddr_storage>()];
    let mut length = address.len() as u32;
    // SAFETY: the kernel writes at most `length` bytes of the buffer, and the length.
    checked(unsafe {
        libc::getsockname(socket.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut length)
    })?;
    address.truncate(length as usize);
    Ok(address)
}

/// Is the socket connected to one other end?
pub(crate) fn has_peer(socket: BorrowedFd<'_>) -> bool {
    let mut address = [0u8; size_of::<libc::sockaddr_storage>()];
    let mut length = address.len() as u32;
    // SAFETY: the kernel writes at most `length` bytes of the buffer, and the length.
    let got = unsafe {
        libc::getpeername(socket.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut length)
    };
    got == 0
}

/// An option of level `SOL_SOCKET` that is a number of `T`'s size.
pub(crate) fn socket_option<T: Default + Copy>(
    socket: BorrowedFd<'_>,
    name: c_int,
) -> io::Result<T> {
    let mut value = T::default();
    let mut length = size_of::<T>() as u32;
    // SAFETY: the kernel writes at most the size of `T`, and callers only ask for integers and
    // pairs of them, of which any bytes are a value.
    checked(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    })?;
    Ok(value)
}

/// Closes the connection with a reset when the last descriptor goes.
pub(crate) fn reset_on_close(socket: BorrowedFd<'_>) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the kernel reads one linger.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as u32,
        );
    }
}

/// `sendmsg()` of one piece of data, with a name and control messages as they came.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    data: &[u8],
    name: &[u8],
    control: &[u8],
    flags: c_int,
) -> io::Result<usize> {
    let mut part = iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    // SAFETY: all-zero is a valid msghdr; every pointer in it is to memory that outlives the
    // call and has the length beside it, and sendmsg() writes to none of it.
    checked_size(unsafe {
        let mut message: msghdr = zeroed();
        message.msg_name =
            if name.is_empty() { null_mut() } else { name.as_ptr().cast_mut().cast() };
        message.msg_namelen = name.len() as u32;
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control =
            if control.is_empty() { null_mut() } else { control.as_ptr().cast_mut().cast() };
        message.msg_controllen = control.len();
        libc::sendmsg(socket.as_raw_fd(), &raw const message, flags)
    })
}

/// Sends a signal to a thread.
pub(crate) fn signal_thread(tgid: u32, tid: u32, signal: c_int) {
    // SAFETY: plain numbers; a thread that is gone is no error that matters.
    unsafe {
        libc::syscall(libc::SYS_tgkill, tgid, tid, signal);
    }
}

/// The number of the calling thread.
pub(crate) fn own_tid() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::gettid() as u32 }
}

/// The signal by which a thread of this process is made to give up waiting in the kernel.
pub(crate) const INTERRUPT: c_int = libc::SIGUSR1;

/// Makes [`INTERRUPT`] end a wait with `EINTR`, and do nothing else.
pub(crate) fn prepare_interrupt() -> io::Result<()> {
    extern "C" fn nothing(_: c_int) {}
    // SAFETY: all-zero is a valid sigaction with no flags, so that calls aren't restarted; the
    // handler touches nothing.
    checked(unsafe {
        let mut action: libc::sigaction = zeroed();
        action.sa_sigaction = nothing as extern "C" fn(c_int) as usize;
        libc::sigaction(INTERRUPT, &raw const action, null_mut())
    })
    .map(drop)
}

/// Forks. `true` in the child.
///
/// Only for a process with one thread: the child of another may find locks held for ever.
pub(crate) fn fork() -> io::Result<Option<u32>> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other(format!("{threads} threads where one was expected")));
    }
    // SAFETY: there is no other thread, so that the child's memory is in a state that the
    // program itself brought about.
    let pid = checked(unsafe { libc::fork() })?;
    Ok(u32::try_from(pid).ok().filter(|pid| *pid != 0))
}

/// Closes every descriptor but the first three and these.
pub(crate) fn close_all_but(kept: &[BorrowedFd<'_>]) {
    let mut kept: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd() as u32).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept.into_iter().chain([u32::MAX]) {
        if fd > first {
            // SAFETY: whoever calls this has just forked and owns no more than it names; what
            // it inherited is nobody's here.
            unsafe {
                libc::syscall(libc::SYS_close_range, first, fd - 1, 0);
            }
        }
        first = fd.saturating_add(1).max(first);
    }
}

/// A process that is not dumpable can't be traced by other programs of its user.
pub(crate) fn shut_out_tracers() -> io::Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// Orphans among the descendants become this process' children, so that it stays the ancestor
/// of all of them.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    // SAFETY: plain numbers.
    checked(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Gives a signal the meaning that it has for a new program.
pub(crate) fn default_action(signal: nix::sys::signal::Signal) {
    // SAFETY: sets the default, which is no code of this process.
    unsafe {
        libc::signal(signal as c_int, libc::SIG_DFL);
    }
}

/// Who a thread acts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    /// Effective capabilities, one bit each.
    pub(crate) capabilities: u64,
    pub(crate) umask: u32,
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Makes the calling thread, and no other, act as somebody else. There is no way back: the
/// thread is to end after what it does as that.
pub(crate) fn become_for_good(who: &Credentials, also_ids: bool) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let half = |shift: u32| {
        let bits = (who.capabilities >> shift) as u32;
        CapabilityData { effective: bits, permitted: bits, inheritable: 0 }
    };
    let data = [half(0), half(32)];
    // SAFETY: raw calls, which unlike libc's wrappers concern this thread alone; `groups` has
    // the length that is given, header and data are as the third version wants them.
    unsafe {
        checked(libc::unshare(libc::CLONE_FS))?;
        libc::umask(who.umask);
        if also_ids {
            checked(libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0))?;
            let groups = who.groups.as_ptr();
            checked_long(libc::syscall(libc::SYS_setgroups, who.groups.len(), groups))?;
            checked_long(libc::syscall(libc::SYS_setresgid, who.gid, who.gid, who.gid))?;
            checked_long(libc::syscall(libc::SYS_setresuid, who.uid, who.uid, who.uid))?;
        }
        checked_long(libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()))?;
    }
    Ok(())
}

/// Replaces the program of this process; only returns when that fails.
pub(crate) fn execute(program: &std::ffi::CStr, arguments: &[std::ffi::CString]) -> io::Error {
    let mut pointers: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    pointers.push(null());
    // SAFETY: NUL-terminated strings and a list that ends with NULL, all alive.
    unsafe {
        libc::execvp(program.as_ptr(), pointers.as_ptr());
    }
    io::Error::last_os_error()
}

/// For tests: a new TCP socket.
#[cfg(test)]
pub(crate) fn stream_socket() -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    owned(c_long::from(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) }))
}

/// For tests: `connect()` with an address that others write meanwhile.
#[cfg(test)]
pub(crate) fn connect_at(socket: BorrowedFd<'_>, place: *const u8, size: u32) -> io::Result<()> {
    // SAFETY: the caller keeps the place alive; the kernel copies it, whoever writes there.
    checked(unsafe { libc::connect(socket.as_raw_fd(), place.cast(), size) }).map(drop)
}
