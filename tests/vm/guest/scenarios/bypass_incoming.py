# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ways to take what comes in without being asked, or as somebody else. docs/bypasses.md lists them; the plain forms are in
incoming.py."""

import socket
import time

import uapi
from client import Client
from decider import ticket, watch
from scenario import scenario
from way import QUIET_SECONDS, Way, decided, deciding, told

ACCEPT, RECV = uapi.OP_ACCEPT, uapi.OP_RECV
STREAMS = watch(ACCEPT, uapi.PROTO_TCP, uapi.PROTO_MPTCP, uapi.PROTO_SCTP)
PORT = 5600
LISTEN = ("l = socket.socket(getattr(socket, family), socket.SOCK_STREAM, number); "
          "l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); l.bind((address, 5600)); l.listen()")
TAKE = "c, peer = l.accept(); answer = c.recv(16).decode()"
V4, V6 = "127.0.0.1", "::1"


class Visitor:
    """Connects to the server under test, and says its word before anybody was asked."""

    def __init__(self, g, address, number=0, port=PORT):
        self.g = g
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM, number)
        g.at_end(self.socket.close)
        self.socket.settimeout(10 * g.slowness)
        self.socket.connect((address, port))
        self.socket.send(b"hello")
        self.name = self.socket.getsockname()[:2]

    def was_reset(self) -> bool:
        try:
            return self.socket.recv(1) == b"reset"
        except ConnectionResetError:
            return True


def server(g, address=V4, family="AF_INET", number=0, user=None):
    client = Client(g, user=user)
    g.assert_equal(client.do(LISTEN, address=address, family=family, number=number), "ok", "listening")
    return client


def refused_then_taken(g, decider, client, visit, protocol, local):
    """The first visitor is denied: it is reset, accept() fails with ECONNABORTED; the next is allowed."""
    for verdict, outcome in ((uapi.VERDICT_DENY, "ECONNABORTED"), (uapi.VERDICT_ALLOW, "hello")):
        visitor = visit()
        client.begin_do(TAKE)
        event = decider.next()
        told(g, event, Way(ACCEPT, protocol, visitor.name, local=local), client)
        time.sleep(QUIET_SECONDS)
        decider.verdict(event, verdict)
        g.assert_equal(client.answer(), outcome, "accept()")
        if verdict == uapi.VERDICT_DENY and protocol != uapi.PROTO_MPTCP:
            g.assert_true(visitor.was_reset(), "the peer was reset")
    g.assert_true(decider.nothing(QUIET_SECONDS), "asked once")


@scenario(timeout=240)
def accepted_peers_are_told_as_they_are_over_every_socket(g):
    """IPv4 peers on an IPv6 socket are told as IPv4, over TCP, MPTCP and SCTP; a plain TCP peer of an MPTCP socket as
    MPTCP, which is what the program asked for."""
    forms = ((0, 0, uapi.PROTO_TCP), (262, 262, uapi.PROTO_MPTCP), (262, 0, uapi.PROTO_MPTCP), (132, 132, uapi.PROTO_SCTP))
    for number, peer_number, protocol in forms:
        with deciding(STREAMS) as decider:
            client = server(g, "::", "AF_INET6", number, "alice")
            for address in (V4, V6):
                refused_then_taken(g, decider, client, lambda: Visitor(g, address, peer_number), protocol, (address, PORT))
            client.close()


@scenario(timeout=240)
def io_uring_accepts_are_held(g):
    """In every mode, and the next peers of a multishot request as well as the first."""
    with deciding(STREAMS) as decider:
        client = Client(g, user="alice", command=("/snet/bin/uring",))
        for mode in ("plain", "async", "linked", "sqpoll"):
            def visit():
                g.eventually(lambda: f":{PORT} " in g.run("ss", "-Hltn").out, what="the listening socket")
                return Visitor(g, V4)
            for verdict, outcome in ((uapi.VERDICT_DENY, "ECONNABORTED"), (uapi.VERDICT_ALLOW, "ok")):
                client.begin(mode, "accept", V4, PORT)
                visitor = visit()
                event = decider.next()
                told(g, event, Way(ACCEPT, uapi.PROTO_TCP, visitor.name, local=(V4, PORT)), client)
                decider.verdict(event, verdict)
                g.assert_equal(client.answer(), outcome, mode)
                g.assert_true(visitor.was_reset(), f"{mode}: reset; when allowed for its word, which nobody read")
        client.begin("plain", "multishot", V4, PORT)
        for verdict in (uapi.VERDICT_ALLOW, uapi.VERDICT_DENY):
            visitor = visit()
            event = decider.next()
            told(g, event, Way(ACCEPT, uapi.PROTO_TCP, visitor.name, local=(V4, PORT)), client)
            decider.verdict(event, verdict)
        g.assert_equal(client.answer(), "ok ECONNABORTED", "the two completions")


@scenario(timeout=120)
def incoming_calls_of_32_bit_programs_are_held(g):
    """accept() and accept4(), and recvfrom(), by socketcall() and of their own."""
    if g.run("/snet/bin/compat", text="").out != "ready\n":
        g.skip("this kernel runs no 32-bit programs")
    with deciding(STREAMS) as decider:
        client = Client(g, user="alice", command=("/snet/bin/compat",))
        for kind, call in (("socketcall", "accept"), ("direct", "accept4")):
            for verdict, outcome in ((uapi.VERDICT_DENY, "ECONNABORTED"), (uapi.VERDICT_ALLOW, "ok")):
                client.begin(kind, call, V4, PORT)
                g.eventually(lambda: f":{PORT} " in g.run("ss", "-Hltn").out, what="the listening socket")
                visitor = Visitor(g, V4)
                event = decider.next()
                told(g, event, Way(ACCEPT, uapi.PROTO_TCP, visitor.name, local=(V4, PORT)), client)
                decider.verdict(event, verdict)
                g.assert_equal(client.answer(), outcome, f"{kind} {call}")
    with deciding(watch(ACCEPT), watch(RECV, uapi.PROTO_UDP)) as decider, socket.socket(type=socket.SOCK_DGRAM) as sender:
        for kind in ("socketcall", "direct"):
            def begin():
                client.begin(kind, "recvfrom", V4, 5605)
                g.eventually(lambda: ":5605 " in g.run("ss", "-Hlun").out, what="the bound socket")
                sender.sendto(b"word", (V4, 5605))
            decided(g, decider, client, Way(RECV, uapi.PROTO_UDP, local=(V4, 5605)), begin)


@scenario(timeout=120)
def workers_that_share_a_listening_socket_are_told_apart(g):
    """The socket was passed over SCM_RIGHTS: whoever takes a connection is asked in its own name, one that is held doesn't
    keep the other from going on, and a ticket of one doesn't serve the other."""
    with deciding(STREAMS) as decider:
        first, second = server(g), Client(g, user="alice")
        path = "\0snet-workers"
        second.do("channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); channel.bind(path)", path=path)
        g.assert_equal(first.do("send_fd(path, l)", path=path), "ok")
        g.assert_equal(second.do("l = receive_fd(channel)"), "ok")
        held = Visitor(g, V4)
        first.begin_do(TAKE)
        waiting = decider.next()
        g.assert_equal((waiting.tgid, waiting.remote), (first.pid, held.name))
        visitor = Visitor(g, V4)
        second.begin_do(TAKE)
        event = decider.next()
        told(g, event, Way(ACCEPT, uapi.PROTO_TCP, visitor.name, local=(V4, PORT)), second)
        decider.allow(event, ticket(1, operations=1 << ACCEPT))
        g.assert_equal(second.answer(), "hello", "while the other is held")
        Visitor(g, V4)
        g.assert_equal(second.do(TAKE), "hello", "by ticket")
        decider.deny(waiting)
        g.assert_equal(first.answer(), "ECONNABORTED")
        g.assert_true(held.was_reset(), "the peer of the first")
        Visitor(g, V4)
        first.begin_do(TAKE)
        decider.deny(decider.next())
        g.assert_equal(first.answer(), "ECONNABORTED", "the other's ticket")


