# SPDX-License-Identifier: MIT OR Apache-2.0
"""Wear: what must still hold with hundreds of held threads, and after the hundredth load or death of a decider."""

import os
import random
import signal
import time

import genl
import uapi
from decider import Decider, Kernel, policy, ticket, watch
from scenario import scenario
from traffic import ALLOWING, Restless, apart

CALLS_OF_TRAFFIC = [watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_SEND, uapi.PROTO_UDP),
                    watch(uapi.OP_BIND, uapi.PROTO_TCP)]
MAY_HAPPEN = {"ok", "ECONNREFUSED", "EINPROGRESS", "EACCES"}
OUTCOMES = ("ticket_allowed", "ticket_denied", "verdict_allowed", "verdict_denied", "fallback_deadline",
            "fallback_no_decider", "fallback_decider_gone", "fallback_stalled", "fallback_bounds", "fallback_lost",
            "killed")


def every_call_had_an_outcome(g):
    """Of what the module has counted since it was loaded nothing is missing: a call has one outcome, or is held."""
    def balance():
        with Kernel() as kernel:
            stats = kernel.stats()
        count = lambda name: stats[getattr(uapi, f"A_STATS_{name.upper()}")]
        return count("calls") - count("held") - sum(map(count, OUTCOMES)) == 0
    g.eventually(balance, what="as many outcomes as calls")


def crowd_of(g):
    """How many threads are many: a slow kernel takes minutes to make five hundred of them."""
    return 150 if g.slow_kernel else 500


def many_requests(decider, count):
    decider.control.command(uapi.CMD_POLICY_SET, policy(max_requests=2 * count, max_requests_per_process=2 * count))


def held(g, decider, count):
    g.eventually(lambda: decider.control.count("held") == count, 60, 0.2, what=f"{count} held threads")


