# SPDX-License-Identifier: MIT OR Apache-2.0
"""What snetd owes to what was there before it: tickets, held calls, programs that change."""

import signal
import sqlite3
import time
from pathlib import Path

from client import Client
from scenario import scenario

CLOSED = {"fallback": {"default": "deny"}}


def tickets(g):
    return len(g.tool("tickets", "list", "--json").out.splitlines())


def counter(g, name):
    return g.stats()["kernel"]["stats"][name]


@scenario
def tickets_of_a_dead_daemon_are_kept_while_the_rules_agree(g):
    """kill -9, start again: the ticket is still there and decides; with its rule gone meanwhile it is not."""
    daemon = g.snetd(CLOSED)
    daemon.start()
    g.tool("allow", "python3", "tcp", "connect")
    client = Client(g)
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
    daemon.kill()
    daemon.start()
    g.assert_equal(tickets(g), 1)
    events = counter(g, "events")
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
    g.assert_equal(counter(g, "events"), events, "decided by the ticket")
    daemon.kill()
    with sqlite3.connect(daemon.database) as database:
        database.execute("UPDATE rules SET enabled = 0")
    database.close()
    daemon.start()
    g.eventually(lambda: tickets(g) == 0, what="the ticket is revoked")
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
    daemon.stop()


@scenario
def optional_module_is_found_when_it_is_loaded(g):
    """`kernel = "optional"`: rules can be made without the module; once loaded it is used."""
    g.unload_module()
    with g.snetd({**CLOSED, "kernel": "optional"}):
        g.assert_true(g.stats()["kernel"] is None, "no kernel yet")
        g.assert_equal(g.tool("status", check=False).rc, 6, "exit code: nothing is mediated")
        g.tool("allow", "curl", "tcp", "connect")
        g.load_module()
        g.eventually(lambda: g.stats()["kernel"], 10, what="registered")
        g.tool("status")
        g.run("curl", "-sS", g.peer.url(), check=True)
        g.assert_equal(Client(g).call("tcp", g.peer.address4, 8080), "EACCES")
        g.assert_true(g.stats()["daemon"]["problem"] is None, "no problem any more")


@scenario(timeout=120)
def link_to_another_program_is_followed(g):
    """A rule for a name that is a link is about where the link leads now, and old tickets go."""
    link = Path("/usr/local/bin/which-one")
    one, two = Path("/usr/local/bin/one"), Path("/usr/local/bin/two")
    for program in (one, two):
        g.run("cp", "/usr/bin/curl", str(program), check=True)
        g.at_end(program.unlink)
    link.symlink_to(one)
    g.at_end(link.unlink)
    with g.snetd(CLOSED):
        g.tool("allow", "which-one", "tcp", "connect")
        g.run(str(link), "-sS", g.peer.url(), check=True)
        g.assert_equal(g.run(str(two), "-sS", g.peer.url()).rc, 7)
        link.unlink()
        link.symlink_to(two)
        g.eventually(lambda: g.run(str(link), "-sS", g.peer.url()).rc == 0, 60, 2, what="the link is followed")
        g.assert_equal(g.run(str(one), "-sS", g.peer.url()).rc, 7)


@scenario
def calls_held_before_the_daemon_registers_are_decided_by_it(g):
    """SIGSTOP, a call, SIGCONT: the call that was held meanwhile gets the verdict, once."""
    with g.snetd({**CLOSED, "requests": {"deadline": "20s"}}) as daemon:
        g.tool("allow", "python3", "tcp", "connect")
        client = Client(g)
        daemon.process.send_signal(signal.SIGSTOP)
        client.begin("tcp", g.peer.address4, 8080)
        time.sleep(1)
        daemon.process.send_signal(signal.SIGCONT)
        g.assert_equal(client.answer(), "ok")
        g.eventually(lambda: len(g.tool("log", "--json").out.splitlines()) == 1, what="one entry")


@scenario(timeout=120)
def stopping_with_held_calls_releases_them_at_once(g):
    """SIGTERM unregisters: whoever is held then gets the fallback without waiting for the deadline."""
    daemon = g.snetd({**CLOSED, "requests": {"deadline": "30s"}})
    daemon.start()
    client = Client(g)
    daemon.process.send_signal(signal.SIGSTOP)
    client.begin("tcp", g.peer.address4, 8080)
    time.sleep(1)
    daemon.process.terminate()
    begin = time.monotonic()
    daemon.process.send_signal(signal.SIGCONT)
    g.assert_equal(client.answer(), "EACCES")
    g.assert_took(0, time.monotonic() - begin, 5, "seconds")
    g.assert_equal(daemon.process.wait(10), 0)


@scenario(timeout=180)
def full_disk_costs_the_journal_and_no_decision(g):
    """The file system of the database is full: decisions go on, the loss is counted and said."""
    disk = g.tmp / "disk"
    disk.mkdir(mode=0o700)
    g.run("mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(disk), check=True)
    g.at_end(lambda: g.run("umount", str(disk)))
    with g.snetd(CLOSED, database=disk / "rules.db"):
        g.tool("allow", "curl", "tcp", "connect")
        with open(disk / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"x" * 4096)
            except OSError:
                pass

        def lost():
            g.run("curl", "-sS", g.peer.url(), check=True)
            return g.stats()["daemon"]["journal_dropped"]
        g.eventually(lost, 60, 0.2, what="entries are lost")
        g.assert_in("full", g.stats()["daemon"]["problem"])
        (disk / "filler").unlink()

        def well():
            g.run("curl", "-sS", g.peer.url(), check=True)
            return g.stats()["daemon"]["problem"] is None
        g.eventually(well, 20, 0.5, what="the problem is over")
