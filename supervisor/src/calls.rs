// SPDX-License-Identifier: MIT OR Apache-2.0
//! What becomes of each held call: looked at, decided, and made for its caller.
//!
//! A call is left to its caller (`Continues`) only where nothing that was looked at can have
//! changed by then: its arguments are in registers, or its caller is alone with its descriptors
//! and the socket is of a class that isn't watched; and where it only receives (`receives`). Every
//! other call is made here, on a duplicate of the socket and with a copy of the address, both of
//! which the caller can't reach.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use libsnet::types::{CallFlags, Object, Operation, Verdict};

use crate::blocked::Blocked;
use crate::daemon::Daemon;
use crate::filter::I386_RECEIVES;
use crate::memory::read_address;
use crate::object::{Socket, family_of, object_of_create};
use crate::perform::{Caller, Own, fails, wait_for};
use crate::processes::{Process, Processes, namespace};
use crate::status::Status;
use crate::sys::{self, End, Notification};
use crate::unix;

/// `AUDIT_ARCH_I386`.
const I386: u32 = 0x4000_0003;
/// There, the other two calls that are held.
const I386_CLONE: i32 = 120;

const DENIED: End = End::Fails(libc::EACCES);

/// Everything that handling a call needs.
pub(crate) struct Calls {
    pub(crate) listener: OwnedFd,
    pub(crate) daemon: Daemon,
    pub(crate) processes: Processes,
    pub(crate) blocked: Blocked,
    pub(crate) own: Own,
    /// The supervisor's own network namespace: cookie and inode.
    pub(crate) network: (u64, u32),
}

/// A held call.
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) tid: u32,
    pub(crate) number: i64,
    pub(crate) arguments: [u64; 6],
    pub(crate) status: Status,
    pub(crate) process: Arc<Process>,
    pub(crate) user_ns: u32,
}

impl Call {
    pub(crate) fn caller(&self) -> Caller<'_> {
        Caller { id: self.id, tid: self.tid, status: &self.status, user_ns: self.user_ns }
    }

    pub(crate) fn argument(&self, index: usize) -> u64 {
        self.arguments.get(index).copied().unwrap_or_default()
    }

    /// An argument that is an `int`.
    pub(crate) fn int(&self, index: usize) -> i32 {
        self.argument(index) as u32 as i32
    }
}

impl Calls {
    /// Handles a held call to its end.
    pub(crate) fn handle(&self, notification: &Notification) {
        let ended = self.look_at(notification).and_then(|call| match call {
            Some(call) => self.dispatch(&call),
            None => Ok(Some(End::Continues)),
        });
        match ended {
            Ok(Some(end)) | Err(end) => sys::end(self.listener.as_fd(), notification.id, end),
            // It is ended already.
            Ok(None) => {}
        }
    }

    /// Who calls. Nothing when it doesn't matter: the call only had to be noticed.
    fn look_at(&self, notification: &Notification) -> Result<Option<Call>, End> {
        let (tid, data) = (notification.pid, &notification.data);
        let status = Status::read(tid).map_err(|error| fails(&error))?;
        let process = self.processes.of(&status).map_err(|error| fails(&error))?;
        let native = data.arch != I386;
        match i64::from(data.nr) {
            libc::SYS_clone if native => self.processes.sharing(),
            _ if data.nr == I386_CLONE && !native => self.processes.sharing(),
            libc::SYS_execve | libc::SYS_execveat if native => {
                self.processes.executing(&status).map_err(|error| fails(&error))?;
            }
            _ if !native && !I386_RECEIVES.contains(&data.nr) => {
                self.processes.executing(&status).map_err(|error| fails(&error))?;
            }
            number => {
                let user_ns = namespace(tid, "user").map_err(|error| fails(&error))?;
                let call = Call {
                    id: notification.id,
                    tid,
                    // All of them mean the same and have the descriptor first.
                    number: if native { number } else { libc::SYS_read },
                    arguments: data.args,
                    status,
                    process,
                    user_ns,
                };
                // All of that was about this caller only if it still waits.
                return self.still_held(&call).map(|()| Some(call));
            }
        }
        Ok(None)
    }

    fn still_held(&self, call: &Call) -> Result<(), End> {
        if sys::is_held(self.listener.as_fd(), call.id) {
            Ok(())
        } else {
            Err(End::Fails(libc::ESRCH))
        }
    }

