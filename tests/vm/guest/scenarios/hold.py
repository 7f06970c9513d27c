# SPDX-License-Identifier: MIT OR Apache-2.0
"""Holding: a call waits for exactly one of verdict, deadline, the decider's end, unload, a fatal signal."""

import os
import time

import genl
import uapi
from client import CROWD, Client
from decider import Decider, Kernel, policy, watch
from scenario import scenario

TCP_CONNECT = watch(uapi.OP_CONNECT, uapi.PROTO_TCP)


@scenario
def watches_nothing_before_a_decider_says_so(g):
    """A freshly loaded module lets everything pass and counts nothing."""
    client = Client(g)
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
    with Kernel() as kernel:
        g.assert_equal(kernel.count("calls"), 0)


@scenario
def verdict_allow_lets_the_held_call_go_on(g):
    """Nothing reaches the peer before the verdict; then the connection succeeds."""
    with Decider() as decider:
        client = Client(g)
        before = g.peer.packets("tcp", 8080)
        client.begin("tcp", g.peer.address4, 8080)
        event = decider.next()
        time.sleep(0.3)
        g.assert_equal(g.peer.packets("tcp", 8080), before, "packets before the verdict")
        decider.allow(event)
        g.assert_equal(client.answer(), "ok")


@scenario
def verdict_deny_fails_the_call_with_eacces(g):
    """The program sees EACCES, and nothing was sent."""
    with Decider() as decider:
        client = Client(g)
        before = g.peer.packets("tcp", 8080)
        client.begin("tcp", g.peer.address4, 8080)
        decider.deny(decider.next())
        g.assert_equal(client.answer(), "EACCES")
        g.assert_equal(g.peer.packets("tcp", 8080), before, "packets")


@scenario
def event_says_who_and_what(g):
    """Process, thread, user, executable by device and inode, namespaces, addresses: as /proc shows them."""
    with Decider() as decider:
        client = Client(g, user="alice")
        client.begin("tcp", g.peer.address6, 8081)
        event = decider.next()
        exe = os.stat(f"/proc/{client.pid}/exe")
        names = os.stat(f"/proc/{client.pid}/ns/net"), os.stat(f"/proc/{client.pid}/ns/mnt")
        expected = {
            uapi.A_SUBJECT_TGID: client.pid, uapi.A_SUBJECT_TID: client.pid, uapi.A_SUBJECT_UID: exe_uid("alice"),
            uapi.A_SUBJECT_EXE_DEVICE: exe.st_dev, uapi.A_SUBJECT_EXE_INODE: exe.st_ino,
            uapi.A_SUBJECT_PARENT_TGID: os.getpid(), uapi.A_SUBJECT_NET_NS: names[0].st_ino,
            uapi.A_SUBJECT_MNT_NS: names[1].st_ino, uapi.A_SUBJECT_LOGIN_UID: 0xFFFFFFFF,
            uapi.A_SUBJECT_PID_NS: os.stat(f"/proc/{client.pid}/ns/pid").st_ino,
            uapi.A_SUBJECT_USER_NS: os.stat(f"/proc/{client.pid}/ns/user").st_ino,
        }
        for kind, value in expected.items():
            g.assert_equal(event.subject[kind], value, f"subject attribute {kind}")
        g.assert_equal(event.exe, os.readlink(f"/proc/{client.pid}/exe"))
        g.assert_equal(event.remote, (g.peer.address6, 8081))
        g.assert_equal(event.object[uapi.A_OBJECT_OPERATION], uapi.OP_CONNECT)
        g.assert_equal(event.object[uapi.A_OBJECT_PROTOCOL], uapi.PROTO_TCP)
        decider.allow(event)
        g.assert_equal(client.answer(), "ok")


def exe_uid(user):
    import pwd
    return pwd.getpwnam(user).pw_uid


@scenario
def other_spellings_of_an_address_are_told_as_one(g):
    """IPv4 over an IPv6 socket is IPv4, and the unspecified address is the loopback that it reaches."""
    with Decider() as decider:
        client = Client(g)
        for spelling, meaning in ((f"::ffff:{g.peer.address4}", g.peer.address4), ("0.0.0.0", "127.0.0.1"),
                                  ("::", "::1"), ("::ffff:0.0.0.0", "127.0.0.1")):
            client.begin("tcp", spelling, 8080)
            event = decider.next()
            g.assert_equal(event.remote, (meaning, 8080), spelling)
            decider.deny(event)
            g.assert_equal(client.answer(), "EACCES")


