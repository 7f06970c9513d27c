# SPDX-License-Identifier: MIT OR Apache-2.0
"""Kernels compiled here from Debian's source with a configuration of our own (the debug kernel).

Owns: unpacking, configuring and compiling into `<cache>/kernels/<name>/`. Takes long, is done once per source and
configuration, and goes on where it was interrupted.
Hands over: a `targets.Kernel`, like fetch.py.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from archive import Apt
from targets import HERE, HarnessError, Kernel, Target

# Directories that building a module against the tree needs, at the top and in arch/.
NEEDED = ("arch", "include", "scripts", "tools", "x86")


def version(target: Target) -> str:
    """Identifies the configuration; part of `Kernel.version`."""
    return hashlib.sha256((HERE / target.config).read_bytes()).hexdigest()[:12]


def compile_kernel(target: Target) -> Kernel:
    work = target.cache.parent / f".{target.name}-{version(target)}"
    tree = work / "build"
    debian = _unpack(target, work, tree)
    print(f"{target.name}: compiling {target.source} {debian}, which takes a while (log: {work}/make.log)", flush=True)
    _configure(target, work, tree)
    _make(work, tree, f"-j{os.cpu_count()}", "bzImage", "modules")
    release = _make(work, tree, "-s", "kernelrelease").split()[-1]
    _make(work, tree, "modules_install", f"INSTALL_MOD_PATH={work}")
    shutil.copy(tree / "arch/x86/boot/bzImage", work / "vmlinuz")
    kernel = Kernel(release, "vmlinuz", "build", f"lib/modules/{release}", f"{debian}, {target.config} {version(target)}")
    _slim(tree)
    kernel.save(work)
    shutil.rmtree(target.cache, ignore_errors=True)
    work.rename(target.cache)
    return kernel


def _unpack(target: Target, work: Path, tree: Path) -> str:
    """The source tree; returns Debian's version of it."""
    stamp = work / "unpacked"
    if stamp.exists():
        return stamp.read_text()
    shutil.rmtree(work, ignore_errors=True)
    apt = Apt(target.name, target.suites)
    apt.update()
    debian = apt.newest(target.source)["Version"]
    print(f"{target.name}: downloading {target.source} {debian}", flush=True)
    deb, = apt.download({target.source: debian}, work / "debs")
    subprocess.run(["dpkg-deb", "-x", deb, work / "deb"], check=True)
    tarball, = (work / "deb/usr/src").glob("linux-source-*.tar.xz")
    tree.mkdir()
    subprocess.run(["tar", "-xf", tarball, "-C", tree, "--strip-components=1"], check=True)
    shutil.rmtree(work / "deb")
    shutil.rmtree(work / "debs")
    apt.forget()
    stamp.write_text(debian)
    return debian


def _configure(target: Target, work: Path, tree: Path) -> None:
    """tinyconfig plus our fragment; an option that did not take is an error, not a surprise."""
    fragment = (HERE / target.config).read_text()
    wanted = [line for line in fragment.splitlines() if line and not line.startswith("#")]
    if not (tree / ".config").exists():
        _make(work, tree, "tinyconfig")
        with (tree / ".config").open("a") as config:
            config.write("\n".join(wanted) + "\n")
    _make(work, tree, "olddefconfig")
    result = set((tree / ".config").read_text().splitlines())
    absent = [line for line in wanted if not line.endswith("=n") and line not in result]
    if absent:
        (tree / ".config").unlink()
        raise HarnessError(f"{target.name}: the kernel does not accept {', '.join(absent)}")


def _make(work: Path, tree: Path, *arguments: str) -> str:
    log = work / "make.log"
    with log.open("ab") as out:
        start = out.tell()
        command = ["nice", "make", "-C", tree, "KBUILD_BUILD_HOST=snet", "KBUILD_BUILD_USER=snet", *arguments]
        done = subprocess.run(command, stdout=out, stderr=out)
    said = log.read_bytes()[start:].decode(errors="replace")
    if done.returncode != 0:
        raise HarnessError(f"make {' '.join(arguments)} failed:\n" + "\n".join(said.splitlines()[-30:]))
    return said


def _slim(tree: Path) -> None:
    """Keep what Debian's header packages keep: a tree with its sources and objects would be gigabytes."""
    for path in [*tree.iterdir(), *(tree / "arch").iterdir()]:
        if path.is_dir() and not path.is_symlink() and path.name not in NEEDED:
            shutil.rmtree(path)
    for path in [*tree.glob("vmlinux*"), *tree.glob(".tmp_vmlinux*"), *(tree / "arch").rglob("*.[oa]")]:
        path.unlink()
