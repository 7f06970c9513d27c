# SPDX-License-Identifier: MIT OR Apache-2.0
"""The guest's part of `vm.py bench`: brings about each state and has programs/bench.c measure in it.

Owns: the states, and that each is what it is called: a state in which tickets decide is refused when the kernel's
counters say that they didn't. Which guests there are and what the numbers mean is bench.py's business, outside.
"""

import errno
import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator

import security
import uapi
from channel import Channel
from decider import Decider, Kernel, bit, ticket, watch
from scenario import MODULE, Guest

BENCH = "/snet/bin/bench"
RESPONDER = "/snet/bin/responder"
CASES = ("connect", "send", "recv", "pair")
# The watched calls of one round of all cases, what prepares and cleans up included.
CALLS = 7
WATCHED = (watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_SEND, uapi.PROTO_UDP),
           watch(uapi.OP_RECV, uapi.PROTO_UDP))
OTHERS = (watch(uapi.OP_CONNECT, uapi.PROTO_SCTP), watch(uapi.OP_SEND, uapi.PROTO_ICMP),
          watch(uapi.OP_RECV, uapi.PROTO_ICMP))
EVERY_CALL = {"operations": bit(uapi.OP_CONNECT, uapi.OP_SEND, uapi.OP_RECV),
              "protocols": bit(uapi.PROTO_TCP, uapi.PROTO_UDP), "lifetime": 3_600_000}
WARM_UP, ROUNDS, MISSES, PASSES = 60, 300, 60, 3
# What a guest needs at most for one state, in seconds.
PATIENCE = 240


class Program:
    """A running bench."""

    def __init__(self):
        self.process = subprocess.Popen([BENCH], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait(10)

    def order(self, case: str, rounds: int) -> None:
        self.process.stdin.write(f"{case} {rounds}\n")
        self.process.stdin.flush()

    def answer(self) -> list[int]:
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"bench ended with {self.process.wait(10)}")
        return [int(number) for number in line.split()]

    def measure(self, case: str, rounds: int) -> list[int]:
        """Lowest, lower quartile, median, upper quartile, highest."""
        self.order(case, rounds)
        return self.answer()


class Bench:
    def __init__(self, channel: Channel):
        self.channel = channel

    def state(self, name: str, measure: Callable[[], dict[str, list[int]]]) -> None:
        self.channel.send("start", name=name, timeout=PATIENCE)
        begin = time.monotonic()
        for case, numbers in measure().items():
            self.channel.send("measured", state=name, case=case, numbers=numbers)
        self.channel.send("result", name=name, status="ok", detail="", seconds=round(time.monotonic() - begin, 1))


def every_case(program: Program) -> dict[str, list[int]]:
    for case in CASES:
        program.measure(case, WARM_UP)
    nothing = program.measure("nothing", ROUNDS)[2]
    return {case: [number - nothing for number in program.measure(case, ROUNDS)] for case in CASES}


def untouched() -> dict[str, list[int]]:
    with Program() as program:
        return every_case(program)


@contextmanager
def module() -> Iterator[None]:
    subprocess.run(["insmod", MODULE], check=True)
    try:
        yield
    finally:
        subprocess.run(["rmmod", "snet"], check=True)


@contextmanager
def watching(*watched: bytes) -> Iterator[Decider]:
    """A registered decider, whose tickets go with it."""
    decider = Decider(*watched)
    try:
        yield decider
    finally:
        decider.control.command(uapi.CMD_WATCH_FLUSH)
        decider.control.command(uapi.CMD_TICKET_FLUSH)
        decider.close()


def another_protocol() -> dict[str, list[int]]:
    """The hooks are called, and what they see isn't watched."""
    with watching(*OTHERS):
        return untouched()


