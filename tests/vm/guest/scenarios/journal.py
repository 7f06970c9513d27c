# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the kernel decided alone, as snetd's journal and snet-tool tell it; and an event socket that overflows."""

import json
import os
import signal
import socket
import time
from pathlib import Path

from client import CROWD, Client
from decider import Kernel
from scenario import scenario

CLOSED = {"fallback": {"default": "deny"}}
RATE = Path("/sys/module/snet/parameters/audit_rate")
# As many processes as the first argument says connect at once to the second.
FORKS = r"""
import os, socket, sys
def attempt():
    with socket.socket() as s:
        s.connect((sys.argv[2], 7007))
children = []
for _ in range(int(sys.argv[1])):
    child = os.fork()
    if not child:
        try:
            attempt()
        except OSError:
            os._exit(1)
        os._exit(0)
    children.append(child)
print("failed", sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""


def entries(g):
    return [json.loads(line) for line in g.tool("log", "-n", "10000", "--json").out.splitlines()]


def told(g):
    return [(entry["verdict"], entry["source"], entry.get("cause"), entry["rule"]) for entry in entries(g)]


@scenario(timeout=120)
def fallback_while_the_daemon_was_stopped_is_in_its_log(g):
    """SIGSTOP: three calls get the fallback at their deadline and one at once. After SIGCONT log and watch tell each, with
    its cause and when it was."""
    with g.snetd({**CLOSED, "requests": {"deadline": "1s"}}) as daemon:
        g.tool("allow", "python3", "tcp", "connect")
        g.eventually(lambda: len(audit_sockets(daemon.pid)) == 1, what="snetd listens")
        stream = g.spawn("snet-tool", "watch")
        client = Client(g)
        time.sleep(1)
        daemon.process.send_signal(signal.SIGSTOP)
        ended = []
        for _ in range(4):
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
            ended.append(time.time() * 1000)
        time.sleep(1)
        daemon.process.send_signal(signal.SIGCONT)
        expected = [("deny", "kernel", "deadline", None)] * 3 + [("deny", "kernel", "stalled", None)]
        g.eventually(lambda: told(g) == expected, what="the log tells all four")
        for entry, end in zip(entries(g), ended):
            g.assert_between(end - 900 * g.slowness, entry["time"], end + 50, "when it was decided")
            g.assert_equal((entry["tgid"], entry["remote"]), (client.pid, f"{g.peer.address4}:8080"))
        lines = g.tool("log").out
        g.assert_equal(lines.count("fallback (no verdict in time)"), 3, lines)
        g.assert_equal(lines.count("fallback (the decider stalled)"), 1, lines)
        g.eventually(lambda: stream.output().count("fallback (") == 4, what="watch shows them")
        g.eventually(lambda: client.call("tcp", g.peer.address4, 8080) == "ok", what="back to normal")


@scenario
def denial_by_a_ticket_is_in_the_log_with_its_rule(g):
    """The first call is denied by the rule, the next ones by its ticket; those aren't counted as hits of the rule."""
    with g.snetd({}) as daemon:
        g.eventually(lambda: len(audit_sockets(daemon.pid)) == 1, what="snetd listens")
        g.tool("deny", "python3", "tcp", "connect")
        client = Client(g)
        for _ in range(3):
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        expected = [("deny", "rule", None, 1)] + [("deny", "kernel", "ticket", 1)] * 2
        g.eventually(lambda: told(g) == expected, what="the log tells all three")
        g.assert_equal(g.tool("log").out.count("ticket of rule 1"), 2)
        (rule,) = [json.loads(line) for line in g.tool("rules", "--json").out.splitlines()]
        g.assert_equal(rule["hits"], 1)


@scenario(timeout=120)
def what_the_log_misses_is_counted_in_it(g):
    """Past the rate every denial is either an entry or counted by one, and by status."""
    RATE.write_text("3")
    with g.snetd({}) as daemon:
        g.eventually(lambda: len(audit_sockets(daemon.pid)) == 1, what="snetd listens")
        g.tool("deny", "python3", "tcp", "connect")
        client = Client(g)
        for _ in range(100):
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        time.sleep(1.2)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")

        def complete():
            found = [entry for entry in entries(g) if entry["source"] == "kernel"]
            return len(found) + sum(entry.get("dropped", 0) for entry in found) == 100 and found
        found = g.eventually(complete, what="99 hits of the flood and the one after it")
        g.assert_true(len(found) < 50, f"{len(found)} entries at 3 a second")
        g.assert_equal(g.stats()["kernel"]["stats"]["audit_dropped"], 100 - len(found))
        g.assert_in("decisions of the kernel aren't known", g.tool("log").out)


