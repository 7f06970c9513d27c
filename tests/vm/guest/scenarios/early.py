# SPDX-License-Identifier: MIT OR Apache-2.0
"""The time before the daemon: what `snetd --early` gives to the module."""

import json

from client import Client
from scenario import scenario

CLOSED = {"fallback": {"default": "deny"}}


def fetch(g) -> int:
    return g.run("curl", "-sS", g.peer.url()).rc


@scenario(timeout=150)
def programs_of_rules_are_decided_before_the_daemon_runs(g):
    """A module that was just loaded, and the file that a daemon left: rules for all processes of a program count, others
    don't; the daemon takes it up from there."""
    daemon = g.snetd(CLOSED)
    daemon.start()
    g.tool("allow", "curl", "tcp", "connect")
    g.tool("allow", "python3", "tcp", "connect", "--for", "1h")
    g.tool("allow", "nc", "tcp", "connect", "--parent", "sh")
    g.eventually(lambda: daemon.early() == ["curl"], what="the file follows the rules")
    daemon.stop()
    g.unload_module()
    g.load_module()
    g.assert_equal(fetch(g), 0, "nothing is watched yet")
    g.run(*daemon.command, "--early", check=True)
    client = Client(g)
    g.assert_equal(fetch(g), 0, "by its ticket")
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES", "a rule that ends gives none")
    daemon.start()
    g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
    kept = [json.loads(line) for line in g.tool("tickets", "--json").out.splitlines()]
    g.assert_true(any(ticket.get("file") for ticket in kept), kept)
    g.tool("deny", "curl", "tcp", "connect", "--priority", "5")
    g.assert_equal(fetch(g), 7)
    g.eventually(lambda: daemon.early(verdict="allow") == [], what="the file follows the rules")
    daemon.stop()
    g.run(*daemon.command, "--early", check=True)
    g.assert_equal(fetch(g), 7)


@scenario
def damaged_early_file_leaves_the_fallback(g):
    """It is refused with a reason; what to watch and the fallback count all the same."""
    daemon = g.snetd(CLOSED)
    daemon.start()
    daemon.stop()
    daemon.early_file.write_text("{")
    refused = g.run(*daemon.command, "--early")
    g.assert_equal(refused.rc, 1)
    g.assert_in("no tickets are given", refused.err)
    g.assert_equal(fetch(g), 7)
    daemon.start()
    g.tool("allow", "curl", "tcp", "connect")
    g.eventually(lambda: daemon.early() == ["curl"], what="it is written anew")
    daemon.stop()
