# SPDX-License-Identifier: MIT OR Apache-2.0
"""Lack of memory: each allocation of a call or a command fails once, by /proc/thread-self/fail-nth. Nothing may be let
through that a verdict or the fallback wouldn't let through, nothing may leak, and all must work again afterwards."""

import contextlib
import errno
import os
import random
from pathlib import Path

import genl
import uapi
from client import Client
from decider import Decider, Kernel, policy, ticket, watch
from leaks import KernelLog
from scenario import scenario

FAILSLAB = Path("/sys/kernel/debug/failslab")
# More than any of the calls here makes; a call that has fewer ends the series.
MOST = 400

# Lines on standard input are VERB NTH ADDRESS PORT; the answer is the outcome, and whether an allocation was made to fail.
FAULTY = r"""
import errno, os, socket, sys
nth = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
def attempt(number, address, port):
    with socket.socket() as s:
        os.pwrite(nth, b"%d" % number, 0)
        result = s.connect_ex((address, port))
        left = int(os.pread(nth, 16, 0))
        os.pwrite(nth, b"0", 0)
    return ("ok" if not result else errno.errorcode[result]), not left
def child(number, address, port):
    read, write = os.pipe()
    os.pwrite(nth, b"%d" % number, 0)
    try:
        pid = os.fork()
    except OSError as error:
        pid = -1
    if not pid:
        os.write(write, attempt(0, address, port)[0].encode())
        os._exit(0)
    left = int(os.pread(nth, 16, 0))
    os.pwrite(nth, b"0", 0)
    os.close(write)
    outcome = os.read(read, 64).decode() or "none"
    os.close(read)
    if pid > 0: os.waitpid(pid, 0)
    return outcome, not left
print("ready", flush=True)
for line in sys.stdin:
    verb, number, address, port = line.split()
    outcome, failed = (child if verb == "fork" else attempt)(int(number), address, int(port))
    print(outcome, failed, flush=True)
"""


def enable(g):
    """Allocations that may sleep fail as well; without a process that asks for it none does."""
    before = (FAILSLAB / "ignore-gfp-wait").read_text()
    (FAILSLAB / "ignore-gfp-wait").write_text("N")
    (FAILSLAB / "verbose").write_text("0")
    g.at_end(lambda: (FAILSLAB / "ignore-gfp-wait").write_text(before))


@contextlib.contextmanager
def failing(number):
    """In this thread the allocation of that number fails; the list that is yielded says afterwards whether it came to it."""
    came = []
    file = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
    try:
        os.pwrite(file, b"%d" % number, 0)
        yield came
    finally:
        left = int(os.pread(file, 16, 0))
        os.pwrite(file, b"0", 0)
        os.close(file)
        came.append(not left)


def series(attempt):
    """`attempt(number)` says whether an allocation failed; again with the next number until none does. Returns how many."""
    for number in range(1, MOST):
        if not attempt(number):
            return number - 1
    raise AssertionError(f"still failing at allocation {MOST}")


def faulty(g):
    return Client(g, command=("python3", "-ISBuc", FAULTY))


def deny_if_held(decider, event):
    """A call whose event was told may end by itself before the answer to it."""
    try:
        decider.deny(event)
    except genl.NetlinkError as refusal:
        if refusal.name != "ENOENT":
            raise


@scenario(timeout=300, requires="fault-injection")
def held_call_without_memory_gets_the_fallback(g):
    """Whichever allocation of a held connect() fails: it is decided by the decider or by the fallback, or fails by itself."""
    enable(g)
    with Decider(deadline=20000) as decider:
        client = faulty(g)

        def attempt(number):
            client.begin("connect", number, g.peer.address4, 8080)
            allowed = False
            try:
                decider.allow(decider.next(1))
                allowed = True
            except TimeoutError:
                for held in decider.control.requests():
                    decider.allow(held)
                    allowed = True
            outcome, failed = client.answer().split()
            g.assert_in(outcome, ("ok", "EACCES", "ENOMEM", "ENOBUFS", "ECONNABORTED", "EHOSTUNREACH"), f"allocation {number}")
            g.assert_true(allowed or outcome != "ok", f"allocation {number}: let through unasked")
            return failed == "True"
        count = series(attempt)
        lost = decider.control.count("fallback_lost")
        g.assert_true(count > 3 and lost > 1, f"{count} allocations failed, {lost} calls got the fallback for it")
        g.assert_equal(decider.control.count("held"), 0)
        g.assert_equal(Client(g).pid > 0, True)


