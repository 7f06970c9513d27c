# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a scenario is, and the `g` it is handed: the guest as a test sees it.

A scenario is a function with a sentence for a name:

    @scenario
    def denies_connect_after_the_deadline(g):
        '''No decider answers: the call fails with EACCES when the deadline has passed.'''

Owns: the registry, processes a scenario starts, the module's life, assertions.
Must not: run anything when imported (the host imports it to list scenarios); daemon.py owns snetd.
"""

import os
import pwd
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import network
from daemon import SNET_TOOL, Snetd, status
from order import SLOW_KERNEL, SLOWNESS

MODULE = Path("/snet/snet.ko")
REGISTRY: dict[str, "Scenario"] = {}


class Skip(Exception):
    """The scenario can't run here; the text is the reason and is printed."""


@dataclass(frozen=True)
class Scenario:
    name: str
    sentence: str
    function: Callable
    timeout: float
    module: bool
    needs: tuple[str, ...]
    requires: str | None


def scenario(function: Callable | None = None, *, timeout: float = 120, module: bool = True, needs: tuple[str, ...] = (),
             requires: str | None = None):
    """Register a scenario. `module`: snet.ko is loaded before and must unload afterwards; `needs`: programs
    (names on PATH or absolute paths) without which it is skipped; `timeout`: seconds, for this scenario alone;
    `requires`: it is for the kernels whose entry in targets.py offers this, and not asked of others."""

    def register(function: Callable) -> Callable:
        if function.__name__ in REGISTRY:
            raise ValueError(f"two scenarios are named {function.__name__}")
        if not function.__doc__:
            raise ValueError(f"{function.__name__} has no sentence that says what it shows")
        REGISTRY[function.__name__] = Scenario(
            function.__name__, " ".join(function.__doc__.split()), function, timeout, module, tuple(needs), requires)
        return function

    return register(function) if function else register


@dataclass(frozen=True)
class Result:
    """A command that ended. `rc` is negative for a signal, as in subprocess."""

    command: tuple[str, ...]
    rc: int
    out: str
    err: str
    seconds: float

    @property
    def ok(self) -> bool:
        return self.rc == 0

    def __str__(self) -> str:
        return f"{' '.join(self.command)} → {self.rc} after {self.seconds:.2f} s\nstdout: {self.out}\nstderr: {self.err}"


class Process(subprocess.Popen):
    """A spawned command; its output goes to a file, so that it never blocks on a full pipe."""

    log: Path

    def output(self) -> str:
        """What it has written: whole lines only while it runs, since Python writes a line in parts."""
        ended = self.poll() is not None
        text = self.log.read_text(errors="replace")
        return text if ended else text[:text.rfind("\n") + 1]

    def ended(self, timeout: float = 60) -> int:
        return self.wait(timeout * SLOWNESS)


