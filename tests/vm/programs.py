# SPDX-License-Identifier: MIT OR Apache-2.0
"""The guest's C programs: static, so that they need nothing of the guest.

Owns: `<cache>/programs/`. Their sources are in guest/programs/; what they print and mean is their own business.
"""

import subprocess
from pathlib import Path

from targets import CACHE, HERE, REPO, HarnessError

SOURCES = HERE / "guest" / "programs"


def build(name: str) -> Path:
    """The program of guest/programs/NAME.c."""
    source, program = SOURCES / f"{name}.c", CACHE / "programs" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{REPO / 'kernel' / 'uapi'}",
               "-o", program, source]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise HarnessError(f"building {source.relative_to(REPO)} failed:\n{done.stderr.strip()}")
    return program
