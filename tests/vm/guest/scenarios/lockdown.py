# SPDX-License-Identifier: MIT OR Apache-2.0
"""Secure Boot: the kernel is locked down and takes only modules that are signed with a key it trusts. docs/secure-boot.md."""

from pathlib import Path

from client import Client
from decider import Decider, ticket
from leaks import KernelLog
from scenario import scenario

SIGNED = "/snet/signed/snet.ko"


@scenario(module=False, requires="secure-boot")
def kernel_is_locked_down_by_secure_boot(g):
    """The firmware verified the kernel, which therefore has put itself into lockdown; the way back is closed."""
    lockdown = Path("/sys/kernel/security/lockdown")
    g.assert_in("[integrity]", lockdown.read_text())
    g.assert_raises(OSError, lambda: lockdown.write_text("none"))
    g.assert_in("Secure boot enabled", g.run("dmesg", check=True).out)


@scenario(module=False, requires="secure-boot")
def unsigned_module_is_refused_under_secure_boot(g):
    """insmod fails with the kernel's own words, as the documentation quotes them."""
    log = KernelLog()
    refused = g.run("insmod", "/snet/snet.ko")
    g.assert_equal(refused.rc, 1)
    g.assert_in("Key was rejected by service", refused.err)
    g.assert_in("Loading of unsigned module is rejected", "\n".join(log.read()))
    g.assert_true(not g.module_loaded(), "not loaded")


@scenario(module=False, requires="secure-boot")
def signed_module_holds_calls_under_secure_boot(g):
    """Signed with an enrolled key it loads, taints only as a module from outside the kernel's tree, and lockdown takes
    nothing from it: calls are held, tickets decide, it unloads."""
    g.run("insmod", SIGNED, check=True)
    g.assert_equal(Path("/sys/module/snet/taint").read_text().strip(), "O")
    g.assert_equal(int(Path("/proc/sys/kernel/tainted").read_text()) & 1 << 13, 0, "tainted as unsigned")
    with Decider() as decider:
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next(), ticket(1))
        g.assert_equal(client.answer(), "ok")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.assert_equal(decider.control.count("ticket_allowed"), 1)
        other = Client(g)
        other.begin("tcp", g.peer.address4, 8080)
        decider.deny(decider.next())
        g.assert_equal(other.answer(), "EACCES")
    g.unload_module()


@scenario(module=False, requires="secure-boot")
def broken_signature_is_refused_under_secure_boot(g):
    """A signed module that was changed afterwards is no signed module."""
    content = bytearray(Path(SIGNED).read_bytes())
    content[content.index(b"Application firewall")] ^= 1
    changed = g.tmp / "snet.ko"
    changed.write_bytes(content)
    refused = g.run("insmod", str(changed))
    g.assert_equal(refused.rc, 1)
    g.assert_in("Key was rejected by service", refused.err)
    g.assert_true(not g.module_loaded(), "not loaded")
