# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tickets that are used up, and tickets that children inherit."""

import os
import signal
import subprocess
import time

import genl
import uapi
from client import Client
from decider import Decider, Kernel, bit, policy, ticket, watch
from scenario import scenario
from tickets import asks, given

COPY = 1 << 63

# Sends a datagram to the third argument. When told, as many threads as the first says each send the second's number of
# them at once, while the process forks as often as the fourth says; prints how many the threads got out.
SENDERS = r"""
import os, socket, sys, threading
threads, each, address, forks = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
sys.setswitchinterval(1e-6)
sent, gate = [], threading.Barrier(threads)
def send():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        gate.wait()
        for _ in range(each):
            try:
                s.sendto(b"x", (address, 9999))
                sent.append(1)
            except PermissionError:
                pass
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (address, 9999))
sys.stdin.readline()
running = [threading.Thread(target=send) for _ in range(threads)]
for thread in running: thread.start()
for _ in range(forks):
    child = os.fork()
    if not child:
        try:
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", (address, 9999))
        except PermissionError:
            pass
        os._exit(0)
    os.waitpid(child, 0)
for thread in running: thread.join()
print(len(sent), flush=True)
"""


SENDS = {"operations": bit(uapi.OP_SEND), "protocols": bit(uapi.PROTO_UDP)}


def senders(g, decider, threads, each, *tickets, forks=0):
    """A process that sends when it is told to, and has these tickets."""
    process = g.spawn_python(SENDERS, str(threads), str(each), g.peer.address4, str(forks), stdin=subprocess.PIPE)
    decider.allow(decider.next(), *tickets)
    return process


def told(process):
    """Sends; returns how many datagrams went out."""
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.ended(120) == 0, process.output()
    return int(process.output().split()[-1])


def empty(g, kernel):
    g.eventually(lambda: (kernel.count("tickets"), kernel.count("owners")) == (0, 0), what="no tickets and no owners")


@scenario
def ticket_with_uses_decides_that_many_calls(g):
    """Three uses: the dump shows what is left, the fourth call asks, and the ticket is freed with the last."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1, uses=3))
        for left in (2, 1):
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
            g.assert_equal(decider.control.tickets()[0][uapi.A_TICKET_USES], left)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.assert_equal((decider.control.tickets(), decider.control.count("tickets"),
                        decider.control.count("owners")), ([], 0, 0))
        asks(g, decider, client, "tcp", g.peer.address4, 8080)
        given(g, decider, client, ticket(1, uses=1))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "its id is free again")


@scenario
def used_up_ticket_leaves_the_call_to_the_next_wider_one(g):
    """A narrow allow ticket for one call over a wide deny ticket."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1, uses=1, to=f"{g.peer.address4}/32"), ticket(2, uapi.VERDICT_DENY))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")


