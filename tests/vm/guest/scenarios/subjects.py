# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whose calls a rule is about, beside the program: the unit."""

from pathlib import Path

from client import Client
from scenario import scenario
from supervised import Person

ROOT = Path("/sys/fs/cgroup")
# A command in the cgroup that is its first argument.
INSIDE = ("sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"')


def unit(g, path: str) -> Path:
    """The cgroup of a unit, as the system's manager makes it; gone at the end, with what is left in it moved out."""
    directory = ROOT / path
    made = [place for place in (directory, *directory.parents) if not place.exists()]
    directory.mkdir(parents=True)

    def remove() -> None:
        for place in made:
            for pid in (place / "cgroup.procs").read_text().split():
                (ROOT / "cgroup.procs").write_text(pid)
            place.rmdir()
    g.at_end(remove)
    return directory


def move(client: Client, directory: Path) -> None:
    (directory / "cgroup.procs").write_text(str(client.pid))


@scenario
def rule_for_a_unit_is_about_its_processes_alone(g):
    """Cgroups that come after the rule; a process that goes from one to the other, with the tickets that it got; a cgroup
    that a user gives the unit's name."""
    def visit():
        return client.call("tcp", g.peer.address4, 8080)

    with g.snetd({}):
        g.assert_in("isn't running now", g.tool("deny", "any", "tcp", "connect", "--unit", "a.service").err)
        client = Client(g)
        g.assert_equal(visit(), "ok", "in no unit")
        a, b = unit(g, "web.slice/a.service"), unit(g, "web.slice/b.service")
        worker = unit(g, "web.slice/a.service/worker")
        for directory, expected in ((b, "ok"), (worker, "EACCES"), (b, "ok"), (a, "EACCES"), (ROOT, "ok")):
            move(client, directory)
            g.assert_equal([visit(), visit()], [expected] * 2, str(directory))
        tickets = g.stats()["kernel"]["stats"]["tickets"]
        g.assert_true(tickets > 0, "the denial is a ticket of the unit's process")
        pretended = unit(g, "user.slice/user-1000.slice/user@1000.service/a.service")
        move(client, pretended)
        g.assert_equal(visit(), "ok", "a name that a user gave")
        for words, expected in ((("--unit", "a.service"), 3), ((), 0)):
            told = g.tool("test", "curl", "tcp", "connect", "--to", "192.0.2.1:80", *words, check=False)
            g.assert_equal(told.rc, expected, str(told))
        move(client, a)
        g.tool("deny", "any", "tcp", "connect", "--unit", "/web.slice/b.service")
        g.tool("rules", "delete", "1")
        g.assert_equal(visit(), "ok", "the rule is gone, and its ticket with it")
        move(client, b)
        g.assert_equal(visit(), "EACCES", "by the path of the cgroup")
        move(client, ROOT)


@scenario(module=False)
def supervised_process_is_of_the_unit_that_it_is_in(g):
    """The same rule without the module."""
    root, directory = Person(g, "root"), unit(g, "web.slice/a.service")
    visit = ("snet-tool", "run", "--", "curl", "-sS", g.peer.url())
    allowed = root.does(*visit)
    g.assert_equal(allowed.rc, 0, str(allowed))
    denied = root.does("snet-tool", "deny", "curl", "tcp", "connect", "--unit", "a.service")
    g.assert_equal(denied.rc, 0, str(denied))
    inside = root.does(*INSIDE, str(directory), *visit)
    g.assert_equal(inside.rc, 7, str(inside))
    outside = root.does(*visit)
    g.assert_equal(outside.rc, 0, str(outside))


@scenario
def rules_for_some_processes_hold_in_the_kernel(g):
    """Command line, parent and content, found out while the call is held; tickets are for the process that was looked at."""
    by_shell = ("sh", "-c", f"curl -sS {g.peer.url()}; exit $?")
    python = ("python3", "-c", f"import urllib.request; urllib.request.urlopen('{g.peer.url()}')")
    with g.snetd({"fallback": {"default": "deny"}}):
        g.tool("allow", "curl", "tcp", "connect", "--parent", "sh", "--command", "curl *")
        g.assert_equal(g.run(*by_shell).rc, 0)
        g.assert_equal(g.run("curl", "-sS", g.peer.url()).rc, 7, "started by another program")
        g.tool("rules", "delete", "1")
        g.tool("allow", "python3", "tcp", "connect", "--command", "* import urllib*")
        g.assert_equal(g.run(*python).rc, 0)
        g.assert_equal(g.run("python3", "-I", "-c", python[2]).rc, 0)
        g.assert_equal(g.run("python3", "-c", "\n" + python[2]).rc, 1, "another command line")
        g.assert_equal(g.run(*by_shell).rc, 7, "its rule is gone")
        sum = g.run("sha256sum", "/usr/bin/curl", check=True).out.split()[0]
        g.tool("allow", f"sha256:{sum}", "tcp", "connect")
        g.run("cp", "/usr/bin/curl", "/tmp/fetch", check=True)
        g.assert_equal(g.run("/tmp/fetch", "-sS", g.peer.url()).rc, 0, "by its content")
        with open("/tmp/fetch", "ab") as copy:
            copy.write(b"x")
        g.assert_equal(g.run("/tmp/fetch", "-sS", g.peer.url()).rc, 7, "the content is another one")


@scenario
def rule_for_a_container_is_about_its_processes_alone(g):
    """By the cgroups that docker makes; a program is told by its path there; a user's cgroup of that name is none."""
    number = "0a1b2c3d4e5f" + "0" * 52
    with g.snetd({}):
        g.tool("deny", "/usr/bin/python3*", "tcp", "connect", "--container", number[:12])
        client = Client(g)
        inside, pretended = (unit(g, f"{slice}/docker-{number}.scope")
                             for slice in ("system.slice", "user.slice/user-1000.slice/user@1000.service"))
        for directory, expected in ((ROOT, "ok"), (inside, "EACCES"), (pretended, "ok")):
            move(client, directory)
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), expected, str(directory))
        move(client, ROOT)
