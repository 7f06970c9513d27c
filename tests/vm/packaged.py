# SPDX-License-Identifier: MIT OR Apache-2.0
"""The Debian packages that `make deb` made, installed with apt on a booted Debian, upgraded, removed and purged. The module
is what snet-dkms installs, in a chroot: a guest would take minutes to build it.

Owns: the packages that the guest is given. What is done with them is guest/packaged.py's.
"""

import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import dkms
import rootfs
from installed import PACKAGES, boot
from targets import REPO, HarnessError, Target, package

# In the order in which guest/packaged.py does them.
CHECKS = ("package_brings_a_running_daemon", "package_has_what_belongs_to_it", "upgrade_keeps_rules_and_configuration",
          "downgrade_is_refused_and_changes_nothing", "removal_keeps_the_data",
          "database_of_the_previous_version_is_taken_over", "purge_leaves_nothing")
MEMORY_MIB = 3072  # the whole Debian is in memory


def check(target: Target) -> bool:
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / "root"
        debs = root / "snet/debs"
        debs.mkdir(parents=True)
        shutil.copy(package("snet"), debs / "this.deb")
        _newer(package("snet"), debs / "next.deb", Path(work) / "unpacked")
        shutil.copytree(REPO / "migrations", root / "snet/migrations")
        return boot(replace(target, memory_mib=MEMORY_MIB), root, "packaged", CHECKS, base(target), dkms.built)


def base(target: Target) -> Path:
    """The system that it is installed on."""
    return rootfs.base((*PACKAGES, "apt"), f"{target.system}-packaged", unused=(), suite=target.system)


def _newer(package: Path, out: Path, unpacked: Path) -> None:
    """The same as version 9.0.0."""
    version = subprocess.run(["dpkg-deb", "-f", package, "Version"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["dpkg-deb", "-R", package, unpacked], check=True)
    for name, was in (("control", f"Version: {version}\n"), ("preinst", f"this={version}\n")):
        file = unpacked / "DEBIAN" / name
        text = file.read_text()
        if was not in text:
            raise HarnessError(f"{package.name}: {name} doesn't say {was!r}")
        file.write_text(text.replace(was, was.replace(version, "9.0.0")))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", unpacked, out], check=True, stdout=subprocess.DEVNULL)
