# SPDX-License-Identifier: MIT OR Apache-2.0
"""Guests whose root file system is a disk that outlives them.

Owns: making the disk's image, and the small initramfs that leads to it. What is on it, and what is started there, is
told by who uses it.
"""

import json
import lzma
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import programs
from cpio import Writer
from rootfs import with_dependencies
from targets import HERE, HarnessError, Kernel, Target

# To see the disk and what is on it; the last is found by name through the crypto API.
MODULES = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4")
# Most of it is a hole.
SIZE = "4G"


def make(image: Path, base: Path, added: Path) -> None:
    """An ext4 image with the Debian of `base` and, over it, the tree `added`."""
    if os.geteuid() != 0:
        raise HarnessError("making a guest's disk needs root: its files have many owners")
    with tempfile.TemporaryDirectory(dir=image.parent, prefix=".disk-") as work:
        root = Path(work)
        with base.open("rb") as archive:
            _run("cpio", "-idm", "--quiet", cwd=root, stdin=archive)
        (root / "snet").mkdir(exist_ok=True)
        shutil.copytree(added, root, symlinks=True, dirs_exist_ok=True)
        image.unlink(missing_ok=True)
        _run("mke2fs", "-q", "-t", "ext4", "-d", root, image, SIZE)


def sound(image: Path) -> None:
    """HarnessError where the file system, which nobody uses now, is damaged."""
    _run("e2fsck", "-fn", image)


def composing(start: str, files: dict[str, Path]):
    """How a guest's initramfs is made: /snet/start is the text `start`, `files` are name in the guest → here."""

    def compose(target: Target, kernel: Kernel, run: dict, _files: dict[str, Path], out: Path) -> None:
        available = target.cache / kernel.modules
        with out.open("wb") as initramfs, Writer(initramfs) as writer:
            for directory in ("dev", "disk", "modules"):
                writer.directory(directory)
            writer.device("dev/console", 0o020000, 0o600, 5, 1)
            for number, path in enumerate(with_dependencies(available, MODULES)):
                content = (available / path).read_bytes()
                content = lzma.decompress(content) if path.endswith(".xz") else content
                writer.file(f"modules/{number:02}.ko", content)
            writer.file("init", programs.built(HERE / "guest" / "disk_init.c").read_bytes(), 0o755)
            writer.tree(HERE / "guest", "snet")
            writer.file("snet/start", start.encode())
            writer.file("snet/run.json", json.dumps(run).encode())
            for name, path in files.items():
                writer.file(name, path.read_bytes())

    return compose


def _run(*command: str | Path, cwd: Path | None = None, stdin=None) -> None:
    done = subprocess.run(command, cwd=cwd, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise HarnessError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