@scenario(timeout=90)
def no_answer_means_the_fallback_after_the_deadline(g):
    """Allow and deny both apply when the deadline is over, not twice as late."""
    for fallback, outcome in ((uapi.VERDICT_DENY, "EACCES"), (uapi.VERDICT_ALLOW, "ok")):
        with Decider(deadline=2000, fallback=fallback) as decider:
            client = Client(g)
            begin = time.monotonic()
            client.begin("tcp", g.peer.address4, 8080)
            event = decider.next()
            g.assert_equal(client.answer(), outcome)
            g.assert_took(2.0, time.monotonic() - begin, 4.0, "seconds held")
            refusal = g.assert_raises(genl.NetlinkError, lambda: decider.allow(event), "a verdict that comes too late")
            g.assert_equal(refusal.name, "ENOENT")
            g.assert_equal(decider.control.count("fallback_deadline"), 1 if fallback == uapi.VERDICT_DENY else 2)


@scenario
def no_decider_means_the_fallback_at_once(g):
    """What was set stays in force when the decider is gone, and nothing waits."""
    for fallback, outcome in ((uapi.VERDICT_DENY, "EACCES"), (uapi.VERDICT_ALLOW, "ok")):
        Decider(fallback=fallback).close()
        client = Client(g)
        begin = time.monotonic()
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), outcome)
        g.assert_took(0, time.monotonic() - begin, 4.9, "seconds")


@scenario(timeout=120)
def decider_closed_with_50_held_threads_releases_all_at_once(g):
    """Every held thread gets the fallback as soon as the decider's socket closes."""
    decider = Decider(deadline=60000)
    decider.control.command(uapi.CMD_POLICY_SET, policy(max_requests_per_process=64))
    crowd = g.spawn_python(CROWD, "50", g.peer.address4)
    g.eventually(lambda: decider.control.count("held") == 50, timeout=30, what="50 held threads")
    begin = time.monotonic()
    decider.close()
    g.assert_equal(crowd.ended(20), 0)
    g.assert_took(0, time.monotonic() - begin, 5.0, "seconds until all were released")
    g.assert_equal(crowd.output().strip(), "EACCES 50")
    with Kernel() as kernel:
        g.assert_equal(kernel.count("fallback_decider_gone"), 50)
        g.assert_equal(kernel.count("held"), 0)


@scenario(timeout=300)
def unloads_with_50_held_threads_ten_times(g):
    """rmmod releases the held threads with the fallback and succeeds; ten times over, with a fresh decider each time."""
    for _ in range(10):
        decider = Decider(deadline=60000)
        crowd = g.spawn_python(CROWD, "50", g.peer.address4)
        g.eventually(lambda: decider.control.count("held") == 50, timeout=30, what="50 held threads")
        g.unload_module()
        g.assert_equal(crowd.ended(60), 0)
        g.assert_equal(crowd.output().strip(), "EACCES 50")
        decider.close()
        g.load_module()


@scenario
def killed_thread_dies_at_once(g):
    """SIGKILL ends a held program although nobody answers."""
    with Decider(deadline=60000) as decider:
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.next()
        begin = time.monotonic()
        client.process.kill()
        client.process.wait(10)
        g.assert_took(0, time.monotonic() - begin, 10, "seconds to die")
        g.assert_equal(decider.control.count("killed"), 1)
        g.assert_equal(decider.control.count("held"), 0)


@scenario
def deferred_request_gets_its_own_deadline(g):
    """`defer` prolongs one request beyond the deadline, and shortens it again."""
    with Decider(deadline=1000) as decider:
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        event = decider.next()
        number = genl.attr(uapi.A_MAIN_REQUEST_ID, event.request, width=8)
        decider.control.command(uapi.CMD_DEFER, number, genl.attr(uapi.A_MAIN_DEADLINE, 30000))
        time.sleep(2)
        g.assert_equal([held.request for held in decider.control.requests()], [event.request])
        decider.control.command(uapi.CMD_DEFER, number, genl.attr(uapi.A_MAIN_DEADLINE, 1))
        g.assert_equal(client.answer(), "EACCES")


