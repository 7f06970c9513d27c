# SPDX-License-Identifier: MIT OR Apache-2.0
"""Installs, upgrades, removes and purges the Debian packages on a booted system.

Owns: the checks of tests/vm/packaged.py, in its order.
"""

import hashlib
import json
import os
import sqlite3
import subprocess
from pathlib import Path

from system import apt, check, is_up, rules, run, shown, states, visit

DEBS = Path("/snet/debs")
DATA = Path("/var/lib/snet")
DATABASE = DATA / "snet.db"
# The schema that the database of the previous version has.
PREVIOUS = 3
SOCKET = Path("/run/snet/snetd.sock")
UNITS = ("snetd.service", "snetd.socket", "snet-early.service", "snet-rescue.service")


def installed_version() -> str:
    return run("dpkg-query", "-W", "-f${db:Status-Status} ${Version}", "snet", code=None)


def package_brings_a_running_daemon():
    apt("install", str(DEBS / "this.deb"))
    for unit in UNITS:
        assert run("systemctl", "is-enabled", unit, code=None).strip() == "enabled", unit
    is_up()
    assert json.loads(run("snet-tool", "status", "--json"))["kernel"], "it isn't the decider"
    visit(0)
    run("snet-tool", "deny", "curl", "tcp", "connect")
    visit(7)
    assert run("getent", "group", "snet").startswith("snet:")
    assert (SOCKET.stat().st_mode & 0o777, DATA.stat().st_mode & 0o777) == (0o660, 0o700)
    socket_is_root_s()


def socket_is_root_s():
    assert states("snetd.socket") == ["active"], run("systemctl", "status", "snetd.socket", code=None)
    assert (SOCKET.owner(), SOCKET.group(), SOCKET.parent.owner()) == ("root", "snet", "root"), SOCKET.stat()


def package_has_what_belongs_to_it():
    files = run("dpkg-query", "-L", "snet").split()
    for wanted in ("/usr/share/man/man1/snet-tool.1.gz", "/usr/share/bash-completion/completions/snet-tool",
                   "/usr/lib/sysusers.d/snet.conf", "/etc/snet/snetd.toml", "/usr/share/doc/snet/copyright",
                   "/usr/share/doc/snet/install.md", "/usr/share/doc/snet/adr/README.md"):
        assert wanted in files, f"{wanted} is missing among {files}"
    run("bash", "-c", "source /usr/share/bash-completion/completions/snet-tool && complete -p snet-tool")


def backup_is_restored_by_root_for_the_daemon_s_user():
    run("snet-tool", "backup", "/root/snet.db")
    before = run("snet-tool", "rules", "export")
    run("snet-tool", "allow", "curl", "udp", "send")
    run("snet-tool", "restore", "/root/snet.db", code=1)  # the daemon runs
    run("systemctl", "stop", "snetd")
    run("snet-tool", "restore", "/root/snet.db")
    run("systemctl", "start", "snetd")
    is_up()
    assert run("snet-tool", "rules", "export") == before
    owners = {path.name: path.owner() for path in DATA.iterdir()}
    assert set(owners.values()) == {"snetd"}, owners
    for path in DATA.glob("*.before-restore-*"):
        path.unlink()
    visit(7)


def upgrade_keeps_rules_and_configuration():
    config = Path("/etc/snet/snetd.toml")
    config.write_text(config.read_text().replace('log_level = "info"', 'log_level = "debug"'))
    before, socket = shown("MainPID"), SOCKET.stat().st_ino
    apt("install", str(DEBS / "next.deb"))
    assert installed_version() == "installed 9.0.0", installed_version()
    is_up()
    assert shown("MainPID") != before, "the old daemon goes on"
    assert SOCKET.stat().st_ino == socket, "who waits in the socket lost the place"
    assert 'log_level = "debug"' in config.read_text()
    visit(7)


def downgrade_is_refused_and_changes_nothing():
    said = apt("install", "--allow-downgrades", str(DEBS / "this.deb"), code=100)
    assert "version 9.0.0 is installed, or its data are, and its database can't be used by" in said, said
    assert installed_version() == "installed 9.0.0", installed_version()
    is_up()
    visit(7)


def removal_keeps_the_data():
    apt("remove", "snet")
    assert states(*UNITS) == ["inactive"] * 4, states(*UNITS)
    gone = ("/usr/sbin/snetd", "/run/snet", "/sys/module/snet")
    assert not any(Path(path).exists() for path in gone), [path for path in gone if Path(path).exists()]
    visit(0)
    assert DATABASE.exists() and Path("/etc/snet/snetd.toml").exists()
    # They are still the newer version's.
    said = apt("install", str(DEBS / "this.deb"), code=100)
    assert "version 9.0.0 is installed, or its data are" in said, said


def database_of_the_previous_version_is_taken_over():
    for file in DATA.glob("snet.db*"):
        file.unlink()
    os.chown(DATA, 0, 0)  # the daemon of that version was root
    with sqlite3.connect(DATABASE) as old:
        old.execute("CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,"
                    " installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL,"
                    " checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)")
        for number, file in enumerate(sorted(Path("/snet/migrations").glob("*.sql"))[:PREVIOUS], 1):
            old.executescript(file.read_text())
            old.execute("INSERT INTO _sqlx_migrations VALUES (?, ?, CURRENT_TIMESTAMP, TRUE, ?, 0)",
                        (number, file.stem[5:].replace("_", " "), hashlib.sha384(file.read_bytes()).digest()))
        old.execute("INSERT INTO rules (action, program, protocols, operations, note, created_by, created_at)"
                    " VALUES ('deny', 'curl', 'tcp', 'connect', 'of the previous version', 0, 0)")
    old.close()
    apt("install", str(DEBS / "next.deb"))
    is_up()
    visit(7)
    assert [rule["note"] for rule in rules()] == ["of the previous version"], rules()
    run("snet-tool", "rules", "history")  # which only the new schema has


def daemon_that_bound_its_socket_itself_is_replaced():
    apt("remove", "snet")
    apt("install", str(DEBS / "before.deb"))
    is_up()
    assert SOCKET.owner() == "snetd", SOCKET.stat()
    apt("install", str(DEBS / "this.deb"))
    is_up()
    visit(7)
    socket_is_root_s()
    assert states("snet-rescue") == ["inactive"]


def purge_leaves_nothing():
    apt("purge", "snet")
    visit(0)
    left = [str(path) for place in ("etc", "lib", "run", "usr", "var") for path in Path("/", place).rglob("*snet*")
            if not str(path).startswith(("/usr/lib/modules/", "/lib/modules/")) and "snet-check.service" not in path.name and not path.is_relative_to("/run/systemd")]
    assert left == [], left


def page_on_installing_prints_what_it_says():
    done = subprocess.run(["python3", "/snet/document.py", "/snet/install.md", "/usr/bin"], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr


check(globals())
