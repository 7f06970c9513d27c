# SPDX-License-Identifier: MIT OR Apache-2.0
"""Limits: how long a call may be held, how many, and when a registration ends."""

import time

import genl
import uapi
from client import CROWD, Client
from decider import Decider, Kernel, policy, watch
from genl import attr
from scenario import scenario

# Sets O_NONBLOCK and connects; prints the outcome.
NONBLOCKING = r"""
import errno, socket, sys
with socket.socket() as s:
    s.setblocking(False)
    print(errno.errorcode.get(s.connect_ex((sys.argv[1], 8080)), "ok"))
"""

# Registers, forks a child that keeps the socket, prints the child's id, and ends or executes another program when told.
SHARES_ITS_SOCKET = r"""
import os, sys, time
sys.path.insert(0, "/snet")
import uapi
from decider import Decider
decider = Decider(deadline=60000)
os.set_inheritable(decider.socket.fileno(), True)
child = os.fork()
if not child:
    time.sleep(600)
print(child, flush=True)
if sys.stdin.readline() == "end\n":
    os._exit(0)
os.execv("/bin/sleep", ["sleep", "600"])
"""


def defer(decider, event, milliseconds):
    decider.control.command(uapi.CMD_DEFER, attr(uapi.A_MAIN_REQUEST_ID, event.request, width=8),
                            attr(uapi.A_MAIN_DEADLINE, milliseconds))


def assert_can_not_be_deferred(g, decider, event, flag):
    g.assert_true(event.object[uapi.A_OBJECT_FLAGS] & flag, "flag of the call")
    refusal = g.assert_raises(genl.NetlinkError, lambda: defer(decider, event, 30000), "a longer deadline")
    g.assert_equal(refusal.name, "EINVAL")
    g.assert_in("nonblock-deadline", refusal.message)


@scenario(timeout=90)
def non_blocking_call_is_never_held_longer_than_its_deadline(g):
    """`defer` beyond it is refused and changes nothing; a shorter deadline is taken, and can't be prolonged again."""
    with Decider(deadline=30000) as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(nonblock_deadline=3000))
        for shorter in (None, 1500):
            client = g.spawn_python(NONBLOCKING, g.peer.address4)
            event = decider.next()
            begin = time.monotonic()
            g.assert_between(2000, event.deadline, 3000, "milliseconds in the event")
            assert_can_not_be_deferred(g, decider, event, uapi.CALL_NONBLOCK)
            if shorter:
                defer(decider, event, shorter)
                g.assert_equal(g.assert_raises(genl.NetlinkError, lambda: defer(decider, event, 3500)).name, "EINVAL")
            g.assert_equal(client.ended(), 0)
            g.assert_equal(client.output().strip(), "EACCES")
            g.assert_took((shorter or event.deadline) / 1000 - 0.5, time.monotonic() - begin, 20, "seconds held")


@scenario(timeout=90)
def call_that_locks_its_socket_is_never_held_longer_than_its_deadline(g):
    """SCTP's connectx is held with the socket locked: nonblock-deadline applies, and `defer` beyond it is refused."""
    with Decider(watch(uapi.OP_CONNECT, uapi.PROTO_SCTP)) as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(nonblock_deadline=2000))
        client = Client(g)
        client.begin("connectx", g.peer.address4, 7007)
        event = decider.next()
        begin = time.monotonic()
        assert_can_not_be_deferred(g, decider, event, uapi.CALL_LOCKED)
        g.assert_equal(client.answer(), "EACCES")
        g.assert_took(1.5, time.monotonic() - begin, 4.9, "seconds held")


