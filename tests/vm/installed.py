# SPDX-License-Identifier: MIT OR Apache-2.0
"""A machine on which `make install` was run, booted with systemd: whether the daemon is there, and does its work within
what its unit allows it.

Owns: how that machine is put together. What is looked at is guest/installed.py's.
"""

import json
import os
import shutil
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Callable

import fetch
import module
import rootfs
from boot import Machine
from cpio import Writer
from report import Report
from targets import HERE, REPO, HarnessError, Kernel, Target, locked

# In the order in which guest/installed.py looks at them.
CHECKS = ("daemon_is_there_before_the_network", "units_are_in_order", "socket_is_made_by_root_for_the_group",
          "programs_of_rules_have_tickets_at_the_next_boot",
          "rule_denies_and_allows_a_program", "rule_is_about_a_unit_of_systemd", "configuration_is_read_again",
          "daemon_that_was_killed_comes_back_with_its_rules", "callers_wait_while_the_daemon_is_restarted",
          "daemon_that_is_stopped_leaves_the_fallback", "call_starts_the_daemon_where_its_socket_is",
          "daemon_has_few_rights", "rescue_mode_has_no_snet")
PACKAGES = ("systemd-sysv", "kmod", "python3", "curl", "iproute2", "procps")
# Tests are run by the last service of the boot, also across targets.
TESTER = """[Unit]
Description=checks of the installed snet
After=snetd.service network.target
IgnoreOnIsolate=yes
[Service]
Type=oneshot
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/python3 /snet/{}.py
"""


def check(target: Target) -> bool:
    with tempfile.TemporaryDirectory() as work:
        root = Path(work)
        _packaging("install", root)
        # As its manual says; the other units come along.
        subprocess.run(["systemctl", "--root", root, "--quiet", "enable", "snetd"], check=True)
        good = boot(target, root, "installed", CHECKS, rootfs.base(PACKAGES, "systemd"))
        shutil.rmtree(root / "etc/systemd")
        _uninstall(root)
        return good


def boot(target: Target, root: Path, tester: str, checks: tuple[str, ...], base: Path,
         built: Callable[[Target, Kernel], Path] = lambda target, kernel: module.build(target, kernel)[0]) -> bool:
    """Boots the base with what is in `root` and the module that was `built`, and has guest/`tester`.py look at it."""
    with locked(target, "cache"):
        kernel = fetch.fetch(target)
        place_module(root, target, kernel, built(target, kernel))

    def compose(_target, _kernel, _run, _files, out: Path) -> None:
        with out.open("wb") as initramfs:
            with base.open("rb") as archive:
                shutil.copyfileobj(archive, initramfs, 1 << 20)
            with Writer(initramfs) as writer:
                writer.symlink("init", "lib/systemd/systemd")
                writer.tree(HERE / "guest", "snet")
                writer.file("snet/run.json", json.dumps({"checks": checks}).encode())
                for directory in sorted(root.iterdir()):
                    writer.tree(directory, directory.name)
                writer.file("etc/systemd/system/snet-check.service", TESTER.format(tester).encode())
                writer.symlink("etc/systemd/system/multi-user.target.wants/snet-check.service",
                               "/etc/systemd/system/snet-check.service")

    guest = Machine(target, kernel, {}, {}, compose=compose)
    report = Report(target, list(checks))
    outcome = guest.start(partial(report.heard, guest.number), 900 * target.slowness)
    return report.close({guest.number: (outcome, guest.console)})


def _packaging(action: str, root: Path) -> None:
    environment = {**os.environ, "DESTDIR": str(root), "PREFIX": "/usr/local"}
    done = subprocess.run([REPO / "packaging" / "install", action], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise HarnessError(f"packaging/install {action} failed:\n{done.stderr}")


def _uninstall(root: Path) -> None:
    """Nothing stays but the configuration; the kernel's modules are put there by this file."""
    _packaging("uninstall", root)
    left = [path for path in root.rglob("*") if path.is_file() and "modules" not in path.parts]
    if left != [root / "etc/snet/snetd.toml"]:
        raise HarnessError(f"uninstalling left {left}")
    print("ok   uninstalling leaves the configuration alone", flush=True)


def place_module(root: Path, target: Target, kernel: Kernel, ko: Path) -> None:
    """As DKMS leaves it, among the kernel's modules. The base's /lib is a link to usr/lib."""
    with rootfs.modules(target, kernel).open("rb") as archive:
        subprocess.run(["cpio", "-idm", "--quiet"], stdin=archive, cwd=root, check=True)
    place = root / "usr/lib/modules" / kernel.release / "updates/dkms"
    place.mkdir(parents=True)
    shutil.copy(ko, place)
    (root / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", root, kernel.release], check=True, stderr=subprocess.DEVNULL)
    (root / "lib").unlink()
