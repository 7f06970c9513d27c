# SPDX-License-Identifier: MIT OR Apache-2.0
"""Operations and protocols: each is held under its own name, with the address that it is about."""

import uapi
from client import Client
from decider import Decider, watch
from scenario import scenario


def decided(g, decider, client, words, operation, protocol):
    """The call `words` is held as operation and protocol, and does what the verdict says; returns the last event."""
    for verdict, outcome in ((uapi.VERDICT_DENY, "EACCES"), (uapi.VERDICT_ALLOW, "ok")):
        client.begin(*words)
        event = decider.next()
        g.assert_equal(event.object[uapi.A_OBJECT_OPERATION], operation, "operation")
        g.assert_equal(event.object[uapi.A_OBJECT_PROTOCOL], protocol, "protocol")
        g.assert_equal(event.tgid, client.pid, "process")
        decider.verdict(event, verdict)
        g.assert_equal(client.answer(), outcome)
    return event


@scenario
def holds_tcp_connect_over_ipv4_and_ipv6(g):
    """Denied and allowed, over both."""
    with Decider() as decider:
        client = Client(g)
        for address in (g.peer.address4, g.peer.address6):
            event = decided(g, decider, client, ("tcp", address, 8080), uapi.OP_CONNECT, uapi.PROTO_TCP)
            g.assert_equal(event.remote, (address, 8080))


@scenario
def holds_udp_connect(g):
    """Connecting a datagram socket is a conversation's beginning as well."""
    with Decider(watch(uapi.OP_CONNECT, uapi.PROTO_UDP)) as decider:
        client = Client(g)
        for address in (g.peer.address4, g.peer.address6):
            event = decided(g, decider, client, ("udp", address, 7007), uapi.OP_CONNECT, uapi.PROTO_UDP)
            g.assert_equal(event.remote, (address, 7007))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "TCP isn't watched")


@scenario
def holds_bind(g):
    """Allowed and denied, with the local address that is asked for."""
    with Decider(watch(uapi.OP_BIND, uapi.PROTO_TCP)) as decider:
        client = Client(g)
        for address in ("127.0.0.1", "::1", "0.0.0.0"):
            event = decided(g, decider, client, ("bind", address, 5001), uapi.OP_BIND, uapi.PROTO_TCP)
            g.assert_equal((event.local, event.remote), ((address, 5001), None))


@scenario
def holds_listen(g):
    """Allowed and denied, with the local address that the socket has."""
    with Decider(watch(uapi.OP_LISTEN, uapi.PROTO_TCP)) as decider:
        client = Client(g)
        event = decided(g, decider, client, ("listen", "127.0.0.1", 5002), uapi.OP_LISTEN, uapi.PROTO_TCP)
        g.assert_equal((event.local, event.remote), (("127.0.0.1", 5002), None))


@scenario
def holds_the_addressed_send_of_datagrams(g):
    """sendto() on an unconnected socket is held, and no datagram leaves before the verdict; a connected one isn't."""
    import socket
    import time
    with Decider(watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        client = Client(g)
        before = g.peer.packets("udp", 4003)
        client.begin("send", g.peer.address4, 4003)
        event = decider.next()
        time.sleep(0.3)
        g.assert_equal(g.peer.packets("udp", 4003), before, "datagrams before the verdict")
        g.assert_equal((event.object[uapi.A_OBJECT_OPERATION], event.remote), (uapi.OP_SEND, (g.peer.address4, 4003)))
        decider.allow(event)
        g.assert_equal(client.answer(), "ok")
        g.eventually(lambda: g.peer.packets("udp", 4003) == before + 1, what="one datagram")
        decided(g, decider, client, ("send", g.peer.address6, 4003), uapi.OP_SEND, uapi.PROTO_UDP)
        code = "import socket, sys; s = socket.socket(type=socket.SOCK_DGRAM); s.connect((sys.argv[1], 4003)); s.send(b'x')"
        g.python(code, g.peer.address4, check=True)
        g.assert_true(decider.nothing(), "no event for a connected socket")


@scenario
def holds_the_creation_of_raw_and_packet_sockets(g):
    """What could speak past every other hook is decided when it is made."""
    with Decider(watch(uapi.OP_CREATE, uapi.PROTO_RAW, uapi.PROTO_PACKET)) as decider:
        client = Client(g)
        decided(g, decider, client, ("raw",), uapi.OP_CREATE, uapi.PROTO_RAW)
        decided(g, decider, client, ("packet",), uapi.OP_CREATE, uapi.PROTO_PACKET)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "TCP isn't watched")


@scenario
def sends_that_connect_are_held_as_connect(g):
    """MSG_FASTOPEN passes no connect hook; it is told as connect, with its flag."""
    with Decider() as decider:
        client = Client(g)
        before = g.peer.packets("tcp", 7007)
        client.begin("fastopen", g.peer.address4, 7007)
        event = decider.next()
        g.assert_equal(event.object[uapi.A_OBJECT_FLAGS] & uapi.CALL_FASTOPEN, uapi.CALL_FASTOPEN)
        g.assert_equal((event.object[uapi.A_OBJECT_OPERATION], event.remote), (uapi.OP_CONNECT, (g.peer.address4, 7007)))
        decider.deny(event)
        g.assert_equal(client.answer(), "EACCES")
        g.assert_equal(g.peer.packets("tcp", 7007), before, "packets")
        decided(g, decider, client, ("fastopen", g.peer.address4, 7007), uapi.OP_CONNECT, uapi.PROTO_TCP)


@scenario
def holds_sctp_and_mptcp(g):
    """SCTP by connect() and by SCTP_SOCKOPT_CONNECTX, MPTCP by its own protocol number."""
    with Decider(watch(uapi.OP_CONNECT, uapi.PROTO_SCTP, uapi.PROTO_MPTCP)) as decider:
        client = Client(g)
        for kind, port, protocol in (("sctp", 7007, uapi.PROTO_SCTP), ("connectx", 7007, uapi.PROTO_SCTP),
                                     ("mptcp", 7008, uapi.PROTO_MPTCP)):
            event = decided(g, decider, client, (kind, g.peer.address4, port), uapi.OP_CONNECT, protocol)
            g.assert_equal(event.remote, (g.peer.address4, port), kind)


@scenario
def refuses_to_watch_what_it_can_not_see(g):
    """An operation without a hook is refused instead of accepted and never seen; the rest stays as it was."""
    import errno
    import genl
    with Decider() as decider:
        refusal = g.assert_raises(genl.NetlinkError, lambda: decider.control.command(
            uapi.CMD_WATCH_SET, watch(uapi.OP_RECV, uapi.PROTO_TCP), watch(uapi.OP_CONNECT)))
        g.assert_equal(refusal.errno, errno.EOPNOTSUPP)
        g.assert_true(refusal.message, "extended ack")
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next())
        g.assert_equal(client.answer(), "ok")
