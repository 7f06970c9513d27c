# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ways in that are other calls than a plain connect() or sendto(): each is held like it. docs/bypasses.md lists them."""

import time

import uapi
from client import Client
from decider import watch
from scenario import scenario
from way import QUIET_SECONDS, Way, decided, deciding, denied, each

CONNECT, SEND, CREATE = uapi.OP_CONNECT, uapi.OP_SEND, uapi.OP_CREATE
PORT = 7009


def names(g, **values):
    """What the Python texts below call these addresses."""
    return {"peer": g.peer.address4, "peer6": g.peer.address6, "other": g.peer.other4, "port": PORT, **values}


@scenario(timeout=240)
def every_named_datagram_is_held(g):
    """Whatever call names the receiver, and however the name is spelt: sendmsg(), sendmmsg(), a family of AF_UNSPEC, IPv4
    over IPv6, a name on a connected socket, corked, UDP-Lite."""
    def udp(remote, protocol=uapi.PROTO_UDP):
        packets = ("udp" if protocol == uapi.PROTO_UDP else "udplite", PORT)
        return Way(SEND, protocol, (remote, PORT), packets=packets)

    peer, peer6, other = g.peer.address4, g.peer.address6, g.peer.other4
    new = "s = socket.socket(type=socket.SOCK_DGRAM); "
    new6 = "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); "
    ways = {
        "sendmsg": (new + "s.sendmsg([b'x'], [], 0, (peer, port))", udp(peer)),
        "sendmmsg": (new + "sendmmsg(s, (sockaddr(peer, port), b''))", udp(peer)),
        "a name of AF_UNSPEC": (new + "sendto(s, sockaddr(peer, port, AF_UNSPEC))", udp(peer)),
        "IPv4 name on an IPv6 socket": (new6 + "sendto(s, sockaddr(peer, port))", udp(peer)),
        "IPv4-mapped": (new6 + "s.sendto(b'x', ('::ffff:' + peer, port))", udp(peer)),
        "IPv6": (new6 + "s.sendto(b'x', (peer6, port))", udp(peer6)),
        "broadcast": (new + "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); "
                      "s.sendto(b'x', ('10.77.0.255', port))", udp("10.77.0.255")),
        "multicast": (new6 + "s.sendto(b'x', ('ff02::1', port, 0, socket.if_nametoindex('veth0')))", udp("ff02::1")),
        "corked": (new + "s.setsockopt(17, 1, 1); s.sendto(b'x', (peer, port)); s.setsockopt(17, 1, 0)", udp(peer)),
    }
    with deciding(watch(SEND, uapi.PROTO_UDP)) as decider:
        each(g, decider, Client(g, user="alice"), ways, **names(g))
        client = Client(g)
        client.do("s = socket.socket(type=socket.SOCK_DGRAM); s.connect((peer, port)); s.send(b'x')", peer=peer, port=PORT)
        g.assert_true(decider.nothing(0.2), "no event for a connected socket")
        decided(g, decider, client, udp(other), lambda: client.begin_do("s.sendto(b'x', (other, port))", other=other))


@scenario(timeout=240, requires="udp-lite")
def udplite_datagrams_are_held(g):
    """UDP-Lite is told under its own name."""
    with deciding(watch(SEND, uapi.PROTO_UDPLITE), watch(CONNECT, uapi.PROTO_UDPLITE)) as decider:
        client = Client(g, user="alice")
        new = "s = socket.socket(type=socket.SOCK_DGRAM, proto=136); "
        way = Way(SEND, uapi.PROTO_UDPLITE, (g.peer.address4, PORT), packets=("udplite", PORT))
        each(g, decider, client, {
            "sendto": (new + "s.sendto(b'x', (peer, port))", way),
            "connect": (new + "s.connect((peer, port)); s.send(b'x')",
                        Way(CONNECT, uapi.PROTO_UDPLITE, (g.peer.address4, PORT), packets=("udplite", PORT))),
        }, **names(g))


