# SPDX-License-Identifier: MIT OR Apache-2.0
"""Building snet.ko and the modules of its tests against a kernel in the cache, without a trace in the source tree.

Owns: `<cache>/build/<kernel>/` (a mirror of the sources, and the modules), the sparse run.
Hands over: the paths of the modules; boot.py puts them into the guest.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import toolchain
from targets import CACHE, REPO, HarnessError, Kernel, Target

SOURCE = REPO / "kernel"
BY_PRODUCT = re.compile(r"(\.o|\.ko|\.mod|\.mod\.c|\.cmd|\.order|\.symvers|~|\.swp)$")


def build(target: Target, kernel: Kernel, source: Path = SOURCE, sparse: bool = False,
          name: str = "") -> list[Path]:
    """snet.ko for that kernel, and what `tests/` beside it makes; make runs only if a source or the kernel changed.
    `name` keeps the build of another source apart."""
    if not (source / "Makefile").is_file() and not (source / "Kbuild").is_file():
        raise HarnessError(f"{source} has neither Makefile nor Kbuild: there is no module to build")
    directory = CACHE / "build" / (name or target.origin)
    if sparse and not target.sparse:
        print(f"{target.name}: built without sparse, which does not understand this kernel's headers", flush=True)
        sparse = False
    salt = f"{kernel.release} {kernel.version} {source}"
    mirror = directory / "src"
    digest = _synchronise(source, mirror, salt)
    stamp = directory / "stamp"
    if not sparse and stamp.exists() and stamp.read_text() == digest:
        return _built(directory)
    stamp.unlink(missing_ok=True)
    for module in _built(directory):
        module.unlink()
    parts = [mirror]
    if (source / "tests" / "Kbuild").is_file():
        # They have files in common with the module, which would be compiled anew for each of the two.
        _synchronise(source, directory / "src-tests", salt)
        parts.append(directory / "src-tests" / "tests")
    log = ""
    for part in parts:
        log += _make(target, kernel, part, ["C=2"] if sparse else []).replace(f"{directory}/src-tests/", f"{mirror}/")
        for module in part.glob("*.ko"):
            _place(module, directory / module.name)
    (directory / "make.log").write_text(log)
    if sparse:
        _refuse_warnings(target, log, mirror)
    if not (directory / "snet.ko").is_file():
        raise HarnessError(f"{target.name}: make succeeded but left no snet.ko (is it obj-m += snet.o?)")
    _report_new_warnings(log, mirror)
    stamp.write_text(digest)
    return _built(directory)


def _place(module: Path, destination: Path) -> None:
    """Without its debug information, as packages install it: it would be most of what a guest has to unpack."""
    subprocess.run(["strip", "--strip-debug", "-o", destination, module], check=True)


def _built(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.ko"))


def _synchronise(source: Path, mirror: Path, salt: str) -> str:
    """Copy what differs and drop what is gone from the source, so that kbuild's own dependencies stay right."""
    record = mirror / ".mirrored"
    before = json.loads(record.read_text()) if record.exists() else {}
    if before.get("salt") != salt:
        shutil.rmtree(mirror, ignore_errors=True)
    mirror.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(salt.encode())
    files = _sources(source)
    for relative, content in files.items():
        digest.update(f"{relative} {len(content)}\n".encode() + content)
        copy = mirror / relative
        if not copy.exists() or copy.read_bytes() != content:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(content)
    for gone in set(before.get("files", ())) - set(files):
        (mirror / gone).unlink(missing_ok=True)
    record.write_text(json.dumps({"salt": salt, "files": list(files)}))
    return digest.hexdigest()


def _sources(source: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(source)): path.read_bytes()
        for path in sorted(source.rglob("*"))
        if path.is_file() and not BY_PRODUCT.search(path.name) and "__pycache__" not in path.parts
    }


def _make(target: Target, kernel: Kernel, directory: Path, options: list[str]) -> str:
    headers = target.cache / kernel.build
    command = ["make", "-j2", "-C", str(headers), f"M={directory}", *options, "modules"]
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
    return file.is_relative_to(mirror) if file.is_absolute() else any((part / file).is_file() for part in (mirror, mirror / "tests"))


def diagnostics(log: str, mirror: Path) -> list[str]:
    return [line.replace(f"{mirror}/", "kernel/") for line in log.splitlines() if _ours(line, mirror)]


def _refuse_warnings(target: Target, log: str, mirror: Path) -> None:
    if "CHECK " not in log or "too many errors" in log:
        raise HarnessError(f"{target.name}: sparse did not run, or not to the end\n{_without_noise(log)}")
    found = diagnostics(log, mirror)
    if found:
        raise HarnessError(f"{target.name}: sparse or the compiler warns\n" + "\n".join(found))


def _report_new_warnings(log: str, mirror: Path) -> None:
    for line in diagnostics(log, mirror):
        print(line)