@scenario(timeout=90)
def registration_ends_with_its_process(g):
    """The decider ends, or executes another program, while a child still has its socket: held calls get the fallback
    at once, and another decider may register."""
    for how in ("end", "execute"):
        decider = g.spawn("python3", "-ISBuc", SHARES_ITS_SOCKET, stdin=-1)
        g.eventually(lambda: decider.output().strip(), what="registered")
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        with Kernel() as kernel:
            g.eventually(lambda: kernel.count("held") == 1, what="held")
            gone = kernel.count("fallback_decider_gone")
            begin = time.monotonic()
            decider.stdin.write(f"{how}\n".encode())
            decider.stdin.flush()
            g.assert_equal(client.answer(), "EACCES")
            g.assert_took(0, time.monotonic() - begin, 4.9, f"seconds after {how}")
            g.assert_equal(kernel.count("fallback_decider_gone"), gone + 1)
            g.assert_true(uapi.A_STATS_DECIDER not in kernel.stats(), "nobody decides")
        with Decider() as second:
            client.begin("tcp", g.peer.address4, 8080)
            second.allow(second.next())
            g.assert_equal(client.answer(), "ok")
        g.run("kill", decider.output().strip(), check=True)


@scenario
def program_executed_by_the_decider_is_not_exempt(g):
    """The exemption is the decider's, not its process number's."""
    code = r"""
import os, sys
sys.path.insert(0, "/snet")
from decider import Decider
decider = Decider()
os.set_inheritable(decider.socket.fileno(), True)
os.execv(sys.executable, [sys.executable, "-ISBc", sys.argv[1], sys.argv[2]])
"""
    g.assert_equal(g.python(code, NONBLOCKING, g.peer.address4, check=True).out.strip(), "EACCES")


@scenario(timeout=120)
def crowd_of_one_process_leaves_room_for_others(g):
    """As shipped 64 calls of a process are held; its further ones get the fallback, and another process is held."""
    with Decider(deadline=60000) as decider:
        crowd = g.spawn_python(CROWD, "80", g.peer.address4)
        event = decider.next()
        g.eventually(lambda: decider.control.count("fallback_bounds") == 16, 30, what="sixteen past the bound")
        g.assert_equal(decider.control.count("held"), 64)
        other = Client(g)
        other.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next())
        g.assert_equal(other.answer(), "ok")
        decider.allow(event)
        g.assert_equal(crowd.ended(20), 0)
        g.assert_equal(sorted(crowd.output().split()), ["16", "64", "EACCES", "ok"])


@scenario(timeout=120)
def bound_of_all_held_calls_is_for_every_process(g):
    """Past max-requests nobody is held any more; when some are decided, others are."""
    with Decider(deadline=60000) as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_requests=20))
        crowds = [g.spawn_python(CROWD, "10", g.peer.address4) for _ in range(2)]
        g.eventually(lambda: decider.control.count("held") == 20, 30, what="twenty held")
        late = Client(g)
        g.assert_equal(late.call("tcp", g.peer.address4, 8080), "EACCES")
        g.assert_equal(decider.control.count("fallback_bounds"), 1)
        for _ in crowds:
            decider.allow(decider.next())
        late.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next())
        g.assert_equal(late.answer(), "ok")
        for crowd in crowds:
            g.assert_equal(crowd.ended(20), 0)
            g.assert_equal(crowd.output().strip(), "ok 10")


@scenario(module=False)
def module_that_is_disabled_refuses_to_load(g):
    """`disable=1`, as snet.disable=1 on the kernel's command line gives to modprobe: EPERM, and the log says why."""
    refused = g.run("insmod", "/snet/snet.ko", "disable=1")
    g.assert_true(not refused.ok and "Operation not permitted" in refused.err, str(refused))
    g.assert_true(not g.module_loaded(), "not loaded")
    g.assert_in("the parameter disable is set", g.run("dmesg").out)
    g.load_module(disable=0)
    g.unload_module()


@scenario
def parameters_are_described(g):
    """modinfo tells what each parameter is for."""
    told = {line.split(":")[0]: line for line in g.run("modinfo", "-F", "parm", "/snet/snet.ko", check=True).out.splitlines()}
    for name in ("disable", "audit_rate"):
        g.assert_true(len(told.get(name, "")) > 40, str(told))