@scenario(timeout=120)
def uses_are_exact_however_many_threads_race(g):
    """Eight threads make 800 calls at once; of a ticket with 500 uses exactly 500 go out, and it is gone."""
    with Decider(watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        process = senders(g, decider, 8, 100, ticket(1, uses=500, **SENDS))
        decider.command(uapi.CMD_UNREGISTER)
        g.assert_equal(told(process), 500)
        g.assert_equal(decider.control.count("ticket_allowed"), 500)
        empty(g, decider.control)


def child(g, client):
    """A child goes on in place of the client's process; its id."""
    g.assert_equal(client.call("child"), "ok")
    return int(client.call("pid"))


def of_process(kernel, pid):
    return [kept for kept in kernel.tickets() if kept[uapi.A_TICKET_TGID] == pid]


@scenario
def child_inherits_and_so_does_its_child(g):
    """A copy each for child and grandchild, of the kernel's number, with origin, rule and expiry of the first; a thread gets
    none, nor does a child of what isn't inherited."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1, inherit=True, rule=7, lifetime=60000),
              ticket(2, to="10.9.0.0/16", inherit=True), ticket(3, to="10.8.0.0/16"))
        g.assert_equal(client.call("thread", "tcp", g.peer.address4, 8080), "ok")
        g.assert_equal(decider.control.count("tickets"), 3, "with a thread")
        for generation in (1, 2):
            pid = child(g, client)
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", f"generation {generation}")
            copies = sorted(of_process(decider.control, pid), key=lambda kept: kept[uapi.A_TICKET_ORIGIN])
            g.assert_equal([kept[uapi.A_TICKET_ORIGIN] for kept in copies], [1, 2])
            g.assert_true(all(kept[uapi.A_TICKET_ID] & COPY for kept in copies), "numbers of the kernel's")
            g.assert_equal((copies[0][uapi.A_TICKET_RULE_ID], copies[0][uapi.A_TICKET_HITS]), (7, 1))
            g.assert_between(30000, copies[0][uapi.A_TICKET_LIFETIME], 60000, "what is left")
            g.assert_true(all(uapi.A_TICKET_INHERIT in kept for kept in copies), "inherited on")
        g.assert_equal((decider.control.count("tickets"), decider.control.count("owners")), (7, 3))
        g.assert_true(decider.nothing(), "no event")
        for left in ((5, 2), (3, 1)):
            client.call("end")
            g.eventually(lambda: (decider.control.count("tickets"), decider.control.count("owners")) == left,
                         what=f"{left} tickets and owners")
        client.close()
        empty(g, decider.control)


@scenario
def execve_drops_what_was_inherited(g):
    """In the child, as in any process; the parent keeps its own."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1, inherit=True))
        child(g, client)
        client.execute()
        asks(g, decider, client, "tcp", g.peer.address4, 8080)
        g.eventually(lambda: decider.control.count("tickets") == 1, what="the copy is freed")


@scenario
def inherited_copies_go_with_their_origin(g):
    """By the number of the ticket, of a copy, by rule, by process and by flush; also when the first process is gone."""
    with Decider() as decider:
        def inherited():
            client = Client(g)
            given(g, decider, client, ticket(1, inherit=True, rule=7))
            return client, child(g, client)

        for what in ({"ticket_id": 1}, {"rule_id": 7}, None):
            client, _ = inherited()
            if what:
                decider.control.remove(**what)
            else:
                decider.control.command(uapi.CMD_TICKET_FLUSH)
            g.assert_equal(decider.control.tickets(), [], str(what))
            asks(g, decider, client, "tcp", g.peer.address4, 8080)
            client.close()
        for by_process in (True, False):
            client, pid = inherited()
            (copy,) = of_process(decider.control, pid)
            decider.control.remove(**({"tgid": pid} if by_process else {"ticket_id": copy[uapi.A_TICKET_ID]}))
            g.assert_equal([kept[uapi.A_TICKET_ID] for kept in decider.control.tickets()], [1])
            asks(g, decider, client, "tcp", g.peer.address4, 8080)
            decider.control.remove(ticket_id=1)
            client.close()
        client, pid = inherited()
        os.kill(client.pid, signal.SIGKILL)
        g.eventually(lambda: decider.control.count("tickets") == 1, what="only the copy is left")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "after its parent's end")
        decider.control.remove(ticket_id=1)
        g.assert_equal(decider.control.tickets(), [])
        asks(g, decider, client, "tcp", g.peer.address4, 8080)


@scenario(timeout=120)
def inheritance_is_bounded(g):
    """A child gets all copies or none: none past max-tickets; and of one process at most 256 tickets are inherited."""
    with Decider() as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_tickets=3, max_tickets_per_process=300))
        client = Client(g)
        event = given(g, decider, client, ticket(1, inherit=True), ticket(2, uapi.VERDICT_DENY, to="10.9.0.0/16", inherit=True))
        child(g, client)
        asks(g, decider, client, "tcp", g.peer.address4, 8080)
        g.assert_equal(decider.control.count("tickets"), 2)
        client.call("end")
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_tickets=1000))
        decider.control.add(*(ticket(number, inherit=True, process=event.process) for number in range(3, 257)))
        refusal = g.assert_raises(genl.NetlinkError, lambda: decider.control.add(
            ticket(257, inherit=True, process=event.process)))
        g.assert_equal(refusal.name, "ENOSPC")
        decider.control.add(ticket(257, process=event.process))
        pid = child(g, client)
        g.assert_equal(len(of_process(decider.control, pid)), 256)