@scenario(timeout=120)
def accepted_socket_is_asked_for_when_it_connects_elsewhere(g):
    """An accepted connection that is dissolved by AF_UNSPEC can connect again: that is held. So is the one that an MPTCP
    socket gives for a plain TCP peer, which comes from a socket of the kernel's own."""
    with deciding(watch(uapi.OP_CONNECT, uapi.PROTO_TCP, uapi.PROTO_MPTCP)) as decider:
        for number in (0, 262):
            client = server(g, number=number, user="alice")
            Visitor(g, V4)
            g.assert_equal(client.do(TAKE), "hello")
            g.assert_equal(client.do("disconnect(c)"), "ok", "AF_UNSPEC")
            before = g.peer.packets("tcp", 7007)
            client.begin_do("c.connect((peer, 7007))", peer=g.peer.address4)
            event = decider.next()
            g.assert_equal((event.tgid, event.remote), (client.pid, (g.peer.address4, 7007)), f"protocol {number}")
            decider.deny(event)
            g.assert_equal(client.answer(), "EACCES")
            g.assert_equal(g.peer.packets("tcp", 7007), before, "packets")
            client.close()


@scenario
def accept_ends_when_its_socket_is_shut_down(g):
    """shutdown() of the listening socket by another thread ends a watched accept() as it ends any other."""
    with deciding(STREAMS):
        client = server(g)
        g.assert_equal(client.do("meanwhile(lambda: l.shutdown(2), 0.5); l.accept()"), "EINVAL")


