# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ways to reach another host than the one that the call names. docs/bypasses.md lists them; the plain source routes are in
routes.py."""

import uapi
from client import Client
from decider import watch
from scenario import scenario
from way import deciding

SINK = 7009
WATCHED = watch(uapi.OP_CONNECT, uapi.PROTO_TCP, uapi.PROTO_UDP), watch(uapi.OP_SEND, uapi.PROTO_UDP, uapi.PROTO_RAW,
                                                                        uapi.PROTO_ICMP)
# Kept apart from the calls, so that each of these tries one thing.
PREPARE = r"""
v4 = bytes([131, 7, 4]) + socket.inet_aton(other) + b"\x01"
v6 = struct.pack("BBBBI", 0, 2, 2, 1, 0) + socket.inet_pton(socket.AF_INET6, other6)
u = socket.socket(type=socket.SOCK_DGRAM)
u6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
raw6 = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 253)
ping6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
"""


def client_of(g):
    client = Client(g)
    addresses = {"peer": g.peer.address4, "peer6": g.peer.address6, "other": g.peer.other4, "other6": g.peer.other6}
    g.assert_equal(client.do(PREPARE, port=SINK, **addresses), "ok")
    return client


@scenario(timeout=120)
def routes_by_control_messages_are_refused_on_every_socket(g):
    """Raw and ping sockets as well as UDP; an IPv4 route on an IPv6 socket that sends to an IPv4-mapped address; and the
    second of two messages of sendmmsg() to one receiver, about which the kernel asks no security module."""
    calls = {
        "raw": "raw6.sendmsg([b'x'], [(41, 57, v6)], 0, (peer6, 0))",
        "ping": "ping6.sendmsg([b'\\x80' + bytes(7)], [(41, 57, v6)], 0, (peer6, 0))",
        "mapped": "u6.sendmsg([b'x'], [(0, 7, v4)], 0, ('::ffff:' + peer, port))",
        "second": "answer = sendmmsg(u, (sockaddr(peer, port), b''), (sockaddr(peer, port), cmsg(0, 7, v4)))",
        "second6": "answer = sendmmsg(u6, (sockaddr(peer6, port), b''), (sockaddr(peer6, port), cmsg(41, 57, v6)))",
    }
    client = client_of(g)
    g.assert_equal(client.do(calls["second"]), "2", "both go out where nothing is watched")
    with deciding(*WATCHED, deadline=300, fallback=uapi.VERDICT_ALLOW) as decider:
        before, refused = g.peer.packets("udp", SINK), decider.control.count("refused")
        for name, code in calls.items():
            g.assert_equal(client.do(code), "1" if name.startswith("second") else "EACCES", name)
        g.assert_equal(decider.control.count("refused"), refused + len(calls))
        g.eventually(lambda: g.peer.packets("udp", SINK) == before + 2, what="the first messages, and no more")


@scenario(timeout=120)
def routes_by_flow_labels_are_refused(g):
    """A flow label can hold a routing header for whoever uses the label: it can't be made while connect or send is
    watched, and one from before isn't used, neither by the socket that made it nor by a newer one that joins it."""
    client = client_of(g)
    g.assert_equal(client.do("flow_label(u6, 77, peer6, cmsg(41, 57, v6)); plain = sockaddr(peer6, port); "
                             "name = plain[:4] + (77).to_bytes(4, 'big') + plain[8:]"), "ok")
    g.assert_equal(client.do("u6.setsockopt(41, 33, 1); sendto(u6, name)"), "ok", "works where nothing is watched")
    with deciding(*WATCHED, deadline=300, fallback=uapi.VERDICT_ALLOW):
        before = g.peer.packets("udp", SINK)
        g.assert_equal(client.do("sendto(u6, name)"), "EACCES", "an old label")
        g.assert_equal(client.do("connect(u6, name)"), "EACCES", "an old label, by connect()")
        g.assert_equal(client.do("n6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); n6.setsockopt(41, 33, 1); "
                                 "flow_label(n6, 77, peer6); sendto(n6, name)"), "EACCES", "an old label on a new socket")
        g.assert_equal(client.do("flow_label(n6, 78, peer6, cmsg(41, 57, v6))"), "EACCES", "a new label")
        g.assert_equal(g.peer.packets("udp", SINK), before, "packets")
        g.assert_equal(client.do("m6 = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); flow_label(m6, 79, peer6); "
                                 "m6.sendto(b'x', (peer6, port))"), "ok", "a label without a header")


