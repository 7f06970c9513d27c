# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tickets: what a verdict leaves behind, for whom it counts, and when it ends."""

import time

import genl
import uapi
from client import Client
from decider import Decider, Kernel, policy, ticket
from scenario import scenario


def given(g, decider, client, *tickets, to=None):
    """`client` connects, is allowed, and its process gets these tickets; returns the event."""
    client.begin("tcp", to or g.peer.address4, 8080)
    event = decider.next()
    decider.allow(event, *tickets)
    g.assert_equal(client.answer(), "ok")
    return event


def asks(g, decider, client, *words):
    """The call is held, which shows that no ticket decided it; it is then denied."""
    client.begin(*words)
    decider.deny(decider.next())
    g.assert_equal(client.answer(), "EACCES")


@scenario
def hit_needs_no_event(g):
    """The second connection is decided in the kernel: no event, one hit, in the counters and in the dump."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1, rule=77))
        events = decider.control.count("events")
        for _ in range(3):
            g.assert_equal(client.call("tcp", g.peer.other4, 8081), "ok")
        g.assert_equal(decider.control.count("events"), events)
        g.assert_equal(decider.control.count("ticket_allowed"), 3)
        (kept,) = decider.control.tickets()
        g.assert_equal((kept[uapi.A_TICKET_ID], kept[uapi.A_TICKET_HITS], kept[uapi.A_TICKET_RULE_ID],
                        kept[uapi.A_TICKET_TGID]), (1, 3, 77, client.pid))


@scenario
def deny_ticket_denies_without_an_event(g):
    """A deny ticket answers EACCES by itself."""
    with Decider() as decider:
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.deny(decider.next(), ticket(1, uapi.VERDICT_DENY))
        g.assert_equal(client.answer(), "EACCES")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        g.assert_equal(decider.control.count("ticket_denied"), 1)
        g.assert_true(decider.nothing(), "no event")


@scenario
def ticket_of_one_host_does_not_serve_another(g):
    """Scope: the host, the prefix, the port range, the protocol family."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1, to=f"{g.peer.address4}/32", port=(8080, 8080)))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        asks(g, decider, client, "tcp", g.peer.other4, 8080)
        asks(g, decider, client, "tcp", g.peer.address4, 8081)
        asks(g, decider, client, "tcp", g.peer.address6, 8080)


@scenario
def ticket_of_an_ipv6_prefix_covers_just_that(g):
    """A prefix that ends inside a byte."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1, to="fd77::2/127"), to=g.peer.address6)
        g.assert_equal(client.call("tcp", g.peer.other6, 8080), "ok", "fd77::3 is in fd77::2/127")
        asks(g, decider, client, "tcp", "fd77::1", 8080)
        asks(g, decider, client, "tcp", g.peer.address4, 8080)


@scenario
def most_specific_ticket_wins_and_deny_on_a_tie(g):
    """The narrower ticket decides, whichever came first; between equals deny does."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1), ticket(2, uapi.VERDICT_DENY, to="10.77.0.0/24"),
              ticket(3, to=f"{g.peer.address4}/32"), ticket(4, to=f"{g.peer.other4}/32"),
              ticket(5, uapi.VERDICT_DENY, to=f"{g.peer.other4}/32"))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "host over prefix")
        g.assert_equal(client.call("tcp", "10.77.0.9", 8080), "EACCES", "prefix over any")
        g.assert_equal(client.call("tcp", g.peer.other4, 8080), "EACCES", "deny on a tie")
        g.assert_equal(client.call("tcp", g.peer.address6, 8080), "ok", "any")


@scenario
def ticket_expires(g):
    """After its lifetime the next call asks again, and the ticket's memory is freed."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1, lifetime=1500))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        time.sleep(1.6)
        asks(g, decider, client, "tcp", g.peer.address4, 8080)
        g.eventually(lambda: decider.control.count("tickets") == 0, what="no ticket in memory")


@scenario
def exec_drops_tickets(g):
    """The same process after execve() is another program run: it asks."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1))
        client.execute()
        asks(g, decider, client, "tcp", g.peer.address4, 8080)
        g.eventually(lambda: decider.control.count("tickets") == 0, what="no ticket in memory")


@scenario
def exit_frees_tickets(g):
    """What a process had is gone with it."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1), ticket(2, to="10.0.0.0/8"))
        g.assert_equal(decider.control.count("tickets"), 2)
        client.close()
        g.eventually(lambda: decider.control.count("tickets") == 0, what="no ticket in memory")


@scenario
def changed_uid_makes_tickets_void(g):
    """A ticket counts for the user it was issued for."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1))
        client.call("uid", 1000)
        asks(g, decider, client, "tcp", g.peer.address4, 8080)


@scenario
def changed_cgroup_makes_tickets_void(g):
    """A ticket counts in the cgroup it was issued in."""
    import pathlib
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1))
        own = pathlib.Path(f"/proc/{client.pid}/cgroup").read_text().strip().rpartition("::")[2]
        other = pathlib.Path(f"/sys/fs/cgroup{own}/other")
        other.mkdir()
        (other / "cgroup.procs").write_text(str(client.pid))
        asks(g, decider, client, "tcp", g.peer.address4, 8080)


