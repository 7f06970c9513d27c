# SPDX-License-Identifier: MIT OR Apache-2.0
"""The multicast group `audit`: what the kernel decided alone, who may hear it, and what becomes of too much."""

import signal
import time
from pathlib import Path

import uapi
from client import CROWD, Client
from decider import Decider, Kernel, policy, ticket, watch
from listener import Listener
from scenario import scenario

RATE = Path("/sys/module/snet/parameters/audit_rate")

JOIN_AS_USER = r"""
import errno, sys
sys.path.insert(0, "/snet")
import genl
with genl.Socket() as s:
    try:
        s.socket.setsockopt(genl.SOL_NETLINK, genl.NETLINK_ADD_MEMBERSHIP, int(sys.argv[1]))
        print("joined", flush=True)
    except OSError as error:
        print(errno.errorcode[error.errno])
        raise SystemExit
    try:
        s.event(4)
        print("heard")
    except TimeoutError:
        print("nothing")
"""

# Joins every group that there is no family for yet, and says which of them something was heard from.
JOIN_EARLY = r"""
import sys
sys.path.insert(0, "/snet")
import genl
with genl.Socket() as s:
    joined = 0
    for group in range(1, 256):
        try:
            s.socket.setsockopt(genl.SOL_NETLINK, genl.NETLINK_ADD_MEMBERSHIP, group)
            joined += 1
        except OSError:
            pass
    print("joined", joined, flush=True)
    sys.stdin.readline()
    heard = 0
    try:
        while True:
            heard += s.event(1).command == int(sys.argv[1])
    except TimeoutError:
        print("heard", heard)
"""

# Calls as fast as it can until its standard input ends; prints how many failed with EACCES.
BUSY = r"""
import socket, sys
denied = 0
for _ in range(int(sys.argv[2])):
    with socket.socket() as s:
        try:
            s.connect((sys.argv[1], 8080))
        except PermissionError:
            denied += 1
print(denied)
"""


def dropped(kernel):
    return kernel.count("audit_dropped")


@scenario(timeout=120)
def fallback_without_a_verdict_is_told_with_its_cause(g):
    """deadline, stalled, decider-gone and no-decider, each told once, with process, program, address and verdict."""
    with Listener() as listener:
        decider = Decider(deadline=1000)
        client = Client(g)
        for cause in [uapi.CAUSE_DEADLINE] * 3 + [uapi.CAUSE_STALLED]:
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
            record = listener.next()
            g.assert_equal((record.cause, record.verdict, record.tgid, record.remote, record.operation, record.ticket,
                            record.rule, record.dropped),
                           (cause, uapi.VERDICT_DENY, client.pid, (g.peer.address4, 8080), uapi.OP_CONNECT, None, None, 0))
            g.assert_in("python3", record.exe)
        decider.control.command(uapi.CMD_POLICY_SET, policy(20000, uapi.VERDICT_ALLOW))
        client.begin("tcp", g.peer.address6, 8081)
        g.eventually(lambda: decider.control.count("held") == 1, what="held")
        decider.close()
        g.assert_equal(client.answer(), "ok")
        record = listener.next()
        g.assert_equal((record.cause, record.verdict, record.remote),
                       (uapi.CAUSE_DECIDER_GONE, uapi.VERDICT_ALLOW, (g.peer.address6, 8081)))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        record = listener.next()
        g.assert_equal((record.cause, record.verdict), (uapi.CAUSE_NO_DECIDER, uapi.VERDICT_ALLOW))
        g.assert_equal(listener.rest(), [])


@scenario
def past_the_bound_each_call_is_told(g):
    """Five calls past the bound are five messages of cause `bounds`; a decided call is none."""
    with Listener() as listener, Decider(deadline=30000) as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_requests_per_process=10))
        crowd = g.spawn_python(CROWD, "15", g.peer.address4)
        event = decider.next()
        g.assert_equal([listener.next().cause for _ in range(5)], [uapi.CAUSE_BOUNDS] * 5)
        decider.allow(event)
        g.assert_equal(crowd.ended(20), 0)
        g.assert_equal(listener.rest(), [])