@scenario(timeout=120)
def routes_by_io_uring_and_32_bit_programs_are_refused(g):
    """setsockopt() by an io_uring command (6.7), and by both entries of 32-bit programs."""
    programs = {"uring": ("plain",), "compat": ("direct", "socketcall")}
    tried = []
    for name, modes in programs.items():
        if name == "compat" and g.run("/snet/bin/compat", text="").out != "ready\n":
            continue
        client = Client(g, command=(f"/snet/bin/{name}",))
        for mode in modes:
            free = client.call(mode, "route", g.peer.other4, 0)
            if free == "unsupported":
                continue
            g.assert_equal(free, "ok", f"{name} {mode} where nothing is watched")
            tried.append((client, mode))
    with deciding(*WATCHED):
        for client, mode in tried:
            g.assert_equal(client.call(mode, "route", g.peer.other4, 0), "EACCES", mode)
    g.assert_true(tried, "something was tried")


BOUND = (None, "127.0.0.5", "10.77.0.1", "239.1.1.1", "::", "::1", "::ffff:0.0.0.0", "::ffff:127.0.0.9")
UNSPECIFIED = {"4": ("0.0.0.0",), "6": ("::", "::ffff:0.0.0.0")}


@scenario(timeout=240)
def unspecified_address_is_told_as_what_it_reaches(g):
    """connect() to 0.0.0.0, :: and ::ffff:0.0.0.0 from sockets bound in every way: the event names the address that the
    connection has afterwards."""
    code = ("s = socket.socket(getattr(socket, family), socket.SOCK_DGRAM)\n"
            "if bound: s.bind((bound, 0))\n"
            "s.connect((unspecified, 7009)); answer = s.getpeername()[0].removeprefix('::ffff:')")
    with deciding(watch(uapi.OP_CONNECT, uapi.PROTO_UDP)) as decider:
        client = Client(g, user="alice")
        for bound in BOUND:
            for family in ("4", "6") if not bound else ("6",) if ":" in bound else ("4",):
                for unspecified in UNSPECIFIED[family]:
                    client.begin_do(code, family="AF_INET" if family == "4" else "AF_INET6", bound=bound,
                                    unspecified=unspecified)
                    event = decider.next()
                    decider.allow(event)
                    reached = client.answer()
                    if reached.startswith("E"):  # an IPv6 socket bound to an IPv6 address reaches no IPv4
                        continue
                    g.assert_equal(event.remote, (reached, 7009), f"bound to {bound}, connected to {unspecified}")


@scenario(timeout=120)
def every_message_of_sendmmsg_over_sctp_is_decided(g):
    """The kernel asks once for equal receivers in a row, but control messages of the second may name further addresses
    of the peer: over SCTP each message is asked for."""
    code = ("s = socket.socket(getattr(socket, family), socket.SOCK_SEQPACKET, 132); name = sockaddr(address, 7007)\n"
            "answer = sendmmsg(s, (name, b''), (name, cmsg(132, 7, socket.inet_aton(other))))")
    with deciding(watch(uapi.OP_CONNECT, uapi.PROTO_SCTP)) as decider:
        client = Client(g, user="alice")
        for family, address in (("AF_INET", g.peer.address4), ("AF_INET6", g.peer.address6)):
            client.begin_do(code, family=family, address=address, other=g.peer.other4)
            for told in (address, address, g.peer.other4):
                event = decider.next()
                g.assert_equal(event.remote, (told, 7007))
                decider.verdict(event, uapi.VERDICT_DENY if told == g.peer.other4 else uapi.VERDICT_ALLOW)
            g.assert_equal(client.answer(), "1", "the first message went out, the second did not")
