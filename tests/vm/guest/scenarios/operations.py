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
def refuses_to_watch_what_it_can_not_see(g):
    """An operation without a hook is refused instead of accepted and never seen; the rest stays as it was."""
    import errno
    import genl
    with Decider() as decider:
        refusal = g.assert_raises(genl.NetlinkError, lambda: decider.control.command(
            uapi.CMD_WATCH_SET, watch(uapi.OP_RECV, uapi.PROTO_UDP), watch(uapi.OP_CONNECT)))
        g.assert_equal(refusal.errno, errno.EOPNOTSUPP)
        g.assert_true(refusal.message, "extended ack")
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next())
        g.assert_equal(client.answer(), "ok")