RECEIVE = {
    "recv": "answer = s.recv(16)", "recvmsg": "answer = s.recvmsg(16)[0]", "read": "answer = os.read(s.fileno(), 16)",
    "readv": "buffer = bytearray(16); answer = bytes(buffer[:os.readv(s.fileno(), [buffer])])",
    "recvmmsg": "answer = recvmmsg(s)",
    "splice": "r, w = os.pipe(); answer = os.read(r, os.splice(s.fileno(), w, 16))",
}


@scenario(timeout=240)
def every_receiving_call_is_held(g):
    """recv(), recvmsg(), recvmmsg(), read(), readv(), splice() and io_uring: none hands over a byte before the verdict."""
    with deciding(watch(RECV, uapi.PROTO_UDP)) as decider, socket.socket(type=socket.SOCK_DGRAM) as sender:
        client = Client(g, user="alice")
        client.do("s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 5601))")
        way = Way(RECV, uapi.PROTO_UDP, local=(V4, 5601), allowed="b'word'")

        def begin(start):
            sender.sendto(b"word", (V4, 5601))
            start()

        for name, code in RECEIVE.items():
            try:
                decided(g, decider, client, way, lambda: begin(lambda: client.begin_do(code)))
            except (AssertionError, TimeoutError) as error:
                raise AssertionError(f"{name}: {error!r}") from error
            client.do("s.close(); s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 5601))")
        client.do("s.close()")
        rings = Client(g, user="alice", command=("/snet/bin/uring",))
        for mode in ("plain", "async", "sqpoll"):
            def submit():
                rings.begin(mode, "recv", V4, 5602)
                g.eventually(lambda: f":{5602} " in g.run("ss", "-Hlun").out, what="the bound socket")
                sender.sendto(b"word", (V4, 5602))
            decided(g, decider, rings, Way(RECV, uapi.PROTO_UDP, local=(V4, 5602), repeats=True), submit)


@scenario(timeout=240)
def every_socket_that_receives_from_anyone_is_held(g):
    """UDP-Lite, ping, raw, packet, Unix datagram and SCTP one-to-many sockets, where the kernel has them."""
    sockets = {
        "UDP-Lite": ("AF_INET, socket.SOCK_DGRAM, 136", "s.bind(('127.0.0.1', 5603))", uapi.PROTO_UDPLITE, (V4, 5603)),
        "ping": ("AF_INET, socket.SOCK_DGRAM, 1", "s.bind(('127.0.0.1', 56))", uapi.PROTO_ICMP, (V4, 56)),
        "raw": ("AF_INET, socket.SOCK_RAW, 253", "pass", uapi.PROTO_RAW, ("0.0.0.0", 0)),
        "packet": ("AF_PACKET, socket.SOCK_RAW, 0x300", "pass", uapi.PROTO_PACKET, None),
        "unix": ("AF_UNIX, socket.SOCK_DGRAM, 0", "s.bind(chr(0) + 'snet-recv')", uapi.PROTO_UNIX, None),
        "sctp": ("AF_INET, socket.SOCK_SEQPACKET, 132", "s.bind(('127.0.0.1', 5604)); s.listen()", uapi.PROTO_SCTP,
                 (V4, 5604)),
    }
    protocols = [protocol for _, _, protocol, _ in sockets.values()]
    with deciding(watch(RECV, *protocols)) as decider:
        for name, (arguments, bind, protocol, local) in sockets.items():
            client = Client(g)
            if client.do(f"s = socket.socket(socket.{arguments}); {bind}") != "ok" and name == "UDP-Lite":
                continue
            client.begin_do("s.recv(1)")
            event = decider.next()
            told(g, event, Way(RECV, protocol, local=local), client)
            decider.deny(event)
            g.assert_equal(client.answer(), "EACCES", name)
            client.close()
        peeled_off(g, decider)


def peeled_off(g, decider):
    """An association that was taken off its one-to-many socket without receiving on that."""
    client, visitor = Client(g, user="alice"), Client(g)
    client.do("s = socket.socket(type=socket.SOCK_SEQPACKET, proto=132); s.bind(('127.0.0.1', 5606)); s.listen()")
    visitor.do("v = socket.socket(type=socket.SOCK_STREAM, proto=132); v.connect(('127.0.0.1', 5606)); v.send(b'word')")
    g.assert_equal(client.do("p = sctp_peeloff(s)"), "ok")
    client.begin_do("answer = p.recv(9)")
    event = decider.next()
    told(g, event, Way(RECV, uapi.PROTO_SCTP), client)
    decider.deny(event)
    g.assert_equal(client.answer(), "EACCES", "peeled off")
