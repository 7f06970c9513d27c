# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a scenario must not leave behind: processes, a module that can't go, memory, complaints in the kernel log.

Owns: the checks after a scenario; each returns a list of problems, empty when all is well.
"""

import contextlib
import os
import re
import subprocess
import time
from pathlib import Path

from order import SLOWNESS

CGROUPS = Path("/sys/fs/cgroup/snet-vm")
KMEMLEAK = Path("/sys/kernel/debug/kmemleak")
COMPLAINT = re.compile(r"WARNING:|BUG|Oops|general protection|refcount_t|ODEBUG|suspicious RCU|circular locking"
                       r"|sleeping function|blocked for more than|unregister_netdevice: waiting|segfault at|trap ")


class ControlGroup:
    """Every process of a scenario, however it detached itself."""

    def __init__(self, name: str):
        self.path = CGROUPS / name
        self.path.mkdir(parents=True)
        self.stacks = ""

    def enter(self) -> None:
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def members(self) -> list[int]:
        return [int(pid) for file in self.path.rglob("cgroup.procs") for pid in file.read_text().split()]

    def kill(self) -> None:
        """SIGKILL to all; remembers where they were in the kernel."""
        self.stacks = "\n".join(_where(pid) for pid in self.members())
        (self.path / "cgroup.kill").write_text("1")

    def close(self) -> list[str]:
        """Kill what is left and say what it was."""
        left = [_where(pid) for pid in self.members() if not _is_zombie(pid)]
        problems = [f"left running: {text}" for text in left]
        if left:
            (self.path / "cgroup.kill").write_text("1")
        if not _within(10, lambda: not self.members()):
            return problems + [f"can't be killed: {_where(pid)}" for pid in self.members()]
        for path in sorted((p for p in self.path.rglob("*") if p.is_dir()), reverse=True):
            path.rmdir()
        self.path.rmdir()
        return problems


def _where(pid: int) -> str:
    process = Path(f"/proc/{pid}")
    try:
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"{pid} {command[:200]}\n{(process / 'stack').read_text()}".rstrip()
    except OSError:
        return f"{pid} (gone)"


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _within(seconds: float, condition) -> bool:
    deadline = time.monotonic() + seconds * SLOWNESS
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


def unload_module() -> list[str]:
    """rmmod at once, whatever the scenario did; a scenario may have unloaded it itself."""
    if not Path("/sys/module/snet").exists():
        return []
    try:
        done = subprocess.run(["rmmod", "snet"], capture_output=True, text=True, timeout=30 * SLOWNESS)
    except subprocess.TimeoutExpired:
        return [f"rmmod snet did not end within {30 * SLOWNESS:.0f} s"]
    if done.returncode != 0:
        return [f"rmmod snet: {done.stderr.strip()}"]
    return ["snet is still in /sys/module after rmmod"] if Path("/sys/module/snet").exists() else []


def watch_kernel_memory() -> None:
    """From now on; a scan takes so long that there is one for a whole run, not one for each scenario."""
    if KMEMLEAK.exists():
        with contextlib.suppress(OSError):
            KMEMLEAK.write_text("scan=off")
            KMEMLEAK.write_text("clear")


def kernel_memory() -> list[str]:
    """kmemleak's finds, on a kernel that has it. A first scan may see objects that are merely in flight."""
    try:
        for _ in range(2):
            KMEMLEAK.write_text("scan")
            found = KMEMLEAK.read_text()
            if not found:
                return []
            time.sleep(6)
    except OSError:
        return []
    return [f"kmemleak:\n{found[:4000]}"]


class KernelLog:
    """The kernel's messages from now on."""

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self.fd, 0, os.SEEK_END)
        self.lines: list[str] = []

    def read(self) -> list[str]:
        while True:
            try:
                record = os.read(self.fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return self.lines
            except BrokenPipeError:
                self.lines.append("(messages were lost)")
                continue
            self.lines.append(record.split(";", 1)[-1].split("\n", 1)[0])

    def complaints(self) -> list[str]:
        return [f"kernel: {line}" for line in self.read() if COMPLAINT.search(line)]

    def tail(self, count: int = 30) -> str:
        lines = self.read()[-count:]
        return "\n".join(["--- kernel log", *lines]) if lines else ""
