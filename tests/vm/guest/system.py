# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the checks of a booted system share: they run from its last service, one after the other, and it is switched off
after them.

Owns: commands and their answers, a server to visit, reporting. The checks are in installed.py, packaged.py and rebooted.py.
"""

import json
import subprocess
import time
import traceback
from pathlib import Path

from channel import Channel

PORT = 8099
# What snet-tool ends with where no daemon is.
UNREACHABLE = 4


def run(*command: str, code: int | None = 0, timeout: float = 60) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert code is None or done.returncode == code, f"{command} → {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def shown(*properties: str) -> dict[str, str]:
    text = run("systemctl", "show", "snetd", *(f"-p{name}" for name in properties))
    return dict(line.split("=", 1) for line in text.splitlines())


def states(*units: str) -> list[str]:
    return [run("systemctl", "is-active", unit, code=None).strip() for unit in units]


def eventually(condition, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}; {run('systemctl', 'status', 'snetd', code=None)}"
        time.sleep(0.2)


def answers(code: int = 0) -> bool:
    return subprocess.run(["snet-tool", "status"], capture_output=True).returncode == code


def is_up() -> None:
    eventually(lambda: shown("ActiveState")["ActiveState"] == "active" and answers(), "snetd is up")


def rules() -> list[dict]:
    return [json.loads(line) for line in run("snet-tool", "rules", "--json").splitlines()]


def unsound() -> list[str]:
    """What `snet-tool doctor` finds that isn't as it should be."""
    findings = run("snet-tool", "doctor", "--json", code=None).splitlines()
    assert findings, "snet-tool doctor says nothing"
    return [finding for finding in findings if json.loads(finding)["state"] != "ok"]


def apt(*arguments: str, code: int = 0) -> str:
    command = ["apt-get", "-qy", "--no-install-recommends", "-o", "Dpkg::Use-Pty=0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env={
        "DEBIAN_FRONTEND": "noninteractive", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert done.returncode == code, f"{command} → {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def visit(code: int) -> None:
    run("curl", "-sS", f"http://127.0.0.1:{PORT}/", code=code)


def check(functions: dict) -> None:
    """Those that run.json names, in its order; each goes on where the one before ended."""
    channel = Channel()
    checks = json.loads((Path(__file__).parent / "run.json").read_text())["checks"]
    channel.send("hello", kernel=Path("/proc/sys/kernel/osrelease").read_text().strip(), uptime=0)
    server = subprocess.Popen(["python3", "-m", "http.server", str(PORT), "--bind", "127.0.0.1", "--directory", "/snet"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: subprocess.run(["curl", "-so/dev/null", f"http://127.0.0.1:{PORT}/"]).returncode == 0, "the server")
    for name in checks:
        channel.send("start", name=name, timeout=300)
        begin, status, detail = time.monotonic(), "ok", ""
        try:
            functions[name]()
        except Exception:
            status, detail = "FAIL", traceback.format_exc() + run("journalctl", "-b", "-u", "snetd", "-n30", "--no-pager", code=None)
        channel.send("result", name=name, status=status, detail=detail, seconds=round(time.monotonic() - begin, 1))
    channel.send("done", count=len(checks))
    server.kill()
    subprocess.run(["systemctl", "--no-block", "poweroff"])
