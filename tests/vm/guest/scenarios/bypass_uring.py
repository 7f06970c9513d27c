# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ways in that aren't the usual entry: io_uring in all its modes, and the system calls of 32-bit programs."""

import uapi
from client import Client
from decider import watch
from scenario import scenario
from way import Way, decided, deciding, told

URING, COMPAT, TRICKS = ("/snet/bin/uring",), ("/snet/bin/compat",), ("/snet/bin/tricks",)
MODES = ("plain", "async", "linked", "sqpoll")
SINK, ECHO = 7009, 7007


def supported(g, client, *words):
    """Whether this kernel has the operation; tried while nothing of the kind is watched."""
    answer = client.call(*words)
    g.assert_true(answer in ("ok", "unsupported", "ECONNREFUSED"), f"{words}: {answer}")
    return answer != "unsupported"


@scenario(timeout=240)
def io_uring_connects_are_held(g):
    """Inline, in a worker, behind a linked request and by the submission thread: attributed to the process that owns the
    ring, and nothing leaves before the verdict."""
    with deciding() as decider:
        client = Client(g, user="alice", command=URING)
        for address in (g.peer.address4, g.peer.address6):
            way = Way(uapi.OP_CONNECT, uapi.PROTO_TCP, (address, ECHO), packets=("tcp", ECHO), repeats=True)
            for mode in MODES:
                decided(g, decider, client, way, lambda: client.begin(mode, "connect", address, ECHO))


@scenario(timeout=240)
def io_uring_sends_are_held(g):
    """send, send_zc, sendmsg and sendmsg_zc to an address, in each mode."""
    plain = Client(g, command=URING)
    calls = [call for call in ("send", "send_zc", "sendmsg", "sendmsg_zc") if supported(
        g, plain, "plain", call, g.peer.address4, SINK)]
    g.assert_true({"send", "sendmsg"} <= set(calls), f"of the sends there are {calls}")
    with deciding(watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        client = Client(g, user="alice", command=URING)
        way = Way(uapi.OP_SEND, uapi.PROTO_UDP, (g.peer.address4, SINK), packets=("udp", SINK))
        for call in calls:
            for mode in MODES if call in ("send", "sendmsg") else ("plain",):
                decided(g, decider, client, way, lambda: client.begin(mode, call, g.peer.address4, SINK))


@scenario(timeout=240)
def io_uring_sockets_binds_and_listens_are_held(g):
    """Creating a socket, and binding and listening where the kernel has these (6.11)."""
    plain = Client(g, command=URING)
    with deciding(watch(uapi.OP_CREATE, uapi.PROTO_TCP)) as decider:
        client = Client(g, user="alice", command=URING)
        for mode in MODES:
            decided(g, decider, client, Way(uapi.OP_CREATE, uapi.PROTO_TCP),
                    lambda: client.begin(mode, "socket", "127.0.0.1", 0))
    with deciding(watch(uapi.OP_CREATE)):
        calls = [call for call in ("bind", "listen") if supported(g, plain, "plain", call, "127.0.0.1", 5301)]
    local = {"bind": ("127.0.0.1", 5302), "listen": ("0.0.0.0", 0)}
    operations = {"bind": uapi.OP_BIND, "listen": uapi.OP_LISTEN}
    with deciding(watch(uapi.OP_BIND, uapi.PROTO_TCP), watch(uapi.OP_LISTEN, uapi.PROTO_TCP)) as decider:
        client = Client(g, user="alice", command=URING)
        for call in calls:
            for mode in MODES:
                decided(g, decider, client, Way(operations[call], uapi.PROTO_TCP, local=local[call]),
                        lambda: client.begin(mode, call, "127.0.0.1", 5302))


@scenario(timeout=240)
def io_uring_rings_are_attributed_to_who_submits(g):
    """A ring that a child inherited: what the child submits is the child's; what it leaves to the submission thread is its
    owner's. With registered credentials the user is whose they are, since they count for the call as well."""
    way = Way(uapi.OP_CONNECT, uapi.PROTO_TCP, (g.peer.address4, ECHO), packets=("tcp", ECHO), repeats=True)

    def by_child(g, event, way, client):
        g.assert_true(event.tgid != client.pid, "not the owner of the ring")
        told(g, event, way, client, tgid=event.tgid, parent_tgid=client.pid)

    with deciding() as decider:
        client = Client(g, command=URING)
        for mode, check in (("child", by_child), ("child-sqpoll", told), ("persona", told)):
            decided(g, decider, client, way, lambda: client.begin(mode, "connect", g.peer.address4, ECHO), check)


@scenario(timeout=240)
def calls_of_32_bit_programs_are_held(g):
    """By socketcall() and by the calls of their own, and by the 32-bit entry from 64-bit code."""
    if g.run("/snet/bin/compat", text="").out != "ready\n":
        g.skip("this kernel runs no 32-bit programs")
    operations = (uapi.OP_CREATE, uapi.OP_CONNECT, uapi.OP_SEND, uapi.OP_BIND, uapi.OP_LISTEN)
    connect = Way(uapi.OP_CONNECT, uapi.PROTO_TCP, (g.peer.address4, ECHO), packets=("tcp", ECHO))
    send = Way(uapi.OP_SEND, uapi.PROTO_UDP, (g.peer.address4, SINK), packets=("udp", SINK))
    ways = {
        "connect": (connect, g.peer.address4, ECHO), "sendto": (send, g.peer.address4, SINK),
        "sendmsg": (send, g.peer.address4, SINK), "sendmmsg": (send, g.peer.address4, SINK),
        "bind": (Way(uapi.OP_BIND, uapi.PROTO_TCP, local=("127.0.0.1", 5303)), "127.0.0.1", 5303),
        "listen": (Way(uapi.OP_LISTEN, uapi.PROTO_TCP, local=("0.0.0.0", 0)), "127.0.0.1", 5304),
    }
    client = Client(g, user="alice", command=COMPAT)
    with deciding(watch(uapi.OP_CREATE, uapi.PROTO_TCP)) as decider:
        for kind in ("direct", "socketcall"):
            decided(g, decider, client, Way(uapi.OP_CREATE, uapi.PROTO_TCP),
                    lambda: client.begin(kind, "socket", "127.0.0.1", 0))
    watched = [watch(operation, uapi.PROTO_TCP, uapi.PROTO_UDP) for operation in operations[1:2] + operations[3:]]
    with deciding(watch(uapi.OP_CREATE), watch(uapi.OP_SEND, uapi.PROTO_UDP), *watched) as decider:
        for call, (way, address, port) in ways.items():
            for kind in ("direct", "socketcall"):
                decided(g, decider, client, way, lambda: client.begin(kind, call, address, port))
    with deciding(watch(uapi.OP_BIND), watch(uapi.OP_LISTEN)) as decider:
        client = Client(g, user="alice", command=TRICKS)
        decided(g, decider, client, connect, lambda: client.begin("int80", g.peer.address4, ECHO))