@scenario(timeout=240)
def each_destination_of_sendmmsg_is_decided(g):
    """One call with several receivers is decided receiver by receiver; it ends at the first that is denied, and says how
    many messages went out before."""
    allow, deny = uapi.VERDICT_ALLOW, uapi.VERDICT_DENY
    addresses = {"a": g.peer.address4, "b": g.peer.other4}
    code = "answer = sendmmsg(s, *((sockaddr(addresses[name], port), b'') for name in order))"
    with deciding(watch(SEND, uapi.PROTO_UDP)) as decider:
        client = Client(g)
        client.do("s = socket.socket(type=socket.SOCK_DGRAM)")
        for order, verdicts, outcome in (("ab", [deny], "EACCES"), ("ab", [allow, deny], "1"), ("aab", [allow, deny], "2"),
                                         ("aba", [allow, allow, deny], "2"), ("abb", [allow, allow], "3")):
            before = g.peer.packets("udp", PORT)
            client.begin_do(code, order=order, addresses=addresses, port=PORT)
            for name, verdict in zip(order.replace("aa", "a").replace("bb", "b"), verdicts):
                event = decider.next()
                g.assert_equal(event.remote, (addresses[name], PORT), order)
                decider.verdict(event, verdict)
            g.assert_equal(client.answer(), outcome, f"{order} {verdicts}")
            sent = int(outcome) if outcome.isdigit() else 0
            g.eventually(lambda: g.peer.packets("udp", PORT) == before + sent, what=f"{sent} datagrams of {order}")
        g.assert_true(decider.nothing(0.2), "no more events")


@scenario(timeout=240)
def reconnected_socket_is_decided_anew(g):
    """connect() again, and after AF_UNSPEC has dissolved the first: each new address is asked for, on UDP and on TCP."""
    with deciding(watch(CONNECT, uapi.PROTO_UDP, uapi.PROTO_TCP)) as decider:
        for kind, protocol, port in (("SOCK_DGRAM", uapi.PROTO_UDP, PORT), ("SOCK_STREAM", uapi.PROTO_TCP, 8080)):
            client = Client(g, user="alice")
            client.begin_do("s = socket.socket(type=getattr(socket, kind)); s.connect((peer, port))", kind=kind,
                            peer=g.peer.address4, other=g.peer.other4, port=port)
            decider.allow(decider.next())
            g.assert_equal(client.answer(), "ok")
            g.assert_equal(client.do("disconnect(s)"), "ok", "AF_UNSPEC begins nothing")
            packets = (("udp" if port == PORT else "tcp"), port)
            way = Way(CONNECT, protocol, (g.peer.other4, port), packets=packets)
            # A datagram socket is connected elsewhere without being dissolved first as well.
            for dissolve in ("disconnect(s); ", "") if port == PORT else ("disconnect(s); ",):
                again = f"{dissolve}s.connect((other, port)); s.send(b'x')"
                decided(g, decider, client, way, lambda: client.begin_do(again))


@scenario(timeout=240)
def raw_and_ping_sockets_are_held_when_they_send(g):
    """A raw socket that exists already, and a ping socket of an ordinary user: each named packet is decided, IPv4 and
    IPv6, and under the name of AF_UNSPEC that raw IPv6 sockets take as well."""
    raw4 = "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253); "
    raw6 = "s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 253); "
    ping4 = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); "
    ping6 = "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6); "
    echo4, echo6 = "b'\\x08' + bytes(7)", "b'\\x80' + bytes(7)"

    def way(operation, protocol, remote, seen):
        return Way(operation, protocol, (remote, 0), packets=(seen, None))

    peer, peer6 = g.peer.address4, g.peer.address6
    raw = {
        "raw IPv4": (raw4 + "s.sendto(b'x', (peer, 0))", way(SEND, uapi.PROTO_RAW, peer, "253")),
        "raw IPv4, AF_UNSPEC": (raw4 + "sendto(s, sockaddr(peer, 0, AF_UNSPEC))", way(SEND, uapi.PROTO_RAW, peer, "253")),
        "raw IPv6": (raw6 + "s.sendto(b'x', (peer6, 0))", way(SEND, uapi.PROTO_RAW, peer6, "253")),
        "raw IPv6, AF_UNSPEC": (raw6 + "sendto(s, sockaddr(peer6, 0, AF_UNSPEC))",
                                way(SEND, uapi.PROTO_RAW, peer6, "253")),
        "raw connect": (raw4 + "s.connect((peer, 0)); s.send(b'x')", way(CONNECT, uapi.PROTO_RAW, peer, "253")),
    }
    ping = {
        "ping IPv4": (ping4 + f"s.sendto({echo4}, (peer, 0))", way(SEND, uapi.PROTO_ICMP, peer, "icmp")),
        "ping IPv6": (ping6 + f"s.sendto({echo6}, (peer6, 0))", way(SEND, uapi.PROTO_ICMP, peer6, "icmpv6")),
        "ping connect": (ping4 + f"s.connect((peer, 0)); s.send({echo4})", way(CONNECT, uapi.PROTO_ICMP, peer, "icmp")),
    }
    kinds = uapi.PROTO_RAW, uapi.PROTO_ICMP
    with deciding(watch(SEND, *kinds), watch(CONNECT, *kinds)) as decider:
        each(g, decider, Client(g), raw, **names(g))
        each(g, decider, Client(g, user="alice"), ping, **names(g))