@scenario
def event_that_can_not_be_delivered_is_told(g):
    """The decider's socket is there but takes nothing from the kernel: the fallback at once, with cause `lost`."""
    with Listener() as listener, Decider() as decider:
        decider.socket.connect((decider.control.socket.getsockname()[0], 0))
        g.assert_equal(Client(g).call("tcp", g.peer.address4, 8080), "EACCES")
        g.assert_equal(listener.next().cause, uapi.CAUSE_LOST)
        g.assert_equal(listener.control.count("fallback_lost"), 1)


@scenario
def denying_ticket_is_told_with_its_rule(g):
    """A hit of a deny ticket is told with the ticket and its rule; a hit of an allow ticket is not."""
    with Listener() as listener, Decider() as decider:
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next(), ticket(71, to=f"{g.peer.address4}/32"),
                      ticket(72, uapi.VERDICT_DENY, to=f"{g.peer.other4}/32", rule=9),
                      ticket(73, uapi.VERDICT_DENY, to=f"{g.peer.address6}/128"))
        g.assert_equal(client.answer(), "ok")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        for address, number, rule in ((g.peer.other4, 72, 9), (g.peer.address6, 73, None)):
            g.assert_equal(client.call("tcp", address, 8080), "EACCES")
            record = listener.next()
            g.assert_equal((record.cause, record.verdict, record.ticket, record.rule, record.remote, record.tgid),
                           (uapi.CAUSE_TICKET, uapi.VERDICT_DENY, number, rule, (address, 8080), client.pid))
        g.assert_equal(listener.rest(), [])


@scenario
def refused_source_route_is_told(g):
    """Setting the option and using a socket that had it before are both told, with cause `source-route`."""
    code = r"""
import socket, sys
route = bytes([131, 7, 4]) + socket.inet_aton(sys.argv[1]) + b"\x01"
early, late = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
early.setsockopt(socket.SOL_IP, 4, route)
print("ready", flush=True)
sys.stdin.readline()
for call in (lambda: early.sendto(b"x", (sys.argv[1], 7007)), lambda: late.setsockopt(socket.SOL_IP, 4, route)):
    try:
        call()
    except PermissionError:
        print("refused", flush=True)
"""
    program = g.spawn("python3", "-ISBuc", code, g.peer.address4, stdin=-1)
    g.eventually(lambda: program.output(), what="ready")
    with Listener() as listener, Decider(watch(uapi.OP_SEND, uapi.PROTO_UDP)):
        program.stdin.write(b"\n")
        program.stdin.flush()
        g.assert_equal(program.ended(20), 0)
        g.assert_equal(program.output().split(), ["ready", "refused", "refused"])
        told = [(record.cause, record.verdict, record.operation, record.remote) for record in listener.rest()]
        refused = uapi.CAUSE_SOURCE_ROUTE, uapi.VERDICT_DENY, uapi.OP_SEND
        g.assert_equal(told, [(*refused, (g.peer.address4, 7007)), (*refused, None)])


@scenario(timeout=120)
def rate_is_kept_and_what_is_dropped_is_counted(g):
    """No more than audit_rate a second; every call is either told or counted, and the next message says how many were."""
    RATE.write_text("5")
    Decider().close()
    g.python(BUSY, g.peer.address4, "50", check=True)
    with Listener() as listener:
        g.assert_equal(dropped(listener.control), 0, "without a listener nothing is dropped")
        begin = time.monotonic()
        denied = int(g.python(BUSY, g.peer.address4, "300", check=True).out)
        seconds = time.monotonic() - begin
        g.assert_equal(denied, 300)
        told = listener.rest(0.2)
        g.assert_between(5, len(told), 5 * (seconds + 2), f"messages in {seconds:.1f} s")
        g.assert_equal(len(told) + dropped(listener.control), 300)
        time.sleep(1)
        g.python(BUSY, g.peer.address4, "1", check=True)
        told.append(listener.next())
        g.assert_equal(sum(record.dropped for record in told), dropped(listener.control), "told as dropped")
        g.assert_true(dropped(listener.control) > 0, "more was refused than the rate lets through")
        # Where calls take long, the flood's last one may have been told already.
        g.assert_true(told[-1].dropped or g.slow_kernel, "the message after the flood tells of it")


