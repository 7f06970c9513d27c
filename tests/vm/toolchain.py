# SPDX-License-Identifier: MIT OR Apache-2.0
"""A newer Debian's compiler and kbuild libraries, as a chroot, for kernels this machine can't build for.

Owns: `<cache>/toolchains/<suite>/`.
Must not: be used for kernels whose tools run here (their Target names no toolchain).
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from archive import KEYRING, mirror
from targets import CACHE, HarnessError

PACKAGES = ("gcc", "make", "libelf1", "libssl3", "dwarves", "sparse", "kmod", "bc", "python3-minimal")


def inside(suite: str, command: list[str], packages: tuple[str, ...] = PACKAGES, name: str = "") -> list[str]:
    """The command line that runs `command` in the chroot, where the cache has the same path as here. `name` keeps a chroot
    of other packages apart."""
    root = prepare(suite, packages, name)
    within = root / str(CACHE).lstrip("/")
    within.mkdir(parents=True, exist_ok=True)
    script = 'mount --rbind "$1" "$2"; mount -t proc proc "$3/proc"; root=$3; shift 3; exec chroot "$root" "$@"'
    namespaces = ["--mount", "--pid", "--fork"]
    if os.geteuid() != 0:
        raise HarnessError(f"building for this kernel needs root: it runs in a chroot of Debian {suite}")
    return ["unshare", *namespaces, "sh", "-ec", script, "sh", str(CACHE), str(within), str(root), *command]


def prepare(suite: str, packages: tuple[str, ...] = PACKAGES, name: str = "") -> Path:
    root = CACHE / "toolchains" / (name or suite)
    if root.is_dir():
        return root
    print(f"making a chroot of Debian {suite} to build in", flush=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{suite}-", dir=root.parent))
    try:
        source = f"deb [signed-by={KEYRING}] {mirror('debian')} {suite} main"
        command = ["mmdebstrap", "--mode=root", "--variant=apt", "--quiet", f"--include={','.join(packages)}",
                   "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
                   suite, str(work / "root"), source]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise HarnessError(f"making the {suite} chroot failed:\n{done.stderr.strip()[-3000:]}")
        (work / "root").rename(root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return root
