# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Debian on a disk, with the packages of `make deb`: rebooted, also by the ways out of a lock-out, and with its power
cut while rules are changed.

Owns: the boots, when the power goes, and what rules may be there afterwards. What is done in the guest is
guest/rebooted.py's, with systemd, and guest/power.py's, which boots faster.

A cut is qemu's end by SIGKILL. What the guest kept in its own memory is lost then, files that were written but not
synced among it; what it gave to its disk is kept by this machine, also what it didn't flush. So a missing fsync() shows,
a missing flush of the disk's own cache doesn't.
"""

import random
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Timer

import disk
import fetch
import installed
import module
import packaged
from boot import Machine, Outcome
from report import Report, complaints
from targets import Kernel, Target, locked, package

INSTALL, REBOOT, CUTS, LAST = (
    "packages_are_installed_on_a_disk", "reboot_brings_daemon_and_rules_back",
    "power_cuts_keep_what_was_acknowledged", "system_is_whole_after_the_power_cuts")
# What somebody adds to the kernel's command line who is locked out.
WAYS_OUT = {
    "boot_with_snet_disabled_lets_rules_be_changed": "snet.disable=1",
    "boot_into_rescue_mode_has_no_snet": "systemd.unit=rescue.target",
    "boot_into_emergency_mode_has_no_snet": "emergency",
}
CHECKS = (INSTALL, REBOOT, *WAYS_OUT, CUTS, LAST)
SYSTEMD = "exec /sbin/init\n"
FAST = "export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8; exec python3 -B /snet/power.py\n"
CUTS_UNLESS_TOLD = 20
# A cut comes so many changes after the boot at most, and within this time of the last of them.
CHANGES = 10
SECONDS = 0.5
# But this part of them while snetd starts and looks at what the cut before has left.
EARLY = 0.2
EARLY_SECONDS = 2.0
BOOT_SECONDS = 900


@dataclass
class Ledger:
    """The rules, by their notes, as far as the guest has told; a change that it has begun may be there or not, but whole."""

    rules: dict[str, bool]
    begun: dict[str, bool | None] | None = None
    acknowledged: int = 0
    problems: list[str] = field(default_factory=list)

    def allowed(self) -> list[list[list]]:
        """What may be found, each as pairs of note and whether it is enabled."""
        after = {**self.rules, **(self.begun or {})}
        return [sorted([note, enabled] for note, enabled in rules.items() if enabled is not None)
                for rules in (self.rules, after)]

    def heard(self, message: dict) -> None:
        match message["t"]:
            case "intend":
                self.begun = message["change"]
            case "acked":
                self.rules = dict(self.allowed()[1])
                self.begun, self.acknowledged = None, self.acknowledged + 1
            case "found":
                self._judge(sorted(message["rules"]))
                self.rules, self.begun = dict(message["rules"]), None
            case "fault":
                self.problems.append(message["detail"])

    def _judge(self, found: list[list]) -> None:
        before, after = self.allowed()
        if found not in (before, after):
            lost = [rule for rule in before if rule not in found]
            more = [rule for rule in found if rule not in before]
            self.problems.append(f"lost {lost} and has besides {more}; what was begun: {self.begun}")


@dataclass
class Power:
    """One disk, and the boots from it, which are numbered."""

    target: Target
    kernel: Kernel
    image: Path
    report: Report
    number: int = 0
    guests: dict[int, tuple[Outcome, Path]] = field(default_factory=dict)

    def machine(self, start: str, run: dict, files: dict[str, Path], cmdline: tuple[str, ...] = ()) -> Machine:
        self.number += 1
        run = {"slowness": self.target.slowness, "boot": self.number, **run}
        # What it is for, other tests look at; without it a boot takes two thirds of the time.
        target = replace(self.target, cmdline=(*self.target.cmdline, "slub_debug=-", *cmdline))
        return Machine(target, self.kernel, run, {}, number=self.number, disk=self.image,
                       compose=disk.composing(start, files))

    def boot(self, name: str, files: dict[str, Path], *cmdline: str, **run) -> bool:
        """With systemd, until it is switched off; one check."""
        guest = self.machine(SYSTEMD, {"checks": [name], **run}, files, cmdline)
        outcome = guest.start(partial(self.report.heard, guest.number), BOOT_SECONDS * self.target.slowness)
        self.guests[guest.number] = (outcome, guest.console)
        return self.report.results.get(name, {}).get("status") == "ok"

    def cut(self, ledger: Ledger, chance: random.Random) -> bool:
        """A boot that ends by a cut; whether all was well until then."""
        early = chance.random() < EARLY and ledger.acknowledged > 0
        sign, left, seconds = ("hello", 1, EARLY_SECONDS) if early else ("acked", chance.randint(1, CHANGES), SECONDS)
        guest = self.machine(FAST, {"seed": chance.random()}, {})
        timer = Timer(chance.uniform(0, seconds) * self.target.slowness, guest.cut)

        def heard(message: dict) -> None:
            nonlocal left
            ledger.heard(message)
            left -= message["t"] == sign
            if ledger.problems:
                guest.cut()
            elif message["t"] == sign and left == 0:
                timer.start()

        outcome = guest.start(heard, BOOT_SECONDS * self.target.slowness)
        timer.cancel()
        if guest.process.returncode != -signal.SIGKILL:
            ledger.problems.append(f"the guest ended by itself: {outcome.fault}; see {guest.console}")
        ledger.problems += complaints(guest.console)
        return not ledger.problems


def check(target: Target, cuts: int, seed: int) -> bool:
    with locked(target, "cache"):
        kernel = fetch.fetch(target)
        snet = module.build(target, kernel)[0]
    image = target.results / "disk.img"
    target.results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        _prepare(Path(work), target, kernel, snet)
        disk.make(image, packaged.base(target), Path(work))
    report = Report(target, list(CHECKS))
    power = Power(target, kernel, image, report)
    good = power.boot(INSTALL, {"snet/debs/this.deb": package("snet")}) and power.boot(REBOOT, {})
    good = good and all(power.boot(name, {}, word) for name, word in WAYS_OUT.items())
    ledger = Ledger({"from before the reboot": True})
    if good and _cuts(power, ledger, cuts, seed):
        power.boot(LAST, {}, allowed=ledger.allowed())
    good = report.close(power.guests)
    if good:
        disk.sound(image)
        image.unlink()
    return good


def _cuts(power: Power, ledger: Ledger, cuts: int, seed: int) -> bool:
    print(f"power is cut {cuts} times, by the seed {seed}", flush=True)
    chance, within, good, begin = random.Random(seed), 0, True, time.monotonic()
    for _ in range(cuts):
        good = good and power.cut(ledger, chance)
        within += ledger.begun is not None
    print(f"{ledger.acknowledged} changes were acknowledged; {within} cuts were within one that wasn't", flush=True)
    power.report.heard(0, {"t": "result", "name": CUTS, "status": "ok" if good else "FAIL",
                           "detail": "\n".join(ledger.problems), "seconds": time.monotonic() - begin})
    return good


def _prepare(root: Path, target: Target, kernel: Kernel, snet: Path) -> None:
    installed.place_module(root, target, kernel, snet)
    (root / "boot").mkdir()
    shutil.copy(target.cache / "boot" / f"config-{kernel.release}", root / "boot")
    units = root / "etc/systemd/system"
    for mode in ("multi-user", "rescue", "emergency"):
        (units / f"{mode}.target.wants").mkdir(parents=True)
        (units / f"{mode}.target.wants/snet-check.service").symlink_to("/etc/systemd/system/snet-check.service")
    # Not only after what the smaller modes don't have.
    (units / "snet-check.service").write_text(
        installed.TESTER.format("rebooted").replace("After=", "DefaultDependencies=no\nAfter=basic.target "))
