# SPDX-License-Identifier: MIT OR Apache-2.0
"""Signed access to a Debian archive that leaves this machine's own apt set-up alone.

Owns: the mirror's address, a private apt configuration and its lists, download with verification.
Must not: know what a kernel or a root file system is.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from targets import CACHE, HarnessError

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FALLBACK = {"debian": "http://deb.debian.org/debian", "security": "http://deb.debian.org/debian-security"}
ENDING = {"debian": "/debian", "security": "/debian-security"}


def mirror(archive: str) -> str:
    """The mirror this machine already uses, so that a local mirror or proxy is honoured."""
    sources = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    for source in sources:
        if not source.is_file():
            continue
        for line in source.read_text(errors="replace").splitlines():
            if not re.match(r"(deb\s|URIs:)", line):
                continue
            for word in line.split():
                if "://" in word and word.rstrip("/").endswith(ENDING[archive]):
                    return word.rstrip("/")
    return FALLBACK[archive]


def source_lines(suites: tuple[tuple[str, str], ...]) -> list[str]:
    return [f"deb [signed-by={KEYRING}] {mirror(archive)} {suite} main" for archive, suite in suites]


class Apt:
    """apt-get and apt-cache over the given suites only, with their own lists directory."""

    def __init__(self, name: str, suites: tuple[tuple[str, str], ...]):
        if not Path(KEYRING).exists():
            raise HarnessError(f"{KEYRING} is missing: run `vm.py setup`")
        self.home = CACHE / "apt" / name
        for directory in ("lists/partial", "cache/archives/partial", "parts"):
            (self.home / directory).mkdir(parents=True, exist_ok=True)
        (self.home / "sources.list").write_text("\n".join(source_lines(suites)) + "\n")
        config = self.home / "apt.conf"
        config.touch(mode=0o600)
        config.write_text(self._acquire_settings() + self._directories())
        self.env = {**os.environ, "APT_CONFIG": str(config), "LC_ALL": "C.UTF-8"}

    @staticmethod
    def _acquire_settings() -> str:
        """The machine's proxy and transport settings, but none of its hooks or preferences."""
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
        return "".join(line + "\n" for line in dump.splitlines() if line.startswith("Acquire::"))

    def _directories(self) -> str:
        return (
            f'Dir::Etc::main "/dev/null";\nDir::Etc::parts "{self.home}/parts";\n'
            f'Dir::Etc::sourcelist "{self.home}/sources.list";\nDir::Etc::sourceparts "-";\n'
            f'Dir::Etc::preferences "/dev/null";\nDir::Etc::preferencesparts "-";\n'
            f'Dir::State::lists "{self.home}/lists";\nDir::State::status "/dev/null";\n'
            f'Dir::Cache "{self.home}/cache";\nAPT::Architecture "amd64";\nAPT::Architectures "amd64";\n'
            'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
        )

    def _run(self, *command: str, cwd: Path | None = None) -> str:
        done = subprocess.run(command, env=self.env, cwd=cwd, capture_output=True, text=True)
        if done.returncode != 0:
            raise HarnessError(f"{' '.join(command)} failed:\n{done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def update(self) -> None:
        self._run("apt-get", "update", "-q", "--error-on=any")

    def newest(self, package: str) -> dict[str, str]:
        """The control fields of the highest version."""
        text = self._run("apt-cache", "--no-all-versions", "show", package)
        fields = re.findall(r"^([A-Z][\w-]*): (.*)$", text, re.MULTILINE)
        return dict(fields)

    def closure(self, roots: list[str], wanted: re.Pattern) -> dict[str, str]:
        """Packages → versions reachable over Depends through names that match `wanted`."""
        found: dict[str, str] = {}
        queue = list(roots)
        while queue:
            package = queue.pop()
            if package in found:
                continue
            fields = self.newest(package)
            found[package] = fields["Version"]
            for clause in fields.get("Depends", "").split(","):
                name = clause.split("|")[0].split("(")[0].strip().split(":")[0]
                if wanted.match(name):
                    queue.append(name)
        return found

    def download(self, packages: dict[str, str], into: Path) -> list[Path]:
        """apt checks every file against the hashes of the signed lists."""
        into.mkdir(parents=True, exist_ok=True)
        self._run("apt-get", "-q", "download", *(f"{name}={version}" for name, version in packages.items()), cwd=into)
        return sorted(into.glob("*.deb"))

    def forget(self) -> None:
        """Drop the lists, which are larger than what is kept."""
        shutil.rmtree(self.home, ignore_errors=True)
