# SPDX-License-Identifier: MIT OR Apache-2.0
"""One shape for every way in: the call is held, told as what it is and whose it is, and nothing leaves before the verdict.

Owns: that shape. Which ways there are is the scenarios' business.
"""

import os
import time
from dataclasses import dataclass

import uapi
from client import Client
from decider import Decider, Event

# How long to look for something that must not come.
QUIET_SECONDS = 0.2


@dataclass(frozen=True)
class Way:
    """A call as the decider must be told of it. `packets`: protocol and port (or None) of what arrives at the peer when
    it is allowed; None when nothing does. `repeats`: a retry by the kernel asks again."""

    operation: int
    protocol: int
    remote: tuple[str, int] | None = None
    local: tuple[str, int] | None = None
    packets: tuple[str, int | None] | None = None
    denied: str = "EACCES"
    allowed: str = "ok"
    flags: int = 0
    repeats: bool = False


def deciding(*watched: bytes, deadline: int = 30000, **options) -> Decider:
    """A decider whose calls stay held while the scenario looks around, also on a busy machine."""
    return Decider(*watched, deadline=deadline, **options)


def told(g, event: Event, way: Way, client: Client, **subject: int) -> None:
    """The event is about this way, and says who makes the call. `subject` is what else it must say, by attribute."""
    said = (event.object[uapi.A_OBJECT_OPERATION], event.object[uapi.A_OBJECT_PROTOCOL], event.remote)
    g.assert_equal(said, (way.operation, way.protocol, way.remote), "operation, protocol, remote address")
    if way.local is not None:
        g.assert_equal(event.local, way.local, "local address")
    g.assert_equal(event.object[uapi.A_OBJECT_FLAGS] & way.flags, way.flags, "flags")
    wanted = {"tgid": client.pid, "uid": client.uid} | subject
    actual = {name: event.subject[getattr(uapi, f"A_SUBJECT_{name.upper()}")] for name in wanted}
    g.assert_equal(actual, wanted, "subject")
    g.assert_equal(event.exe, os.readlink(f"/proc/{event.tgid}/exe"), "executable")


def decided(g, decider: Decider, client: Client, way: Way, begin, check=told) -> None:
    """`begin` starts the call in `client`: it is denied, and then allowed. `check` looks at each event."""
    for verdict, outcome in ((uapi.VERDICT_DENY, way.denied), (uapi.VERDICT_ALLOW, way.allowed)):
        before = settled(g, way)
        begin()
        event = decider.next()
        check(g, event, way, client)
        time.sleep(QUIET_SECONDS)
        g.assert_equal(seen(g, way), before, "packets before the verdict")
        decider.verdict(event, verdict)
        if verdict == uapi.VERDICT_ALLOW and way.repeats:
            repeated(g, decider, client, way, check)
        g.assert_equal(client.answer(), outcome, "outcome")
        if verdict == uapi.VERDICT_ALLOW and way.packets:
            g.eventually(lambda: seen(g, way) > before, what="packets after the verdict")
    g.assert_true(decider.nothing(QUIET_SECONDS), "asked once")


def denied(g, decider: Decider, client: Client, way: Way, begin, check=told) -> None:
    """`begin` starts the call in `client`: it is held and denied, and nothing arrives."""
    before = settled(g, way)
    begin()
    event = decider.next()
    check(g, event, way, client)
    decider.deny(event)
    g.assert_equal(client.answer(), way.denied, "outcome")
    time.sleep(QUIET_SECONDS)
    g.assert_equal(seen(g, way), before, "packets after the denial")


def repeated(g, decider: Decider, client: Client, way: Way, check) -> None:
    """The kernel may make the call again when the socket is ready."""
    while not decider.nothing(QUIET_SECONDS):
        event = decider.next()
        check(g, event, way, client)
        decider.allow(event)


def each(g, decider: Decider, client: Client, ways: dict[str, tuple[str, Way]], **values: object) -> None:
    """Every way of a table: name → (Python text for the client, Way). A failure names the way."""
    for name, (code, way) in ways.items():
        try:
            decided(g, decider, client, way, lambda: client.begin_do(code, **values))
            client.do("s.close()")
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"{name}: {error!r}") from error


def seen(g, way: Way) -> int:
    return g.peer.packets(*way.packets) if way.packets else 0


def settled(g, way: Way) -> int:
    """What has been seen when no more comes of earlier conversations, which may be closing still."""
    count = seen(g, way)
    while way.packets:
        time.sleep(QUIET_SECONDS)
        last, count = count, seen(g, way)
        if last == count:
            break
    return count
