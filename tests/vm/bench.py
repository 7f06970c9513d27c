# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the module costs, in instructions: boots a kernel once per security module that is compared, has guest/bench.py
measure there, and prints everything side by side.

Owns: how these guests are booted, the tables, `bench.jsonl` (every number). docs/benchmarks.md says how to read them.
"""

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Callable, TextIO

from boot import Machine
from report import complaints
from targets import HarnessError, Target

# Debian's list without its large modules; one of them is put before bpf where it is measured.
LSM = "landlock,lockdown,yama,loadpin,safesetid,integrity"
CMDLINE = ("slub_debug=-", "nokaslr", "norandmaps")
BOOTS = {
    "snet": (f"lsm={LSM},bpf",),
    "apparmor": (f"lsm={LSM},apparmor,bpf",),
    "tomoyo": (f"lsm={LSM},tomoyo,bpf", "TOMOYO_loader=/snet/tomoyo-loader", "TOMOYO_trigger=/usr/bin/true"),
}
CASES = {"connect": "connect+close", "send": "UDP sendto", "recv": "UDP recv", "pair": "sendto+recv"}
BASELINE = "absent"
STATES = {
    BASELINE: "no module",
    "unwatched": "snet, nothing watched",
    "another-protocol": "snet, another protocol watched",
    "ticket": "snet, process ticket hit",
    "program-ticket": "snet, program ticket hit",
    "64-tickets": "snet, the last of 64 tickets hit",
    "apparmor-idle": "AppArmor, program unconfined",
    "apparmor": "AppArmor, network rules",
    "tomoyo-idle": "TOMOYO, no policy",
    "tomoyo": "TOMOYO, network rules enforced",
}
AIMS = {"connect": 1.5, "pair": 3.0}
MISS = "fresh-connect"
MISSES = {"not-held": "not mediated", "responder": "held, minimal decider in C", "snetd": "held, snetd"}


@dataclass
class Measured:
    """Of every state and case the passes' medians, in instructions."""

    log: TextIO
    medians: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)

    def heard(self, message: dict) -> None:
        self.log.write(json.dumps(message) + "\n")
        if message["t"] == "measured":
            self.medians[message["state"], message["case"]].append(message["numbers"][2])
        elif message["t"] == "fault":
            self.faults.append(message["detail"])

    def has(self, state: str) -> bool:
        return any(measured == state for measured, _ in self.medians)

    def settled(self, state: str, case: str) -> list[int]:
        """Without the first pass, in which caches and hash tables are still being filled."""
        return self.medians[state, case][1:]

    def of(self, state: str, case: str) -> float:
        return statistics.median(self.settled(state, case))

    def spread(self, state: str, case: str) -> float:
        """In percent of the median, from the lowest pass to the highest."""
        numbers = self.settled(state, case)
        return 100 * (max(numbers) - min(numbers)) / self.of(state, case)


def measure(target: Target, start: Callable[[Target, dict], Machine], boots: list[str], overall: float) -> Measured:
    """Boots the kernel once per name; `start` makes the guest."""
    target.results.mkdir(parents=True, exist_ok=True)
    with (target.results / "bench.jsonl").open("w") as log:
        measured = Measured(log)
        for name in boots:
            print(f"{target.name}: measuring with {BOOTS[name][0]}", flush=True)
            booted = replace(target, cmdline=(*target.cmdline, *CMDLINE, *BOOTS[name]))
            guest = start(booted, {"mode": "bench", "module": name})
            outcome = guest.start(measured.heard, overall)
            faults = [*measured.faults, *([outcome.fault] if outcome.fault else []), *complaints(guest.console)]
            if faults:
                raise HarnessError(f"{target.name}: the benchmark failed\n" + "\n".join(faults) + f"\nsee {guest.console}")
    return measured


def report(release: str, measured: Measured) -> None:
    print(f"\nLinux {release}: instructions per call, and how many more than without a module")
    states = {state: text for state, text in STATES.items() if measured.has(state)}
    width = max(len(text) for text in STATES.values()) + 2
    print(" " * width + "".join(f"{title:>20}" for title in CASES.values()))
    for state, text in states.items():
        print(f"{text:<{width}}" + "".join(f"{_cell(measured, state, case):>20}" for case in CASES))
    print(f"{'aim for a ticket hit':<{width}}" + "".join(f"{_aim(case):>20}" for case in CASES))
    spreads = [max(measured.spread(state, case) for state in states) for case in CASES]
    print(f"{'widest spread over the passes':<{width}}" + "".join(f"{spread:>18.2f} %" for spread in spreads))
    _report_misses(measured, width)


def _report_misses(measured: Measured, width: int) -> None:
    """The ratio is between what holding and releasing adds."""
    print("\nconnect+close of a new process, held until a decider has allowed it with a ticket")
    base, least = (measured.of(state, MISS) for state in ("not-held", "responder"))
    for state, text in MISSES.items():
        number = measured.of(state, MISS)
        more = f"{number - base:+10.0f} {(number - base) / (least - base):8.2f} ×" if state != "not-held" else ""
        print(f"{text:<{width}}{number:>10.0f}{more:<22} spread {measured.spread(state, MISS):.2f} %")


def _cell(measured: Measured, state: str, case: str) -> str:
    number, base = measured.of(state, case), measured.of(BASELINE, case)
    if state == BASELINE:
        return f"{number:.0f}"
    return f"{number - base:+.0f} {100 * (number - base) / base:+6.2f} %"


def _aim(case: str) -> str:
    return f"≤ {AIMS[case]:+.2f} %" if case in AIMS else ""