def answer_for(decider, seconds, tickets=True):
    """Verdicts, some of them with a ticket, to what comes within that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            event = decider.next(0.05)
            kept = [ticket(event.request)] if tickets and event.request % 3 == 0 else []
            decider.verdict(event, uapi.VERDICT_ALLOW if event.request % 2 else uapi.VERDICT_DENY, *kept)
        except (TimeoutError, genl.NetlinkError):
            pass


def on_the_first_kernel(g):
    """Where what takes minutes is done as often as its name says."""
    return not g.slow_kernel and os.uname().release.startswith("6.1.")


@scenario(timeout=900, module=False)
def loads_and_unloads_under_traffic_100_times(g):
    """A program goes on calling while the module comes, a decider registers, gives verdicts and tickets, holds what
    it doesn't answer, and the module goes: a hundred times no call ends but as it may (30 times on kernels
    after 6.1, since it takes minutes; 8 times on a slow one)."""
    traffic = Restless(g, 6)
    slowest = 0.0
    times = 8 if g.slow_kernel else 100 if on_the_first_kernel(g) else 30
    for _ in range(times):
        g.load_module()
        decider = Decider(*CALLS_OF_TRAFFIC, deadline=60000)
        answer_for(decider, 0.2)
        g.eventually(lambda: decider.control.count("held") >= 5, what="threads are held again")
        slowest = max(slowest, g.unload_module())
        decider.close()
    counts = traffic.end()
    g.assert_equal(set(counts) - MAY_HAPPEN, set(), "outcomes that no call may have")
    g.assert_true(min(counts["EACCES"], counts["ECONNREFUSED"]) > times, counts)
    # It waits until every task has been seen to rest, which takes long where all of them are slow.
    g.assert_took(0, slowest, 20 if g.slow_kernel else 5, "seconds of the slowest unload")


@scenario(timeout=180)
def deadline_of_500_threads_releases_all(g):
    """500 requests of one process run into their deadline; each gets the fallback, none waits much longer (150 on a slow kernel)."""
    count = crowd_of(g)
    with Decider(deadline=int(10000 * g.slowness)) as decider:
        many_requests(decider, count)
        crowd = apart(g, count)
        begin = time.monotonic()
        held(g, decider, count)
        g.assert_equal(crowd.ended(120), 0)
        g.assert_took(0, time.monotonic() - begin, 10 + 20, "seconds until all were released")
        g.assert_equal(crowd.output().strip(), f"EACCES {count}")
        g.assert_equal(decider.control.count("fallback_deadline") + decider.control.count("fallback_stalled"), count)
        every_call_had_an_outcome(g)


@scenario(timeout=180)
def verdicts_reach_500_threads_one_by_one(g):
    """500 requests of one process, each its own event and its own verdict (150 on a slow kernel)."""
    count = crowd_of(g)
    with Decider(deadline=120000) as decider:
        many_requests(decider, count)
        crowd = apart(g, count)
        events = [decider.next() for _ in range(count)]
        g.assert_equal(len({event.request for event in events}), count)
        for number, event in enumerate(events):
            decider.verdict(event, uapi.VERDICT_ALLOW if number % 2 else uapi.VERDICT_DENY)
        g.assert_equal(crowd.ended(60), 0)
        g.assert_equal(crowd.output().strip(), f"EACCES {count // 2} ECONNREFUSED {count // 2}")
        every_call_had_an_outcome(g)


@scenario(timeout=180)
def unloads_with_500_held_threads(g):
    """rmmod lets all of them go in a few seconds (150 on a slow kernel)."""
    count = crowd_of(g)
    decider = Decider(deadline=120000)
    many_requests(decider, count)
    crowd = apart(g, count)
    held(g, decider, count)
    g.assert_took(0, g.unload_module(), 5, "seconds to unload")
    g.assert_equal(crowd.ended(30), 0)
    g.assert_equal(crowd.output().strip(), f"EACCES {count}")
    decider.close()
    g.load_module()


@scenario(timeout=180)
def overrun_event_socket_loses_no_call(g):
    """The events of 300 calls don't fit into the decider's socket; it reads ENOBUFS and finds the rest in the dump."""
    import errno
    import socket
    with Decider(deadline=120000) as decider:
        decider.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        many_requests(decider, 300)
        crowd = apart(g, 300)
        held(g, decider, 300)
        overrun, events = False, set()
        while True:
            try:
                events.add(decider.next(1).request)
            except TimeoutError:
                break
            except OSError as error:
                g.assert_equal(error.errno, errno.ENOBUFS)
                overrun = True
        g.assert_true(overrun and len(events) < 300, f"{len(events)} events came")
        dumped = decider.control.requests()
        g.assert_equal(len(dumped), 300)
        for request in dumped:
            decider.allow(request)
        g.assert_equal(crowd.ended(60), 0)
        g.assert_equal(crowd.output().strip(), "ECONNREFUSED 300")
        every_call_had_an_outcome(g)


@scenario(timeout=600)
def deciders_die_50_times_and_no_call_is_lost(g):
    """Under traffic one decider after the other registers, takes up what is held, gives verdicts and is killed in the
    middle of it: each call gets a verdict or the fallback, and the last decider decides as the first (15 of them on
    kernels after 6.1 and on a slow one)."""
    chance = random.Random(50)
    traffic = Restless(g, 8)
    for _ in range(50 if on_the_first_kernel(g) else 15):
        decider = g.spawn_python(ALLOWING, "60000")
        g.eventually(lambda: "ready" in decider.output(), what="the decider is registered")
        time.sleep(chance.random() * 0.3 * g.slowness)
        g.assert_true(decider.poll() is None, decider.output())
        decider.kill()
        decider.wait(10)
    with Kernel() as kernel:
        g.assert_equal(kernel.count("held"), 0, "held without a decider")
        g.assert_true(kernel.count("verdict_allowed") > 50 and kernel.count("fallback_decider_gone") > 0, kernel.stats())
        g.assert_equal(kernel.count("fallback_deadline"), 0, "calls that nobody answered")
    counts = traffic.end()
    g.assert_equal(set(counts) - MAY_HAPPEN, set(), "outcomes that no call may have")
    every_call_had_an_outcome(g)


@scenario(timeout=120)
def fatal_signals_end_300_held_threads(g):
    """SIGTERM, as SIGKILL, ends a process with 300 held threads at once; nothing of them stays."""
    with Decider(deadline=120000) as decider:
        many_requests(decider, 300)
        for number in (signal.SIGKILL, signal.SIGTERM):
            crowd = apart(g, 300)
            held(g, decider, 300)
            begin = time.monotonic()
            crowd.send_signal(number)
            g.assert_equal(crowd.ended(30), -number)
            g.assert_took(0, time.monotonic() - begin, 20, f"seconds to die of {number}")
            g.assert_equal((decider.control.count("held"), decider.control.requests()), (0, []))
        g.assert_equal(decider.control.count("killed"), 600)


@scenario(timeout=120)
def signals_that_do_not_kill_leave_calls_held(g):
    """A handled signal, and stop and continue, neither end a held call nor lose its verdict. What the kernel's own connect()
    starts anew after a stop is a call of its own, and asked."""
    with Decider(deadline=120000) as decider:
        many_requests(decider, 50)
        crowd = apart(g, 50, signal.SIGUSR1)
        held(g, decider, 50)
        crowd.send_signal(signal.SIGUSR1)
        time.sleep(0.5)
        g.assert_equal(decider.control.count("held"), 50)
        crowd.send_signal(signal.SIGSTOP)
        for request in decider.control.requests():
            decider.allow(request)
        time.sleep(0.5)
        g.assert_true(crowd.poll() is None, "stopped")
        crowd.send_signal(signal.SIGCONT)

        def over():
            for request in decider.control.requests():
                decider.allow(request)
            return crowd.poll() is not None
        g.eventually(over, 30, what="all have their answer")
        g.assert_equal(crowd.output().strip(), "ECONNREFUSED 50 signals")