@scenario(timeout=240)
def frames_are_held(g):
    """What writes whole frames: packet sockets by either name at creation and with each named frame, AF_XDP sockets at
    creation."""
    with deciding(watch(CREATE, uapi.PROTO_PACKET)) as decider:
        create = Way(CREATE, uapi.PROTO_PACKET)
        each(g, decider, Client(g), {
            "AF_PACKET": ("s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)", create),
            "SOCK_PACKET of AF_INET": ("s = socket.socket(socket.AF_INET, 10, 0x300)", create),
            "AF_XDP": ("s = socket.socket(AF_XDP, socket.SOCK_RAW)", create),
        })
    with deciding(watch(SEND, uapi.PROTO_PACKET), watch(CREATE)) as decider:
        frame = "bytes(6 * [255] + [2, 0, 0, 0, 0, 1, 0x88, 0xb5]) + bytes(50)"
        before = g.peer.interface_packets()
        client = Client(g)
        code = f"s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.sendto({frame}, ('veth0', 0x88b5))"
        way = Way(SEND, uapi.PROTO_PACKET)
        denied(g, decider, client, way, lambda: client.begin_do(code))
        g.assert_equal(g.peer.interface_packets(), before, "frames after the denial")
        decided(g, decider, client, way, lambda: client.begin_do(code))
        g.eventually(lambda: g.peer.interface_packets() > before, what="the frame")


@scenario(timeout=120)
def denied_calls_do_not_even_look_for_the_host(g):
    """What is denied leaves nothing behind: no question for the hardware address of a host on the link that nobody knows,
    neither while the call is held nor after the denial; an allowed one asks."""
    nft = "ip", "netns", "exec", g.peer.namespace, "nft"
    hosts = "10.77.0.98", "10.77.0.99"
    rules = "; ".join(f"arp daddr ip {host} counter" for host in hosts)
    g.run(*nft, "-f", "-", text=f"table arp aside {{ chain in {{ type filter hook input priority 0; {rules}; }}; }}\n",
          check=True)
    g.at_end(lambda: g.run(*nft, "delete", "table", "arp", "aside", check=True))

    def questions(host):
        return int(g.run(*nft, "list", "table", "arp", "aside", check=True).out.split(f"{host} counter packets ")[1].split()[0])

    calls = {"connect": ("s = socket.socket(); s.setblocking(False); s.connect((host, 80))", "EINPROGRESS"),
             "sendto": ("s = socket.socket(type=socket.SOCK_DGRAM); s.sendto(b'x', (host, 80))", "ok")}
    with deciding(watch(CONNECT, uapi.PROTO_TCP), watch(SEND, uapi.PROTO_UDP)) as decider:
        client = Client(g, user="alice")
        for host, (name, (code, allowed)) in zip(hosts, calls.items()):
            for verdict, outcome in ((uapi.VERDICT_DENY, "EACCES"), (uapi.VERDICT_ALLOW, allowed)):
                before = questions(host)
                client.begin_do(code, host=host)
                event = decider.next()
                time.sleep(QUIET_SECONDS)
                g.assert_equal(questions(host), before, f"{name}: questions while it is held")
                decider.verdict(event, verdict)
                g.assert_equal(client.answer(), outcome, name)
                time.sleep(QUIET_SECONDS)
                g.assert_equal(questions(host) > before, verdict == uapi.VERDICT_ALLOW, f"{name}: questions after {outcome}")
