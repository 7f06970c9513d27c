# SPDX-License-Identifier: MIT OR Apache-2.0
"""Rules for hosts by their names, with a name server in the peer's namespace."""

import json
from pathlib import Path

from client import Client
from scenario import scenario
from supervised import Person

RESOLV = Path("/etc/resolv.conf")
HOSTS = Path("/etc/hosts")
CLOSED = {"fallback": {"default": "deny"}}

# Asks the server that is its first argument for its second.
ASKS = r"""
import socket, struct, sys
name = b"".join(bytes([len(label)]) + label.encode() for label in sys.argv[2].split(".")) + b"\0"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(10)
    s.sendto(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + name + struct.pack(">2H", 1, 1), (sys.argv[1], 53))
    s.recv(4096)
"""


class Servers:
    """Two name servers of the peer: the one at address4 is the system's."""

    def __init__(self, g):
        self.g = g
        self.files = {address: Path(f"/tmp/names-{address}.json") for address in (g.peer.address4, g.peer.other4)}
        for address, file in self.files.items():
            file.write_text("{}")
            server = g.spawn("ip", "netns", "exec", g.peer.namespace, "python3", "/snet/name_server.py", address, str(file))
            g.eventually(lambda server=server: "ready" in server.output(), what="the name server")
        kept = {path: path.read_bytes() if path.exists() else None for path in (RESOLV, HOSTS)}
        g.at_end(lambda: [path.write_bytes(text or b"") for path, text in kept.items()])
        RESOLV.write_text(f"nameserver {g.peer.address4}\noptions timeout:5 attempts:1\n")

    def say(self, names: dict, by: str | None = None) -> None:
        self.files[by or self.g.peer.address4].write_text(json.dumps(names))


def fetch(g, host: str, port: int = 8080) -> int:
    return g.run("curl", "-4", "-sS", "--max-time", "20", f"http://{host}:{port}/").rc


@scenario(timeout=120)
def rule_for_a_host_follows_its_addresses(g):
    """The answer that the program gets counts for its very next call; a new address too, and names that lead elsewhere.
    What a program asks a server of its own changes nothing."""
    servers = Servers(g)
    servers.say({"web.test": [g.peer.address4], "www.web.test": "cdn.test", "cdn.test": [g.peer.other4], "b.test": [g.peer.other4]})
    with g.snetd(CLOSED):
        g.tool("allow", "any", "udp")
        g.tool("allow", "curl", "tcp", "connect", "--to", "web.test")
        g.assert_equal(fetch(g, g.peer.address4), 7, "nobody has asked for the name")
        g.assert_equal(fetch(g, "web.test"), 0)
        g.assert_equal(fetch(g, g.peer.address4), 0, "the address of that host")
        g.assert_equal(fetch(g, "b.test"), 7, "another host")
        servers.say({"web.test": [g.peer.other4]}, by=g.peer.other4)
        g.run("python3", "-c", ASKS, g.peer.other4, "web.test", check=True)
        g.assert_equal(fetch(g, g.peer.other4), 7, "as a server says that isn't the system's")
        servers.say({"web.test": [g.peer.other4], "www.web.test": "cdn.test", "cdn.test": [g.peer.other4]})
        g.assert_equal(fetch(g, "web.test"), 0, "it has moved")
        g.tool("rules", "delete", "2")
        g.assert_equal(fetch(g, "web.test"), 7)
        g.tool("allow", "curl", "tcp", "connect", "--to", "*.web.test")
        g.assert_equal(fetch(g, "www.web.test"), 0, "a name that leads to another one")
        g.assert_equal(fetch(g, g.peer.address4), 7)


@scenario(timeout=120)
def ticket_goes_when_its_address_becomes_a_denied_host_s(g):
    """A process with tickets for any address; /etc/hosts counts as well, and what it no longer says is over."""
    servers = Servers(g)
    servers.say({"evil.test": [g.peer.other4]})
    with g.snetd({}):
        g.tool("allow", "python3", "tcp", "connect")
        g.tool("deny", "any", "tcp", "connect", "--to", "*.test", "--priority", "5")
        client = Client(g)
        for address in (g.peer.address4, g.peer.other4):
            g.assert_equal([client.call("tcp", address, 8080) for _ in range(2)], ["ok"] * 2, address)
        g.assert_equal(fetch(g, "evil.test"), 7)
        g.eventually(lambda: client.call("tcp", g.peer.other4, 8080) == "EACCES", timeout=2, what="the ticket is gone")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        HOSTS.write_text(f"{g.peer.address4} Written.Test\n")
        g.eventually(lambda: client.call("tcp", g.peer.address4, 8080) == "EACCES", timeout=15, what="/etc/hosts counts")
        HOSTS.write_text("")
        g.eventually(lambda: client.call("tcp", g.peer.address4, 8080) == "ok", timeout=15, what="it says nothing now")


@scenario(module=False, timeout=120)
def supervised_program_reaches_hosts_by_name(g):
    """As root by the answers that pass, without root by asking for the names that rules spell out."""
    servers = Servers(g)
    servers.say({"web.test": [g.peer.address4], "b.test": [g.peer.other4]})
    for name in ("root", "alice"):
        person = Person(g, name)
        person.does("snet-tool", "run", "--", "true")
        for words in (("deny", "curl", "tcp", "connect", "--priority", "-1"), ("allow", "curl", "tcp", "connect", "--to", "web.test")):
            done = person.does("snet-tool", *words)
            g.assert_equal(done.rc, 0, str(done))
        for host, expected in (("web.test", 0), ("b.test", 7), (g.peer.address4, 0)):
            ran = person.does("snet-tool", "run", "--", "curl", "-4", "-sS", "--max-time", "20", f"http://{host}:8080/")
            g.assert_equal(ran.rc, expected, f"{name}: {host}: {ran}")
