# SPDX-License-Identifier: MIT OR Apache-2.0
"""Families other than IPv4 and IPv6, and protocols within these that have no name of their own here."""

import json

import uapi
from client import Client
from decider import watch
from scenario import scenario
from way import Way, decided, deciding, each, told

CONNECT, SEND, CREATE, BIND, LISTEN = uapi.OP_CONNECT, uapi.OP_SEND, uapi.OP_CREATE, uapi.OP_BIND, uapi.OP_LISTEN

V4 = "127.0.0.1"

# Name → the socket, and the module of the kernel that brings it. Some reach the network by sockets of the kernel's own.
OTHERS = {
    "vsock": ("40, socket.SOCK_STREAM, 0", "vsock_loopback"),
    "tipc": ("30, socket.SOCK_RDM, 0", "tipc"),
    "rds": ("21, socket.SOCK_SEQPACKET, 0", "rds_tcp"),
    "rxrpc": ("33, socket.SOCK_DGRAM, 2", "rxrpc"),
    "l2tp": ("socket.AF_INET, socket.SOCK_DGRAM, IPPROTO_L2TP", "l2tp_ip"),
    "pptp": ("24, socket.SOCK_RAW, 2", "pptp"),
    "dccp": ("socket.AF_INET, 6, 33", "dccp_ipv4"),
}


def present(g):
    """The families of the table that this kernel has."""
    client = Client(g)
    found = {}
    for name, (arguments, module) in OTHERS.items():
        g.run("modprobe", module)
        if client.do(f"socket.socket({arguments}).close()") == "ok":
            found[name] = arguments
    if not {"vsock", "tipc", "rxrpc", "l2tp"} <= set(found):
        g.skip(f"of the other families this kernel has only {sorted(found)}")
    return found


@scenario(timeout=240)
def other_families_are_held_as_other(g):
    """What isn't named is `other`: sockets of VSOCK, TIPC, RDS, RxRPC, L2TP, PPTP and DCCP (those that the kernel has) are
    held when they are made. TIPC, RDS and RxRPC send by UDP or TCP sockets of the kernel's own, which are not held."""
    families = present(g)
    with deciding(watch(CREATE, uapi.PROTO_OTHER)) as decider:
        each(g, decider, Client(g), {name: (f"s = socket.socket({arguments})", Way(CREATE, uapi.PROTO_OTHER))
                                     for name, arguments in families.items()})


@scenario(timeout=120)
def calls_of_other_families_are_held(g):
    """connect(), bind(), listen() and addressed sends of `other` as well: VSOCK by its loopback, RxRPC, and L2TP with the
    address that it shares with IPv4."""
    families = present(g)
    vsock = "s = socket.socket(40, socket.SOCK_STREAM); "
    ways = {
        "vsock connect": (vsock + "s.connect((1, 5500))", Way(CONNECT, uapi.PROTO_OTHER, allowed="ECONNRESET")),
        "vsock bind": (vsock + "s.bind((1, 5500))", Way(BIND, uapi.PROTO_OTHER)),
        "l2tp send": (f"s = socket.socket({families['l2tp']}); sendto(s, sockaddr(peer, 0) + bytes(16))",
                      Way(SEND, uapi.PROTO_OTHER, (g.peer.address4, 0), packets=("115", None))),
    }
    operations = (CONNECT, BIND, LISTEN, SEND)
    with deciding(*(watch(operation, uapi.PROTO_OTHER) for operation in operations)) as decider:
        client = Client(g)
        each(g, decider, client, ways, peer=g.peer.address4)


@scenario(timeout=120)
def unix_sockets_are_held_when_they_are_watched(g):
    """connect() of streams, addressed datagrams, bind, listen and socketpair(); there is no address in the event."""
    path = str(g.tmp / "socket")
    new, stream = "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); ", "s = socket.socket(socket.AF_UNIX); "
    ways = {
        "connect": (stream + "s.connect(path)", Way(CONNECT, uapi.PROTO_UNIX)),
        "datagram connect": (new + "s.connect(path + 'd')", Way(CONNECT, uapi.PROTO_UNIX)),
        "sendto": (new + "s.sendto(b'x', path + 'd')", Way(SEND, uapi.PROTO_UNIX)),
        "bind": (stream + "s.bind(chr(0) + 'snet')", Way(BIND, uapi.PROTO_UNIX)),
    }
    server = Client(g)
    server.do("a = socket.socket(socket.AF_UNIX); a.bind(path); a.listen(); "
              "b = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); b.bind(path + 'd')", path=path)
    with deciding(*(watch(operation, uapi.PROTO_UNIX) for operation in (CONNECT, SEND, BIND))) as decider:
        each(g, decider, Client(g), ways, path=path)


