// SPDX-License-Identifier: MIT OR Apache-2.0
//! The seccomp filter: which calls are held, which are refused, and that all others pass.
//!
//! Pure. What is held here is told apart further by `calls`; what passes here is never seen.
//! Calls that pass whatever their arguments cost nothing: the kernel remembers them by number.

use libc::{c_long, sock_filter};
use libsnet::types::{Operation, Protocol, Protocols, WatchSet};

/// `AUDIT_ARCH_*`.
const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;
/// Calls of the x32 ABI have this bit, and the architecture of x86-64.
const X32: u32 = 0x4000_0000;

/// Where `struct seccomp_data` has what.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn argument(index: u32) -> u32 {
    16 + 8 * index
}

const CLONE_FILES: u32 = libc::CLONE_FILES as u32;
const CLONE_THREAD: u32 = libc::CLONE_THREAD as u32;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Pass,
    Hold,
    Refuse(i32),
}

impl Action {
    fn code(self) -> u32 {
        match self {
            Self::Pass => libc::SECCOMP_RET_ALLOW,
            Self::Hold => libc::SECCOMP_RET_USER_NOTIF,
            Self::Refuse(errno) => libc::SECCOMP_RET_ERRNO | errno.unsigned_abs(),
        }
    }
}

fn load(offset: u32) -> sock_filter {
    let code = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    sock_filter { code, jt: 0, jf: 0, k: offset }
}

fn give(action: Action) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: action.code() }
}

