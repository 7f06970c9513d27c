# SPDX-License-Identifier: MIT OR Apache-2.0
"""Looks at a system with systemd on a disk: what is there after a reboot, and after the power was cut.

Owns: the checks of tests/vm/power.py that are done with systemd, of which each boot does one.
"""

import json
from pathlib import Path

from order import ORDER
from system import PORT, UNREACHABLE, answers, apt, check, eventually, is_up, rules, run, shown, states, unsound, visit

CONFIG = Path("/etc/snet/snetd.toml")
NOTE = "from before the reboot"
UNITS = ("snetd.service", "snetd.socket", "snet-early.service")
MODULE = Path("/sys/module/snet")
# What `snet-tool status` ends with where nothing is mediated.
NOTHING_MEDIATED = 6


def packages_are_installed_on_a_disk():
    apt("install", "/snet/debs/this.deb")
    is_up()
    CONFIG.write_text(CONFIG.read_text().replace('# listen = "deny"', 'connect = "deny"'))
    run("systemctl", "reload", "snetd")
    visit(7)
    run("snet-tool", "allow", "curl", "tcp", "connect", "--note", NOTE)
    visit(0)
    check_daemon()


def reboot_brings_daemon_and_rules_back():
    check_daemon()
    assert [rule["note"] for rule in rules()] == [NOTE], rules()
    assert shown("NRestarts") == {"NRestarts": "0"}, shown("NRestarts")


def boot_with_snet_disabled_lets_rules_be_changed():
    eventually(lambda: answers(NOTHING_MEDIATED), "snetd is up")
    assert shown("NRestarts") == {"NRestarts": "0"}, shown("NRestarts")
    assert not MODULE.exists() and states(*UNITS) == ["active", "active", "inactive"], states(*UNITS)
    visit_by_python(0)
    said = [json.loads(finding) for finding in unsound()]
    assert any("snet.disable=1 on the kernel's command line" in finding["what"] for finding in said), said
    run("snet-tool", "deny", "curl", "udp", "send", "--note", "made in need")
    made = [rule["id"] for rule in rules() if rule["note"] == "made in need"]
    assert len(made) == 1, rules()
    run("snet-tool", "rules", "delete", str(made[0]))


def boot_into_rescue_mode_has_no_snet():
    assert states("sysinit.target", "multi-user.target") == ["active", "inactive"], "this isn't rescue mode"
    check_without_snet()


def boot_into_emergency_mode_has_no_snet():
    assert states("sysinit.target") == ["inactive"], "this isn't emergency mode"
    check_without_snet()


def check_without_snet() -> None:
    """But it can be had, to change its rules, and sent away again, as docs/operations.md says."""
    assert not MODULE.exists() and states(*UNITS) == ["inactive"] * 3, states(*UNITS)
    visit_by_python(0)
    run("snet-tool", "status", code=UNREACHABLE)
    run("systemctl", "start", "snetd")
    check_daemon()
    assert [rule["note"] for rule in rules()] == [NOTE], rules()
    run("systemctl", "stop", "snetd")
    run("modprobe", "-r", "snet")
    visit_by_python(0)


def system_is_whole_after_the_power_cuts():
    check_daemon()
    found = [[rule["note"], rule["enabled"]] for rule in rules()]
    assert sorted(found) in ORDER["allowed"], f"{found} is none of {ORDER['allowed']}"


def check_daemon() -> None:
    is_up()
    # By its rule, while a program without one isn't let out.
    visit(0)
    visit_by_python(1)
    assert not unsound(), unsound()
    log = run("journalctl", "-b", "-u", "snetd", "--no-pager", code=None)
    assert "warn" not in log.lower(), log


def visit_by_python(code: int) -> None:
    run("python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {PORT}))", code=code)


check(globals())
