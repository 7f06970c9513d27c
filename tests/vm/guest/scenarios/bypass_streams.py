# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ways in over TCP, MPTCP, SCTP and SMC that pass connect() by, or say less than they do. docs/bypasses.md lists them."""

import json
import time

import network
import uapi
from client import Client
from decider import watch
from scenario import scenario
from way import QUIET_SECONDS, Way, decided, deciding, each, settled

CONNECT, LISTEN, BIND, CREATE = uapi.OP_CONNECT, uapi.OP_LISTEN, uapi.OP_BIND, uapi.OP_CREATE
ECHO, MPTCP, HTTP = 7007, 7008, 8080
TCP = "s = socket.socket(); "
TCP6 = "s = socket.socket(socket.AF_INET6); "


def names(g):
    return {"peer": g.peer.address4, "peer6": g.peer.address6, "other": g.peer.other4}


@scenario(timeout=240)
def fastopen_in_every_form_is_held(g):
    """Data that would go with the SYN waits as well: sendto(), sendmsg() and sendmmsg() with MSG_FASTOPEN, without a cookie,
    IPv4, IPv6 and IPv4-mapped; and connect() with TCP_FASTOPEN_CONNECT, which sends nothing itself."""
    before = g.run("sysctl", "-n", "net.ipv4.tcp_fastopen", check=True).out.strip()
    g.at_end(lambda: g.run("sysctl", "-w", f"net.ipv4.tcp_fastopen={before}"))
    g.run("sysctl", "-w", "net.ipv4.tcp_fastopen=5", check=True)

    def way(remote, flags=uapi.CALL_FASTOPEN, protocol=uapi.PROTO_TCP, port=ECHO):
        return Way(CONNECT, protocol, (remote, port), packets=("tcp", port), flags=flags)

    peer, peer6 = g.peer.address4, g.peer.address6
    ways = {
        "sendto": (TCP + "s.sendto(b'x', MSG_FASTOPEN, (peer, 7007))", way(peer)),
        "sendmsg": (TCP + "s.sendmsg([b'x'], [], MSG_FASTOPEN, (peer, 7007))", way(peer)),
        "sendmmsg": (TCP + "sendmmsg(s, (sockaddr(peer, 7007), b''), flags=MSG_FASTOPEN)", way(peer)),
        "IPv6": (TCP6 + "s.sendto(b'x', MSG_FASTOPEN, (peer6, 7007))", way(peer6)),
        "IPv4-mapped": (TCP6 + "s.sendto(b'x', MSG_FASTOPEN, ('::ffff:' + peer, 7007))", way(peer)),
        "TCP_FASTOPEN_CONNECT": (TCP + "s.setsockopt(6, 30, 1); s.connect((peer, 7007)); s.send(b'x')", way(peer, 0)),
    }
    mptcp = "s = socket.socket(proto=IPPROTO_MPTCP); s.sendto(b'x', MSG_FASTOPEN, (peer, 7008))"
    client = Client(g, user="alice")
    if client.do(mptcp, **names(g)) == "ok":
        ways["MPTCP"] = (mptcp, way(peer, protocol=uapi.PROTO_MPTCP, port=MPTCP))
    with deciding(watch(CONNECT, uapi.PROTO_TCP, uapi.PROTO_MPTCP)) as decider:
        each(g, decider, client, ways, **names(g))


@scenario(timeout=240)
def sctp_by_every_call_is_held(g):
    """One-to-many sockets associate by sending; SCTP_SOCKOPT_CONNECTX has three forms, one of them a getsockopt();
    SCTP_SOCKOPT_BINDX binds."""
    many = "s = socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, 132); "
    one = "s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132); "

    def way(flags=0):
        return Way(CONNECT, uapi.PROTO_SCTP, (g.peer.address4, ECHO), packets=("sctp", ECHO), flags=flags)

    bind = Way(BIND, uapi.PROTO_SCTP, local=("10.77.0.1", 5310))
    ways = {
        "one-to-many sendto": (many + "s.sendto(b'x', (peer, 7007))", way()),
        "one-to-many sendmmsg": (many + "sendmmsg(s, (sockaddr(peer, 7007), b''))", way()),
        "one-to-many connect": (many + "s.connect((peer, 7007))", way()),
        "one-to-one sendto": (one + "s.sendto(b'x', (peer, 7007))", way()),
        "connectx": (one + "s.setsockopt(132, SCTP_CONNECTX, sockaddr(peer, 7007))", way(uapi.CALL_LOCKED)),
        "connectx of old": (one + "s.setsockopt(132, SCTP_CONNECTX_OLD, sockaddr(peer, 7007))", way(uapi.CALL_LOCKED)),
        "connectx by getsockopt": (one + "sctp_connectx3(s, sockaddr(peer, 7007))", way(uapi.CALL_LOCKED)),
        "bindx": (one + "s.setsockopt(132, SCTP_BINDX_ADD, sockaddr('10.77.0.1', 5310))", bind),
    }
    with deciding(watch(CONNECT, uapi.PROTO_SCTP), watch(BIND, uapi.PROTO_SCTP)) as decider:
        each(g, decider, Client(g, user="alice"), ways, **names(g))