@scenario(timeout=300, requires="fault-injection")
def verdicts_and_tickets_without_memory_are_refused_whole(g):
    """Whichever allocation of a verdict with tickets fails: the refusal says so, no ticket is kept in part, and the call
    gets the verdict, then or with the next message."""
    enable(g)
    with Decider(deadline=60000) as decider:
        client = Client(g)
        tickets = [ticket(number, uapi.VERDICT_ALLOW, to=f"10.9.{number}.0/24", inherit=number % 2 == 0, lifetime=600000)
                   for number in range(1, 6)]
        refusals = set()

        def attempt(number):
            client.begin("tcp", g.peer.address4, 8080)
            event = decider.next(20)
            with failing(number) as came:
                try:
                    decider.allow(event, *tickets)
                except OSError as error:
                    refusals.add(errno.errorcode[error.errno])
            if [held for held in decider.control.requests() if held.request == event.request]:
                decider.allow(event)
            g.assert_equal(client.answer(), "ok", f"allocation {number}")
            kept = [entry[uapi.A_TICKET_ID] for entry in decider.control.tickets()]
            g.assert_in(kept, ([], [1, 2, 3, 4, 5]), f"allocation {number}")
            decider.control.command(uapi.CMD_TICKET_FLUSH)
            return came[0]
        count = series(attempt)
        g.assert_true(count > 5, f"{count} allocations failed")
        g.assert_true(refusals & {"ENOSPC", "ENOMEM"}, refusals)


@scenario(timeout=600, requires="fault-injection")
def commands_without_memory_are_refused_and_work_again(g):
    """Every command with each of its allocations failing once: a refusal, and nothing of it stays."""
    enable(g)
    exe = os.stat("/usr/bin/curl")
    program = ticket(7, program=(exe.st_dev, exe.st_ino))
    commands = [(uapi.CMD_TICKET_ADD, program), (uapi.CMD_TICKET_GET, b""), (uapi.CMD_TICKET_FLUSH, b""),
                (uapi.CMD_STATS_GET, b""), (uapi.CMD_POLICY_SET, policy(deadline=1000)), (uapi.CMD_POLICY_GET, b""),
                (uapi.CMD_WATCH_GET, b""), (uapi.CMD_REQUEST_GET, b""), (uapi.CMD_UNREGISTER, b""),
                (uapi.CMD_REGISTER, b""), (uapi.CMD_WATCH_SET, watch(uapi.OP_BIND, uapi.PROTO_UDP)),
                (uapi.CMD_WATCH_FLUSH, b"")]
    with Decider() as decider:
        for command, payload in commands:
            def attempt(number):
                flags = genl.NLM_F_REQUEST | (genl.NLM_F_DUMP if command in uapi.DUMPS else genl.NLM_F_ACK)
                with Kernel() as kernel, failing(number) as came:
                    with contextlib.suppress(OSError):
                        kernel.command(command, payload, flags=flags)
                if command == uapi.CMD_REGISTER:
                    with contextlib.suppress(genl.NetlinkError):
                        decider.control.command(uapi.CMD_UNREGISTER)
                elif command == uapi.CMD_TICKET_ADD:
                    decider.control.command(uapi.CMD_TICKET_FLUSH)
                elif command == uapi.CMD_WATCH_SET:
                    decider.control.command(uapi.CMD_WATCH_SET, watch(uapi.OP_BIND))
                return came[0]
            count = series(attempt)
            g.assert_true(count > 0, f"command {command}: no allocation failed")
    with Decider() as decider:
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next())
        g.assert_equal(client.answer(), "ok")


@scenario(timeout=300, requires="fault-injection")
def child_inherits_all_tickets_or_none_without_memory(g):
    """fork() with each allocation failing once: a child that has the wide allowing ticket has the narrow denying one too."""
    enable(g)
    with Decider(deadline=20000) as decider:
        client = faulty(g)
        client.begin("connect", 0, g.peer.other4, 8080)
        decider.allow(decider.next(), ticket(1, inherit=True),
                      ticket(2, uapi.VERDICT_DENY, to=f"{g.peer.address4}/32", inherit=True))
        g.assert_equal(client.answer().split()[0], "ok")
        outcomes = set()

        def attempt(number):
            client.begin("fork", number, g.peer.address4, 8080)
            with contextlib.suppress(TimeoutError):
                while True:
                    deny_if_held(decider, decider.next(0.3 * g.slowness))
            outcome, failed = client.answer().split()
            outcomes.add(outcome)
            g.assert_in(outcome, ("EACCES", "none", "ENOMEM", "ENOBUFS"), f"allocation {number}")
            return failed == "True"
        count = series(attempt)
        g.assert_true(count > 20, f"{count} allocations failed")
        g.assert_equal(decider.control.count("ticket_denied") > 0, True)
        client.close()
        g.eventually(lambda: decider.control.count("tickets") == 0, what="no ticket in memory")


@scenario(timeout=900, module=False, requires="fault-injection")
def load_without_memory_fails_cleanly(g):
    """Loading with one allocation or another failing: it is loaded or it isn't, and afterwards it loads."""
    import ctypes
    enable(g)
    chance, libc = random.Random(4), ctypes.CDLL(None, use_errno=True)
    failures = 0
    for _ in range(25):
        number = chance.randrange(1, 250)
        file = os.open("/snet/snet.ko", os.O_RDONLY | os.O_CLOEXEC)
        with failing(number) as came:
            result = libc.syscall(313, file, b"", 0)
        os.close(file)
        failures += result != 0
        g.assert_equal(g.module_loaded(), result == 0, f"allocation {number}")
        if not result:
            g.unload_module()
    g.assert_true(failures > 3, f"{failures} loads failed")
    log = KernelLog()
    g.load_module()
    g.unload_module()
    g.assert_in("hooks at", "\n".join(log.read()))
