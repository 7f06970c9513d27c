# SPDX-License-Identifier: MIT OR Apache-2.0
"""Looks at a booted system on which `make install` was run.

Owns: the checks of tests/vm/installed.py, in its order.
"""

import grp
import json
import pwd
import subprocess
import time
from pathlib import Path

from system import PORT, UNREACHABLE, answers, check, eventually, is_up, run, shown, states, visit

CONFIG = Path("/etc/snet/snetd.toml")
# CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK, CAP_SYS_PTRACE.
NEEDED = sum(1 << number for number in (2, 12, 13, 14, 19))
# What `systemd-analyze security` may say, in tenths.
EXPOSURE = 20


def daemon_is_there_before_the_network():
    state = shown("ActiveState", "Type", "ActiveEnterTimestampMonotonic")
    assert state["ActiveState"] == "active", run("systemctl", "status", "snetd", code=None)
    reached = run("systemctl", "show", "network-pre.target", "-pActiveEnterTimestampMonotonic", "--value").strip()
    assert 0 < int(state["ActiveEnterTimestampMonotonic"]) <= int(reached), f"{state}, network-pre at {reached}"
    status = json.loads(run("snet-tool", "status", "--json"))
    assert status["kernel"], status


def units_are_in_order():
    """Each may be begun with what it wants, as far as systemd can tell; a cycle would cost one of them at boot."""
    units = ("snetd.socket", "snetd.service", "snet-early.service", "snet-rescue.service")
    assert [run("systemctl", "is-enabled", unit, code=None).strip() for unit in ("snetd.socket", "snet-rescue")] == ["enabled"] * 2
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", *units, "default.target", "rescue.target", "emergency.target"],
                          capture_output=True, text=True)
    told = [line for line in (said.stdout + said.stderr).splitlines() if "snet" in line or "cycle" in line]
    assert told == [], told
    log = run("journalctl", "-b", "--no-pager", code=None)
    assert "ordering cycle" not in log, log


def socket_is_made_by_root_for_the_group():
    place, socket = Path("/run/snet").stat(), Path("/run/snet/snetd.sock").stat()
    assert (place.st_uid, place.st_mode & 0o777) == (0, 0o755), place
    assert (socket.st_uid, grp.getgrgid(socket.st_gid).gr_name, socket.st_mode & 0o777) == (0, "snet", 0o660), socket


def programs_of_rules_have_tickets_at_the_next_boot():
    """What snet-early gave to the module before snetd was there, of which this boot has no rule yet, and what it will give."""
    assert run("systemctl", "is-active", "snet-early").strip() == "active"
    started = [int(run("systemctl", "show", unit, "-pActiveEnterTimestampMonotonic", "--value"))
               for unit in ("snet-early", "snetd")]
    assert 0 < started[0] <= started[1], started
    run("snet-tool", "allow", "curl", "udp", "send")
    early = Path("/var/lib/snet/early.json")
    eventually(lambda: "/usr/bin/curl" in early.read_text(), "the ticket for the next boot")
    run("snet-tool", "rules", "delete", "1")
    eventually(lambda: "/usr/bin/curl" not in early.read_text(), "its end")


def rule_denies_and_allows_a_program():
    visit(0)
    run("snet-tool", "deny", "curl", "tcp", "connect")
    visit(7)


def rule_is_about_a_unit_of_systemd():
    def fetch(unit: str, code: int) -> None:
        Path(f"/run/systemd/system/{unit}.service").write_text(
            "[Service]\nType=oneshot\nExecStart=/usr/bin/python3 -c"
            f" \"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{PORT}/')\"\n")
        run("systemctl", "daemon-reload")
        run("systemctl", "start", unit, code=code)
    run("snet-tool", "deny", "any", "tcp", "connect", "--unit", "visitor.service")
    fetch("visitor", 1)
    fetch("another", 0)


def configuration_is_read_again():
    CONFIG.write_text(CONFIG.read_text().replace('log_level = "info"', 'log_level = "debug"'))
    run("systemctl", "reload", "snetd")
    assert answers() and shown("ActiveState")["ActiveState"] == "active"
    visit(7)


def daemon_that_was_killed_comes_back_with_its_rules():
    before = shown("MainPID")["MainPID"]
    run("systemctl", "kill", "-s", "KILL", "snetd")
    status = json.loads(run("snet-tool", "--timeout", "50", "status", "--json"))
    assert status["daemon"]["pid"] != int(before), status
    eventually(lambda: shown("MainPID")["MainPID"] not in (before, "0") and answers(), "another snetd")
    visit(7)


def callers_wait_while_the_daemon_is_restarted():
    before = shown("MainPID")["MainPID"]
    with subprocess.Popen(["systemctl", "restart", "snetd"]) as restart:
        eventually(lambda: shown("MainPID")["MainPID"] != before, "the end of the daemon")
        run("snet-tool", "--timeout", "50", "status")
        assert restart.wait(60) == 0
    visit(7)


def daemon_that_is_stopped_leaves_the_fallback():
    begin = time.monotonic()
    run("systemctl", "stop", "snetd")
    assert time.monotonic() - begin < 20, "seconds to stop"
    visit(0)  # the fallback, as shipped
    # Nobody starts it by a call.
    run("snet-tool", "status", code=UNREACHABLE)
    time.sleep(1)
    assert states("snetd.service", "snetd.socket") == ["inactive"] * 2, states("snetd.service", "snetd.socket")
    run("systemctl", "start", "snetd")
    visit(7)


def call_starts_the_daemon_where_its_socket_is():
    run("systemctl", "stop", "snetd")
    run("systemctl", "start", "snetd.socket")
    assert states("snetd.service", "snetd.socket") == ["inactive", "active"], states("snetd.service", "snetd.socket")
    run("snet-tool", "--timeout", "50", "status")
    visit(7)


def daemon_has_few_rights():
    status = Path(f"/proc/{shown('MainPID')['MainPID']}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapBnd"], 16) == int(fields["CapPrm"], 16) == NEEDED, fields
    assert fields["NoNewPrivs"].strip() == "1" and fields["Seccomp"].strip() == "2", fields
    assert pwd.getpwuid(int(fields["Uid"].split()[0])).pw_name == "snetd", fields
    unit = run("systemctl", "show", "snetd", "-pFragmentPath", "--value").strip()
    print(run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", unit).splitlines()[-1], flush=True)
    log = run("journalctl", "-b", "-u", "snetd", "--no-pager", code=None)
    assert "warn" not in log.lower() and "stay possible" not in log, log


def rescue_mode_has_no_snet():
    """From the default target and back; tickets and the fallback go as well as the daemon."""
    visit(7)
    run("systemctl", "isolate", "rescue.target")
    assert states("snetd.service", "snetd.socket", "snet-early.service") == ["inactive"] * 3, run("systemctl", code=None)
    assert not Path("/sys/module/snet").exists(), run("systemctl", "status", "snet-rescue", code=None)
    visit(0)
    run("snet-tool", "status", code=UNREACHABLE)
    # The target is reached only after these checks.
    run("systemctl", "--no-block", "default")
    is_up()
    assert states("snet-early.service", "snetd.socket") == ["active"] * 2, states("snet-early.service", "snetd.socket")
    visit(7)


check(globals())
