# SPDX-License-Identifier: MIT OR Apache-2.0
"""Looks at a system with systemd on a disk: what is there after a reboot, and after the power was cut.

Owns: the checks of tests/vm/power.py that are done with systemd, of which each boot does one.
"""

from pathlib import Path

from order import ORDER
from system import PORT, apt, check, is_up, rules, run, shown, unsound, visit

CONFIG = Path("/etc/snet/snetd.toml")
NOTE = "from before the reboot"


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


def system_is_whole_after_the_power_cuts():
    check_daemon()
    found = [[rule["note"], rule["enabled"]] for rule in rules()]
    assert sorted(found) in ORDER["allowed"], f"{found} is none of {ORDER['allowed']}"


def check_daemon() -> None:
    is_up()
    # By its rule, while a program without one isn't let out.
    visit(0)
    run("python3", "-c", f"import socket; socket.create_connection(('127.0.0.1', {PORT}))", code=1)
    assert not unsound(), unsound()
    log = run("journalctl", "-b", "-u", "snetd", "--no-pager", code=None)
    assert "warn" not in log.lower(), log


check(globals())