    fn dispatch(&self, call: &Call) -> Result<Option<End>, End> {
        match call.number {
            libc::SYS_socket => self.create(call).map(Some),
            libc::SYS_connect => self.connect(call).map(Some),
            libc::SYS_bind => self.bind(call).map(Some),
            libc::SYS_listen => self.listen(call).map(Some),
            libc::SYS_sendto => self.sendto(call).map(Some),
            libc::SYS_sendmsg => self.sendmsg(call).map(Some),
            libc::SYS_sendmmsg => self.sendmmsg(call).map(Some),
            libc::SYS_recvfrom => self.receive(call, call.int(3)).map(Some),
            libc::SYS_recvmsg => self.receive(call, call.int(2)).map(Some),
            libc::SYS_recvmmsg => self.receive(call, call.int(3)).map(Some),
            libc::SYS_read | libc::SYS_readv | libc::SYS_preadv2 | libc::SYS_splice => {
                self.receive(call, 0).map(Some)
            }
            libc::SYS_accept => self.accept(call, 0),
            libc::SYS_accept4 => self.accept(call, call.int(3)),
            _ => Err(End::Fails(libc::ENOSYS)),
        }
    }

    /// A duplicate of the socket that is the call's first argument.
    pub(crate) fn socket(&self, call: &Call) -> Result<Socket, End> {
        let socket = self.descriptor(call, call.int(0)).and_then(Socket::new);
        let socket = socket.map_err(|error| fails(&error))?;
        self.still_held(call)?;
        Ok(socket)
    }

    /// A duplicate of a descriptor of the calling thread, which may have a table of its own.
    pub(crate) fn descriptor(&self, call: &Call, fd: i32) -> io::Result<OwnedFd> {
        if call.tid == call.process.tgid {
            return sys::pidfd_getfd(call.process.pidfd(), fd);
        }
        match sys::pidfd_open(call.tid, true) {
            Ok(thread) => sys::pidfd_getfd(thread.as_fd(), fd),
            // Linux before 6.9 only knows whole processes.
            Err(_) if sys::same_descriptors(call.process.tgid, call.tid)? => {
                sys::pidfd_getfd(call.process.pidfd(), fd)
            }
            Err(_) => Err(io::Error::from_raw_os_error(libc::EACCES)),
        }
    }

    pub(crate) fn is_watched(&self, operation: Operation, socket: &Socket) -> bool {
        socket.family != libc::AF_NETLINK && self.daemon.is_watched(operation, socket.protocol())
    }

    /// May the caller make it itself, since nobody can make another call of it meanwhile?
    pub(crate) fn is_steady(&self, call: &Call) -> bool {
        self.processes.is_steady(&call.status)
    }

    /// Asks for the verdict on a call.
    pub(crate) fn decide(
        &self,
        call: &Call,
        object: Object,
        socket: Option<&Socket>,
    ) -> Result<(), End> {
        let (network, net_ns) = self.network_of(call, socket).map_err(|error| fails(&error))?;
        let subject = self.processes.subject(call.tid, &call.status, &call.process, net_ns);
        let subject = subject.map_err(|error| fails(&error))?;
        self.still_held(call)?;
        match self.daemon.ask(subject, object, network) {
            Verdict::Allow => Ok(()),
            Verdict::Deny => Err(DENIED),
        }
    }

    /// Cookie and inode of a socket's network namespace. The inode is 0 when the socket is from
    /// elsewhere; what has no socket yet has no cookie either, but an inode of a kind of its own.
    fn network_of(&self, call: &Call, socket: Option<&Socket>) -> io::Result<(u64, u32)> {
        const NO_SOCKET: u64 = 1 << 63;
        let (own_cookie, own_inode) = self.network;
        let Some(socket) = socket else {
            let inode = namespace(call.tid, "net")?;
            return Ok((NO_SOCKET | u64::from(inode), inode));
        };
        let cookie = socket.network()?;
        if cookie == own_cookie {
            return Ok((cookie, own_inode));
        }
        let inode = namespace(call.tid, "net")?;
        Ok((cookie, if inode == own_inode { 0 } else { inode }))
    }

    /// All of its arguments are in registers.
    fn create(&self, call: &Call) -> Result<End, End> {
        let object = object_of_create(call.int(0), call.int(1), call.int(2));
        if self.daemon.is_watched(Operation::Create, object.protocol) {
            self.decide(call, object, None)?;
        }
        Ok(End::Continues)
    }

    fn connect(&self, call: &Call) -> Result<End, End> {
        let socket = self.socket(call)?;
        let watched = self.is_watched(Operation::Connect, &socket);
        if !watched && self.is_steady(call) {
            return Ok(End::Continues);
        }
        let address = read_address(call.tid, call.argument(1), call.argument(2))?;
        let dissolves = family_of(&address) == Some(libc::AF_UNSPEC);
        if watched && !dissolves {
            let object = socket.object(Operation::Connect, &address, CallFlags(0));
            self.decide(call, object, Some(&socket))?;
        }
        let (address, _open) = self.reachable(call, &socket, address)?;
        let caller = call.caller();
        self.own.act_as(&caller, false, || {
            let connect = || sys::connect(socket.as_fd(), &address);
            if socket.nonblock
                || (socket.kind == libc::SOCK_DGRAM && socket.family != libc::AF_UNIX)
            {
                return connect().map_err(|error| fails(&error));
            }
            wait_for(&self.blocked, &caller, &socket, libc::SO_SNDTIMEO, connect)
        })?;
        Ok(End::Value(0))
    }

