# SPDX-License-Identifier: MIT OR Apache-2.0
"""Calls that Python's socket module doesn't have, for the programs that scenarios hold.

Owns: the layout of their structures. Runs in the client (client.py), as any user; knows nothing of snet.
"""

import array
import ctypes
import errno
import os
import socket
import struct
import threading
import time

AF_UNSPEC, AF_SMC, AF_XDP = 0, 43, 44
IPPROTO_L2TP, IPPROTO_SMC, IPPROTO_MPTCP = 115, 256, 262
MSG_FASTOPEN = 0x20000000
SYS_PIDFD_OPEN, SYS_PIDFD_GETFD, SYS_SENDMMSG, SYS_RECVMMSG = 434, 438, 307, 299
SCTP_CONNECTX3, SCTP_CONNECTX, SCTP_CONNECTX_OLD, SCTP_BINDX_ADD = 111, 110, 107, 100
SCTP_PEELOFF, SCTP_GET_ASSOC_ID_LIST = 102, 29
IPV6_FLOWLABEL_MGR, FL_GET, FL_SHARE_ANY, FL_CREATE = 32, 0, 255, 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000

# struct mmsghdr.
MMSGHDR = "=QIxxxxQQQQixxxxIxxxx"

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int) -> int:
    """What a libc call returned, unless it failed."""
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def sockaddr(address: str, port: int, family: int | None = None) -> bytes:
    """struct sockaddr_in or sockaddr_in6; `family` is what it says it is, when that isn't the truth."""
    real = socket.AF_INET6 if ":" in address else socket.AF_INET
    head = struct.pack("=H", real if family is None else family) + port.to_bytes(2, "big")
    packed = socket.inet_pton(real, address)
    return head + packed + bytes(8) if real == socket.AF_INET else head + bytes(4) + packed + bytes(4)


def sendto(s: socket.socket, name: bytes, flags: int = 0) -> int:
    """sendto() with a name that Python wouldn't write."""
    return check(libc.sendto(s.fileno(), b"x", 1, flags, name, len(name)))


def connect(s: socket.socket, name: bytes) -> None:
    check(libc.connect(s.fileno(), name, len(name)))


def bind(s: socket.socket, name: bytes) -> None:
    check(libc.bind(s.fileno(), name, len(name)))


def disconnect(s: socket.socket) -> None:
    connect(s, bytes(16))


def cmsg(level: int, kind: int, data: bytes) -> bytes:
    """One control message, padded."""
    return struct.pack("=Qii", 16 + len(data), level, kind) + data + bytes(-len(data) % 8)


def sendmmsg(s: socket.socket, *messages: tuple[bytes, bytes], flags: int = 0) -> int:
    """Each message is (name, control), and one byte; how many were sent."""
    byte, kept, packed = ctypes.create_string_buffer(b"x"), [], b""
    vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(byte), 1))
    for name, control in messages:
        parts = [ctypes.create_string_buffer(part, max(len(part), 1)) for part in (name, control)]
        kept += parts
        packed += struct.pack(MMSGHDR, ctypes.addressof(parts[0]) if name else 0, len(name), ctypes.addressof(vector), 1,
                              ctypes.addressof(parts[1]) if control else 0, len(control), 0, 0)
    return check(libc.syscall(SYS_SENDMMSG, s.fileno(), packed, len(messages), flags))


def recvmmsg(s: socket.socket) -> bytes:
    """One message."""
    data = ctypes.create_string_buffer(64)
    vector = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(data), 64))
    message = ctypes.create_string_buffer(struct.pack(MMSGHDR, 0, 0, ctypes.addressof(vector), 1, 0, 0, 0, 0))
    check(libc.syscall(SYS_RECVMMSG, s.fileno(), message, 1, 0, None))
    return data.raw[:struct.unpack_from("=I", message, 56)[0]]


def getsockopt(s: socket.socket, level: int, option: int, data: bytes) -> bytes:
    """One that reads what it is given."""
    buffer = ctypes.create_string_buffer(data, len(data))
    size = ctypes.c_int(len(data))
    check(libc.getsockopt(s.fileno(), level, option, buffer, ctypes.byref(size)))
    return buffer.raw


def sctp_connectx3(s: socket.socket, *names: bytes) -> None:
    """The variant that is a getsockopt()."""
    addresses = ctypes.create_string_buffer(b"".join(names))
    getsockopt(s, socket.IPPROTO_SCTP, SCTP_CONNECTX3,
               struct.pack("=iiQ", 0, len(addresses) - 1, ctypes.addressof(addresses)))


def sctp_peeloff(s: socket.socket) -> socket.socket:
    """The first association of a one-to-many socket, as a socket of its own."""
    count, first = struct.unpack_from("=Ii", s.getsockopt(socket.IPPROTO_SCTP, SCTP_GET_ASSOC_ID_LIST, 64))
    if not count:
        raise OSError(errno.ENOTCONN, "no association")
    return socket.socket(fileno=struct.unpack("=ii", getsockopt(
        s, socket.IPPROTO_SCTP, SCTP_PEELOFF, struct.pack("=ii", first, 0)))[1])


def flow_label(s: socket.socket, label: int, destination: str, options: bytes = b"") -> None:
    """Makes a flow label for all users with these control messages, or joins the one that is there."""
    request = socket.inet_pton(socket.AF_INET6, destination) + struct.pack(
        "=IBBHHHI", socket.htonl(label), FL_GET, FL_SHARE_ANY, FL_CREATE, 60, 60, 0)
    s.setsockopt(socket.IPPROTO_IPV6, IPV6_FLOWLABEL_MGR, request + options)


def take_fd(pid: int, fd: int) -> socket.socket:
    """A socket of another process, by pidfd_getfd()."""
    pidfd = check(libc.syscall(SYS_PIDFD_OPEN, pid, 0))
    try:
        return socket.socket(fileno=check(libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)))
    finally:
        os.close(pidfd)


def send_fd(path: str, s: socket.socket) -> None:
    """Hand a socket to whoever calls receive_fd() there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))], 0, path)


def receive_fd(channel: socket.socket) -> socket.socket:
    data = channel.recvmsg(1, socket.CMSG_SPACE(4))[1][0][2]
    return socket.socket(fileno=array.array("i", data)[0])


def in_child(function) -> str:
    """Runs it in a forked child; `ok` or the name of its errno."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            function()
            os.write(write, b"ok")
        except OSError as error:
            os.write(write, errno.errorcode[error.errno].encode())
        os._exit(0)
    os.close(write)
    answer = os.read(read, 64).decode()
    os.close(read)
    os.waitpid(pid, 0)
    return answer


def unshare(flags: int) -> None:
    check(libc.unshare(flags))


def enter_netns(name: str) -> None:
    with open(f"/run/netns/{name}") as namespace:
        check(libc.setns(namespace.fileno(), CLONE_NEWNET))


def meanwhile(function, seconds: float = 0.1) -> threading.Thread:
    """Run it in another thread when the caller's next call is surely held."""
    def run():
        time.sleep(seconds)
        function()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
