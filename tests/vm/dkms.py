# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whether DKMS can build, sign, install and remove the module, by kernel/dkms.conf: with Debian's dkms, in a chroot.

Owns: `<cache>/dkms/<kernel>/`: the staged sources, DKMS's tree, and a directory that takes the place of /lib/modules.
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
    """DKMS with directories of its own, for one kernel."""

    def __init__(self, target: Target, kernel: Kernel):
        self.suite = target.toolchain or SUITE
        self.kernel, self.headers = kernel, target.cache / kernel.build
        self.home = CACHE / "dkms" / target.name
        shutil.rmtree(self.home, ignore_errors=True)
        self.tree, self.sources, self.modules = (self.home / name for name in ("tree", "src", "modules"))
        for directory in (self.tree, self.sources, self.modules / kernel.release):
            directory.mkdir(parents=True)
        self._configure()

    def _configure(self) -> None:
        root = toolchain.prepare(self.suite, PACKAGES, f"dkms-{self.suite}")
        (root / "etc/dkms/framework.conf.d").mkdir(parents=True, exist_ok=True)
        (root / "etc/dkms/framework.conf.d/snet.conf").write_text(
            f'sign_file="{self.headers}/scripts/sign-file"\n'
            f'mok_signing_key="{self.home}/mok.key"\nmok_certificate="{self.home}/mok.pub"\n')

    def stage(self) -> str:
        """The sources as /usr/src/snet-VERSION; returns VERSION."""
        version = re.search(r'^PACKAGE_VERSION="(.*)"$', (REPO / "kernel/dkms.conf").read_text(), re.MULTILINE)[1]
        shutil.copytree(REPO / "kernel", self.sources / f"snet-{version}", ignore=LEFT_OUT)
        return version

    def __call__(self, *arguments: str) -> str:
        command = ["dkms", *arguments, "--dkmstree", str(self.tree), "--sourcetree", str(self.sources),
                   "--installtree", str(self.modules)]
        done = subprocess.run(toolchain.inside(self.suite, command, PACKAGES, f"dkms-{self.suite}"), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "LC_ALL": "C.UTF-8"})
        if done.returncode != 0:
            raise HarnessError(f"{' '.join(arguments)} with DKMS failed:\n{done.stdout}{self.log()}")
        return done.stdout

    def log(self) -> str:
        return "".join(log.read_text() for log in self.tree.rglob("make.log"))

    def installed(self) -> list[Path]:
        return sorted(self.modules.rglob("snet.ko*"))


def check(target: Target, kernel: Kernel) -> None:
    """HarnessError where it doesn't work."""
    dkms = Dkms(target, kernel)
    version = dkms.stage()
    module = ("-m", "snet", "-v", version, "-k", kernel.release)
    dkms("add", "-m", "snet", "-v", version)
    dkms("build", *module, "--kernelsourcedir", str(dkms.headers))
    dkms("install", *module, "--no-depmod")
    found = dkms.installed()
    if len(found) != 1 or found[0].parent.name != "dkms":
        raise HarnessError(f"{target.name}: DKMS installed {found or 'nothing'}")
    fields = dict(line.split(":", 1) for line in subprocess.run(
        ["modinfo", found[0]], capture_output=True, text=True, check=True).stdout.splitlines() if re.match(r"\w+:", line))
    expected = {"version": version, "license": "GPL", "name": "snet", "signer": "DKMS module signing key"}
    for name, value in expected.items():
        if fields.get(name, "").strip() != value:
            raise HarnessError(f"{target.name}: modinfo of DKMS's module says {name}: {fields.get(name, 'nothing')}")
    dkms("remove", "snet/" + version, "--all")
    if dkms.installed() or list((dkms.tree / "snet").glob("*")):
        raise HarnessError(f"{target.name}: DKMS left something behind")
    print(f"ok   {target.name}: DKMS adds, builds, signs, installs and removes snet {version} for {kernel.release}", flush=True)
