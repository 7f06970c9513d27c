// SPDX-License-Identifier: MIT OR Apache-2.0
//! Ways past the supervisor, each tried.

use crate::harness::{Home, Server, eventually, example};

/// 0 of 20,000. That the same program gets through where calls are merely continued is shown by
/// the supervisor's own test `a_call_that_is_merely_continued_goes_where_it_was_not_allowed_to`.
#[test]
fn an_address_that_is_swapped_meanwhile_leads_nowhere() {
    let home = Home::denying().begun();
    let (allowed, denied) = (Server::start(), Server::start());
    let race = example("race");
    home.done(&["allow", &race, "tcp", "connect", "--port", &allowed.port.to_string()]);
    let ran = home.run(&[&race, &allowed.port.to_string(), &denied.port.to_string(), "20000"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with("0 of 20000 reached"), "{ran:?}");
    assert_eq!(denied.connections(), 0);
    assert!(allowed.connections() > 100, "it was no race: {ran:?}");
}

/// A descriptor that means a Unix socket when the call is looked at, and another one after.
#[test]
fn a_descriptor_that_is_swapped_meanwhile_leads_nowhere() {
    let (home, denied) = (Home::denying().begun(), Server::start());
    let program = format!(
        "
import ctypes, os, socket, struct, threading
libc = ctypes.CDLL(None, use_errno=True)
address = struct.pack('=H', socket.AF_INET) + struct.pack('!H', {}) + bytes([127, 0, 0, 1]) + bytes(8)
unix, over = socket.socket(socket.AF_UNIX), False
place = os.dup(unix.fileno())
def swap():
    while not over:
        tcp = socket.socket()
        os.dup2(tcp.fileno(), place)
        os.dup2(unix.fileno(), place)
        tcp.close()
thread = threading.Thread(target=swap)
thread.start()
reached = sum(libc.connect(place, address, 16) == 0 for _ in range(2000))
over = True
thread.join()
print(reached)
",
        denied.port
    );
    let ran = home.python(&program);
    assert_eq!(ran.out, "0\n", "{ran:?}");
    assert_eq!(denied.connections(), 0);
}

#[test]
fn other_abis_and_io_uring_are_refused() {
    let home = Home::with("");
    let ran = home.run(&[&example("other_abi")]);
    let expected = "socketcall -38 connect32 -38 getpid32 true\nx32 -38 io_uring -38\n";
    assert_eq!(ran.out, expected, "{ran:?}");
}

#[test]
fn a_supervisor_that_dies_leaves_errors() {
    let (home, server) = (Home::with("").begun(), Server::start());
    let program = format!(
        "
import os, signal, socket, time
supervisor = os.getppid()
os.kill(supervisor, signal.SIGKILL)
while os.getppid() == supervisor:
    time.sleep(0.01)
for _ in range(3):
    try:
        socket.socket().connect(('127.0.0.1', {}))
    except OSError as error:
        open('result', 'a').write(os.strerror(error.errno) + '\\n')
",
        server.port
    );
    let ran = home.python(&program);
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.err.contains("supervisor was killed"), "{}", ran.err);
    let result = eventually("the result", || {
        let text = std::fs::read_to_string(home.path().join("result")).ok()?;
        (text.lines().count() == 3).then_some(text)
    });
    assert_eq!(result, "Function not implemented\n".repeat(3));
    assert_eq!(server.connections(), 0);
}

/// Each message of a call, with and without a name, in every form that the kernel takes.
#[test]
fn datagrams_are_decided_by_their_receiver() {
    let home = Home::denying().begun();
    let sockets = [0, 0].map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let [allowed, denied] = &sockets;
    let port = |socket: &std::net::UdpSocket| socket.local_addr().unwrap().port();
    home.done(&[
        "allow",
        "/usr/bin/python3",
        "udp",
        "send,connect",
        "--port",
        &port(allowed).to_string(),
    ]);
    let program = format!(
        "
import socket
def attempt(name, send):
    try:
        send(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        print(name, 'sent')
    except OSError as error:
        print(name, error.strerror)
for port in {}, {}:
    to = ('127.0.0.1', port)
    attempt('sendto', lambda s: s.sendto(b'1', to))
    attempt('sendmsg', lambda s: s.sendmsg([b'2', b'3'], [], 0, to))
    attempt('connect', lambda s: (s.connect(to), s.send(b'4'), s.sendmsg([b'5'])))
",
        port(allowed),
        port(denied)
    );
    let ran = home.python(&program);
    let sent = "sendto sent\nsendmsg sent\nconnect sent\n";
    assert_eq!(ran.out, format!("{sent}{}", sent.replace("sent", "Permission denied")), "{ran:?}");
    for expected in [b"1".as_slice(), b"23", b"4", b"5"] {
        let mut data = [0; 16];
        allowed.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
        let count = allowed.recv(&mut data).unwrap();
        assert_eq!(&data[..count], expected);
    }
    denied.set_nonblocking(true).unwrap();
    assert!(denied.recv(&mut [0; 16]).is_err());
}

/// A call with several messages is decided message by message, and says how many were sent.
#[test]
fn each_message_of_sendmmsg_is_decided_by_its_own_receiver() {
    let home = Home::denying().begun();
    let sockets = [0, 0].map(|_| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let [allowed, denied] = sockets.each_ref().map(|one| one.local_addr().unwrap().port());
    home.done(&["allow", "/usr/bin/python3", "udp", "send", "--port", &allowed.to_string()]);
    let program = format!(
        "
import ctypes, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def send(*ports):
    kept, messages = [], b''
    def place(data):
        kept.append(ctypes.create_string_buffer(data, len(data)))
        return ctypes.addressof(kept[-1])
    for port in ports:
        name = place(struct.pack('=H', socket.AF_INET) + struct.pack('!H', port) + bytes([127, 0, 0, 1]) + bytes(8))
        part = place(struct.pack('=QQ', place(b'x'), 1))
        messages += struct.pack('=QI4xQQQQi4xI4x', name, 16, part, 1, 0, 0, 0, 0)
    all = ctypes.create_string_buffer(messages, len(messages))
    sent = libc.sendmmsg(s.fileno(), all, len(ports), 0)
    told = [struct.unpack_from('=I', all, 64 * index + 56)[0] for index in range(len(ports))]
    print(sent if sent >= 0 else os.strerror(ctypes.get_errno()), told)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
a, d = {allowed}, {denied}
send(a, a, d, a)
send(d, a)
send(a)
"
    );
    let ran = home.python(&program);
    assert_eq!(ran.out, "2 [1, 1, 0, 0]\nPermission denied [0, 0]\n1 [1]\n", "{ran:?}");
    let [allowed, denied] = sockets;
    for _ in 0..3 {
        allowed.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
        assert_eq!(allowed.recv(&mut [0; 16]).unwrap(), 1);
    }
    for socket in [allowed, denied] {
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 16]).is_err(), "nothing else came");
    }
}