@scenario(timeout=120)
def deferred_request_waits_for_the_next_decider(g):
    """The decider goes: what it didn't defer gets the fallback at once, what it did is there for the next one, and gets the
    fallback when none has come within a deadline."""
    def begun(decider):
        clients = [Client(g), Client(g)]
        for client in clients:
            client.begin("tcp", g.peer.address4, 8080)
        events = {event.tgid: event for event in (decider.next(), decider.next())}
        deferred = events[clients[0].pid]
        decider.control.command(uapi.CMD_DEFER, genl.attr(uapi.A_MAIN_REQUEST_ID, deferred.request, width=8),
                                genl.attr(uapi.A_MAIN_DEADLINE, 600000))
        return clients, deferred
    decider = Decider(deadline=int(4000 * g.slowness))
    (asked, other), deferred = begun(decider)
    decider.close()
    g.assert_equal(other.answer(), "EACCES")
    with Decider(deadline=int(4000 * g.slowness)) as decider:
        (found,) = decider.control.requests()
        g.assert_equal((found.request, found.tgid), (deferred.request, asked.pid))
        decider.allow(found)
        g.assert_equal(asked.answer(), "ok")
        (asked, other), _ = begun(decider)
        begin = time.monotonic()
    g.assert_equal((other.answer(), asked.answer()), ("EACCES", "EACCES"))
    g.assert_took(3, time.monotonic() - begin, 15, "seconds until it is given up")


@scenario
def new_decider_picks_up_what_is_held(g):
    """A request that outlives its event is in the dump, complete, and can be decided from there."""
    with Decider(deadline=30000) as decider:
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        event = decider.next()
        (dumped,) = decider.control.requests()
        g.assert_equal((dumped.request, dumped.subject, dumped.exe, dumped.remote),
                       (event.request, event.subject, event.exe, event.remote))
        decider.allow(dumped)
        g.assert_equal(client.answer(), "ok")


@scenario(timeout=90)
def too_many_held_calls_get_the_fallback(g):
    """Past the bound per process the fallback applies at once and is counted; the others go on waiting."""
    with Decider(deadline=30000) as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_requests_per_process=10))
        crowd = g.spawn_python(CROWD, "15", g.peer.address4)
        event = decider.next()
        g.eventually(lambda: decider.control.count("fallback_bounds") == 5, what="five past the bound")
        decider.allow(event)
        g.assert_equal(crowd.ended(20), 0)
        g.assert_equal(sorted(crowd.output().split()), ["10", "5", "EACCES", "ok"])


@scenario
def identical_calls_of_a_process_share_one_event(g):
    """Ten threads that attempt the same are one request: one event, one verdict for all. Another address, or another
    process, is another one."""
    with Decider(deadline=30000) as decider:
        crowds = [g.spawn_python(CROWD, "10", address) for address in (g.peer.address4, g.peer.address4, g.peer.other4)]
        g.eventually(lambda: decider.control.count("held") == 30, timeout=30, what="thirty threads held")
        events = [decider.next() for _ in crowds]
        g.assert_equal(len({(event.tgid, event.remote) for event in events}), 3)
        g.assert_true(decider.nothing(), "no more events than requests")
        g.assert_equal(len(decider.control.requests()), 3)
        for event in events:
            decider.verdict(event, uapi.VERDICT_ALLOW if event.tgid == crowds[0].pid else uapi.VERDICT_DENY)
        for crowd, outcome in zip(crowds, ("ok 10", "EACCES 10", "EACCES 10")):
            g.assert_equal(crowd.ended(20), 0)
            g.assert_equal(crowd.output().strip(), outcome)
        g.assert_equal(decider.control.count("held"), 0)


@scenario(timeout=90)
def stalled_decider_costs_three_deadlines_only(g):
    """After three deadlines in a row without a word the fallback applies at once, until the decider speaks again."""
    with Decider(deadline=3000) as decider:
        client = Client(g)
        for _ in range(3):
            begin = time.monotonic()
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
            g.assert_took(3.0, time.monotonic() - begin, 6.0, "seconds held")
        begin = time.monotonic()
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        g.assert_took(0, time.monotonic() - begin, 2.9, "seconds")
        g.assert_equal(decider.control.count("fallback_stalled"), 1)  # which is a word
        while not decider.nothing(0.1):
            decider.next()
        client.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next())
        g.assert_equal(client.answer(), "ok")


@scenario
def decider_itself_is_exempt(g):
    """The decider's own calls are never held: it can't wait for itself."""
    import socket
    with Decider() as decider, socket.create_connection((g.peer.address4, 8080), 5):
        g.assert_true(decider.nothing(0.3), "no event")


@scenario
def detaches_when_nothing_is_watched(g):
    """watch-flush ends mediation, and the hooks are gone from ftrace."""
    with Decider() as decider:
        enabled = "/sys/kernel/tracing/enabled_functions"
        g.assert_in("socket_connect", open(enabled).read())
        decider.control.command(uapi.CMD_WATCH_FLUSH)
        g.assert_true("socket_connect" not in open(enabled).read(), "no hook in ftrace")
        g.assert_equal(Client(g).call("tcp", g.peer.address4, 8080), "ok")