fn mask(bits: u32) -> sock_filter {
    let code = (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16;
    sock_filter { code, jt: 0, jf: 0, k: bits }
}

/// Goes on at the next instruction when the comparison holds, or else skips so many.
fn unless(comparison: u32, value: u32, skip: usize) -> sock_filter {
    let code = (libc::BPF_JMP | comparison | libc::BPF_K) as u16;
    // Blocks are a few instructions long; a longer one would be refused by the kernel.
    sock_filter { code, jt: 0, jf: u8::try_from(skip).unwrap_or(u8::MAX), k: value }
}

/// What happens to one call, by its arguments.
type Block = Vec<sock_filter>;

fn always(action: Action) -> Block {
    vec![give(action)]
}

/// `action` when the condition holds, which leads over its last instruction when it does.
fn when(condition: Vec<sock_filter>, action: Action) -> Block {
    let mut block = condition;
    block.push(give(action));
    block
}

/// One behind the other; what none of them decides passes.
fn first_of(blocks: Vec<Block>) -> Block {
    let mut all: Block = blocks.into_iter().flatten().collect();
    all.push(give(Action::Pass));
    all
}

/// The argument is one of these, in its lower half: the kernel reads an `int`.
fn is_one_of(index: u32, values: &[u32], action: Action) -> Block {
    let blocks = values
        .iter()
        .flat_map(|value| [load(argument(index)), unless(libc::BPF_JEQ, *value, 1), give(action)]);
    blocks.collect()
}

/// A socket option of a level.
fn is_option(level: u32, options: &[u32], action: Action) -> Block {
    let tests = is_one_of(2, options, action);
    let mut block = vec![load(argument(1)), unless(libc::BPF_JEQ, level, tests.len())];
    block.extend(tests);
    block
}

/// The pointer isn't NULL.
fn is_pointer(index: u32, action: Action) -> Block {
    let half = |offset| when(vec![load(offset), unless(libc::BPF_JGT, 0, 1)], action);
    [half(argument(index)), half(argument(index) + 4)].concat()
}

/// A new process that shares its descriptors with its parent.
fn shares_descriptors() -> Block {
    let condition = vec![
        load(argument(0)),
        mask(CLONE_FILES | CLONE_THREAD),
        unless(libc::BPF_JEQ, CLONE_FILES, 1),
    ];
    first_of(vec![when(condition, Action::Hold)])
}

/// What would let a process call itself by another executable.
fn renames_executable() -> Block {
    const PR_SET_MM: u32 = 35;
    const EXE_FILE_AND_MAP: [u32; 2] = [13, 14];
    let tests = is_one_of(1, &EXE_FILE_AND_MAP, Action::Refuse(libc::EPERM));
    let mut block = vec![load(argument(0)), unless(libc::BPF_JEQ, PR_SET_MM, tests.len())];
    block.extend(tests);
    first_of(vec![block])
}

/// Options that name another host than `connect()` does, or several at once.
fn set_option() -> Block {
    const SCTP: u32 = 132;
    /// `SCTP_SOCKOPT_BINDX_ADD`, `_REM`, `_CONNECTX_OLD`, `_CONNECTX`, `_CONNECTX3`.
    const SCTP_ADDRESSES: [u32; 5] = [100, 101, 107, 110, 111];
    /// `IP_OPTIONS`.
    const SOURCE_ROUTE: u32 = 4;
    /// `IPV6_RTHDR`, `IPV6_2292RTHDR`, `IPV6_2292PKTOPTIONS`.
    const ROUTING_HEADERS: [u32; 3] = [57, 5, 6];
    let empty_is_fine = when(
        vec![
            load(argument(1)),
            unless(libc::BPF_JEQ, libc::IPPROTO_IP as u32, 5),
            load(argument(2)),
            unless(libc::BPF_JEQ, SOURCE_ROUTE, 3),
            load(argument(4)),
            unless(libc::BPF_JGT, 0, 1),
        ],
        Action::Refuse(libc::EACCES),
    );
    first_of(vec![
        is_option(SCTP, &SCTP_ADDRESSES, Action::Refuse(libc::EOPNOTSUPP)),
        is_option(libc::IPPROTO_IPV6 as u32, &ROUTING_HEADERS, Action::Refuse(libc::EACCES)),
        empty_is_fine,
    ])
}

fn get_option() -> Block {
    const SCTP: u32 = 132;
    const CONNECTX3: u32 = 111;
    first_of(vec![is_option(SCTP, &[CONNECTX3], Action::Refuse(libc::EOPNOTSUPP))])
}

/// `socket()`: where only raw and packet sockets are watched, others needn't wait.
fn create(watched: Protocols) -> Block {
    let few: Protocols = [Protocol::Raw, Protocol::Packet].into_iter().collect();
    if !few.contains(watched) {
        return always(Action::Hold);
    }
    const SOCK_PACKET: u32 = 10;
    const TYPE: u32 = 0xf;
    let kind = |kind| {
        let condition = vec![load(argument(1)), mask(TYPE), unless(libc::BPF_JEQ, kind, 1)];
        when(condition, Action::Hold)
    };
    first_of(vec![
        is_one_of(0, &[libc::AF_PACKET as u32], Action::Hold),
        kind(libc::SOCK_RAW as u32),
        kind(SOCK_PACKET),
    ])
}

/// The calls of x86-64 that don't just pass.
fn native(watch: &WatchSet) -> Vec<(c_long, Block)> {
    let watched = |operation| watch.get(&operation).copied().unwrap_or_default();
    let is_watched = |operation| !watched(operation).is_empty();
    let refused = || always(Action::Refuse(libc::ENOSYS));
    let mut calls = vec![
        (libc::SYS_execve, always(Action::Hold)),
        (libc::SYS_execveat, always(Action::Hold)),
        (libc::SYS_clone, shares_descriptors()),
        // Its flags are in memory, where nobody can hold them. All libraries fall back.
        (libc::SYS_clone3, refused()),
        (libc::SYS_io_uring_setup, refused()),
        (libc::SYS_io_uring_enter, refused()),
        (libc::SYS_io_uring_register, refused()),
        (libc::SYS_prctl, renames_executable()),
        (libc::SYS_setsockopt, set_option()),
        (libc::SYS_getsockopt, get_option()),
    ];
    for (operation, number) in [
        (Operation::Connect, libc::SYS_connect),
        (Operation::Bind, libc::SYS_bind),
        (Operation::Listen, libc::SYS_listen),
        (Operation::Accept, libc::SYS_accept),
        (Operation::Accept, libc::SYS_accept4),
    ] {
        if is_watched(operation) {
            calls.push((number, always(Action::Hold)));
        }
    }
    if is_watched(Operation::Create) {
        calls.push((libc::SYS_socket, create(watched(Operation::Create))));
    }
    // A message that names its receiver may connect as well (fast open, SCTP).
    if is_watched(Operation::Send) || is_watched(Operation::Connect) {
        calls.push((libc::SYS_sendto, first_of(vec![is_pointer(4, Action::Hold)])));
        calls.push((libc::SYS_sendmsg, always(Action::Hold)));
        calls.push((libc::SYS_sendmmsg, always(Action::Hold)));
    }
    if receives_are_held(watch) {
        calls.extend(RECEIVES.map(|number| (number, always(Action::Hold))));
        // Its reads are described in memory, and made later.
        calls.push((libc::SYS_io_setup, refused()));
    }
    calls
}

/// Every call that takes a datagram from a socket, which is its first argument.
const RECEIVES: [c_long; 7] = [
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_preadv2,
    libc::SYS_splice,
];
/// Those of i386 that aren't refused anyway: `read`, `readv`, `preadv2`, `splice`.
pub(crate) const I386_RECEIVES: [i32; 4] = [3, 145, 378, 313];

/// Of streams nothing is held: their bytes belong to a conversation that was decided.
fn receives_are_held(watch: &WatchSet) -> bool {
    let streams: Protocols = [Protocol::Tcp, Protocol::Mptcp].into_iter().collect();
    watch.get(&Operation::Recv).is_some_and(|watched| !streams.contains(*watched))
}

/// The calls of i386 that don't just pass. Programs for it may run; their sockets may not:
/// `socketcall()` has its arguments in memory.
fn compatible(watch: &WatchSet) -> Vec<(c_long, Block)> {
    const IO_SETUP: c_long = 245;
    const EXECVE: c_long = 11;
    const EXECVEAT: c_long = 358;
    const CLONE: c_long = 120;
    const PRCTL: c_long = 172;
    /// `socketcall`, `sendmmsg`, `recvmmsg` and the time64 one, `socket` to `shutdown`,
    /// `clone3`, `io_uring_*`.
    const REFUSED: [c_long; 22] = [
        102, 345, 337, 417, 359, 360, 361, 362, 363, 364, 365, 366, 367, 368, 369, 370, 371, 372,
        435, 425, 426, 427,
    ];
    let held = [EXECVE, EXECVEAT].map(|number| (number, always(Action::Hold)));
    let refused = REFUSED.map(|number| (number, always(Action::Refuse(libc::ENOSYS))));
    let mut calls = vec![(CLONE, shares_descriptors()), (PRCTL, renames_executable())];
    calls.extend(held.into_iter().chain(refused));
    if receives_are_held(watch) {
        calls.extend(I386_RECEIVES.map(|number| (number.into(), always(Action::Hold))));
        calls.push((IO_SETUP, always(Action::Refuse(libc::ENOSYS))));
    }
    calls
}

fn table(calls: Vec<(c_long, Block)>) -> Block {
    let mut program = Vec::new();
    for (number, block) in calls {
        program.push(unless(libc::BPF_JEQ, number as u32, block.len()));
        program.extend(block);
    }
    program.push(give(Action::Pass));
    program
}

/// The filter for a watch set.
pub(crate) fn program(watch: &WatchSet) -> Vec<sock_filter> {
    let (native, compatible) = (table(native(watch)), table(compatible(watch)));
    let mut program = vec![load(ARCHITECTURE)];
    // The table of i386 comes first since it is short enough to be skipped by one jump.
    program.push(unless(libc::BPF_JEQ, I386, compatible.len() + 1));
    program.push(load(NUMBER));
    program.extend(compatible);
    program.push(unless(libc::BPF_JEQ, X86_64, 4));
    program.push(load(NUMBER));
    program.push(unless(libc::BPF_JGE, X32, 1));
    program.push(give(Action::Refuse(libc::ENOSYS)));
    program.push(sock_filter { code: (libc::BPF_JMP | libc::BPF_JA) as u16, jt: 0, jf: 0, k: 1 });
    program.push(give(Action::Refuse(libc::ENOSYS)));
    program.extend(native);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT: u32 = libc::SYS_connect as u32;

    fn watch(pairs: &[(Operation, &str)]) -> WatchSet {
        pairs.iter().map(|(operation, text)| (*operation, text.parse().unwrap())).collect()
    }

    fn shipped() -> WatchSet {
        watch(&[
            (Operation::Create, "raw,packet"),
            (Operation::Bind, "udp"),
            (Operation::Listen, "tcp"),
            (Operation::Connect, "tcp,udp"),
            (Operation::Send, "udp"),
        ])
    }

    /// What the kernel's interpreter would say of a call.
    fn run(watch: &WatchSet, arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let mut data = [0u8; 64];
        data[..4].copy_from_slice(&number.to_le_bytes());
        data[4..8].copy_from_slice(&arch.to_le_bytes());
        for (index, value) in arguments.iter().enumerate() {
            data[16 + 8 * index..24 + 8 * index].copy_from_slice(&value.to_le_bytes());
        }
        let program = program(watch);
        let (mut at, mut accumulator) = (0usize, 0u32);
        loop {
            let step = program[at];
            at += 1;
            let jump = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            match u32::from(step.code) {
                0x20 => {
                    let offset = step.k as usize;
                    accumulator = u32::from_le_bytes(data[offset..offset + 4].try_into().unwrap());
                }
                0x54 => accumulator &= step.k,
                0x05 => at += step.k as usize,
                0x15 => at += jump(accumulator == step.k),
                0x25 => at += jump(accumulator > step.k),
                0x35 => at += jump(accumulator >= step.k),
                0x06 => return step.k,
                other => panic!("no such instruction: {other:#x}"),
            }
        }
    }

    fn native(number: c_long, arguments: [u64; 6]) -> u32 {
        run(&shipped(), X86_64, number as u32, arguments)
    }

    const PASS: u32 = libc::SECCOMP_RET_ALLOW;
    const HOLD: u32 = libc::SECCOMP_RET_USER_NOTIF;
    const NONE: [u64; 6] = [0; 6];

    fn refused(errno: i32) -> u32 {
        libc::SECCOMP_RET_ERRNO | errno as u32
    }

    #[test]
    fn what_begins_a_conversation_is_held_and_what_goes_on_is_not() {
        for number in [libc::SYS_connect, libc::SYS_bind, libc::SYS_listen, libc::SYS_sendmsg] {
            assert_eq!(native(number, NONE), HOLD, "{number}");
        }
        for number in [
            libc::SYS_read,
            libc::SYS_write,
            libc::SYS_recvfrom,
            libc::SYS_recvmsg,
            libc::SYS_accept4,
            libc::SYS_openat,
            libc::SYS_close,
        ] {
            assert_eq!(native(number, NONE), PASS, "{number}");
        }
    }

    #[test]
    fn a_message_is_held_when_it_names_its_receiver() {
        assert_eq!(native(libc::SYS_sendto, NONE), PASS);
        assert_eq!(native(libc::SYS_sendto, [3, 4, 5, 0, 0x7f00_0000, 16]), HOLD);
        assert_eq!(native(libc::SYS_sendto, [3, 4, 5, 0, 0x7f00_0000_0000, 16]), HOLD);
    }

    #[test]
    fn of_new_sockets_the_raw_ones_are_held() {
        let socket = |domain: i32, kind: i32| {
            native(libc::SYS_socket, [domain as u64, kind as u64, 0, 0, 0, 0])
        };
        assert_eq!(socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC), PASS);
        assert_eq!(socket(libc::AF_INET6, libc::SOCK_RAW | libc::SOCK_NONBLOCK), HOLD);
        assert_eq!(socket(libc::AF_PACKET, libc::SOCK_DGRAM), HOLD);
        assert_eq!(socket(libc::AF_INET, 10), HOLD);
        let all = watch(&[(Operation::Create, "tcp")]);
        assert_eq!(run(&all, X86_64, libc::SYS_socket as u32, [2, 1, 0, 0, 0, 0]), HOLD);
    }

    #[test]
    fn what_is_not_watched_passes() {
        let few = watch(&[(Operation::Listen, "tcp")]);
        for number in [libc::SYS_connect, libc::SYS_bind, libc::SYS_socket, libc::SYS_sendmsg] {
            assert_eq!(run(&few, X86_64, number as u32, [0, 3, 0, 0, 1, 0]), PASS, "{number}");
        }
        let accept = watch(&[(Operation::Accept, "tcp")]);
        assert_eq!(run(&accept, X86_64, libc::SYS_accept as u32, NONE), HOLD);
    }

    #[test]
    fn where_datagrams_are_watched_every_call_that_takes_one_is_held() {
        let datagrams = watch(&[(Operation::Recv, "udp")]);
        for number in RECEIVES {
            assert_eq!(run(&datagrams, X86_64, number as u32, NONE), HOLD, "{number}");
        }
        for number in I386_RECEIVES {
            assert_eq!(run(&datagrams, I386, number as u32, NONE), HOLD, "{number}");
        }
        let submit = run(&datagrams, X86_64, libc::SYS_io_setup as u32, NONE);
        assert_eq!(submit, refused(libc::ENOSYS));
        let streams = watch(&[(Operation::Recv, "tcp,mptcp")]);
        assert_eq!(run(&streams, X86_64, libc::SYS_read as u32, NONE), PASS);
        assert_eq!(run(&datagrams, X86_64, libc::SYS_write as u32, NONE), PASS);
    }

    #[test]
    fn ways_around_are_refused() {
        for number in [libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_clone3] {
            assert_eq!(native(number, NONE), refused(libc::ENOSYS));
        }
        let set =
            |level, name, length| native(libc::SYS_setsockopt, [3, level, name, 0, length, 0]);
        assert_eq!(set(0, 4, 8), refused(libc::EACCES));
        assert_eq!(set(0, 4, 0), PASS, "no route at all");
        assert_eq!(set(41, 57, 24), refused(libc::EACCES));
        assert_eq!(set(132, 110, 16), refused(libc::EOPNOTSUPP));
        assert_eq!(set(6, 1, 4), PASS);
        assert_eq!(set(1, 4, 4), PASS);
        assert_eq!(native(libc::SYS_getsockopt, [3, 132, 111, 0, 0, 0]), refused(libc::EOPNOTSUPP));
        assert_eq!(native(libc::SYS_prctl, [35, 13, 0, 0, 0, 0]), refused(libc::EPERM));
        assert_eq!(native(libc::SYS_prctl, [35, 1, 0, 0, 0, 0]), PASS);
        assert_eq!(native(libc::SYS_prctl, [15, 13, 0, 0, 0, 0]), PASS);
    }

    #[test]
    fn a_process_that_shares_descriptors_is_noticed() {
        let clone = |flags: i32| native(libc::SYS_clone, [flags as u64, 0, 0, 0, 0, 0]);
        assert_eq!(clone(libc::CLONE_FILES), HOLD);
        assert_eq!(clone(libc::CLONE_FILES | libc::CLONE_THREAD | libc::CLONE_VM), PASS);
        assert_eq!(clone(libc::CLONE_VM | libc::CLONE_VFORK), PASS);
    }

    #[test]
    fn other_abis_are_told_apart() {
        let other = |arch, number| run(&shipped(), arch, number, NONE);
        assert_eq!(other(X86_64, X32 | CONNECT), refused(libc::ENOSYS));
        assert_eq!(other(X86_64, X32), refused(libc::ENOSYS));
        assert_eq!(other(I386, 102), refused(libc::ENOSYS), "socketcall");
        assert_eq!(other(I386, 362), refused(libc::ENOSYS), "connect");
        assert_eq!(other(I386, 11), HOLD, "execve");
        assert_eq!(other(I386, 3), PASS, "read");
        assert_eq!(other(I386, CONNECT), PASS, "uname there");
        assert_eq!(other(0xc000_00b7, 1), refused(libc::ENOSYS), "arm64");
    }
}
