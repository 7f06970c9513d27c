# SPDX-License-Identifier: MIT OR Apache-2.0
"""Loading: where the hooks are on this boot, what can be in their way, and that it is never silently open."""

import errno
from pathlib import Path

import genl
import uapi
from client import Client
from decider import Decider, Kernel, watch
from leaks import KernelLog
from scenario import scenario

TRACING = Path("/sys/kernel/tracing")
SWITCH = Path("/proc/sys/kernel/ftrace_enabled")
OCCUPIER = "/snet/snet_occupy.ko"


def function(hook: str) -> str:
    """Where a hook is on this boot: docs/adr/0001-attach-by-ftrace.md."""
    active = Path("/sys/kernel/security/lsm").read_text().strip().split(",")
    return f"bpf_lsm_{hook}" if "bpf" in active else f"security_{hook}"


def attached() -> set[str]:
    return {line.split()[0] for line in (TRACING / "enabled_functions").read_text().splitlines()}


def occupy(g, name):
    g.run("insmod", OCCUPIER, f"function={name}", check=True)


def vacate(g):
    g.run("rmmod", "snet_occupy", check=True)


def is_held(g, decider):
    client = Client(g)
    client.begin("tcp", g.peer.address4, 8080)
    decider.allow(decider.next())
    g.assert_equal(client.answer(), "ok")


def refusal_to_load(g):
    """insmod fails; nothing of it stays behind. Returns what it said, and the kernel log."""
    log = KernelLog()
    refused = g.run("insmod", "/snet/snet.ko")
    g.assert_equal(refused.rc, 1)
    g.assert_true(not g.module_loaded(), "not loaded")
    g.assert_equal({name for name in attached() if "lsm_socket" in name or "security_socket" in name}
                   - {parameter()}, set())
    with genl.Socket() as control:
        g.assert_equal(g.assert_raises(genl.NetlinkError, lambda: control.family("snet")).name, "ENOENT")
    return refused.err, "\n".join(log.read())


def parameter() -> str:
    """What the occupier has taken."""
    file = Path("/sys/module/snet_occupy/parameters/function")
    return file.read_text().strip() if file.exists() else ""


@scenario
def holds_calls_where_its_hooks_are(g):
    """The function that ftrace shows as replaced is the one that this boot's security modules call."""
    with Decider(watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_LISTEN, uapi.PROTO_TCP)) as decider:
        g.assert_in(function("socket_connect"), attached())
        g.assert_in(function("socket_listen"), attached())
        is_held(g, decider)
    g.unload_module()
    g.assert_true(not {name for name in attached() if name.endswith(("socket_connect", "socket_listen"))}, "detached")


@scenario(module=False, timeout=120)
def taken_hook_fails_the_load_and_is_named(g):
    """Whichever hook a livepatch or another module has, loading fails and says which; without it, it loads."""
    taken = ["socket_connect", "socket_listen", "sctp_bind_connect"]
    if function("").startswith("bpf"):
        taken.append("socket_create")  # by which it is found out where to attach
    for hook in taken:
        occupy(g, function(hook))
        said, log = refusal_to_load(g)
        g.assert_in("Device or resource busy", said)
        line, = [line for line in log.splitlines() if line.startswith("snet: can't")]
        g.assert_in(function(hook), line)
        g.assert_in("livepatch", line)
        vacate(g)
    g.load_module()
    g.unload_module()


@scenario
def hook_taken_later_is_refused_to_the_watch_set(g):
    """Watching an operation whose hook somebody else took meanwhile is refused with a text; the rest is as it was."""
    with Decider() as decider:
        occupy(g, function("socket_listen"))
        refusal = g.assert_raises(genl.NetlinkError, lambda: decider.control.command(
            uapi.CMD_WATCH_SET, watch(uapi.OP_LISTEN, uapi.PROTO_TCP)))
        g.assert_equal(refusal.name, "EBUSY")
        g.assert_in("livepatch", refusal.message)
        is_held(g, decider)
        vacate(g)
        decider.control.command(uapi.CMD_WATCH_SET, watch(uapi.OP_LISTEN, uapi.PROTO_TCP))


@scenario
def attached_hook_can_not_be_taken(g):
    """Who comes later with a livepatch of the same function is refused: mediation goes on."""
    with Decider() as decider:
        refused = g.run("insmod", OCCUPIER, f"function={function('socket_connect')}")
        g.assert_in("Device or resource busy", refused.err)
        is_held(g, decider)


@scenario
def ftrace_can_not_be_switched_off_under_it(g):
    """kernel.ftrace_enabled=0 is refused while a hook is attached; if it was 0 before, watching and loading are. The newest
    kernels refuse it always."""
    g.at_end(lambda: SWITCH.write_text("1"))
    with Decider() as decider:
        refused = g.assert_raises(OSError, lambda: SWITCH.write_text("0")).errno
        g.assert_in(refused, (errno.EBUSY, errno.EOPNOTSUPP))
        g.assert_equal(SWITCH.read_text().strip(), "1")
        is_held(g, decider)
        if refused == errno.EOPNOTSUPP:
            return
        decider.control.command(uapi.CMD_WATCH_FLUSH)
        SWITCH.write_text("0")
        refusal = g.assert_raises(genl.NetlinkError, lambda: decider.control.command(
            uapi.CMD_WATCH_SET, watch(uapi.OP_CONNECT, uapi.PROTO_TCP)))
        g.assert_equal(refusal.name, "EBUSY")
        g.assert_in("ftrace_enabled", refusal.message)
    g.unload_module()
    said, log = refusal_to_load(g)
    g.assert_in("Device or resource busy", said)
    g.assert_in("kernel.ftrace_enabled is 0", log)
    SWITCH.write_text("1")
    g.load_module()
    with Decider() as decider:
        is_held(g, decider)


@scenario(timeout=120)
def tracing_the_same_functions_takes_nothing_away(g):
    """Function tracer and kprobe on a hook, before and after it is attached: calls are held, and unloading works."""
    name = function("socket_connect")

    def trace(on):
        (TRACING / "set_ftrace_filter").write_text(name if on else "")
        (TRACING / "current_tracer").write_text("function" if on else "nop")
        if (TRACING / "kprobe_events").exists():
            (TRACING / "kprobe_events").write_text(f"p:snet_test {name}" if on else "")

    g.at_end(lambda: trace(False))
    for first in (True, False):
        if first:
            trace(True)
        with Decider() as decider:
            if not first:
                trace(True)
            is_held(g, decider)
            trace(False)
            is_held(g, decider)
        with Kernel() as kernel:
            kernel.command(uapi.CMD_WATCH_FLUSH)


@scenario
def is_described_by_modinfo(g):
    """Name, licence, author, version and what it is about are in the file; the version is the running module's."""
    fields = {name: g.run("modinfo", "-F", name, "/snet/snet.ko", check=True).out.strip()
              for name in ("description", "author", "license", "version", "vermagic")}
    g.assert_true(all(fields.values()), fields)
    g.assert_equal(fields["license"], "GPL")
    g.assert_equal(Path("/sys/module/snet/version").read_text().strip(), fields["version"])
    taint = Path("/sys/module/snet/taint").read_text().strip()
    g.assert_in(taint, ("O", "OE"), "an out-of-tree module taints by being one, an unsigned one by that as well")