@scenario
def rate_0_means_no_messages(g):
    """Switched off, nothing is sent nor counted as dropped; switched on again, it is."""
    Decider().close()
    with Listener() as listener:
        RATE.write_text("0")
        g.python(BUSY, g.peer.address4, "3", check=True)
        g.assert_equal((listener.rest(), dropped(listener.control)), ([], 0))
        RATE.write_text("100")
        g.python(BUSY, g.peer.address4, "3", check=True)
        g.assert_equal([(record.cause, record.dropped) for record in listener.rest()], [(uapi.CAUSE_NO_DECIDER, 0)] * 3)


@scenario(timeout=120)
def listener_that_does_not_read_costs_messages_only(g):
    """A full socket: the calls get their fallback as fast as before, and each message is received or counted."""
    RATE.write_text("100000")
    Decider().close()
    with Listener() as listener:
        import socket
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        g.assert_equal(g.python(BUSY, g.peer.address4, "300", check=True).out.strip(), "300")
        lost = dropped(listener.control)
        g.assert_true(lost, "some were dropped")
        told = []
        while True:
            try:
                told += listener.rest()
                break
            except OSError as error:  # ENOBUFS, once
                g.assert_equal(error.errno, 105)
        g.assert_equal(len(told) + lost, 300)
        g.python(BUSY, g.peer.address4, "1", check=True)
        g.assert_equal(listener.next().dropped, lost)


@scenario
def only_the_administrator_hears_what_is_told(g):
    """Without the capability, and from another user namespace, joining is refused; in another network namespace
    nothing is heard."""
    Decider().close()
    with Kernel() as kernel:
        group = kernel.group(uapi.FAMILY_NAME, uapi.MCGRP_AUDIT)
    for command in ([], ["unshare", "--user", "--map-root-user"]):
        answer = g.run(*command, "python3", "-ISBc", JOIN_AS_USER, str(group), user="alice", check=True)
        g.assert_equal(answer.out.strip(), "EPERM", " ".join(command))
    elsewhere = [g.spawn("python3", "-ISBuc", JOIN_AS_USER, str(group), netns=g.peer.namespace),
                 g.spawn("unshare", "--user", "--map-root-user", "--net", "python3", "-ISBuc", JOIN_AS_USER, str(group),
                         user="alice")]
    with Listener() as listener:
        for process in elsewhere:
            g.eventually(lambda: process.output(), what="it has tried to join")
        g.python(BUSY, g.peer.address4, "1", check=True)
        g.assert_equal(listener.next().cause, uapi.CAUSE_NO_DECIDER)
        for process in elsewhere:
            g.assert_equal(process.ended(20), 0)
            g.assert_true(process.output().split()[-1] in ("nothing", "EPERM", "ENOENT"), process.output())


@scenario(module=False)
def joining_before_the_module_is_there_gains_nothing(g):
    """An ordinary user who joined every free group number before the load hears nothing afterwards."""
    early = g.spawn("python3", "-ISBuc", JOIN_EARLY, str(uapi.CMD_AUDIT), user="alice", stdin=-1)
    g.eventually(lambda: early.output(), what="joined")
    g.assert_true(int(early.output().split()[1]), "some group could be joined")
    g.load_module()
    g.at_end(g.unload_module)
    Decider().close()
    with Listener() as listener:
        g.python(BUSY, g.peer.address4, "2", check=True)
        g.assert_equal(len(listener.rest()), 2)
    early.stdin.write(b"\n")
    early.stdin.flush()
    g.assert_equal(early.ended(20), 0)
    g.assert_equal(early.output().split()[2:], ["heard", "0"])


@scenario(timeout=180)
def unloads_while_messages_are_made(g):
    """rmmod under a flood of fallbacks with a listener, five times: no warning, and each unload succeeds."""
    for _ in range(5):
        RATE.write_text("100000")
        Decider().close()
        with Listener() as listener:
            floods = [g.spawn_python(BUSY, g.peer.address4, "1000000") for _ in range(4)]
            listener.next()
            g.unload_module()
            for flood in floods:
                flood.send_signal(signal.SIGKILL)
                flood.wait(10)
        g.load_module()
