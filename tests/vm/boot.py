# SPDX-License-Identifier: MIT OR Apache-2.0
"""Starting a guest and listening to it until it is gone.

Owns: the qemu process, its kernel log, the report channel (ttyS1, one JSON object per line, to which a line may be the
answer), the deadlines.
Must not: judge what was reported (report.py does).
"""

import json
import select
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

import rootfs
import secure_boot
from targets import HarnessError, Kernel, Target

QEMU = "qemu-system-x86_64"
CMDLINE = (
    "console=ttyS0", "panic=-1", "panic_on_warn=1", "oops=panic", "slub_debug=FZP", "loglevel=6",
    "rcupdate.rcu_cpu_stall_timeout=60", "watchdog_thresh=30", "clocksource=acpi_pm", "random.trust_cpu=on",
)
RUNNING = ("-smp", "2", "-cpu", "max,la57=off")
# One CPU, whose clock counts its instructions; idleness takes no time. Without "enhanced" string instructions, each
# byte of which would count as an instruction, the kernel copies and clears by words.
COUNTING = ("-smp", "1", "-cpu", "max,la57=off,erms=off,fsrm=off", "-icount", "shift=0,sleep=off", "-seed", "1")
BOOT_SECONDS = 120
POWER_OFF_SECONDS = 30
# A guest's scenario limits itself; the host steps in only when the guest no longer can.
GRACE_SECONDS = 45


@dataclass
class Outcome:
    """How the guest ended. `fault` is None only if it ended by itself after its last word."""

    fault: str | None = None
    boot_seconds: float = 0.0
    seconds: float = 0.0
    last_started: str | None = None


@dataclass
class Machine:
    """A guest to be started; `run` is what guest/runner.py reads as run.json; `number` tells apart those that run side
    by side; `disk` is an image that outlives it."""

    target: Target
    kernel: Kernel
    run: dict
    files: dict[str, Path]
    icount: bool = False
    number: int = 1
    disk: Path | None = None
    compose: Callable[..., None] = rootfs.compose
    console: Path = field(init=False)
    errors: Path = field(init=False)
    process: subprocess.Popen | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if not shutil.which(QEMU):
            raise HarnessError(f"{QEMU} is missing: run `vm.py setup`")
        self.target.results.mkdir(parents=True, exist_ok=True)
        suffix = "" if self.number == 1 else f"-{self.number}"
        self.console = self.target.results / f"console{suffix}.log"
        self.errors = self.target.results / f"qemu{suffix}.log"

    def command(self, initramfs: Path, serial: list[str], report: Path) -> list[str]:
        image = self.target.cache / self.kernel.vmlinuz
        if self.target.secure_boot:
            image = secure_boot.signed_kernel(self.target, self.kernel)
        # Multi-threaded TCG crashes the guest when kernel text is patched, which is what the module does.
        command = [QEMU, "-accel", "tcg,thread=single", *(COUNTING if self.icount else RUNNING),
                   "-m", str(self.target.memory_mib), "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none",
                   "-kernel", str(image), "-initrd", str(initramfs),
                   "-append", " ".join((*CMDLINE, *self.target.cmdline)), *serial,
                   "-chardev", f"socket,id=report,path={report}", "-serial", "chardev:report"]
        if self.target.secure_boot:
            command += secure_boot.machine(initramfs.parent)
        if self.disk:
            command += ["-drive", f"if=none,id=disk,format=raw,cache=writeback,file={self.disk}",
                        "-device", "virtio-blk-pci,drive=disk"]
        return command

    def start(self, on_report: Callable[[dict], str | None], overall: float) -> Outcome:
        """Boot, pass every reported object to `on_report`, whose text is the answer, and return when the guest is gone."""
        self.console.write_bytes(b"")
        with tempfile.TemporaryDirectory(prefix="snet-vm-") as work:
            initramfs = Path(work) / "initramfs"
            self.compose(self.target, self.kernel, self.run, self.files, initramfs)
            listener = _listen(Path(work) / "report")
            serial = ["-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console"]
            command = self.command(initramfs, serial, Path(work) / "report")
            with self.errors.open("wb") as log:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                return self._listen_to(self.process, listener, on_report, overall)
            finally:
                self.stop()
                listener.close()

    def stop(self) -> None:
        """End the guest if it is there; who listens to it sees an early end."""
        if self.process:
            _end(self.process)

    def cut(self) -> None:
        """As if the power went: the guest has no say. What it had told is still heard."""
        if self.process:
            self.process.kill()

    def shell(self) -> int:
        """The kernel console on this terminal; returns when the person leaves."""
        with tempfile.TemporaryDirectory(prefix="snet-vm-") as work:
            initramfs = Path(work) / "initramfs"
            self.compose(self.target, self.kernel, self.run, self.files, initramfs)
            serial = ["-chardev", f"stdio,id=console,mux=on,signal=off,logfile={self.console}",
                      "-serial", "chardev:console", "-mon", "chardev=console"]
            command = self.command(initramfs, serial, Path("-"))
            command[command.index("socket,id=report,path=-")] = f"file,id=report,path={self.target.results}/shell.jsonl"
            command[command.index("-append") + 1] += " loglevel=4"
            return subprocess.run(command).returncode

    def _listen_to(self, process: subprocess.Popen, listener: socket.socket, on_report, overall: float) -> Outcome:
        watch = _Watch(overall, self.target.slowness)
        listener.settimeout(20)
        try:
            channel = listener.accept()[0]
        except TimeoutError:
            return watch.ended(f"qemu did not start: {_tail(self.errors)}")
        for message in _messages(channel, process, watch):
            watch.heard(message)
            answer = on_report(message)
            if answer is not None:
                channel.sendall(f"{answer}\n".encode())
        channel.close()
        if watch.fault is None and not watch.finished:
            watch.fault = self._early_end(process)
        return watch.ended(watch.fault)

    def _early_end(self, process: subprocess.Popen) -> str:
        process.wait(10)
        why = _tail(self.errors)
        return "the guest ended before it reported that it was done" + (f" (qemu: {why})" if why else "")


