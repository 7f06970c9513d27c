# SPDX-License-Identifier: MIT OR Apache-2.0
"""The module's unit tests, which run in the kernel: kernel/tests/."""

import re

from leaks import KernelLog
from scenario import scenario

SUITES = ("scope", "request", "ticket")


@scenario(module=False, timeout=120)
def unit_tests_of_the_module_pass(g):
    """Loading snet_test.ko runs them; every suite says how each of its tests went, and it unloads."""
    log = KernelLog()
    loaded = g.run("insmod", "/snet/snet_test.ko", timeout=110)
    said = [line.removeprefix("snet_test: ") for line in log.read() if line.startswith("snet_test: ")]
    g.assert_true(loaded.ok, "\n".join([loaded.err, *said]))
    g.run("rmmod", "snet_test", check=True)
    passed = [line for line in said if line.startswith("ok ")]
    g.assert_equal(said[-1], f"{len(passed)} passed, 0 failed")
    g.assert_equal(sorted({re.match(r"ok (\w+): ", line)[1] for line in passed}), sorted(SUITES))
