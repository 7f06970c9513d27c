#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the commands of a document, in an empty home directory, and compares what they print with what it says.

    document.py DOCUMENT DIRECTORY-OF-PROGRAMS

In blocks fenced as ```console each line behind `$ ` is a command, with the lines of a here-document below it; the lines
up to the next command are what it prints. `…` in those stands for anything within a line, and alone for any lines; runs
of spaces are alike. Blocks in HTML comments are run as well.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

MARK = "document.py-over"
SECONDS = 600


def steps(text: str) -> list[tuple[int, str, list[str]]]:
    """Line number, command and expected lines of each step."""
    found, inside, heredoc = [], False, None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            inside = line == "```console"
        elif inside and heredoc is not None:
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{line}", [])
            heredoc = None if line == heredoc else heredoc
        elif inside and line.startswith("$ "):
            found.append((number, line[2:], []))
            begun = re.search(r"<<'(\w+)'", line)
            heredoc = begun[1] if begun else None
        elif inside and found:
            found[-1][2].append(line)
    return found


def agrees(expected: list[str], printed: list[str]) -> bool:
    def words(line: str) -> str:
        return re.sub(r"\s+", " ", line).strip()

    def pattern(line: str) -> str:
        parts = (re.escape(words(part)) for part in line.split("…"))
        return r"(?:.*\n)*" if line == "…" else r"\s*.*?\s*".join(parts) + "\n"
    text = "".join(f"{words(line)}\n" for line in printed)
    return re.fullmatch("".join(map(pattern, expected)), text) is not None


def run(shell: subprocess.Popen, command: str) -> list[str]:
    shell.stdin.write(f"{command}\necho {MARK}\n")
    shell.stdin.flush()
    printed = []
    for line in shell.stdout:
        if line.strip() == MARK:
            return printed
        printed.append(line.rstrip("\n"))
    raise SystemExit(f"the shell ended at: {command}")


def main(document: str, programs: str) -> int:
    with tempfile.TemporaryDirectory() as home:
        binaries = Path(programs).resolve()
        # As snetd is shipped, so that both mean the same programs by a name.
        path = f"{binaries}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        environment = {"HOME": home, "PATH": path, "SNETD": str(binaries / "snetd"), "LANG": "C.UTF-8"}
        shell = subprocess.Popen(["/bin/bash"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                 text=True, cwd=home, env=environment, start_new_session=True)
        # What hangs shall not hang whoever waits for this.
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(shell.pid, signal.SIGKILL))
        wrong = 0
        try:
            for line, command, expected in steps(Path(document).read_text()):
                signal.alarm(SECONDS)
                printed = run(shell, command)
                if not agrees(expected, printed):
                    wrong += 1
                    print(f"{document}:{line}: $ {command}", *("- " + text for text in expected),
                          *("+ " + text for text in printed), sep="\n")
        finally:
            signal.alarm(0)
            os.killpg(shell.pid, signal.SIGKILL)
            lock = Path(home) / ".local/share/snet/run/snetd.sock.lock"
            if lock.exists():
                os.kill(int(lock.read_text()), signal.SIGTERM)
        print(f"{document}: {wrong} steps print something else" if wrong else f"{document}: as written")
        return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
