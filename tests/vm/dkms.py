# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whether DKMS can build, sign, install and remove the module, by kernel/dkms.conf: with Debian's dkms, in a chroot.

Owns: `<cache>/dkms/<name>/`: the staged sources, DKMS's tree, and a directory that takes the place of /lib/modules.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import toolchain
from targets import CACHE, REPO, HarnessError, Kernel, Target

# The last two are what the headers depend on besides.
PACKAGES = ("dkms", "gcc", "make", "kmod", "openssl", "libelf1", "dwarves")
# Where the kernel's build tools run: a target without a toolchain of its own has tools for Debian 12.
SUITE = "bookworm"
# What an installed source package has of kernel/.
LEFT_OUT = shutil.ignore_patterns("tests", "__pycache__", "generate.py", "snet.yaml", "*.o", "*.ko", "*.cmd", "*.mod*")


class Dkms:
    """DKMS with directories of its own, `name`, for kernels whose tools run on `suite`: releases → headers."""

    def __init__(self, name: str, suite: str, headers: dict[str, Path]):
        self.suite, self.headers = suite, headers
        self.home = CACHE / "dkms" / name
        shutil.rmtree(self.home, ignore_errors=True)
        self.tree, self.sources, self.modules = (self.home / name for name in ("tree", "src", "modules"))
        for directory in (self.tree, self.sources, self.modules):
            directory.mkdir(parents=True)
        self.root = toolchain.prepare(self.suite, PACKAGES, f"dkms-{self.suite}")
        self._configure()
        for release, tree in headers.items():
            (self.modules / release).mkdir()
            (self.modules / release / "build").symlink_to(tree)

    def _configure(self) -> None:
        """Also for the hooks of kernel packages, which name no directory, and look for headers in /lib/modules."""
        (self.root / "etc/dkms/framework.conf.d").mkdir(parents=True, exist_ok=True)
        (self.root / "etc/dkms/framework.conf.d/snet.conf").write_text(
            f'dkms_tree="{self.tree}"\nsource_tree="{self.sources}"\ninstall_tree="{self.modules}"\n'
            f'sign_file="{next(iter(self.headers.values()))}/scripts/sign-file"\n'
            f'mok_signing_key="{self.home}/mok.key"\nmok_certificate="{self.home}/mok.pub"\n')
        place = self.root / "lib/modules"
        if place.is_symlink():
            place.unlink()
        elif place.is_dir():
            place.rmdir()
        place.symlink_to(self.modules)

    def stage(self) -> str:
        """The sources as /usr/src/snet-VERSION; returns VERSION."""
        version = re.search(r'^PACKAGE_VERSION="(.*)"$', (REPO / "kernel/dkms.conf").read_text(), re.MULTILINE)[1]
        shutil.copytree(REPO / "kernel", self.sources / f"snet-{version}", ignore=LEFT_OUT)
        return version

    def __call__(self, *arguments: str) -> str:
        return self._inside("dkms", *arguments)

    def hook(self, which: str, release: str) -> None:
        """What the kernel's package calls when it is installed or removed."""
        self._inside(f"/etc/kernel/{which}.d/dkms", release)

    def _inside(self, *command: str) -> str:
        done = subprocess.run(toolchain.inside(self.suite, list(command), PACKAGES, f"dkms-{self.suite}"), text=True,
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
    headers = target.cache / kernel.build
    dkms = Dkms(target.name, target.toolchain or SUITE, {kernel.release: headers})
    version = dkms.stage()
    module = ("-m", "snet", "-v", version, "-k", kernel.release)
    dkms("add", "-m", "snet", "-v", version)
    dkms("build", *module, "--kernelsourcedir", str(headers))
    dkms("install", *module, "--no-depmod")
    _expect(dkms, version, kernel.release)
    _remove(dkms, version)
    print(f"ok   {target.name}: DKMS adds, builds, signs, installs and removes snet {version} for {kernel.release}", flush=True)


def check_two(*kernels: tuple[Target, Kernel]) -> None:
    """HarnessError where a kernel that is installed later doesn't get the module by itself, or one that goes takes the
    other's along."""
    dkms = Dkms("two", SUITE, {kernel.release: target.cache / kernel.build for target, kernel in kernels})
    old, new = (kernel for _, kernel in kernels)
    version = dkms.stage()
    dkms("add", "-m", "snet", "-v", version)
    dkms.hook("postinst", old.release)
    _expect(dkms, version, old.release)
    dkms.hook("postinst", new.release)
    _expect(dkms, version, old.release, new.release)
    dkms.hook("prerm", old.release)
    _expect(dkms, version, new.release)
    _remove(dkms, version)
    print(f"ok   DKMS builds snet {version} for {new.release} when it comes to {old.release}, and keeps it when that goes",
          flush=True)


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


def _remove(dkms: Dkms, version: str) -> None:
    dkms("remove", "snet/" + version, "--all")
    if dkms.installed() or list((dkms.tree / "snet").glob("*")):
        raise HarnessError("DKMS left something behind")
