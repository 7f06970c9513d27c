# SPDX-License-Identifier: MIT OR Apache-2.0
"""Writing initramfs archives (cpio, newc format) without root and without temporary trees.

Owns: the byte format. Everything belongs to root unless said otherwise; archives written one after
the other into one file are unpacked one over the other by the kernel.
Source of the format: Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import stat
import tarfile
from pathlib import Path
from typing import BinaryIO


class Writer:
    """One archive; use as a context manager, the trailer is written at the end."""

    def __init__(self, out: BinaryIO):
        self.out = out
        self.position = 0
        self.inode = 0
        self.known_directories: set[str] = set()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, kind, value, trace) -> None:
        if kind is None:
            self._entry("TRAILER!!!", 0, b"")

    def directory(self, name: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        if name and name not in self.known_directories:
            self.known_directories.add(name)
            self._entry(name, stat.S_IFDIR | mode, b"", uid, gid)

    def parents(self, name: str) -> None:
        parts = name.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            self.directory("/".join(parts[:depth]))

    def file(self, name: str, content: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0,
             mtime: int = 0) -> None:
        self.parents(name)
        self._entry(name, stat.S_IFREG | mode, content, uid, gid, mtime=mtime)

    def symlink(self, name: str, destination: str, uid: int = 0, gid: int = 0) -> None:
        self.parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, destination.encode(), uid, gid)

    def device(self, name: str, kind: int, mode: int, major: int, minor: int) -> None:
        self.parents(name)
        self._entry(name, kind | mode, b"", 0, 0, (major, minor))

    def tree(self, source: Path, name: str) -> None:
        """A directory of this machine, with modes but as root's."""
        for path in sorted(source.rglob("*")):
            if "__pycache__" in path.parts:
                continue
            inside = f"{name}/{path.relative_to(source)}"
            if path.is_symlink():
                self.symlink(inside, str(path.readlink()))
            elif path.is_dir():
                self.parents(inside + "/")
            elif path.is_file():
                self.file(inside, path.read_bytes(), path.stat().st_mode & 0o777, mtime=int(path.stat().st_mtime))

    def tar(self, archive: tarfile.TarFile, skip) -> None:
        """Members of a tar archive for which `skip(name)` is false; hard links become copies. Times are kept:
        Python would compile every module anew if its source had another time than the compiled file says."""
        for member in archive:
            name = member.name.removeprefix("./").strip("/")
            if not name or name == "." or skip(name):
                continue
            owner = {"uid": member.uid, "gid": member.gid}
            if member.isdir():
                self.directory(name, member.mode, **owner)
            elif member.issym():
                self.symlink(name, member.linkname, **owner)
            elif member.isfile() or member.islnk():
                content = archive.extractfile(member).read()
                self.file(name, content, member.mode, **owner, mtime=int(member.mtime))

    def _entry(self, name: str, mode: int, content: bytes, uid: int = 0, gid: int = 0, device=(0, 0),
               mtime: int = 0) -> None:
        self.inode += 1
        links = 2 if stat.S_ISDIR(mode) else 1
        encoded = name.encode() + b"\0"
        fields = (self.inode, mode, uid, gid, links, mtime, len(content), 0, 0, *device, len(encoded), 0)
        self._write(b"070701" + b"".join(b"%08X" % field for field in fields) + encoded)
        self._write(content)

    def _write(self, data: bytes) -> None:
        self.out.write(data + b"\0" * (-len(data) % 4))
        self.position += len(data)
