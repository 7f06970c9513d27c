# SPDX-License-Identifier: MIT OR Apache-2.0
"""The Debian packages that `make deb` made, installed with apt on a booted Debian, upgraded, removed and purged. The module
is what snet-dkms installs, in a chroot: a guest would take minutes to build it.

Owns: the packages that the guest is given. What is done with them is guest/packaged.py's.
"""

import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Callable

import dkms
import rootfs
from installed import PACKAGES, boot
from targets import REPO, HarnessError, Target, package

# In the order in which guest/packaged.py does them.
CHECKS = ("page_on_installing_prints_what_it_says",
          "package_brings_a_running_daemon", "package_has_what_belongs_to_it",
          "backup_is_restored_by_root_for_the_daemon_s_user", "upgrade_keeps_rules_and_configuration",
          "downgrade_is_refused_and_changes_nothing", "removal_keeps_the_data",
          "database_of_the_previous_version_is_taken_over", "daemon_that_bound_its_socket_itself_is_replaced",
          "purge_leaves_nothing")
# What the first one runs, and by what. It leaves the package installed, as if nothing had been done with it.
PAGE = ("docs/install.md", "tests/native/document.py")
MEMORY_MIB = 3072  # the whole Debian is in memory


def check(target: Target) -> bool:
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / "root"
        debs = root / "snet/debs"
        debs.mkdir(parents=True)
        shutil.copy(package("snet"), debs / "this.deb")
        _changed(package("snet"), debs / "next.deb", Path(work) / "next", "9.0.0")
        _changed(package("snet"), debs / "before.deb", Path(work) / "before", "0.0.1", _without_socket)
        shutil.copytree(REPO / "migrations", root / "snet/migrations")
        for file in PAGE:
            shutil.copy(REPO / file, root / "snet")
        return boot(replace(target, memory_mib=MEMORY_MIB), root, "packaged", CHECKS, base(target), dkms.built)


def base(target: Target) -> Path:
    """The system that it is installed on."""
    return rootfs.base((*PACKAGES, "apt", "passwd"), f"{target.system}-packaged", unused=(), suite=target.system)


def _changed(package: Path, out: Path, unpacked: Path, named: str,
             change: Callable[[Path], None] = lambda unpacked: None) -> None:
    """The same as another version."""
    version = subprocess.run(["dpkg-deb", "-f", package, "Version"], check=True, capture_output=True, text=True).stdout.strip()
    subprocess.run(["dpkg-deb", "-R", package, unpacked], check=True)
    for name, was in (("control", f"Version: {version}\n"), ("preinst", f"this={version}\n")):
        file = unpacked / "DEBIAN" / name
        text = file.read_text()
        if was not in text:
            raise HarnessError(f"{package.name}: {name} doesn't say {was!r}")
        file.write_text(text.replace(was, was.replace(version, named)))
    change(unpacked)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", unpacked, out], check=True, stdout=subprocess.DEVNULL)


def _without_socket(unpacked: Path) -> None:
    """As packages were before systemd had the control socket: the daemon made it in a directory of its own."""
    for name in ("snetd.socket", "snet-rescue.service", "tmpfiles.d/snet.conf"):
        for file in unpacked.rglob(name):
            file.unlink()
    service = unpacked / "lib/systemd/system/snetd.service"
    text = re.sub("^(ExecStopPost=|Also=).*\n", "", service.read_text(), flags=re.MULTILINE)
    text = text.replace(" snetd.socket ", " ").replace("ReadWritePaths=-/run/snet", "RuntimeDirectory=snet\nRuntimeDirectoryMode=0755")
    service.write_text(text)
    for script in (unpacked / "DEBIAN").glob("p*"):
        parts = re.split("(?m)(?=^# Automatically added by)|(?<=^# End automatically added section$)", script.read_text())
        script.write_text("".join(part for part in parts if "snetd.socket" not in part and "tmpfiles" not in part))
    # They didn't look at what a removed version had left either.
    preinst = unpacked / "DEBIAN/preinst"
    preinst.write_text(preinst.read_text().replace(' || [ "$1" = install ]', ""))
    (unpacked / "DEBIAN/md5sums").unlink()
