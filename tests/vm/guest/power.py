# SPDX-License-Identifier: MIT OR Apache-2.0
"""PID 1 of a boot that ends when the power goes: tells what rules are there after the last cut, and goes on changing them.

Owns: what is told of each change, before it is asked for (`intend`) and when snet-tool says that it is made (`acked`).
The host holds the next boot to that. Says `fault` where snetd isn't sound.
"""

import json
import os
import random
import socket
import subprocess
import termios
import threading
import time
import traceback
from pathlib import Path

from channel import Channel
from order import ORDER, SLOWNESS
from system import rules, run, unsound

MOUNTS = ("proc proc /proc", "sysfs sys /sys", "securityfs securityfs /sys/kernel/security", "tmpfs run /run",
          "tmpfs tmp /tmp", "cgroup2 cgroup2 /sys/fs/cgroup")
RIGHTS = "+net_admin,+sys_ptrace,+dac_read_search,+ipc_lock"
# The unit's own way to start it, without systemd.
SNETD = ("setpriv", "--reuid=snetd", "--regid=snet", "--clear-groups", f"--inh-caps={RIGHTS}", f"--ambient-caps={RIGHTS}",
         "/usr/sbin/snetd")
CALL = ("curl", "tcp", "connect")
# A change of all rules leaves so many, beside the one that stays: half of it would be seen.
WHOLE = 40
# Notes of rules → whether they are enabled, None for those that aren't there any more.
Change = dict[str, bool | None]


class Churn:
    """Changes of rules at random. The rules that it hasn't made stay."""

    def __init__(self, channel: Channel):
        self.channel = channel
        self.random = random.Random(ORDER["seed"])
        self.count = 0
        self.known = {rule["note"]: (rule["id"], rule["enabled"]) for rule in rules() if rule["note"].startswith("cut ")}

    def step(self) -> None:
        enough = len(self.known) >= 10
        kinds = {self._add: 6, self._delete: 4 * enough, self._switch: 2 * enough, self._replace: 1}
        kind, = self.random.choices(list(kinds), list(kinds.values()))
        kind()

    def _made(self, change: Change, *command: str) -> str:
        self.channel.send("intend", change=change)
        # The host must know of it before the disk can.
        termios.tcdrain(self.channel.fd)
        said = run("snet-tool", "--json", *command)
        self.channel.send("acked")
        return said

    def _note(self) -> str:
        self.count += 1
        return f"cut {ORDER['boot']}, rule {self.count}"

    def _add(self) -> None:
        note = self._note()
        address = f"203.0.113.{self.random.randrange(256)}"
        made = json.loads(self._made({note: True}, "deny", *CALL, "--to", address, "--note", note))
        self.known[note] = (made["changed"]["id"], True)

    def _delete(self) -> None:
        note = self.random.choice(list(self.known))
        number, _ = self.known.pop(note)
        self._made({note: None}, "rules", "delete", str(number))

    def _switch(self) -> None:
        note = self.random.choice(list(self.known))
        number, enabled = self.known[note]
        self._made({note: not enabled}, "rules", "disable" if enabled else "enable", str(number))
        self.known[note] = (number, not enabled)

    def _replace(self) -> None:
        """All of them by others, in one change."""
        stays = run("snet-tool", "rules", "export").split("\n[[rule]]")
        kept = [part for part in stays if 'note = "cut ' not in part]
        notes = [self._note() for _ in range(WHOLE)]
        made = ["\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in
                                 {"action": "deny", "program": "curl", "protocol": "tcp", "operations": "connect",
                                  "to": "203.0.113.0/24", "note": note}.items()) + "\n" for note in notes]
        Path("/tmp/rules.toml").write_text("\n[[rule]]".join(kept + made))
        change = {note: None for note in self.known} | {note: True for note in notes}
        self._made(change, "rules", "apply", "/tmp/rules.toml")
        self.known = {rule["note"]: (rule["id"], True) for rule in rules() if rule["note"] in change}


def prepare() -> None:
    for mount in MOUNTS:
        kind, name, place = mount.split()
        run("mount", "-t", kind, name, place)
    run("ip", "link", "set", "lo", "up")
    run("stty", "-F", "/dev/ttyS1", "raw", "-echo")
    run("modprobe", "snet")
    run("install", "-d", "-o", "snetd", "-g", "snet", "/run/snet")


def start_daemon() -> str:
    """Waits until it answers; returns what it had to say."""
    log = Path("/run/snetd.log")
    with log.open("wb") as out:
        daemon = subprocess.Popen(SNETD, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    deadline = time.monotonic() + 30 * SLOWNESS
    while subprocess.run(["snet-tool", "status"], capture_output=True).returncode != 0:
        assert daemon.poll() is None and time.monotonic() < deadline, f"snetd isn't up:\n{log.read_text()}"
        time.sleep(0.1)
    return log.read_text()


def visit() -> None:
    """Calls that are journaled: batches that need not be on the disk stand between the changes that have to."""
    port = 1
    while True:
        with socket.socket() as sock:
            sock.connect_ex(("127.0.0.1", port))
        port = port % 60000 + 1
        time.sleep(0.02)


def main() -> None:
    prepare()
    channel = Channel()
    channel.send("hello", kernel=os.uname().release)
    try:
        said = start_daemon()
        problems = unsound()
        assert not problems and "warn" not in said.lower(), f"doctor: {problems}\nsnetd: {said}"
        channel.send("found", rules=[[rule["note"], rule["enabled"]] for rule in rules()])
        threading.Thread(target=visit, daemon=True).start()
        churn = Churn(channel)
        while True:
            churn.step()
    except Exception:
        channel.send("fault", detail=traceback.format_exc())
        time.sleep(600)


main()
