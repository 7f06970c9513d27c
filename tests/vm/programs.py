# SPDX-License-Identifier: MIT OR Apache-2.0
"""The C programs that scenarios run in the guest, for calls that Python can't make: guest/programs/*.c.

Owns: `<cache>/programs/`, one file per program and content. NAME.c becomes a static program; NAME.i386.c one that
makes 32-bit system calls, without a library, since none for 32 bits need be installed.
"""

import hashlib
import subprocess
import tempfile
from pathlib import Path

from targets import CACHE, HERE, REPO, HarnessError

SOURCES = HERE / "guest" / "programs"
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-static", "-pthread", f"-I{REPO / 'kernel' / 'uapi'}")
FLAGS_I386 = ("-O2", "-Wall", "-Wextra", "-Werror", "-static", "-m32", "-march=i686", "-nostdlib", "-ffreestanding",
              "-fno-pic", "-fno-stack-protector", "-fno-asynchronous-unwind-tables")


def build() -> dict[str, Path]:
    """Names (without suffixes) → the built programs; only those whose source or flags changed are compiled."""
    return {source.name.split(".")[0]: built(source) for source in sorted(SOURCES.glob("*.c"))}


def built(source: Path) -> Path:
    """The program of this file."""
    flags = FLAGS_I386 if source.name.endswith(".i386.c") else FLAGS
    digest = hashlib.sha256(repr(flags).encode() + source.read_bytes()).hexdigest()[:16]
    name = source.name.split(".")[0]
    program = CACHE / "programs" / f"{name}-{digest}"
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent, prefix=".") as work:
        built = Path(work) / name
        done = subprocess.run(["gcc", *flags, "-o", built, source], capture_output=True, text=True)
        if done.returncode != 0:
            raise HarnessError(f"building {source.name} failed:\n{done.stderr.strip()}")
        for old in program.parent.glob(f"{name}-*"):
            old.unlink(missing_ok=True)
        built.rename(program)
    return program