class Guest:
    """`g`. One per scenario; everything it started is ended by `close`."""

    def __init__(self, name: str, directory: Path):
        self.name = name
        self.slowness, self.slow_kernel = SLOWNESS, SLOW_KERNEL
        self.tmp = directory
        self.peer = network.Peer()
        self.host4, self.host6 = network.HOST4, network.HOST6
        self.processes: list[Process] = []
        self.daemons: list[Snetd] = []
        self.cleanups: list[Callable[[], Any]] = []

    # The module

    def load_module(self, **parameters) -> None:
        self.run("insmod", str(MODULE), *(f"{name}={value}" for name, value in parameters.items()), check=True)

    def unload_module(self, timeout: float = 60) -> float:
        """Seconds it took."""
        return self.run("rmmod", "snet", timeout=timeout, check=True).seconds

    def reload_module(self, **parameters) -> None:
        self.unload_module()
        self.load_module(**parameters)

    @staticmethod
    def module_loaded() -> bool:
        return Path("/sys/module/snet/refcnt").exists()

    # Programs

    def run(self, *command: str, user: str | None = None, netns: str | None = None, timeout: float = 60,
            check: bool = False, text: str | None = None, env: dict[str, str] | None = None,
            cwd: str | None = None) -> Result:
        """Run to the end. `text` is its standard input; with `check` a non-zero exit is an AssertionError."""
        begin, timeout = time.monotonic(), timeout * self.slowness
        arguments = _prepared(command, netns)
        try:
            done = subprocess.run(arguments, input=text if text is not None else "", capture_output=True, text=True,
                                  errors="replace", timeout=timeout, cwd=cwd, **_identity(user, env))
        except subprocess.TimeoutExpired as expired:
            raise AssertionError(f"{' '.join(arguments)} was still running after {timeout} s; so far it said: "
                                 f"{_text(expired.stdout)}{_text(expired.stderr)}") from None
        result = Result(tuple(arguments), done.returncode, done.stdout, done.stderr, time.monotonic() - begin)
        if check and not result.ok:
            raise AssertionError(f"should have succeeded: {result}")
        return result

    def spawn(self, *command: str, user: str | None = None, netns: str | None = None, env: dict[str, str] | None = None,
              cwd: str | None = None, stdin: int = subprocess.DEVNULL) -> Process:
        """Start and go on; killed at the scenario's end. `.output()` is what it has said so far."""
        log = self.tmp / f"{len(self.processes):02d}-{Path(command[0]).name}.log"
        arguments = _prepared(command, netns)
        with log.open("wb") as out:
            process = Process(arguments, stdin=stdin, stdout=out, stderr=out, cwd=cwd, **_identity(user, env))
        process.log = log
        self.processes.append(process)
        return process

    def python(self, code: str, *arguments: str, **options) -> Result:
        """`run` of a Python text: a subject of its own, whose exe is python3."""
        return self.run("python3", "-ISBc", code, *arguments, **options)

    def spawn_python(self, code: str, *arguments: str, **options) -> Process:
        return self.spawn("python3", "-ISBuc", code, *arguments, **options)

    def at_end(self, function: Callable[[], Any]) -> None:
        """Call it when the scenario is over, last registered first."""
        self.cleanups.append(function)

    # snet

    def snetd(self, config: str | dict | None = None, **options) -> Snetd:
        """`with g.snetd({...}) as daemon:`; see daemon.Snetd."""
        daemon = Snetd(self, config, **options)
        self.daemons.append(daemon)
        return daemon

    def tool(self, *arguments: str, check: bool = True, **options) -> Result:
        return self.run(SNET_TOOL, *arguments, check=check, **options)

    def stats(self) -> dict:
        """What `snet-tool status --json` says."""
        return status(self)

    # Waiting and judging

    def eventually(self, function: Callable[[], Any], timeout: float = 30, interval: float = 0.05, what: str = "") -> Any:
        """The first true value of `function`; an AssertionError it raises counts as not yet."""
        timeout *= self.slowness
        deadline, last = time.monotonic() + timeout, None
        while True:
            try:
                if last := function():
                    return last
            except AssertionError as error:
                last = error
            if time.monotonic() >= deadline:
                raise AssertionError(f"not within {timeout} s: {what or function.__name__}; last: {last!r}")
            time.sleep(interval)

    @staticmethod
    def stays(function: Callable[[], Any], seconds: float = 1, interval: float = 0.05, what: str = "") -> None:
        """`function` is true now and remains so."""
        deadline, begin = time.monotonic() + seconds, time.monotonic()
        while time.monotonic() < deadline:
            if not function():
                raise AssertionError(f"no longer after {time.monotonic() - begin:.2f} s: {what or function.__name__}")
            time.sleep(interval)

    @staticmethod
    def assert_true(value: Any, message: str) -> None:
        if not value:
            raise AssertionError(f"{message} (is {value!r})")

    @staticmethod
    def assert_equal(actual: Any, expected: Any, message: str = "") -> None:
        if actual != expected:
            raise AssertionError(f"{message + ': ' if message else ''}expected {expected!r}, is {actual!r}")

    @staticmethod
    def assert_in(part: Any, whole: Any, message: str = "") -> None:
        if part not in whole:
            raise AssertionError(f"{message + ': ' if message else ''}{part!r} is not in {whole!r}")

    @staticmethod
    def assert_between(low: float, value: float, high: float, message: str = "") -> None:
        if not low <= value <= high:
            raise AssertionError(f"{message + ': ' if message else ''}{value!r} is not between {low!r} and {high!r}")

    def assert_took(self, low: float, seconds: float, high: float, message: str = "") -> None:
        """`high` is for a stock kernel, a slower one gets more; it is just below what a failure would take, since the
        machine may have other things to do."""
        self.assert_between(low, seconds, high * self.slowness, message)

    @staticmethod
    def assert_raises(kind: type[BaseException], function: Callable[[], Any], message: str = "") -> BaseException:
        """The exception, for a closer look."""
        try:
            value = function()
        except kind as error:
            return error
        raise AssertionError(f"{message + ': ' if message else ''}{kind.__name__} was expected, got {value!r}")

    @staticmethod
    def skip(reason: str) -> None:
        raise Skip(reason)

    def close(self) -> None:
        """End what the scenario started. A daemon it left running is its mistake and is said so."""
        for cleanup in reversed(self.cleanups):
            cleanup()
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10 * self.slowness)
        left = [daemon for daemon in self.daemons if daemon.running]
        for daemon in left:
            daemon.kill()
        if left:
            raise AssertionError("the scenario left snetd running")


def _prepared(command: tuple[str, ...], netns: str | None) -> list[str]:
    prefix = ["ip", "netns", "exec", netns] if netns else []
    return prefix + [str(part) for part in command]


def _identity(user: str | None, env: dict[str, str] | None) -> dict:
    """The Popen arguments for running as `user`, in a session of its own."""
    environment = {**os.environ, **(env or {})}
    if user is None:
        return {"env": environment, "start_new_session": True}
    entry = pwd.getpwnam(user)
    environment.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)
    groups = os.getgrouplist(user, entry.pw_gid)
    return {"env": environment, "start_new_session": True, "user": entry.pw_uid, "group": entry.pw_gid,
            "extra_groups": groups}


def _text(value: bytes | str | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
