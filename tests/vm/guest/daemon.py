# SPDX-License-Identifier: MIT OR Apache-2.0
"""snetd in the guest: configuration, start, readiness, orderly end.

Owns: everything that depends on snetd's command line and on the keys of its configuration file.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

SNETD = "/usr/sbin/snetd"
SNET_TOOL = "/usr/bin/snet-tool"
DEFAULT_CONFIG = Path("/etc/snet/snetd.toml")
# What is watched unless a scenario says otherwise: the shipped set without accept, since the peer's services run in the
# same kernel, and stand for programs of another machine.
WATCHED = {"create": "raw,packet,other", "bind": "udp,udplite", "listen": "tcp,sctp,mptcp",
           "connect": "tcp,udp,udplite,sctp,mptcp,icmp", "send": "udp,udplite,icmp"}
READY_SECONDS = 20
STOP_SECONDS = 15
NOTHING_MEDIATED = 6  # the exit code of `snet-tool status` when snetd answers but has no module


def arguments(config: Path) -> list[str]:
    return [SNETD, "--config", str(config)]


def toml(table: dict, prefix: str = "") -> str:
    """Enough TOML for configuration files: tables, strings, numbers, booleans, lists of those."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    nested = {key: value for key, value in table.items() if isinstance(value, dict)}
    text = f"\n[{prefix}]\n" if prefix and (plain or not nested) else ""
    # JSON's strings, numbers, booleans and lists are written the same way in TOML.
    text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in plain.items())
    return text + "".join(toml(value, f"{prefix}.{key}" if prefix else key) for key, value in nested.items())


def status(guest) -> dict:
    answer = guest.tool("status", "--json", check=False)
    if answer.rc not in (0, NOTHING_MEDIATED):
        raise AssertionError(f"should have answered: {answer}")
    return json.loads(answer.out)


class Snetd:
    """A running snetd, as a context manager: ready on entry; on exit SIGTERM must end it with code 0.

    `config`: TOML text, a dict, or None for the shipped file; `{tmp}` and `{db}` in it are replaced.
    `database`: its rules, fresh in the scenario's directory if not given (the dict gets the key unless it has it).
    """

    def __init__(self, guest, config: str | dict | None = None, *, database: str | Path | None = None,
                 env: dict[str, str] | None = None, extra: tuple[str, ...] = ()):
        if not Path(SNETD).exists():
            guest.skip("there is no snetd in this guest")
        self.guest = guest
        self.number = len(guest.daemons)
        self.database = Path(database) if database else guest.tmp / f"rules{self.number}.db"
        self.config = guest.tmp / f"snetd{self.number}.toml"
        self.log = guest.tmp / f"snetd{self.number}.log"
        self.command = [*arguments(self.config), *extra]
        self.env = {**os.environ, "RUST_BACKTRACE": "1", **(env or {})}
        self.process: subprocess.Popen | None = None
        self.config.write_text(self._text(config))

    def _text(self, config: str | dict | None) -> str:
        if isinstance(config, dict):
            config = toml({"database": str(self.database), "watch": WATCHED, **config})
        elif config is None:
            config = DEFAULT_CONFIG.read_text() if DEFAULT_CONFIG.exists() else toml({"database": str(self.database)})
        return config.replace("{tmp}", str(self.guest.tmp)).replace("{db}", str(self.database))

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> "Snetd":
        self.start()
        return self

    def __exit__(self, kind, value, trace) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()

    def start(self, wait: bool = True) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env, start_new_session=True)
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        deadline = time.monotonic() + timeout * self.guest.slowness
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"snetd ended with {self.process.returncode} before it was ready:\n{self.output()}")
            answer = self.guest.tool("status", "--json", check=False)
            if answer.rc in (0, NOTHING_MEDIATED):
                return
            time.sleep(0.1)
        raise AssertionError(f"snetd was not ready within {timeout} s; snet-tool said: {answer.err}\n{self.output()}")

    def stop(self, expected: int = 0) -> None:
        """SIGTERM; the exit code must be `expected`."""
        if not self.running:
            raise AssertionError(f"snetd had already ended with {self.process.returncode}:\n{self.output()}")
        self.process.terminate()
        try:
            code = self.process.wait(STOP_SECONDS * self.guest.slowness)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"snetd did not end within {STOP_SECONDS} s of SIGTERM:\n{self.output()}") from None
        if code != expected:
            raise AssertionError(f"snetd ended with {code} instead of {expected}:\n{self.output()}")

    def kill(self) -> None:
        """SIGKILL: the decider's sudden death."""
        if self.running:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait(10 * self.guest.slowness)

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    @property
    def early_file(self) -> Path:
        return self.database.with_name("early.json")

    def early(self, verdict: str | None = None) -> list[str]:
        """The programs that have a ticket at the next boot, or those with this verdict."""
        if not self.early_file.exists():
            return []
        tickets = json.loads(self.early_file.read_text())["tickets"]
        return [Path(ticket["path"]).name for ticket in tickets if verdict in (None, ticket["verdict"])]

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""