class _Watch:
    """The deadlines: boot, the running scenario, the whole run, switching off."""

    def __init__(self, overall: float, slowness: float):
        self.begin = time.monotonic()
        self.slowness = slowness
        self.overall = self.begin + overall
        self.deadline = self.begin + BOOT_SECONDS * slowness
        self.waiting_for = "the first sign of life"
        self.outcome = Outcome()
        self.finished = False
        self.fault: str | None = None

    def heard(self, message: dict) -> None:
        now, kind = time.monotonic(), message.get("t")
        if kind == "hello":
            self.outcome.boot_seconds = now - self.begin
            self._expect(now, 60, "the first scenario")
        elif kind == "start":
            self.outcome.last_started = message["name"]
            # The guest has scaled the scenario's own limit already.
            seconds = message["timeout"] / self.slowness + GRACE_SECONDS
            self._expect(now, seconds, f"the end of {message['name']}")
        elif kind == "result":
            self._expect(now, 60, f"what follows {message['name']}")
        elif kind == "done":
            self.finished = True
            self._expect(now, POWER_OFF_SECONDS, "the guest to switch itself off")

    def _expect(self, now: float, seconds: float, what: str) -> None:
        self.deadline, self.waiting_for = now + seconds * self.slowness, what

    def remaining(self) -> float:
        return min(self.deadline, self.overall) - time.monotonic()

    def expired(self) -> None:
        over = "the run's time is up" if self.overall <= self.deadline else "nothing was heard in time"
        self.fault = f"{over}: waited for {self.waiting_for}"

    def ended(self, fault: str | None) -> Outcome:
        self.outcome.fault = fault
        self.outcome.seconds = time.monotonic() - self.begin
        return self.outcome


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(1)
    return listener


def _messages(channel: socket.socket, process: subprocess.Popen, watch: _Watch) -> Iterator[dict]:
    """Objects until the channel closes, which is when qemu ends. A line that is no object is no report."""
    pending = b""
    while True:
        remaining = watch.remaining()
        if remaining <= 0:
            return watch.expired()
        if not select.select([channel], [], [], min(remaining, 1.0))[0]:
            continue
        data = channel.recv(65536)
        if not data:
            return None
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                yield message


def _tail(path: Path, lines: int = 5) -> str:
    return " ".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
