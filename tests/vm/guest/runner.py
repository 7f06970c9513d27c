# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs scenarios in the guest, each from a clean state and in a process of its own, and reports.

Owns: discovery, the clean state before (module freshly loaded) and the leak checks after, time limits, the modes
`run`, `shell`, `demo` and `bench`. Talks to the host through channel.py only. `--list` works on any machine.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import bench
import leaks
import network
from channel import Channel, mark
from order import ORDER, SLOWNESS
from scenario import MODULE, REGISTRY, Guest, Scenario, Skip

STATE = Path("/run/snet-vm")


def discover() -> dict[str, Scenario]:
    sys.path.insert(0, str(HERE / "scenarios"))
    for file in sorted((HERE / "scenarios").glob("*.py")):
        importlib.import_module(file.stem)
    return REGISTRY


def missing(wanted: Scenario) -> str | None:
    """Why this scenario can't run here."""
    if wanted.module and not MODULE.exists():
        return "there is no snet.ko in this guest"
    for program in wanted.needs:
        if subprocess.run(["which", program], capture_output=True).returncode != 0:
            return f"there is no {program} in this guest"
    return None


def perform(wanted: Scenario, directory: Path, pipe: int) -> None:
    """In the scenario's own process: run it, end what it started, say how it went."""
    guest = Guest(wanted.name, directory)
    status, detail = "ok", ""
    try:
        try:
            wanted.function(guest)
        finally:
            guest.close()
    except Skip as reason:
        status, detail = "skip", str(reason)
    except BaseException:
        status, detail = "FAIL", _trace()
    os.write(pipe, json.dumps({"status": status, "detail": detail[-30000:]}).encode())


def _trace() -> str:
    """The traceback, from the scenario's own code on."""
    return "".join(line for line in traceback.format_exc().splitlines(True) if "runner.py" not in line)


def attempt(wanted: Scenario) -> dict:
    """One scenario from clean state to leak checks; the result as reported to the host."""
    reason = missing(wanted)
    if reason:
        return {"status": "skip", "detail": reason}
    directory = STATE / wanted.name
    directory.mkdir(parents=True)
    directory.chmod(0o755)
    kernel_log = leaks.KernelLog()
    # The scenario before may have failed with the module on its way out.
    problems = leaks.unload_module()
    if problems:
        return {"status": "FAIL", "detail": "\n".join(["before it began:", *problems, kernel_log.tail()])}
    if wanted.module:
        loaded = subprocess.run(["insmod", MODULE], capture_output=True, text=True)
        if loaded.returncode != 0:
            return {"status": "FAIL", "detail": f"insmod: {loaded.stderr.strip()}\n{kernel_log.tail()}"}
    group = leaks.ControlGroup(wanted.name)
    result = _in_child(wanted, directory, group)
    problems = group.close()
    if wanted.module:
        problems += leaks.unload_module()
    problems += kernel_log.complaints()
    if problems and result["status"] != "FAIL":
        result = {"status": "FAIL", "detail": ""}
    if result["status"] == "FAIL":
        result["detail"] = "\n".join([result["detail"].rstrip(), *problems, *_logs(directory), kernel_log.tail()]).strip()
    return result


def _in_child(wanted: Scenario, directory: Path, group: leaks.ControlGroup) -> dict:
    limit = wanted.timeout * SLOWNESS
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        group.enter()
        signal.alarm(int(limit) + 30)
        perform(wanted, directory, writer)
        sys.stdout.flush()
        os._exit(0)
    os.close(writer)
    deadline = time.monotonic() + limit
    report = _read_until(reader, deadline)
    os.close(reader)
    if report is None:
        group.kill()
        os.waitpid(child, 0)
        return {"status": "FAIL", "detail": f"not over after {limit:.0f} s\n{group.stacks}"}
    os.waitpid(child, 0)
    return report


def _read_until(reader: int, deadline: float) -> dict | None:
    """The child's report; None if it does not come in time, a failure if the child dies without one."""
    os.set_blocking(reader, False)
    data = b""
    while time.monotonic() < deadline:
        try:
            chunk = os.read(reader, 65536)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        if not chunk:
            return json.loads(data) if data else {"status": "FAIL", "detail": "its process died without a word"}
        data += chunk
    return None


def _logs(directory: Path) -> list[str]:
    """The ends of what snetd and spawned programs said."""
    tails = []
    for log in sorted(directory.glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()[-25:]
        if lines:
            tails.append("\n".join([f"--- {log.name}", *lines]))
    return tails


def run(channel: Channel) -> None:
    """What the host hands out, one after the other: other guests take from the same list."""
    leaks.watch_kernel_memory()
    count = 0
    for count, name in enumerate(iter(channel.next_scenario, ""), 1):
        wanted = REGISTRY[name]
        channel.send("start", name=name, timeout=wanted.timeout * SLOWNESS)
        mark(f"start {name}")
        begin = time.monotonic()
        try:
            result = attempt(wanted)
        except Exception:
            result = {"status": "FAIL", "detail": "the runner failed:\n" + traceback.format_exc()}
        mark(f"{result['status']} {name}")
        channel.send("result", name=name, seconds=round(time.monotonic() - begin, 2), **result)
    for problem in leaks.kernel_memory():
        channel.send("fault", detail=problem)
    channel.send("done", count=count)


def demo(channel: Channel) -> None:
    """The transcript of demo.sh, as it comes, and its exit code."""
    process = subprocess.Popen(["bash", HERE / "demo.sh"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, cwd="/root", bufsize=0)
    while chunk := process.stdout.read(4096):
        channel.send("output", text=chunk.decode(errors="replace"))
    channel.send("done", count=0, code=process.wait())


def shell(channel: Channel) -> None:
    """Module and daemon up as far as they exist; init starts the shell itself."""
    from daemon import DEFAULT_CONFIG, SNETD, arguments
    if MODULE.exists():
        subprocess.run(["insmod", MODULE])
    if os.path.exists(SNETD):
        with open("/var/log/snetd.log", "wb") as log:
            subprocess.Popen(arguments(DEFAULT_CONFIG), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                             start_new_session=True)
        time.sleep(2)
    (STATE / "shell").touch()
    channel.send("done", count=0)


def main() -> None:
    found = discover()
    if sys.argv[1:] == ["--list"]:
        print(json.dumps({name: {"sentence": wanted.sentence, "requires": wanted.requires, "timeout": wanted.timeout,
                                 "file": wanted.function.__module__.rpartition(".")[2]}
                          for name, wanted in found.items()}))
        return
    channel = Channel()
    STATE.mkdir(exist_ok=True)
    try:
        services = network.set_up()
        channel.send("hello", kernel=os.uname().release, uptime=float(Path("/proc/uptime").read_text().split()[0]))
        {"run": lambda: run(channel), "demo": lambda: demo(channel),
         "shell": lambda: shell(channel), "bench": lambda: bench.run(channel, ORDER["module"])}[ORDER["mode"]]()
        if ORDER["mode"] == "run":
            services.kill()
    except Exception:
        channel.send("fault", detail="the guest's runner failed:\n" + traceback.format_exc())


if __name__ == "__main__":
    main()
