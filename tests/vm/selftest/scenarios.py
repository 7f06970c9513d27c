# SPDX-License-Identifier: MIT OR Apache-2.0
"""Scenarios that misbehave; `vm.py selftest` boots them and checks how each is judged."""

import os
import signal
import time
from pathlib import Path

from scenario import scenario


def misbehave(how: str) -> None:
    Path("/sys/module/snet/parameters/misbehave").write_text(how)


@scenario
def passes(g):
    """Nothing is wrong."""
    g.assert_equal(g.run("true").rc, 0)


@scenario
def passes_as_well(g):
    """Nothing is wrong here either."""


@scenario
def skips(g):
    """It can't run here and says why."""
    g.skip("the moon is not full")


@scenario
def fails_an_assertion(g):
    """The exception's text is what the person needs."""
    g.spawn("sh", "-c", "echo the log of a spawned program; exec sleep 1000")
    g.eventually(lambda: False, timeout=0.3, what="pigs fly")


@scenario(timeout=3)
def takes_too_long(g):
    """Its own time limit ends it."""
    time.sleep(1000)


@scenario
def leaves_a_process(g):
    """A process that detached itself is found."""
    g.run("sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")


@scenario
def dies_without_a_word(g):
    """Its process ends before it reports."""
    os._exit(0)


@scenario
def logs_a_kernel_complaint(g):
    """A complaint in the kernel log that is not fatal by itself."""
    Path("/dev/kmsg").write_text("<4>suspicious RCU usage, or so it says\n")


@scenario
def overruns_an_allocation(g):
    """slub_debug's red zone is what notices."""
    misbehave("overrun")


@scenario
def pins_the_module(g):
    """The module can't be unloaded afterwards."""
    misbehave("pin")


@scenario
def warns(g):
    """A kernel warning ends the guest."""
    misbehave("warn")
    time.sleep(10)


@scenario
def oopses(g):
    """So does an oops."""
    misbehave("oops")
    time.sleep(10)


@scenario(timeout=3)
def silences_the_guest(g):
    """Nothing is heard any more, although the guest is alive."""
    os.kill(os.getppid(), signal.SIGSTOP)
    time.sleep(1000)


@scenario
def switches_off(g):
    """The guest ends in good order, but not when it should."""
    Path("/proc/sysrq-trigger").write_text("o")
    time.sleep(10)
