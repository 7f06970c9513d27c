# SPDX-License-Identifier: MIT OR Apache-2.0
"""Looks at a booted system with snet installed, from its last service, and switches it off.

Owns: the checks of tests/vm/installed.py, in its order; each goes on where the one before ended.
"""

import json
import subprocess
import time
import traceback
from pathlib import Path

from channel import Channel

CONFIG = Path("/etc/snet/snetd.toml")
PORT = 8099
# CAP_CHOWN, CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_IPC_LOCK, CAP_SYS_PTRACE.
NEEDED = sum(1 << number for number in (0, 2, 12, 14, 19))


def run(*command: str, code: int | None = 0, timeout: float = 60) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert code is None or done.returncode == code, f"{command} → {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def shown(*properties: str) -> dict[str, str]:
    text = run("systemctl", "show", "snetd", *(f"-p{name}" for name in properties))
    return dict(line.split("=", 1) for line in text.splitlines())


def eventually(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}; {run('systemctl', 'status', 'snetd', code=None)}"
        time.sleep(0.2)


def answers() -> bool:
    return subprocess.run(["snet-tool", "status"], capture_output=True).returncode == 0


def visit(code: int) -> None:
    run("curl", "-sS", f"http://127.0.0.1:{PORT}/", code=code)


def daemon_is_there_before_the_network():
    state = shown("ActiveState", "Type", "ActiveEnterTimestampMonotonic")
    assert state["ActiveState"] == "active", run("systemctl", "status", "snetd", code=None)
    reached = run("systemctl", "show", "network-pre.target", "-pActiveEnterTimestampMonotonic", "--value").strip()
    assert 0 < int(state["ActiveEnterTimestampMonotonic"]) <= int(reached), f"{state}, network-pre at {reached}"
    status = json.loads(run("snet-tool", "status", "--json"))
    assert status["kernel"], status


def rule_denies_and_allows_a_program():
    visit(0)
    run("snet-tool", "deny", "curl", "tcp", "connect")
    visit(7)


def configuration_is_read_again():
    CONFIG.write_text(CONFIG.read_text().replace('log_level = "info"', 'log_level = "debug"'))
    run("systemctl", "reload", "snetd")
    assert answers() and shown("ActiveState")["ActiveState"] == "active"
    visit(7)


def daemon_that_was_killed_comes_back_with_its_rules():
    before = shown("MainPID")["MainPID"]
    run("systemctl", "kill", "-s", "KILL", "snetd")
    eventually(lambda: shown("MainPID")["MainPID"] not in (before, "0") and answers(), "another snetd")
    visit(7)


def daemon_that_is_stopped_leaves_the_fallback():
    begin = time.monotonic()
    run("systemctl", "stop", "snetd")
    assert time.monotonic() - begin < 20, "seconds to stop"
    visit(0)  # the fallback, as shipped
    run("systemctl", "start", "snetd")
    visit(7)


def daemon_has_few_rights():
    status = Path(f"/proc/{shown('MainPID')['MainPID']}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapBnd"], 16) == int(fields["CapPrm"], 16) == NEEDED, fields
    assert fields["NoNewPrivs"].strip() == "1" and fields["Seccomp"].strip() == "2", fields
    log = run("journalctl", "-b", "-u", "snetd", "--no-pager", code=None)
    assert "warn" not in log.lower(), log


def main() -> None:
    channel = Channel()
    checks = json.loads((Path(__file__).parent / "run.json").read_text())["checks"]
    channel.send("hello", kernel=Path("/proc/sys/kernel/osrelease").read_text().strip(), uptime=0)
    server = subprocess.Popen(["python3", "-m", "http.server", str(PORT), "--bind", "127.0.0.1", "--directory", "/snet"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: subprocess.run(["curl", "-so/dev/null", f"http://127.0.0.1:{PORT}/"]).returncode == 0, "the server")
    for name in checks:
        channel.send("start", name=name, timeout=120)
        begin, status, detail = time.monotonic(), "ok", ""
        try:
            globals()[name]()
        except Exception:
            status, detail = "FAIL", traceback.format_exc() + run("journalctl", "-b", "-u", "snetd", "-n30", "--no-pager", code=None)
        channel.send("result", name=name, status=status, detail=detail, seconds=round(time.monotonic() - begin, 1))
    channel.send("done", count=len(checks))
    server.kill()
    subprocess.run(["systemctl", "--no-block", "poweroff"])


main()
