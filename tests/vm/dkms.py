# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whether DKMS builds, signs, installs and removes the module when its package comes and goes: with Debian's dkms, in a chroot.

Owns: `<cache>/toolchains/<suite>-dkms/`, whose /lib/modules has the headers of what is built for, and nothing else.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import toolchain
from targets import HarnessError, Kernel, Target, package

# The last two are what the headers depend on besides.
PACKAGES = ("dkms", "gcc", "make", "kmod", "openssl", "libelf1", "dwarves")
# Where the kernel's build tools run: a target without a toolchain of its own has tools for Debian 12.
SUITE = "bookworm"


class Dkms:
    """DKMS in its chroot, where this target's kernel is installed and the package isn't."""

    def __init__(self, target: Target, kernel: Kernel):
        self.suite = target.toolchain or SUITE
        self.root = toolchain.prepare(self.suite, PACKAGES, f"{self.suite}-dkms")
        self.tree, self.modules = self.root / "var/lib/dkms", self.root / "usr/lib/modules"
        # One may be left of a test that failed.
        self._inside("dpkg", "--purge", "snet-dkms")
        for directory in (self.tree, self.modules):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        settings = self.root / "etc/dkms/framework.conf.d/snet.conf"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(f'sign_file="{target.cache / kernel.build}/scripts/sign-file"\n')
        self.add(target, kernel)

    def add(self, target: Target, kernel: Kernel) -> None:
        """Its headers are installed from now on."""
        (self.modules / kernel.release).mkdir()
        (self.modules / kernel.release / "build").symlink_to(target.cache / kernel.build)

    def install(self) -> str:
        """The package, which has DKMS build the module for the newest kernel here; returns its version."""
        shutil.copy(package("snet-dkms"), self.root / "snet-dkms.deb")
        self._inside("dpkg", "--install", "/snet-dkms.deb")
        return self._inside("dpkg-query", "-W", "-f${Version}", "snet-dkms")

    def purge(self) -> None:
        """It leaves nothing behind."""
        self._inside("dpkg", "--purge", "snet-dkms")
        left = [*self.installed(), *(self.tree / "snet").glob("*"), *(self.root / "usr/src").glob("snet*")]
        if left:
            raise HarnessError(f"snet-dkms left behind {left}")

    def hook(self, which: str, release: str) -> None:
        """What the kernel's package calls when it is installed or removed."""
        self._inside(f"/etc/kernel/{which}.d/dkms", release)

    def _inside(self, *command: str) -> str:
        done = subprocess.run(toolchain.inside(self.suite, list(command), PACKAGES, f"{self.suite}-dkms"), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "LC_ALL": "C.UTF-8"})
        if done.returncode != 0:
            raise HarnessError(f"{' '.join(command)} failed:\n{done.stdout}{self.log()}")
        return done.stdout

    def log(self) -> str:
        return "".join(log.read_text() for log in self.tree.rglob("make.log"))

    def installed(self) -> list[Path]:
        # Not by rglob(): what is called build leads to the headers.
        return sorted(self.modules.glob("*/updates/**/snet.ko*"))


def check(target: Target, kernel: Kernel) -> None:
    """HarnessError where it doesn't work."""
    dkms = Dkms(target, kernel)
    version = dkms.install()
    _expect(dkms, version, kernel.release)
    dkms.purge()
    print(f"ok   {target.name}: snet-dkms {version} has DKMS build, sign and install the module for {kernel.release}, and remove it",
          flush=True)


def built(target: Target, kernel: Kernel) -> Path:
    """The module as the package installs it."""
    dkms = Dkms(target, kernel)
    _expect(dkms, dkms.install(), kernel.release)
    return dkms.installed()[0]


def check_two(first: tuple[Target, Kernel], second: tuple[Target, Kernel]) -> None:
    """HarnessError where a kernel that is installed later doesn't get the module by itself, or one that goes takes the
    other's along."""
    old, new = first[1].release, second[1].release
    dkms = Dkms(*first)
    version = dkms.install()
    _expect(dkms, version, old)
    dkms.add(*second)
    dkms.hook("postinst", new)
    _expect(dkms, version, old, new)
    dkms.hook("prerm", old)
    _expect(dkms, version, new)
    dkms.purge()
    print(f"ok   DKMS builds snet {version} for {new} when it comes to {old}, and keeps it when that goes", flush=True)


def _expect(dkms: Dkms, version: str, *releases: str) -> None:
    """The module is there for these kernels and no other."""
    found = {path.relative_to(dkms.modules).parts[0]: path for path in dkms.installed()}
    if set(found) != set(releases):
        raise HarnessError(f"DKMS has snet for {sorted(found)} instead of {sorted(releases)}")
    for release, path in found.items():
        fields = dict(line.split(":", 1) for line in subprocess.run(
            ["modinfo", path], capture_output=True, text=True, check=True).stdout.splitlines() if re.match(r"\w+:", line))
        expected = {"version": version, "license": "GPL", "name": "snet", "signer": "DKMS module signing key",
                    "vermagic": release}
        for name, value in expected.items():
            if fields.get(name, "").strip().split(" SMP")[0] != value or path.parent.name != "dkms":
                raise HarnessError(f"modinfo of DKMS's {path} says {name}: {fields.get(name, 'nothing')}")