@scenario
def every_address_of_an_sctp_peer_is_decided(g):
    """Several addresses at once, by connectx or by control messages of a send: one that is denied denies the call, and
    nothing leaves."""
    dstaddr = "[(132, 7, socket.inet_aton(other))]"
    forms = {
        "connectx": "s = socket.socket(type=socket.SOCK_STREAM, proto=132); "
                    "s.setsockopt(132, SCTP_CONNECTX, sockaddr(peer, 7007) + sockaddr(other, 7007))",
        "SCTP_DSTADDRV4": "s = socket.socket(type=socket.SOCK_SEQPACKET, proto=132); "
                          f"s.sendmsg([b'x'], {dstaddr}, 0, (peer, 7007))",
    }
    with deciding(watch(CONNECT, uapi.PROTO_SCTP)) as decider:
        client = Client(g, user="alice")
        for name, code in forms.items():
            before = g.peer.packets("sctp", ECHO)
            client.begin_do(code, **names(g))
            for address, verdict in ((g.peer.address4, uapi.VERDICT_ALLOW), (g.peer.other4, uapi.VERDICT_DENY)):
                event = decider.next()
                g.assert_equal((event.remote, event.tgid), ((address, ECHO), client.pid), name)
                decider.verdict(event, verdict)
            g.assert_equal(client.answer(), "EACCES", name)
            g.assert_equal(g.peer.packets("sctp", ECHO), before, f"{name}: packets")


@scenario
def listen_without_bind_is_held(g):
    """A socket that has no address yet listens as well, on a port that the kernel chooses: told as port 0."""
    with deciding(watch(LISTEN, uapi.PROTO_TCP, uapi.PROTO_MPTCP, uapi.PROTO_SCTP)) as decider:
        ways = {}
        for number, protocol in ((6, uapi.PROTO_TCP), (262, uapi.PROTO_MPTCP), (132, uapi.PROTO_SCTP)):
            for family, any_address in (("AF_INET", "0.0.0.0"), ("AF_INET6", "::")):
                ways[f"{family} {number}"] = (
                    f"s = socket.socket(socket.{family}, socket.SOCK_STREAM, {number}); s.listen()",
                    Way(LISTEN, protocol, local=(any_address, 0)))
        each(g, decider, Client(g, user="alice"), ways)


@scenario
def socket_bound_while_its_call_is_held_is_decided_anew(g):
    """Another thread binds the socket to a port after listen() or connect() was told without one: the call is asked for
    again, with the port, and the second verdict counts."""
    calls = {LISTEN: "s.listen()", CONNECT: "s.connect((peer, 8080))"}
    with deciding(watch(LISTEN, uapi.PROTO_TCP), watch(CONNECT, uapi.PROTO_TCP)) as decider:
        client = Client(g, user="alice")
        for operation, call in calls.items():
            client.begin_do(f"s = socket.socket(); meanwhile(lambda: s.bind(('10.77.0.1', 5401))); {call}", **names(g))
            first = decider.next()
            g.assert_equal((first.object[uapi.A_OBJECT_OPERATION], first.local), (operation, ("0.0.0.0", 0)))
            time.sleep(0.5)
            decider.allow(first)
            second = decider.next()
            g.assert_equal((second.object[uapi.A_OBJECT_OPERATION], second.local), (operation, ("10.77.0.1", 5401)))
            decider.deny(second)
            g.assert_equal(client.answer(), "EACCES")
            client.do("s.close()")


@scenario
def sendfile_and_splice_need_a_decided_conversation(g):
    """They reach no hook on 6.1 and the same one as send() later; either way the conversation was decided at connect(), is
    not asked for again, and without it nothing leaves."""
    code = {
        "sendfile": "file = open('/etc/passwd'); answer = os.sendfile(s.fileno(), file.fileno(), 0, 64)",
        "splice": "r, w = os.pipe(); os.write(w, bytes(64)); answer = os.splice(r, s.fileno(), 64)",
    }
    with deciding(watch(CONNECT, uapi.PROTO_TCP, uapi.PROTO_UDP), watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        client = Client(g, user="alice")
        for kind, port, name in (("SOCK_STREAM", ECHO, "tcp"), ("SOCK_DGRAM", g.peer.sink_port, "udp")):
            for call, text in code.items():
                client.do("s = socket.socket(type=getattr(socket, kind))", kind=kind, port=port, **names(g))
                before = settled(g, Way(CONNECT, 0, packets=(name, port)))
                client.begin_do("s.connect((peer, port))")
                decider.deny(decider.next())
                g.assert_equal(client.answer(), "EACCES")
                g.assert_in(client.do(text), ("EPIPE", "ENOTCONN", "EDESTADDRREQ"), f"{call} of a denied {name} socket")
                g.assert_equal(g.peer.packets(name, port), before, f"{call}: {name} packets")
                client.begin_do("s.connect((peer, port))")
                decider.allow(decider.next())
                g.assert_equal(client.answer(), "ok")
                g.assert_equal(client.do(text), "64", f"{call} of an allowed {name} socket")
                g.eventually(lambda: g.peer.packets(name, port) > before, what=f"{call}: {name} packets")
        g.assert_true(decider.nothing(QUIET_SECONDS), "no event but those of connect")


@scenario
def link_local_addresses_are_held_as_they_are(g):
    """The address is told without its scope: a rule for it counts on every interface."""
    links = json.loads(network.command("ip", "-n", g.peer.namespace, "-j", "-6", "address", "show", "dev", "eth0"))
    address = next(entry["local"] for entry in links[0]["addr_info"] if entry["scope"] == "link")
    code = "s = socket.socket(socket.AF_INET6); s.connect((address, 8080, 0, socket.if_nametoindex('veth0')))"
    with deciding() as decider:
        client = Client(g, user="alice")
        way = Way(CONNECT, uapi.PROTO_TCP, (address, HTTP), packets=("tcp", HTTP))
        decided(g, decider, client, way, lambda: client.begin_do(code, address=address))
