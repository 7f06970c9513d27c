# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ways that are open, as docs/bypasses.md says plainly. Each shows what is passed by, so that the page stays true: when
one of these fails because the way was closed, move it into the table."""

import socket

import uapi
from client import Client
from decider import watch
from scenario import scenario
from way import deciding

SINK = 7009
# Counts what arrives at one address of the peer and one port.
SEEN = "table ip aside {{ chain in {{ type filter hook prerouting priority raw; ip daddr {} udp dport {} counter; }}; }}\n"


@scenario
def known_calls_that_waited_before_the_watch_are_not_asked_for(g):
    """A thread that was in accept() or recv() when the watch began takes one connection, or one datagram, unasked; its
    next call is held."""
    begin = {"tcp": "s = socket.socket(); s.bind(('127.0.0.1', 5800)); s.listen()",
             "udp": "s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 5800))"}
    wait = {"tcp": "c, peer = s.accept()", "udp": "s.recv(1)"}
    clients = {kind: Client(g) for kind in begin}
    for kind, client in clients.items():
        g.assert_equal(client.do(begin[kind]), "ok")
        client.begin_do(wait[kind])
    g.eventually(lambda: all("accept" in stack or "recv" in stack for stack in map(stack_of, clients.values())))
    with deciding(watch(uapi.OP_ACCEPT, uapi.PROTO_TCP), watch(uapi.OP_RECV, uapi.PROTO_UDP)) as decider:
        for kind, client in clients.items():
            for held in (False, True):
                with socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as visitor:
                    visitor.connect(("127.0.0.1", 5800))
                    visitor.send(b"x")
                    if held:
                        client.begin_do(wait[kind])
                        decider.allow(decider.next())
                    g.assert_equal(client.answer(), "ok")
        g.assert_true(decider.nothing(0.2), "one event each")


def stack_of(client):
    with open(f"/proc/{client.pid}/stack") as stack:
        return stack.read()


@scenario
def known_datagrams_from_before_a_connect_are_not_asked_for(g):
    """recv() on a connected socket isn't asked about, and what others sent before it was connected is in its queue
    still."""
    with deciding(watch(uapi.OP_RECV, uapi.PROTO_UDP)) as decider, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        client = Client(g)
        client.do("s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('127.0.0.1', 5801))")
        stranger.sendto(b"word", ("127.0.0.1", 5801))
        g.assert_equal(client.do("s.connect(('127.0.0.1', 9)); answer = s.recv(9)"), "b'word'")
        g.assert_true(decider.nothing(0.2), "no event")


@scenario
def known_connected_sockets_are_not_asked_for_when_handed_over(g):
    """Who is handed a connection speaks on it: it was decided when it was made."""
    with deciding(watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        giver, taker = Client(g), Client(g, user="alice")
        taker.do("channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); channel.bind(chr(0) + 'snet-known')")
        giver.begin_do("s = socket.socket(); s.connect((peer, 7007))", peer=g.peer.address4)
        decider.allow(decider.next())
        g.assert_equal(giver.answer(), "ok")
        g.assert_equal(giver.do("send_fd(chr(0) + 'snet-known', s)"), "ok")
        g.assert_equal(taker.do("s = receive_fd(channel); s.send(b'word'); answer = s.recv(9)"), "b'word'")
        g.assert_true(decider.nothing(0.2), "no event")


@scenario
def known_frames_of_a_bound_packet_socket_are_not_asked_for(g):
    """bind() names the interface, and send() then needs no name: such a socket is decided when it is made, or not at
    all."""
    with deciding(watch(uapi.OP_SEND, uapi.PROTO_PACKET)) as decider:
        before = g.peer.interface_packets()
        frame = "bytes(6 * [255] + [2, 0, 0, 0, 0, 1, 0x88, 0xb5]) + bytes(50)"
        client = Client(g)
        code = f"s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(('veth0', 0)); s.send({frame})"
        g.assert_equal(client.do(code), "ok")
        g.eventually(lambda: g.peer.interface_packets() > before, what="the frame")
        g.assert_true(decider.nothing(0.2), "no event")


@scenario
def known_header_of_a_raw_packet_is_not_what_is_asked_for(g):
    """With IP_HDRINCL the packet says itself where it goes, and the name only which way: the event tells the name."""
    header = ("struct.pack('!BBHHHBBH', 0x45, 0, 28, 1, 0, 64, 17, 0) + socket.inet_aton(mine) + socket.inet_aton(other)"
              " + struct.pack('!HHHH', 5802, 7009, 8, 0)")
    with deciding(watch(uapi.OP_SEND, uapi.PROTO_RAW)) as decider:
        client = Client(g)
        nft = "ip", "netns", "exec", g.peer.namespace, "nft"
        g.run(*nft, "-f", "-", text=SEEN.format(g.peer.other4, SINK), check=True)
        g.at_end(lambda: g.run(*nft, "delete", "table", "ip", "aside", check=True))
        client.begin_do(f"s = socket.socket(type=socket.SOCK_RAW, proto=255); s.sendto({header}, (peer, 0))", mine=g.host4,
                        peer=g.peer.address4, other=g.peer.other4)
        event = decider.next()
        g.assert_equal(event.remote, (g.peer.address4, 0), "told")
        decider.allow(event)
        g.assert_equal(client.answer(), "ok")
        g.eventually(lambda: "packets 1 " in g.run(*nft, "list", "table", "ip", "aside").out, what="reached")


@scenario(requires="smc")
def known_peers_of_an_smc_socket_are_not_told(g):
    """accept() on SMC is asked for before it waits, without the peer: a rule for an address doesn't match it."""
    g.run("modprobe", "smc")
    client = Client(g)
    g.assert_equal(client.do("s = socket.socket(AF_SMC, socket.SOCK_STREAM, 0)"), "ok")
    client.do("check(libc.bind(s.fileno(), sockaddr('127.0.0.1', 5803), 16)); s.listen()")
    with deciding(watch(uapi.OP_ACCEPT, uapi.PROTO_TCP)) as decider, socket.create_connection(("127.0.0.1", 5803)):
        client.begin_do("check(libc.accept(s.fileno(), None, None))")
        event = decider.next()
        g.assert_equal((event.remote, event.local), (None, ("127.0.0.1", 5803)))
        decider.deny(event)
        g.assert_equal(client.answer(), "EACCES")
        # Who closes the listener with the connection still in it makes lockdep complain of the kernel's own SMC.
        client.begin_do("check(libc.accept(s.fileno(), None, None))")
        decider.allow(decider.next())
        g.assert_equal(client.answer(), "ok")
