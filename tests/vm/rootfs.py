# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the guest finds in its file system: a small Debian, the kernel's modules, our things.

Owns: `<cache>/rootfs/` (the base archive), `<cache>/kernels/*/modules.cpio`, composing a run's initramfs.
Must not: decide what runs in the guest (guest/init and guest/runner.py do).
"""

import hashlib
import json
import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from archive import source_lines
from cpio import Writer
from targets import CACHE, GUEST_MODULES, HERE, HarnessError, Kernel, Target

DEBIANS = {"bookworm": "Debian 12", "trixie": "Debian 13"}
PACKAGES = (
    "python3", "curl", "netcat-openbsd", "iproute2", "kmod", "procps", "util-linux", "mount", "nginx-light", "iputils-ping",
    "sqlite3", "strace", "nftables", "socat", "passwd", "libsctp1", "ca-certificates", "liburing2", "less",
    "apparmor",
)
UNUSED = (
    "boot/", "dev/", "proc/", "sys/", "run/", "tmp/", "var/lib/apt/", "var/cache/", "var/log/", "var/lib/dpkg/info/",
    "usr/share/doc/", "usr/share/man/", "usr/share/locale/", "usr/share/info/", "usr/share/i18n/",
    "usr/share/zoneinfo/", "usr/lib/x86_64-linux-gnu/gconv/", "usr/share/common-licenses/",
    "usr/share/lintian/", "usr/share/bug/", "usr/share/perl", "usr/lib/x86_64-linux-gnu/perl", "usr/share/bash-completion/",
    "usr/lib/python3.11/test/", "usr/lib/python3.11/lib2to3/", "usr/lib/python3.11/pydoc_data/",
    "usr/lib/python3.11/ensurepip/", "usr/lib/python3.11/idlelib/", "usr/lib/udev/hwdb", "usr/share/gcc/",
    "usr/share/pixmaps/", "usr/share/menu/", "usr/bin/perl", "usr/share/gdb/", "usr/share/bash-completion",
)
# Raised when the recipe below changes in a way its inputs don't show.
RECIPE = 2


def base(packages: tuple[str, ...] = PACKAGES, name: str = "base", unused: tuple[str, ...] = UNUSED,
         suite: str = "bookworm") -> Path:
    """The Debian part, made once; the name carries the recipe, so that a change makes a new one."""
    suites = (("debian", suite), ("debian", f"{suite}-updates"), ("security", f"{suite}-security"))
    recipe = hashlib.sha256(repr((RECIPE, suites, packages, unused)).encode()).hexdigest()[:12]
    archive = CACHE / "rootfs" / f"{name}-{recipe}.cpio"
    if archive.exists():
        return archive
    print(f"making the guest's {DEBIANS[suite]}", flush=True)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=f".{name}-") as work:
        tarball = Path(work) / "base.tar"
        mode = "root" if os.geteuid() == 0 else "auto"
        command = ["mmdebstrap", f"--mode={mode}", "--variant=essential", "--quiet", f"--include={','.join(packages)}",
                   "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
                   suite, str(tarball), *source_lines(suites)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise HarnessError(f"mmdebstrap failed:\n{done.stderr.strip()[-3000:]}")
        packed = Path(work) / "base.cpio"
        with tarfile.open(tarball) as source, packed.open("wb") as out, Writer(out) as writer:
            _skeleton(writer)
            writer.tar(source, lambda name: f"{name}/".startswith(unused) or name.startswith(unused))
        packed.rename(archive)
    for old in archive.parent.glob(f"{name}-*.cpio"):
        if old != archive:
            old.unlink()
    return archive


def _skeleton(writer: Writer) -> None:
    for name in ("dev", "proc", "sys", "run", "boot", "var", "var/cache", "var/log", "var/log/nginx", "var/lib"):
        writer.directory(name)
    writer.directory("tmp", 0o1777)
    writer.device("dev/console", 0o020000, 0o600, 5, 1)
    writer.device("dev/null", 0o020000, 0o666, 1, 3)


def modules(target: Target, kernel: Kernel) -> Path:
    """The stock modules scenarios need with their dependencies, decompressed, as an archive of their own."""
    wanted = hashlib.sha256(repr((RECIPE, GUEST_MODULES)).encode()).hexdigest()[:12]
    archive = target.cache / f"modules-{wanted}.cpio"
    if archive.exists():
        return archive
    available = target.cache / kernel.modules
    with tempfile.TemporaryDirectory(dir=target.cache, prefix=".modules-") as work:
        stage = Path(work) / "root"
        staged = stage / "lib/modules" / kernel.release
        staged.mkdir(parents=True)
        for path in with_dependencies(available, GUEST_MODULES):
            place(available / path, staged / path)
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            if (available / name).exists():
                shutil.copy(available / name, staged / name)
        subprocess.run(["depmod", "-b", stage, kernel.release], check=True, stderr=subprocess.DEVNULL)
        packed = Path(work) / "modules.cpio"
        with packed.open("wb") as out, Writer(out) as writer:
            # The base's /lib is a link to usr/lib, which an archive that names lib/ would not follow.
            writer.tree(staged, f"usr/lib/modules/{kernel.release}")
        packed.rename(archive)
    return archive


def with_dependencies(available: Path, names: tuple[str, ...]) -> list[str]:
    """Paths relative to the modules directory, each after what it needs; a module that is built in or absent is no error."""
    dependencies = {}
    if not (available / "modules.dep").exists():
        return []
    for line in (available / "modules.dep").read_text().splitlines():
        path, _, needed = line.partition(":")
        dependencies[path] = needed.split()
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in dependencies}
    paths = (by_name[name] for name in names if name in by_name)
    # depmod names the innermost last.
    return list(dict.fromkeys(needed for path in paths for needed in (*reversed(dependencies[path]), path)))


def place(source: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".xz":
        destination.with_suffix("").write_bytes(lzma.decompress(source.read_bytes()))
    else:
        shutil.copy(source, destination)


def compose(target: Target, kernel: Kernel, run: dict, files: dict[str, Path], out: Path) -> None:
    """A run's initramfs: base, modules, then what changes: guest/, `files` (name in the guest → here), run.json."""
    with out.open("wb") as initramfs:
        for part in (base(), modules(target, kernel)):
            with part.open("rb") as archive:
                shutil.copyfileobj(archive, initramfs, 1 << 20)
        with Writer(initramfs) as writer:
            writer.tree(HERE / "guest", "snet")
            writer.symlink("init", "snet/init")
            writer.file("snet/run.json", json.dumps(run).encode())
            for name, path in files.items():
                mode = 0o755 if os.access(path, os.X_OK) else 0o644
                writer.file(name, path.read_bytes(), mode)