def process_tickets(*more: dict) -> dict[str, list[int]]:
    """One ticket of the process that decides all that is measured, and others with the scopes `more`."""
    with watching(*WATCHED) as decider, Program() as program:
        program.order("connect", 1)
        held = decider.next()
        decider.allow(held, ticket(1, **EVERY_CALL))
        program.answer()
        for number, scope in enumerate(more, 2):
            decider.control.add(ticket(number, process=held.process, **EVERY_CALL, **scope))
        return every_case_hits(decider, program)


def program_ticket() -> dict[str, list[int]]:
    file = os.stat(BENCH)
    with watching(*WATCHED) as decider, Program() as program:
        decider.control.add(ticket(1, program=(file.st_dev, file.st_ino), **EVERY_CALL))
        return every_case_hits(decider, program)


def every_case_hits(decider: Decider, program: Program) -> dict[str, list[int]]:
    before = decider.control.count("ticket_allowed")
    measured = every_case(program)
    hits, expected = decider.control.count("ticket_allowed") - before, (WARM_UP + ROUNDS) * CALLS
    if hits != expected:
        raise AssertionError(f"{hits} calls were decided by tickets, not {expected}")
    return measured


OTHER_HOSTS = [{"to": f"10.0.{number}.1/32", "port": (1000 + number, 1000 + number)} for number in range(63)]


def misses() -> dict[str, list[int]]:
    with Program() as program:
        program.measure("fresh-connect", 10)
        return {"fresh-connect": program.measure("fresh-connect", MISSES)}


def counted_misses(kernel: Kernel) -> dict[str, list[int]]:
    before = kernel.count("verdict_allowed")
    measured = misses()
    answered = kernel.count("verdict_allowed") - before
    if answered != MISSES + 10:
        raise AssertionError(f"{answered} calls were decided by the decider, not {MISSES + 10}")
    return measured


def held_for_the_responder() -> dict[str, list[int]]:
    kernel = Kernel()
    with subprocess.Popen([RESPONDER, str(kernel.id)], stdout=subprocess.PIPE, text=True) as responder:
        try:
            if responder.stdout.readline() != "ready\n":
                raise AssertionError("the responder did not register")
            kernel.command(uapi.CMD_WATCH_SET, watch(uapi.OP_CONNECT, uapi.PROTO_TCP))
            return counted_misses(kernel)
        finally:
            kernel.command(uapi.CMD_WATCH_FLUSH)
            responder.kill()


def held_for_snetd(guest: Guest) -> dict[str, list[int]]:
    with guest.snetd({"watch": {"connect": "tcp"}, "search_path": ["/snet/bin"]}):
        guest.tool("allow", "bench", "tcp", "connect")
        measured = counted_misses(Kernel())
    Kernel().command(uapi.CMD_WATCH_FLUSH)
    return measured


def snet(bench: Bench) -> None:
    guest = Guest("bench", Path("/run/snet-vm"))
    for _ in range(PASSES):
        bench.state("absent", untouched)
        with module():
            bench.state("unwatched", untouched)
            bench.state("another-protocol", another_protocol)
            bench.state("ticket", process_tickets)
            bench.state("program-ticket", program_ticket)
            bench.state("64-tickets", lambda: process_tickets(*OTHER_HOSTS))
        bench.state("absent", untouched)
    for _ in range(PASSES):
        bench.state("not-held", misses)
        with module():
            bench.state("responder", held_for_the_responder)
            bench.state("snetd", lambda: held_for_snetd(guest))


def other_module(bench: Bench, name: str) -> None:
    """`name` is a security module with a policy for bench."""
    for _ in range(PASSES):
        bench.state(f"{name}-idle", untouched)
    refusal = security.ENFORCE[name]()
    with Program() as program:
        if program.measure("probe", 1) != [refusal]:
            raise AssertionError(f"{name} should refuse what its policy doesn't allow with {errno.errorcode[refusal]}")
    for _ in range(PASSES):
        bench.state(name, untouched)


def run(channel: Channel, name: str) -> None:
    bench = Bench(channel)
    if name == "snet":
        snet(bench)
    else:
        other_module(bench, name)
    channel.send("done", count=0)