@scenario(timeout=180)
def tickets_come_and_go_while_children_inherit_them(g):
    """Forks race with removal by number and rule, with expiry and with exits: nothing is left behind, nothing warns."""
    with Decider(watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        process = senders(g, decider, 2, 300, forks=150)
        process.stdin.write(b"\n")
        process.stdin.flush()
        number, asked = 0, 0
        while process.poll() is None:
            try:
                event = decider.next(0.2)
            except TimeoutError:
                continue
            number, asked = number + 10, asked + 1
            kind = {"inherit": True, "rule": 1 + number // 10 % 2, **SENDS}
            try:
                decider.allow(event, *(ticket(number + i, lifetime=10 * (i + 1), **kind) for i in range(4)))
                decider.control.remove(ticket_id=number + 1)
                decider.control.remove(rule_id=1)
            except genl.NetlinkError as error:
                g.assert_in(error.name, ("ENOENT", "ESRCH"), "refusal")
        g.assert_true(asked > 10, f"{asked} calls were asked for")
        empty(g, decider.control)


@scenario(timeout=120)
def module_unloads_while_children_inherit(g):
    """rmmod with tickets of every kind in use, while a process forks and its threads send."""
    with Decider(watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        status = os.stat("/usr/bin/python3")
        decider.control.add(ticket(9, program=(status.st_dev, status.st_ino), **SENDS))
        decider.control.remove(ticket_id=9)
        process = senders(g, decider, 2, 2000, ticket(1, inherit=True, **SENDS), ticket(2, uses=500, **SENDS), forks=100)
        decider.control.add(ticket(9, program=(status.st_dev, status.st_ino), uid=12345, **SENDS))
        process.stdin.write(b"\n")
        process.stdin.flush()
        time.sleep(1)
    g.assert_true(process.poll() is None, "still running")
    g.unload_module()
    g.assert_equal(process.ended(100), 0)


@scenario
def mixed_up_tickets_are_refused(g):
    """What a ticket can't be, each with a text that says so: both kinds at once, half a kind, a number of the kernel's."""
    with Decider() as decider:
        client = Client(g)
        process = given(g, decider, client).process
        program = (1, 2)
        half = dict(genl.parse(ticket(1)))[uapi.A_MAIN_TICKET]
        wrong = {
            "for nobody": ticket(1),
            "for a process and a program": ticket(1, process=process, program=program),
            "a program without its inode": genl.nested(uapi.A_MAIN_TICKET, half, genl.attr(uapi.A_TICKET_EXE_DEVICE, 1, width=8)),
            "a process without its start": genl.nested(uapi.A_MAIN_TICKET, half, genl.attr(uapi.A_TICKET_TGID, client.pid)),
            "a user for a process": ticket(1, process=process, uid=0),
            "no user": ticket(1, program=program, uid=2**32 - 1),
            "inherited from a program": ticket(1, program=program, inherit=True),
            "inherited and used up": ticket(1, process=process, inherit=True, uses=1),
            "no uses": ticket(1, process=process, uses=0),
            "too many uses": ticket(1, process=process, uses=2**31),
            "a number of the kernel's": ticket(COPY | 1, process=process),
        }
        for what, one in wrong.items():
            refusal = g.assert_raises(genl.NetlinkError, lambda: decider.control.add(one), what)
            g.assert_in(refusal.name, ("EINVAL", "ERANGE"), what)
            g.assert_true(refusal.message, f"{what}: extended ack")
        for what in ({}, {"ticket_id": 1, "rule_id": 1}, {"rule_id": 1, "tgid": client.pid}):
            refusal = g.assert_raises(genl.NetlinkError, lambda: decider.control.remove(**what), str(what))
            g.assert_equal((refusal.name, bool(refusal.message)), ("EINVAL", True), str(what))
        for kind in ({"process": process}, {"program": program}, {"uid": 0, "program": program}):
            client.begin("tcp", g.peer.address4, 8080)
            event = decider.next()
            refusal = g.assert_raises(genl.NetlinkError, lambda: decider.allow(event, ticket(1, **kind)), str(kind))
            g.assert_equal(refusal.name, "EINVAL", "a verdict's ticket is for who asked")
            decider.allow(event)
            g.assert_equal(client.answer(), "ok")
        g.assert_equal((decider.control.count("tickets"), decider.control.count("owners")), (0, 0))
