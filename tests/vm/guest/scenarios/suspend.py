# SPDX-License-Identifier: MIT OR Apache-2.0
"""Suspend: held calls don't keep the machine awake, and have their verdict after it."""

import time
from pathlib import Path

import uapi
from client import Client
from decider import Decider, watch
from scenario import scenario

POWER = Path("/sys/power")
URING = ("/snet/bin/uring",)

# Waits in accept(), which this module makes it wait in, and says whom it got.
ACCEPTING = r"""
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 5200))
s.listen()
print("listening", flush=True)
connection, peer = s.accept()
print("accepted", peer[0], flush=True)
"""


def suspend():
    """To the point where every process is frozen, and back; an OSError if one can't be. The kernel waits there, 5 s by a
    delay loop that is no clock under emulation. Returns how long it took."""
    states = (POWER / "state").read_text().split()
    (POWER / "pm_test").write_text("freezer")
    try:
        begin = time.monotonic()
        (POWER / "state").write_text("freeze" if "freeze" in states else "mem")
        return time.monotonic() - begin
    finally:
        (POWER / "pm_test").write_text("none")


@scenario(timeout=180)
def held_calls_do_not_keep_the_machine_awake(g):
    """Blocking, by io_uring inline, in a worker and by the submission thread, and in accept(): all are frozen and thawed,
    and each call then gets the verdict that it waits for."""
    with Decider(watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_ACCEPT, uapi.PROTO_TCP), deadline=600000) as decider:
        server = g.spawn_python(ACCEPTING)
        g.eventually(lambda: "listening" in server.output(), what="a listener")
        blocking = Client(g)
        rings = {mode: Client(g, command=URING) for mode in ("plain", "async", "sqpoll")}
        blocking.begin("tcp", g.peer.address4, 8080)
        for mode, client in rings.items():
            client.begin(mode, "connect", g.peer.address4, 8081)
        held = {event.tgid: event for event in (decider.next(20) for _ in range(4))}
        g.assert_equal(set(held), {blocking.pid, *(client.pid for client in rings.values())})
        g.assert_took(0, suspend(), 20, "seconds of the suspend test")
        g.assert_equal(decider.control.count("held"), 4, "held after it")
        for client in rings.values():
            decider.deny(held[client.pid])
            g.assert_equal(client.answer(), "EACCES")
        decider.allow(held[blocking.pid])
        g.assert_equal(blocking.answer(), "ok")
        visitor = Client(g)
        visitor.begin("tcp", "127.0.0.1", 5200)

        def served():
            """Whatever comes is allowed: the peer's server accepts as well."""
            while not decider.nothing(0.1):
                decider.allow(decider.next())
            return server.poll() is not None
        g.eventually(served, 20, what="the server has its visitor")
        g.assert_equal(visitor.answer(), "ok")
        g.assert_equal(server.returncode, 0)
        g.assert_in("accepted 127.0.0.1", server.output())