    /// The address as the supervisor has to say it.
    pub(crate) fn reachable(
        &self,
        call: &Call,
        socket: &Socket,
        address: Vec<u8>,
    ) -> Result<unix::Translated, End> {
        if socket.family == libc::AF_UNIX {
            unix::to_reach(call.tid, &address)
        } else {
            Ok((address, None))
        }
    }

    fn bind(&self, call: &Call) -> Result<End, End> {
        let socket = self.socket(call)?;
        let watched = self.is_watched(Operation::Bind, &socket);
        if !watched && self.is_steady(call) {
            return Ok(End::Continues);
        }
        let address = read_address(call.tid, call.argument(1), call.argument(2))?;
        let object = socket.object(Operation::Bind, &address, CallFlags(0));
        let port = object.local_port();
        if watched {
            self.decide(call, object, Some(&socket))?;
        }
        let caller = call.caller();
        // The user of the supervisor owns the caller's namespace and may do all in there.
        const PRIVILEGED: std::ops::Range<u16> = 1..1024;
        if self.own.is_foreign(&caller) && PRIVILEGED.contains(&port) {
            return Err(DENIED);
        }
        let makes_file = socket.family == libc::AF_UNIX;
        let (address, _open) =
            if makes_file { unix::to_make(call.tid, &address)? } else { (address, None) };
        self.own.act_as(&caller, makes_file, || {
            sys::bind(socket.as_fd(), &address).map_err(|error| fails(&error))
        })?;
        Ok(End::Value(0))
    }

    fn listen(&self, call: &Call) -> Result<End, End> {
        let socket = self.socket(call)?;
        if self.is_watched(Operation::Listen, &socket) {
            let object = socket.object(Operation::Listen, &[], CallFlags(0));
            self.decide(call, object, Some(&socket))?;
        }
        if self.is_steady(call) {
            return Ok(End::Continues);
        }
        sys::listen(socket.as_fd(), call.int(1)).map_err(|error| fails(&error))?;
        Ok(End::Value(0))
    }

    /// The peer is known only once it was accepted, so that this happens here first.
    fn accept(&self, call: &Call, flags: i32) -> Result<Option<End>, End> {
        let socket = self.socket(call)?;
        let watched = self.is_watched(Operation::Accept, &socket);
        if !watched && self.is_steady(call) {
            return Ok(Some(End::Continues));
        }
        if flags & !(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) != 0 {
            return Err(End::Fails(libc::EINVAL));
        }
        let nonblock = flags & libc::SOCK_NONBLOCK != 0;
        let accept = || sys::accept(socket.as_fd(), nonblock);
        let (peer, address) =
            wait_for(&self.blocked, &call.caller(), &socket, libc::SO_RCVTIMEO, accept)?;
        let accepted = Socket::new(peer).map_err(|error| fails(&error))?;
        if watched {
            let object = accepted.object(Operation::Accept, &address, CallFlags(0));
            if self.decide(call, object, Some(&accepted)).is_err() {
                sys::reset_on_close(accepted.as_fd());
                return Err(End::Fails(libc::ECONNABORTED));
            }
        }
        self.write_peer(call, &address)?;
        self.hand_over(call, accepted.as_fd(), flags)?;
        Ok(None)
    }

    /// Writes a peer's address where the caller wants it, as `accept()` does.
    fn write_peer(&self, call: &Call, address: &[u8]) -> Result<(), End> {
        use crate::memory::{read, u32_at, write};

        let (place, length_place) = (call.argument(1), call.argument(2));
        if place == 0 {
            return Ok(());
        }
        let room = u32_at(&read(call.tid, length_place, 4)?, 0) as i32;
        let room = usize::try_from(room).map_err(|_| End::Fails(libc::EINVAL))?;
        self.still_held(call)?;
        let fits = address.get(..room.min(address.len())).unwrap_or_default();
        if !fits.is_empty() {
            write(call.tid, place, fits)?;
        }
        write(call.tid, length_place, &(address.len() as u32).to_ne_bytes())
    }

    fn hand_over(&self, call: &Call, fd: BorrowedFd<'_>, flags: i32) -> Result<(), End> {
        let close_on_exec = flags & libc::SOCK_CLOEXEC != 0;
        let handed = sys::end_with_descriptor(self.listener.as_fd(), call.id, fd, close_on_exec);
        handed.map_err(|error| fails(&error))
    }
}