@scenario(timeout=90)
def daemon_that_comes_back_goes_on_listening(g):
    """After kill -9, and after the module was reloaded under it, the log tells again what the kernel decides."""
    daemon = g.snetd({})
    daemon.start()
    g.tool("deny", "python3", "tcp", "connect")

    def denied_by_ticket():
        g.eventually(lambda: len(audit_sockets(daemon.pid)) == 1, 20, what="snetd listens")
        client = Client(g)
        before = len(entries(g))
        for _ in range(2):
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        expected = [("deny", "rule", None, 1), ("deny", "kernel", "ticket", 1)]
        g.eventually(lambda: told(g)[before:] == expected, what="both are told")

    denied_by_ticket()
    daemon.kill()
    daemon.start()
    denied_by_ticket()
    g.reload_module()
    g.eventually(lambda: g.stats()["kernel"], 20, what="registered again")
    denied_by_ticket()
    daemon.stop()


def netlink_sockets(pid):
    """(descriptor, groups) of the generic netlink sockets of a process."""
    lines = [line.split() for line in Path("/proc/net/netlink").read_text().splitlines()[1:]]
    known = {f"socket:[{line[9]}]": int(line[3], 16) for line in lines if line[1] == "16"}
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except FileNotFoundError:  # closed since it was listed
            continue
        if target in known:
            found.append((int(link.name), known[target]))
    return found


def audit_sockets(pid):
    """Those that are members of the group `audit`."""
    with Kernel() as kernel:
        group = kernel.group("snet", "audit")
    return [number for number, groups in netlink_sockets(pid) if group <= 32 and groups >> group - 1 & 1]


def borrowed(pid, number):
    """A duplicate of another process's socket."""
    import ctypes
    handle = os.pidfd_open(pid)
    duplicate = ctypes.CDLL(None, use_errno=True).syscall(438, handle, number, 0)
    os.close(handle)
    if duplicate < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return socket.socket(fileno=duplicate)


@scenario(timeout=300)
def overflow_of_the_event_socket_loses_no_call(g):
    """Hundreds are held while snetd is stopped and its socket has room for a few events: each is decided by its rule once
    it goes on, since snetd lists what is held."""
    with g.snetd({**CLOSED, "requests": {"deadline": "200s", "held_per_process": 1000}}) as daemon:
        g.tool("allow", "python3", "tcp", "connect", "--to", g.peer.address4)
        listening = set(audit_sockets(daemon.pid))
        shrunk = 0
        for number, groups in netlink_sockets(daemon.pid):
            if groups and number not in listening:
                with borrowed(daemon.pid, number) as events:
                    events.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                    shrunk += 1
        g.assert_equal(shrunk, 1, "the socket of the events")
        daemon.process.send_signal(signal.SIGSTOP)
        forks = g.spawn_python(FORKS, "300", g.peer.address4)
        threads = g.spawn_python(CROWD, "100", g.peer.other4)
        with Kernel() as kernel:
            g.eventually(lambda: kernel.count("held") == 400, timeout=150, interval=0.5, what="400 held at once")
            events = kernel.count("events")
            g.assert_true(events < 301, f"{events} of 301 events found room")
            daemon.process.send_signal(signal.SIGCONT)
            g.assert_equal(forks.ended(120), 0)
            g.assert_equal(threads.ended(60), 0)
            g.assert_equal(forks.output().strip(), "failed 0")
            g.assert_equal(threads.output().strip(), "EACCES 100")
            g.assert_equal((kernel.count("verdict_allowed"), kernel.count("verdict_denied")), (300, 100))
            g.assert_equal((kernel.count("held"), kernel.count("fallback_deadline")), (0, 0))
        g.assert_in("events were lost", daemon.output())


@scenario
def watched_unix_sockets_leave_root_a_way_to_the_daemon(g):
    """`deny any` with Unix sockets watched: other programs are refused, and root's snet-tool takes it back."""
    with g.snetd({"watch": {"connect": "unix,tcp", "create": "unix"}}):
        g.tool("deny", "any", "any", "any", "--priority", "100")
        probe = "import socket; socket.socket(socket.AF_UNIX).connect('/run/snet/snetd.sock')"
        refused = g.python(probe)
        g.assert_in("PermissionError", refused.err)
        g.tool("rules")
        g.assert_equal(g.tool("test", "snet-tool", "unix", "connect").out.split(":")[0], "allow")
        g.tool("rules", "delete", "1")
        g.python(probe, check=True)


@scenario
def unwatched_calls_are_said_to_be_so(g):
    """A rule for calls that aren't watched comes with a note, and `test` says what really happens to them."""
    with g.snetd({"watch": {"connect": "tcp"}}):
        added = g.tool("deny", "python3", "tcp", "listen")
        g.assert_in("no tcp listen is watched", added.err)
        answer = g.tool("test", "python3", "tcp", "listen")
        g.assert_in("not watched", answer.out)
        g.assert_equal(Client(g).call("listen", "127.0.0.1", 5003), "ok")
        g.assert_true("watched" not in g.tool("deny", "python3", "tcp", "connect").err, "no note for what is watched")
        g.assert_equal(g.tool("test", "python3", "tcp", "connect", check=False).rc, 3)