@scenario(timeout=120, requires="smc")
def smc_is_held_as_tcp(g):
    """SMC makes its TCP connection from inside the kernel, past every hook: the call on the SMC socket is told as TCP,
    with the address and, when it listens, with the port. AF_SMC, and IPPROTO_SMC where the kernel has it (6.11)."""
    g.run("modprobe", "smc")
    client = Client(g, user="alice")
    kinds = {"AF_SMC": "AF_SMC, socket.SOCK_STREAM, 0", "AF_SMC over IPv6": "AF_SMC, socket.SOCK_STREAM, 1",
             "IPPROTO_SMC": "socket.AF_INET, socket.SOCK_STREAM, IPPROTO_SMC"}
    kinds = {name: kind for name, kind in kinds.items() if client.do(f"socket.socket({kind})") == "ok"}
    g.assert_in("AF_SMC", kinds)
    watched = watch(CONNECT, uapi.PROTO_TCP), watch(BIND, uapi.PROTO_TCP), watch(LISTEN, uapi.PROTO_TCP)
    for name, kind in kinds.items():
        address, local = (g.peer.address6, g.host6) if "6" in name else (g.peer.address4, g.host4)
        with deciding(*watched) as decider:
            each(g, decider, client, {name: (
                f"s = socket.socket({kind}); connect(s, sockaddr(address, 7007))",
                Way(CONNECT, uapi.PROTO_TCP, (address, 7007), packets=("tcp", 7007)))}, address=address)
            bind, listen = (Way(operation, uapi.PROTO_TCP, local=(local, 5510)) for operation in (BIND, LISTEN))
            decided(g, decider, client, bind, lambda: client.begin_do(
                f"s = socket.socket({kind}); bind(s, sockaddr(local, 5510))", local=local))
            decided(g, decider, client, listen, lambda: client.begin_do("s.listen()"))
            client.do("s.close()")


@scenario(timeout=120)
def shipped_watch_set_has_what_any_user_may_send_by(g):
    """With the shipped configuration an ordinary user's socket of L2TP or RxRPC, by which anything could be sent
    anywhere, is decided when it is made."""
    families = present(g)
    wanted = [families[name] for name in ("l2tp", "rxrpc")]
    with g.snetd():
        client = Client(g, user="alice")
        for arguments in wanted:
            g.assert_equal(client.do(f"socket.socket({arguments}).close()"), "ok", "allowed by the shipped fallback")
        expected = [(client.pid, "create", "other")] * len(wanted)
        g.eventually(lambda: journal_of(g, client.pid) == expected, what="the journal has both")


def journal_of(g, tgid):
    entries = map(json.loads, g.tool("log", "--json").out.splitlines())
    return [(entry["tgid"], entry["operation"], entry["protocol"]) for entry in entries if entry["tgid"] == tgid]


@scenario(requires="dccp")
def accept_of_dccp_is_held_with_the_peer(g):
    """DCCP shares its accept() with TCP: told as `other`, with both ends."""
    g.run("modprobe", "dccp_ipv4")
    server = Client(g, user="alice")
    g.assert_equal(server.do("l = socket.socket(socket.AF_INET, 6, 33)"), "ok")
    g.assert_equal(server.do("l.bind(('127.0.0.1', 5501)); l.listen()"), "ok")
    with deciding(watch(uapi.OP_ACCEPT, uapi.PROTO_OTHER)) as decider:
        for verdict, outcome in ((uapi.VERDICT_DENY, "ECONNABORTED"), (uapi.VERDICT_ALLOW, "ok")):
            visitor = Client(g)
            g.assert_equal(visitor.do("s = socket.socket(socket.AF_INET, 6, 33); s.connect(('127.0.0.1', 5501)); "
                                      "answer = s.getsockname()[1]").isdigit(), True)
            server.begin_do("c, peer = l.accept()")
            event = decider.next()
            told(g, event, Way(uapi.OP_ACCEPT, uapi.PROTO_OTHER, (V4, int(visitor.do("answer = s.getsockname()[1]"))),
                               local=(V4, 5501)), server)
            decider.verdict(event, verdict)
            g.assert_equal(server.answer(), outcome)
