# SPDX-License-Identifier: MIT OR Apache-2.0
"""Whether the harness notices: guests that misbehave, and what must be said about each.

Owns: `vm.py selftest`. A harness that calls a dead guest a success is worse than none.
"""

import contextlib
import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import boot
import fetch
import module
from boot import Machine
from report import Report
from targets import Target

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Expectation:
    """One boot: scenario → (status, text its line must contain), and the text of the run's fault (None: no fault)."""

    results: dict[str, tuple[str, str]]
    fault: str | None


GONE = ("FAIL", "not reported")
EXPECTATIONS = (
    Expectation({"passes": ("ok", ""), "skips": ("skip", "the moon is not full")}, None),
    Expectation({
        "passes": ("ok", ""),
        "fails_an_assertion": ("FAIL", "pigs fly"),
        "takes_too_long": ("FAIL", "not over after 3 s"),
        "leaves_a_process": ("FAIL", "left running"),
        "dies_without_a_word": ("FAIL", "died without a word"),
        "pins_the_module": ("FAIL", "rmmod snet"),
    }, None),
    Expectation({"logs_a_kernel_complaint": ("FAIL", "suspicious RCU"), "passes": ("ok", "")}, "the kernel complained"),
    # From 6.12 on slub warns as well, which ends the guest.
    Expectation({"overruns_an_allocation": ("FAIL", "edzone")}, "the kernel complained"),
    Expectation({"passes": ("ok", ""), "warns": ("FAIL", "ended before"), "passes_as_well": GONE},
                "while warns was running"),
    Expectation({"oopses": ("FAIL", "ended before"), "passes": GONE}, "while oopses was running"),
    Expectation({"silences_the_guest": ("FAIL", "nothing was heard"), "passes": GONE},
                "while silences_the_guest was running"),
    Expectation({"switches_off": ("FAIL", "ended before"), "passes": GONE}, "while switches_off was running"),
)


def selftest(target: Target) -> bool:
    boot.GRACE_SECONDS = 5
    return all([_judge(target, expectation) for expectation in EXPECTATIONS])


def _judge(target: Target, expectation: Expectation) -> bool:
    names = list(expectation.results)
    kernel = fetch.fetch(target)
    files = {
        "snet/snet.ko": module.build(target, kernel, HERE / "module", name=f"selftest-{target.name}")[0],
        "snet/scenarios/selftest.py": HERE / "scenarios.py",
    }
    order = {"mode": "run", "release": kernel.release, "slowness": target.slowness}
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        guest = Machine(target, kernel, order, files)
        report = Report(target, names)
        good = report.close({1: (guest.start(partial(report.heard, 1), 300), guest.console)})
    problems = list(_differences(expectation, report, said.getvalue(), good))
    print(f"{'FAIL' if problems else 'ok  '} {target.name}: notices {', '.join(names)}", flush=True)
    for problem in problems:
        print(f"     | {problem}")
    if problems:
        print("     | it said:\n" + said.getvalue())
    return not problems


def _differences(expectation: Expectation, report: Report, said: str, good: bool):
    clean = expectation.fault is None and all(status != "FAIL" for status, _ in expectation.results.values())
    if good != clean:
        yield f"the run was judged {'good' if good else 'bad'}"
    faults = "\n".join(report.faults)
    if (expectation.fault or "") not in faults or (expectation.fault is None and faults):
        yield f"expected the fault {expectation.fault!r}, got {faults!r}"
    for name, (status, text) in expectation.results.items():
        if report.results[name]["status"] != status:
            yield f"{name} was judged {report.results[name]['status']}"
        if text not in said:
            yield f"{text!r} was not said"
    counts = [sum(status == wanted for status, _ in expectation.results.values()) for wanted in ("ok", "FAIL")]
    if not said.splitlines()[-1].startswith(f"{counts[0]} passed, {max(counts[1], 0 if clean else 1)} failed"):
        yield f"the closing line is {said.splitlines()[-1]!r}"