/// Every call that takes a datagram, where that is watched; what is connected or no socket at all
/// is nobody's business.
#[test]
fn datagrams_that_are_received_are_decided() {
    let home = Home::with("[watch]\nrecv = \"udp\"\n[fallback]\nrecv = \"deny\"\n");
    let program = "
import ctypes, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 0))
fd, sender = s.fileno(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.connect(s.getsockname())
def call(name, *arguments):
    count = getattr(libc, name)(fd, *arguments)
    if count < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return count
def recvmmsg():
    data = ctypes.create_string_buffer(16)
    part = ctypes.create_string_buffer(struct.pack('=QQ', ctypes.addressof(data), 16), 16)
    message = ctypes.create_string_buffer(struct.pack('=QI4xQQQQi4xI4x', 0, 0, ctypes.addressof(part), 1, 0, 0, 0, 0), 64)
    call('recvmmsg', message, 1, 0, None)
    return data.value
def into(receive):
    data = bytearray(5)
    receive(data)
    return bytes(data)
def splice():
    reader, writer = os.pipe()
    os.splice(fd, writer, 16)
    return os.read(reader, 16)
ways = {
    'recv': lambda: s.recv(16),
    'recvfrom': lambda: s.recvfrom(16)[0],
    'recvmsg': lambda: s.recvmsg(16)[0],
    'recvmmsg': recvmmsg,
    'read': lambda: os.read(fd, 16),
    'readv': lambda: into(lambda data: os.readv(fd, [data])),
    'preadv2': lambda: into(lambda data: call('preadv2', ctypes.byref((ctypes.c_void_p * 2)(ctypes.addressof((ctypes.c_char * 5).from_buffer(data)), 5)), 1, ctypes.c_long(-1), 0)),
    'splice': splice,
}
for name, way in ways.items():
    sender.send(b'hello')
    try:
        print(name, way().decode())
    except OSError as error:
        print(name, error.strerror)
s.setblocking(False)
one, other = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
for each in one, other:
    each.bind(('127.0.0.1', 0))
one.connect(other.getsockname())
other.connect(one.getsockname())
one.send(b'connected')
print(os.read(other.fileno(), 16).decode(), open('/proc/self/comm').read().strip())
";
    let ways = ["recv", "recvfrom", "recvmsg", "recvmmsg", "read", "readv", "preadv2", "splice"];
    let ran = home.python(program);
    let each =
        |outcome: &str| -> String { ways.iter().map(|way| format!("{way} {outcome}\n")).collect() };
    let rest = "connected python3\n";
    assert_eq!(ran.out, each("Permission denied") + rest, "{ran:?}");
    home.done(&["allow", "/usr/bin/python3", "udp", "recv"]);
    let ran = home.python(program);
    assert_eq!(ran.out, each("hello") + rest, "{ran:?}");
}

#[test]
fn fast_open_raw_sockets_and_source_routes_are_no_way_out() {
    let (home, server) = (Home::denying(), Server::start());
    let program = format!(
        "
import socket
def attempt(name, act):
    try:
        act()
        print(name, 'done')
    except OSError as error:
        print(name, error.strerror)
to = ('127.0.0.1', {})
attempt('fastopen', lambda: socket.socket().sendto(b'x', socket.MSG_FASTOPEN, to))
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt('packet', lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM))
route = lambda: socket.socket().setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes([131, 7, 4, 127, 0, 0, 2, 0]))
attempt('route', route)
attempt('listen', lambda: socket.socket().listen())
",
        server.port
    );
    let ran = home.python(&program);
    let denied = |name| format!("{name} Permission denied\n");
    let all: String = ["fastopen", "raw", "packet", "route", "listen"].map(denied).concat();
    assert_eq!(ran.out, all, "{ran:?}");
    assert_eq!(server.connections(), 0);
}
