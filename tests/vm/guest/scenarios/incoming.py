# SPDX-License-Identifier: MIT OR Apache-2.0
"""What comes in: accepted connections with their peers, and datagrams on sockets that aren't connected."""

import socket
import time

import uapi
from decider import Decider, watch
from scenario import scenario

# Listens where the arguments say, and prints the outcome of each accept() on a line of its own.
SERVER = r"""
import errno, select, socket, sys
address, mode, protocol = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_STREAM, protocol)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((address, 5100))
s.listen(64)
s.setblocking(mode == "blocking")
print("listening", flush=True)
while True:
    try:
        if mode == "polled":
            select.select([s], [], [])
        connection, peer = s.accept()
    except OSError as error:
        print(errno.errorcode[error.errno], flush=True)
        continue
    connection.setblocking(True)
    print("accepted", peer[0], peer[1], connection.recv(64).decode(), flush=True)
    connection.close()
"""

WAYS = [(address, mode, protocol) for mode in ("blocking", "polled")
        for address, protocol in (("127.0.0.1", 0), ("::1", 0), ("127.0.0.1", 262), ("::1", 262), ("127.0.0.1", 132))]


def start(g, address, mode, protocol):
    server = g.spawn("python3", "-ISuc", SERVER, address, mode, str(protocol))
    g.eventually(lambda: "listening" in server.output())
    return server


def visit(address, protocol):
    visitor = socket.create_connection((address, 5100)) if not protocol else socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, protocol)
    if protocol:
        visitor.connect((address, 5100))
    visitor.settimeout(20)
    return visitor


@scenario(timeout=120)
def holds_accept_with_the_peer(g):
    """Denied, the peer is reset and accept() fails with ECONNABORTED; allowed, it goes on; the event names both ends."""
    names = {0: uapi.PROTO_TCP, 262: uapi.PROTO_MPTCP, 132: uapi.PROTO_SCTP}
    for address, mode, protocol in WAYS:
        with Decider(watch(uapi.OP_ACCEPT, *names.values())) as decider:
            server = start(g, address, mode, protocol)
            denied, mine = (visit(address, protocol) for _ in range(2))
            held = decider.next()
            g.assert_equal((held.tgid, held.object[uapi.A_OBJECT_PROTOCOL], held.object[uapi.A_OBJECT_OPERATION]),
                           (server.pid, names[protocol], uapi.OP_ACCEPT), f"{address} {mode} {protocol}")
            g.assert_equal((held.remote, held.local), (denied.getsockname()[:2], (address, 5100)))
            g.assert_equal(held.object[uapi.A_OBJECT_FLAGS] & uapi.CALL_NONBLOCK, uapi.CALL_NONBLOCK * (mode == "polled"))
            decider.deny(held)
            g.eventually(lambda: "ECONNABORTED" in server.output())
            try:
                g.assert_equal(denied.recv(1), b"", "the end of an MPTCP connection may be a plain one")
                g.assert_true(protocol == 262, f"{protocol} was reset")
            except ConnectionResetError:
                pass
            mine.send(b"hello")
            held = decider.next()
            g.assert_equal(held.remote, mine.getsockname()[:2])
            g.assert_true("accepted" not in server.output(), "nothing reaches the program before the verdict")
            decider.allow(held)
            g.eventually(lambda: f"accepted {address} {mine.getsockname()[1]} hello" in server.output())
            denied.close()
            mine.close()
            server.kill()
            server.ended()


@scenario
def waits_in_accept_across_unload(g):
    """A program that waits in accept() neither keeps the module from unloading nor notices that it does."""
    with Decider(watch(uapi.OP_ACCEPT, uapi.PROTO_TCP)) as decider:
        server = start(g, "127.0.0.1", "blocking", 0)
        first = visit("127.0.0.1", 0)
        decider.allow(decider.next())
        first.send(b"one")
        g.eventually(lambda: "one" in server.output())
        g.assert_true(g.unload_module() < 5 * g.slowness, "unloads at once")
    second = visit("127.0.0.1", 0)
    second.send(b"two")
    g.eventually(lambda: "two" in server.output())
    g.assert_true("EINTR" not in server.output(), server.output())
    g.load_module()


@scenario
def accept_times_out_and_is_interrupted_as_ever(g):
    """SO_RCVTIMEO and signals end a watched accept() as they end any other."""
    program = ("import errno, signal, socket, struct, sys\n"
               "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
               "def attempt():\n"
               "    try: s.accept()\n"
               "    except OSError as e: print(errno.errorcode[e.errno], flush=True)\n"
               "    except KeyboardInterrupt: print('interrupted', flush=True)\n"
               "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('qq', 0, 300000)); attempt()\n"
               "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack('qq', 0, 0)); attempt()\n")
    with Decider(watch(uapi.OP_ACCEPT, uapi.PROTO_TCP)):
        server = g.spawn("python3", "-ISuc", program)
        g.eventually(lambda: "EAGAIN" in server.output())
        time.sleep(0.5)
        server.send_signal(2)
        g.assert_equal(server.ended(), 0)
        g.assert_true("interrupted" in server.output(), server.output())


@scenario
def holds_accept_on_a_unix_socket(g):
    """There the peer has no address: the call is decided before it waits."""
    program = ("import errno, socket\ns = socket.socket(socket.AF_UNIX); s.bind('\\0snet-test'); s.listen()\n"
               "for _ in range(2):\n"
               "    try: s.accept(); print('accepted', flush=True)\n"
               "    except OSError as e: print(errno.errorcode[e.errno], flush=True)\n")
    with Decider(watch(uapi.OP_ACCEPT, uapi.PROTO_UNIX)) as decider:
        server = g.spawn("python3", "-ISuc", program)
        held = decider.next()
        g.assert_equal((held.tgid, held.remote), (server.pid, None))
        decider.deny(held)
        held = decider.next()
        g.assert_true("EACCES" in server.output(), server.output())
        with socket.socket(socket.AF_UNIX) as visitor:
            visitor.connect("\0snet-test")
            decider.allow(held)
            g.assert_equal(server.ended(), 0)
        g.assert_true("accepted" in server.output(), server.output())


@scenario
def holds_recv_of_what_is_not_connected(g):
    """UDP: held before a byte is handed over; a connected socket isn't asked about."""
    program = ("import errno, socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', 5200))\n"
               "print('bound', flush=True)\n"
               "for _ in range(2):\n"
               "    try: print(s.recvfrom(64)[0].decode(), flush=True)\n"
               "    except OSError as e: print(errno.errorcode[e.errno], flush=True)\n"
               "s.connect(('127.0.0.1', 5201)); print(s.recv(64).decode(), flush=True)\n")
    with Decider(watch(uapi.OP_RECV, uapi.PROTO_UDP)) as decider, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 5201))
        server = g.spawn("python3", "-ISuc", program)
        held = decider.next()
        peer.sendto(b"first", ("127.0.0.1", 5200))
        g.assert_equal((held.tgid, held.object[uapi.A_OBJECT_OPERATION], held.local, held.remote),
                       (server.pid, uapi.OP_RECV, ("127.0.0.1", 5200), None))
        decider.deny(held)
        held = decider.next()
        g.assert_true("EACCES" in server.output() and "first" not in server.output(), server.output())
        decider.allow(held)
        g.eventually(lambda: "first" in server.output())
        peer.sendto(b"second", ("127.0.0.1", 5200))
        g.assert_equal(server.ended(), 0)
        g.assert_true("second" in server.output(), server.output())