@scenario
def new_user_namespace_makes_tickets_void(g):
    """unshare() of the user namespace changes who the process may claim to be: it asks."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1))
        g.assert_equal(client.call("unshare"), "ok")
        asks(g, decider, client, "tcp", g.peer.address4, 8080)


@scenario
def forked_child_does_not_inherit(g):
    """The child is another process: it asks, while the parent goes on."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1))
        asks(g, decider, client, "fork", "tcp", g.peer.address4, 8080)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")


@scenario
def threads_share_tickets(g):
    """Another thread of the process needs no event."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, ticket(1))
        g.assert_equal(client.call("thread", "tcp", g.peer.address4, 8080), "ok")
        g.assert_equal(decider.control.count("ticket_allowed"), 1)


@scenario
def tickets_keep_working_without_a_decider(g):
    """The ticketed process goes on; others get the fallback at once."""
    decider = Decider(fallback=uapi.VERDICT_DENY)
    client = Client(g)
    given(g, decider, client, ticket(1))
    decider.close()
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
    g.assert_equal(Client(g).call("tcp", g.peer.address4, 8080), "EACCES")


@scenario
def tickets_are_removed_by_id_rule_and_process(g):
    """ticket-del finds by each, and answers ENOENT when there is nothing; ticket-flush removes all."""
    with Decider() as decider:
        client = Client(g)
        given(g, decider, client, *(ticket(number, rule=number % 2) for number in range(1, 7)))

        def left(*conditions):
            decider.control.command(uapi.CMD_TICKET_DEL, *conditions)
            return [kept[uapi.A_TICKET_ID] for kept in decider.control.tickets()]

        g.assert_equal(left(genl.attr(uapi.A_MAIN_TICKET_ID, 4, width=8)), [1, 2, 3, 5, 6])
        g.assert_equal(left(genl.attr(uapi.A_MAIN_RULE_ID, 1, width=8)), [2, 6])
        refusal = g.assert_raises(genl.NetlinkError, lambda: left(genl.attr(uapi.A_MAIN_TGID, 1)))
        g.assert_equal(refusal.name, "ENOENT")
        g.assert_equal(left(genl.attr(uapi.A_MAIN_TGID, client.pid)), [])
        given(g, decider, client, ticket(1))
        decider.control.command(uapi.CMD_TICKET_FLUSH)
        g.assert_equal(decider.control.tickets(), [])
        asks(g, decider, client, "tcp", g.peer.address4, 8080)


@scenario
def ticket_can_be_given_unasked(g):
    """ticket-add names a running program by process and execution; a wrong one is refused."""
    with Decider() as decider:
        client = Client(g)
        event = given(g, decider, client)
        tgid, start, execution = event.process
        for process, name in (((tgid, start, execution + 1), "ESTALE"), ((tgid, start + 1, execution), "ESTALE"),
                              ((0, 0, 0), "ESRCH"), ((2**31, start, execution), "ESRCH")):
            refusal = g.assert_raises(genl.NetlinkError, lambda: decider.control.command(
                uapi.CMD_TICKET_ADD, ticket(1, process=process)))
            g.assert_equal(refusal.name, name, str(process))
        decider.control.command(uapi.CMD_TICKET_ADD, ticket(1, process=event.process))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.assert_true(decider.nothing(), "no event")


@scenario
def tickets_are_bounded(g):
    """Past the bound a ticket is refused, the verdict counts all the same; an id is taken only once."""
    with Decider() as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_tickets_per_process=2))
        client = Client(g)
        for tickets, name in (((ticket(1), ticket(2), ticket(3)), "ENOSPC"), ((ticket(1), ticket(1)), "EEXIST")):
            client.begin("tcp", g.peer.address4, 8080)
            event = decider.next()
            refusal = g.assert_raises(genl.NetlinkError, lambda: decider.allow(event, *tickets))
            g.assert_equal(refusal.name, name)
            g.assert_true(refusal.message, "extended ack")
            g.assert_equal(client.answer(), "ok")
            g.assert_equal(decider.control.tickets(), [])


@scenario(timeout=120)
def dump_of_many_tickets_is_complete(g):
    """A thousand tickets of one process come in as many messages as it takes, each once, in order."""
    with Decider() as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_tickets_per_process=1000))
        client = Client(g)
        event = given(g, decider, client)
        for first in range(1, 1001, 10):
            decider.control.command(uapi.CMD_TICKET_ADD, *(
                ticket(number, to=f"10.1.{number // 250}.{number % 250}/32", process=event.process)
                for number in range(first, first + 10)))
        g.assert_equal([kept[uapi.A_TICKET_ID] for kept in decider.control.tickets()], list(range(1, 1001)))
        with Kernel() as kernel:
            g.assert_equal(kernel.count("tickets"), 1000)

