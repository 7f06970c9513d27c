# SPDX-License-Identifier: MIT OR Apache-2.0
"""Judging a run: what was expected, what was reported, what the kernel log says.

Owns: which scenario comes next, the lines a person reads, the closing count, `report.jsonl`.
The rule: silence is failure. A scenario passes only by its own report, a run only by its last word,
a kernel log without complaints and a guest that switched itself off.
"""

import json
import os
import re
import sys
import threading
from collections import Counter, deque
from pathlib import Path

from boot import Outcome
from targets import Target

COMPLAINTS = re.compile(
    r"WARNING:|\bBUG\b|\bOops\b|Kernel panic|general protection fault|unregister_netdevice: waiting"
    r"|\brcu.*(?:self-detected stall|detected stalls|kthread starved)|blocked for more than|\bKASAN:|\bUBSAN:|\bKCSAN:"
    r"|possible circular locking|possible recursive locking|inconsistent lock state|suspicious RCU usage"
    r"|INVALID bad unlock|lock held when returning|sleeping function called|scheduling while atomic"
    r"|refcount_t: |list_(?:add|del) corruption|kmemleak: [1-9]\d* new|ODEBUG:|soft lockup|hard LOCKUP"
    r"|invoked oom-killer|Slab corruption|Redzone|Poison overwritten|Object already free|Objects remaining in"
    r"|segfault at|traps: .*trap |RCU used illegally|voluntary context switch within"
)
# Text that contains one of the words above and is no complaint.
HARMLESS = re.compile(r"KernelAddressSanitizer initialized|[Cc]ommand line:")
COLOUR = {"ok": "\x1b[32m", "FAIL": "\x1b[31m", "skip": "\x1b[33m"}


class Report:
    """Hands out one kernel's scenarios in the order of `expected`, collects what its guests report and says it aloud as
    it goes. Guests are told apart by their numbers."""

    def __init__(self, target: Target, expected: list[str]):
        self.target = target
        self.expected = expected
        self.waiting = deque(expected)
        self.results: dict[str, dict] = {}
        self.running: dict[int, str] = {}
        self.performed: Counter[int] = Counter()
        self.last_word: dict[int, int] = {}
        self.faults: list[str] = []
        self.jsonl = (target.results / "report.jsonl").open("w")
        self.lock = threading.Lock()

    def heard(self, guest: int, message: dict) -> str | None:
        """Takes note; the text is what the guest is answered."""
        with self.lock:
            self.jsonl.write(json.dumps({"guest": guest, **message}) + "\n")
            self.jsonl.flush()
            kind = message.get("t")
            if kind == "hello":
                print(f"{self.target.name}: booted Linux {message['kernel']}", flush=True)
            elif kind == "next":
                return self.waiting.popleft() if self.waiting else ""
            elif kind == "start":
                self.running[guest] = message["name"]
            elif kind == "result":
                self.running.pop(guest, None)
                self.performed[guest] += 1
                self._result(message)
            elif kind == "done":
                self.last_word[guest] = message["count"]
            elif kind == "fault":
                self.faults.append(message["detail"])
            return None

    def _result(self, message: dict) -> None:
        name = message["name"]
        if name not in self.expected:
            self.faults.append(f"the guest reported {name}, which was not asked for")
        elif name in self.results:
            self.faults.append(f"the guest reported {name} twice")
        if message["status"] == "skip" and os.environ.get("CI") == "true":
            message = {**message, "status": "FAIL", "detail": f"skipped, which is a failure in CI: {message['detail']}"}
        self.results[name] = message
        self.say(message["status"], name, message["seconds"], message["detail"])

    @staticmethod
    def say(status: str, name: str, seconds: float, detail: str) -> None:
        word = f"{status:<4}"
        if sys.stdout.isatty():
            word = f"{COLOUR[status]}{word}\x1b[0m"
        reason = f": {detail}" if status == "skip" and detail else ""
        print(f"{word} {name} ({seconds:.1f} s){reason}", flush=True)
        if status == "FAIL":
            print("\n".join(f"     | {line}" for line in detail.rstrip().splitlines()), flush=True)

    def close(self, guests: dict[int, tuple[Outcome, Path]]) -> bool:
        """Turn everything that was missing into failures, print the closing line, say whether all is well. `guests`:
        how each ended, and its console."""
        found = []
        for guest, (outcome, console) in guests.items():
            found += complaints(console)
            if outcome.fault:
                self._guest_died(guest, outcome.fault, readable(console))
            elif self.last_word.get(guest) != self.performed[guest]:
                self.faults.append("the guest's last word does not match what it reported")
        missing = [name for name in self.expected if name not in self.results]
        for name in missing:
            self.results[name] = {"status": "FAIL"}
            self.say("FAIL", name, 0, "not reported: the guest ended before")
        if found:
            self.faults.append("the kernel complained:\n" + "\n".join(found[:20]))
        for fault in self.faults:
            print(f"FAIL {self.target.name}: {fault}", flush=True)
        self._closing_line([outcome for outcome, _ in guests.values()])
        self.jsonl.close()
        return self.count("FAIL") == 0 and not self.faults

    def _guest_died(self, guest: int, fault: str, log: list[str]) -> None:
        running = self.running.get(guest)
        where = f" while {running} was running" if running else ""
        tail = "\n".join(log[-40:])
        if running:
            self.results[running] = {"status": "FAIL"}
            self.say("FAIL", running, 0, fault)
        self.faults.append(f"{fault}{where}; the console's last lines:\n{tail}")

    def count(self, status: str) -> int:
        return sum(result["status"] == status for result in self.results.values())

    def _closing_line(self, outcomes: list[Outcome]) -> None:
        failed = self.count("FAIL") + (1 if self.faults and not self.count("FAIL") else 0)
        skipped = f", {self.count('skip')} skipped" if self.count("skip") else ""
        guests = "1 guest" if len(outcomes) == 1 else f"{len(outcomes)} guests"
        print(f"{self.target.name}: {guests} booted in {max(outcome.boot_seconds for outcome in outcomes):.1f} s, "
              f"{max(outcome.seconds for outcome in outcomes):.1f} s in all, logs in {os.path.relpath(self.target.results)}")
        print(f"{self.count('ok')} passed, {failed} failed{skipped}", flush=True)


def readable(console: Path) -> list[str]:
    """The kernel log without the firmware's escape sequences."""
    text = console.read_text(errors="replace") if console.exists() else ""
    return [line for line in re.sub(r"\x1b\[[0-9;?=]*[A-Za-z]|\x1bc|\r", "", text).splitlines() if line.strip()]


def complaints(console: Path) -> list[str]:
    """Lines of the kernel log that no run may leave."""
    return [line for line in readable(console) if COMPLAINTS.search(line) and not HARMLESS.search(line)]
