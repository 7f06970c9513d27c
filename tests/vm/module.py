# SPDX-License-Identifier: MIT OR Apache-2.0
"""Building snet.ko against a kernel in the cache, without a trace in the source tree.

Owns: `<cache>/build/<kernel>/` (a mirror of the sources, and `snet.ko`), the sparse run.
Hands over: the path of the module; boot.py puts it into the guest.
"""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import toolchain
from targets import CACHE, REPO, HarnessError, Kernel, Target

SOURCE = REPO / "kernel"
BY_PRODUCT = re.compile(r"(\.o|\.ko|\.mod|\.mod\.c|\.cmd|\.order|\.symvers|~|\.swp)$")


def build(target: Target, kernel: Kernel, source: Path = SOURCE, sparse: bool = False) -> Path:
    """snet.ko for that kernel; make runs only if a source, the kernel or the options changed."""
    if not (source / "Makefile").is_file() and not (source / "Kbuild").is_file():
        raise HarnessError(f"{source} has neither Makefile nor Kbuild: there is no module to build")
    directory = CACHE / "build" / target.name
    mirror = directory / "src"
    digest = _synchronise(source, mirror, f"{kernel.release} {kernel.version} {source}")
    module, stamp = directory / "snet.ko", directory / "stamp"
    if not sparse and module.exists() and stamp.exists() and stamp.read_text() == digest:
        return module
    stamp.unlink(missing_ok=True)
    log = _make(target, kernel, mirror, ["C=2"] if sparse else [])
    (directory / "make.log").write_text(log)
    if sparse:
        _refuse_warnings(target, log, mirror)
    if not (mirror / "snet.ko").is_file():
        raise HarnessError(f"{target.name}: make succeeded but left no snet.ko (is it obj-m += snet.o?)")
    _report_new_warnings(log, mirror)
    shutil.copy2(mirror / "snet.ko", directory / "new.ko")
    (directory / "new.ko").rename(module)
    stamp.write_text(digest)
    return module


def _synchronise(source: Path, mirror: Path, salt: str) -> str:
    """Copy what differs and drop what is gone, so that kbuild's own dependencies stay right."""
    digest = hashlib.sha256(salt.encode())
    owner = mirror / ".source"
    if mirror.exists() and (not owner.exists() or owner.read_text() != salt):
        shutil.rmtree(mirror)
    mirror.mkdir(parents=True, exist_ok=True)
    owner.write_text(salt)
    wanted = set()
    for path in sorted(source.rglob("*")):
        if not path.is_file() or BY_PRODUCT.search(path.name) or "__pycache__" in path.parts:
            continue
        relative = path.relative_to(source)
        content = path.read_bytes()
        digest.update(f"{relative} {len(content)}\n".encode() + content)
        wanted.add(relative)
        copy = mirror / relative
        if not copy.exists() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    for path in mirror.rglob("*"):
        if path.suffix in (".c", ".h", ".S") and not path.name.endswith(".mod.c"):
            if path.relative_to(mirror) not in wanted:
                path.unlink()
    return digest.hexdigest()


def _make(target: Target, kernel: Kernel, mirror: Path, options: list[str]) -> str:
    headers = target.cache / kernel.build
    command = ["make", "-j2", "-C", str(headers), f"M={mirror}", *options, "modules"]
    if target.toolchain:
        command = toolchain.inside(target.toolchain, command)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "KBUILD", "KERNEL"))}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**environment, "LC_ALL": "C.UTF-8"})
    if done.returncode != 0:
        raise HarnessError(f"{target.name}: building the module failed\n{_without_noise(done.stdout)}")
    return done.stdout


def _without_noise(log: str) -> str:
    lines = [line for line in log.splitlines() if not line.startswith("make: ")]
    return "\n".join(lines[-60:])


def _ours(line: str, mirror: Path) -> bool:
    """Whether a diagnostic is about one of our files (kbuild names them absolutely or relatively)."""
    match = re.match(r"(?P<file>[^\s:]+):\d+(:\d+)?: (sparse: )?(warning|error):", line)
    if not match:
        return False
    file = Path(match["file"])
    return file.is_relative_to(mirror) if file.is_absolute() else (mirror / file).is_file()


def diagnostics(log: str, mirror: Path) -> list[str]:
    return [line.replace(f"{mirror}/", "kernel/") for line in log.splitlines() if _ours(line, mirror)]


def _refuse_warnings(target: Target, log: str, mirror: Path) -> None:
    if "CHECK " not in log:
        raise HarnessError(f"{target.name}: sparse did not run\n{_without_noise(log)}")
    found = diagnostics(log, mirror)
    if found:
        raise HarnessError(f"{target.name}: sparse or the compiler warns\n" + "\n".join(found))


def _report_new_warnings(log: str, mirror: Path) -> None:
    for line in diagnostics(log, mirror):
        print(line)
