#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tests of snet on real kernels, in qemu. See README.md, or `vm.py --help`.

Owns: the command line. The work is done by the modules beside it, in this order:
setup → fetch (kernels) → module (snet.ko) → rootfs (what the guest sees) → boot → report.
"""

import argparse
import fnmatch
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable, Sequence

sys.dont_write_bytecode = True

import bench
import dkms
import fetch
import installed
import module
import packaged
import power
import programs
import rootfs
import secure_boot
from boot import Machine, Outcome
from report import Report
from targets import HERE, REPO, TARGETS, HarnessError, Kernel, Target, locked, ready, select

# Command that shows it is there → Debian package.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86", "mmdebstrap": "mmdebstrap", "depmod": "kmod", "gcc": "build-essential",
    "pahole": "dwarves", "bc": "bc", "flex": "flex", "bison": "bison", "sparse": "sparse", "xz": "xz-utils",
    "dpkg-deb": "dpkg", "unshare": "util-linux", "make": "make", "openssl": "openssl", "rsync": "rsync", "cpio": "cpio", "mke2fs": "e2fsprogs",
}
FILES = {
    "/usr/include/libelf.h": "libelf-dev", "/usr/include/openssl/ssl.h": "libssl-dev",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
RELEASE = REPO / "target" / "release"
SLOWNESS = float(os.environ.get("SNET_VM_SLOWNESS", 1))
SHIPPED_CONFIG = REPO / "snetd" / "snetd.toml"


def setup(_) -> bool:
    absent = [package for tool, package in TOOLS.items() if not shutil.which(tool)]
    absent += [package for file, package in FILES.items() if not Path(file).exists()]
    if not absent:
        return True
    if os.geteuid() != 0:
        raise HarnessError(f"missing: {' '.join(absent)}; install them or run this as root")
    print(f"installing {' '.join(absent)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "-q", "update"], ["apt-get", "-qy", "install", "--no-install-recommends", *absent]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise HarnessError(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return True


def kernels(_) -> bool:
    for target in TARGETS.values():
        kernel = ready(target)
        state = f"{kernel.release} ({kernel.version})" if kernel else "not fetched yet"
        print(f"{target.name:6} {target.about}: {state}")
    return True


def stretched(target: Target, options) -> Target:
    """The target with all its time limits as much longer as this machine is busy."""
    return replace(target, slowness=target.slowness * getattr(options, "slowness", SLOWNESS))


def on_each(options, what: str, function: Callable[[Target], bool]) -> bool:
    """All the kernels get their turn, also when one of them has no module or no guest."""
    good = True
    for target in (stretched(target, options) for target in select(options.kernel)):
        try:
            with locked(target, what):
                good &= function(target)
        except HarnessError as error:
            print(f"FAIL {error}", flush=True)
            good = False
    return good


def fetch_kernels(options) -> bool:
    def fetch_one(target: Target) -> bool:
        kernel = fetch.fetch(target, options.refresh)
        print(f"{target.name}: {kernel.release} ({kernel.version})", flush=True)
        return True

    return on_each(options, "cache", fetch_one)


def build(options) -> bool:
    def build_one(target: Target) -> bool:
        for path in module.build(target, fetch.fetch(target), options.source, options.sparse):
            print(path, flush=True)
        return True

    return on_each(options, "cache", build_one)


def package(options) -> bool:
    """All kernels, two of them on one machine."""
    together = [TARGETS["6.1"], TARGETS["6.12"]] if options.kernel == "all" else []

    def package_one(target: Target) -> bool:
        if not target.kernel and target not in together:
            dkms.check(target, fetch.fetch(target))
        return True

    good = on_each(options, "cache", package_one)
    if together:
        with locked(together[0], "cache"), locked(together[1], "cache"):
            dkms.check_two(*((target, fetch.fetch(target)) for target in together))
    return good


def scenarios() -> dict[str, dict]:
    """Names → sentence, requires, timeout and file, as the guest will find them."""
    command = [sys.executable, "-B", HERE / "guest" / "runner.py", "--list"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise HarnessError(f"the scenarios can't be read:\n{done.stderr}")
    return json.loads(done.stdout)


def chosen(patterns: list[str]) -> dict[str, dict]:
    """What `scenarios()` says of the scenarios that are asked for; those that may take longest come first, so that
    guests side by side end at about the same time."""
    known = dict(sorted(scenarios().items(), key=lambda item: item[1]["timeout"], reverse=True))
    for pattern in patterns:
        if not fnmatch.filter(known, pattern):
            raise HarnessError(f"no scenario matches {pattern!r}: see `vm.py run --list`")
    return {name: about for name, about in known.items() if matches(name, patterns)}


def matches(name: str, patterns: Sequence[str]) -> bool:
    """No patterns at all match everything."""
    return not patterns or any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def on(target: Target, wanted: dict[str, dict], only: bool, named: bool) -> list[str]:
    """Those of the scenarios that run on this kernel: its sample, unless it is the `only` kernel (where none is a mistake) or
    scenarios were `named`."""
    names = [name for name, about in wanted.items() if target.runs(about["requires"])
             and (only or named or matches(f"{about['file']}/{name}", target.sample))]
    if only and not names:
        kinds = sorted({about["requires"] or "an ordinary kernel" for about in wanted.values()})
        raise HarnessError(f"nothing to run on {target.name}: what was asked for requires {', '.join(kinds)}")
    return names


def machine(target: Target, options, order: dict) -> Machine:
    """A guest with the module built for it and the programs that exist."""
    with locked(target, "cache"):
        kernel = fetch.fetch(target)
        files = _files(target, kernel, options)
        # Now, and not by guests that start side by side.
        rootfs.base()
        rootfs.modules(target, kernel)
        if target.secure_boot:
            secure_boot.signed_kernel(target, kernel)
    order = {"release": kernel.release, "slowness": target.slowness, "slow_kernel": TARGETS[target.name].slowness > 1,
             **order}
    return Machine(target, kernel, order, files)


def guests(target: Target, options, scenarios: int) -> int:
    """How many to start side by side; each of them takes a processor and its memory."""
    with open("/proc/meminfo") as meminfo:
        kib = next(int(line.split()[1]) for line in meminfo if line.startswith("MemAvailable"))
    fitting = min(len(os.sched_getaffinity(0)), kib // 1024 // (target.memory_mib + 512))
    return max(1, min(options.guests or fitting, scenarios))


def _files(target: Target, kernel: Kernel, options) -> dict[str, Path]:
    files = {}
    if (options.source / "Makefile").exists() or (options.source / "Kbuild").exists():
        files |= {f"snet/{path.name}": path for path in module.build(target, kernel, options.source)}
    if target.secure_boot and "snet/snet.ko" in files:
        files["snet/signed/snet.ko"] = secure_boot.signed_module(target, kernel, files["snet/snet.ko"])
    files |= {f"snet/bin/{name}": path for name, path in programs.build().items()}
    optional = {f"snet/bin/{name}": RELEASE / "examples" / name for name in ("client_checks", "decide", "ticket_model")}
    optional["snet/examples/decide.py"] = REPO / "libsnet" / "examples" / "decide.py"
    optional |= {"usr/sbin/snetd": RELEASE / "snetd", "usr/bin/snet-tool": RELEASE / "snet-tool"}
    optional |= {f"usr/bin/{path.name}": path for path in options.program}
    optional["etc/snet/snetd.toml"] = options.config or SHIPPED_CONFIG
    for name, path in optional.items():
        if path.exists():
            files[name] = path
    for path in options.program:
        if not path.exists():
            raise HarnessError(f"--program {path}: no such file")
    return files


def run(options) -> bool:
    if options.list:
        for name, about in scenarios().items():
            print(f"{name}\n    {about['sentence']}" + (f" [{about['requires']}]" if about["requires"] else ""))
        return True
    wanted = chosen(options.scenario)

    def run_one(target: Target) -> bool:
        if target.packaged:
            return packaged.check(target) and power.check(target, power.CUTS_UNLESS_TOLD, random.randrange(1 << 32))
        names = on(target, wanted, only=options.kernel != "all", named=bool(options.scenario))
        if not names:
            return True
        first = machine(target, options, {"mode": "run"})
        crew = [replace(first, number=number + 1) for number in range(guests(target, options, len(names)))]
        report = Report(target, names)
        with ThreadPoolExecutor(len(crew)) as pool:
            runs = [pool.submit(guest.start, partial(report.heard, guest.number), options.timeout * target.slowness)
                    for guest in crew]
            try:
                return report.close({guest.number: (run.result(), guest.console) for guest, run in zip(crew, runs)})
            finally:
                for guest in crew:
                    guest.stop()

    return on_each(options, "guest", run_one)


def one(options) -> Target:
    return stretched(select("6.1" if options.kernel == "all" else options.kernel)[0], options)


def shell(options) -> bool:
    print("leave with `exit`, or with Ctrl-A X at any time", flush=True)
    target = one(options)
    with locked(target, "guest"):
        return machine(target, options, {"mode": "shell"}).shell() == 0


def demo(options) -> bool:
    """Streams the transcript; the script's exit code is ours."""
    codes: list[int] = []

    def heard(message: dict) -> None:
        if message["t"] == "output":
            sys.stdout.write(message["text"])
            sys.stdout.flush()
        elif message["t"] == "done":
            codes.append(message["code"])
        elif message["t"] == "fault":
            print(message["detail"], file=sys.stderr)

    target = one(options)
    with locked(target, "guest"):
        outcome: Outcome = machine(target, options, {"mode": "demo"}).start(heard, options.timeout * target.slowness)
    if outcome.fault or not codes:
        raise HarnessError(f"the demo did not end: {outcome.fault}; see {target.results}/console.log")
    sys.exit(codes[0])


def measure(options) -> bool:
    """Prints what the module costs on each kernel."""

    def counting(target: Target, order: dict) -> Machine:
        return replace(machine(target, options, order), icount=True)

    def measure_one(target: Target) -> bool:
        measured = bench.measure(target, counting, options.only or list(bench.BOOTS), options.timeout)
        bench.report(fetch.fetch(target).release, measured)
        return True

    return on_each(options, "guest", measure_one)


def boot_installed(options) -> bool:
    return on_each(options, "guest", lambda target: target.kernel is not None or installed.check(target))


def boot_packaged(options) -> bool:
    return on_each(options, "guest", lambda target: (target.kernel is not None and not target.packaged) or packaged.check(target))


def cut_power(options) -> bool:
    def check_one(target: Target) -> bool:
        return target.kernel is not None or power.check(target, options.cuts, options.seed)

    return on_each(options, "guest", check_one)


def selftest(options) -> bool:
    os.environ.pop("CI", None)  # what is shown here is that a skip is told from a failure
    sys.path.insert(0, str(HERE / "selftest"))
    import judge
    target = one(options)
    with locked(target, "guest"):
        return judge.selftest(target)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vm.py", description="Tests of snet on real kernels, in qemu.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(function=function)
        return sub

    def with_kernel(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--kernel", default="all", help=f"{', '.join(TARGETS)} or all (default)")
        return sub

    def with_module(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--source", type=Path, default=module.SOURCE, help="the module's directory")
        return with_kernel(sub)

    def with_guest(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        sub.add_argument("--program", type=Path, action="append", default=[], help="also put this program into /usr/bin")
        sub.add_argument("--config", type=Path, help="snetd's configuration in the guest")
        sub.add_argument("--slowness", type=float, default=SLOWNESS,
                         help="stretch every time limit by this, on a busy machine (default: $SNET_VM_SLOWNESS, or 1)")
        sub.add_argument("--guests", type=int, help="so many of a kernel's guests side by side (default: what fits)")
        sub.add_argument("--timeout", type=float, default=3600, help="seconds for one kernel's whole run")
        return with_module(sub)

    command("setup", setup, "install what is needed (quiet if it is there)")
    command("kernels", kernels, "list the kernels")
    fetching = with_kernel(command("fetch", fetch_kernels, "download the kernels"))
    fetching.add_argument("--refresh", action="store_true", help="look for newer packages")
    building = with_module(command("build", build, "build snet.ko"))
    building.add_argument("--sparse", action="store_true", help="with sparse; fail on a warning in our files")
    with_kernel(command("dkms", package, "check that DKMS builds, signs, installs and removes the module"))
    running = with_guest(command("run", run, "run the scenarios"))
    running.add_argument("--scenario", nargs="+", action="extend", default=[], metavar="NAME", help="these (globs), on each kernel")
    running.add_argument("--list", action="store_true", help="list the scenarios")
    installing = command("installed", boot_installed, "boot a system on which `make install` was run, with systemd")
    with_kernel(installing).set_defaults(kernel="6.12")
    packaging = command("packaged", boot_packaged, "install, upgrade and purge the packages of `make deb` in a system with systemd")
    with_kernel(packaging).set_defaults(kernel="6.12")
    cutting = with_kernel(command("power", cut_power, "reboot such a system from its disk, and cut its power while rules are changed"))
    cutting.set_defaults(kernel="6.12")
    cutting.add_argument("--cuts", type=int, default=power.CUTS_UNLESS_TOLD, help=f"how often (default: {power.CUTS_UNLESS_TOLD})")
    cutting.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="when (default: at random)")
    with_kernel(command("selftest", selftest, "check that the harness notices guests that misbehave"))
    benching = with_guest(command("bench", measure, "count the instructions that the module costs"))
    benching.add_argument("--only", nargs="+", choices=bench.BOOTS, help="only these security modules, snet among them")
    benching.set_defaults(kernel="6.12")
    with_guest(command("shell", shell, "an interactive shell in a guest"))
    with_guest(command("demo", demo, "run guest/demo.sh and show what it prints"))
    return parser


def terminated(*_) -> None:
    """An orderly end when asked from outside, so that no qemu stays behind, and not a silent one."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("vm.py: ended by SIGTERM: this run has no result", file=sys.stderr, flush=True)
    sys.exit(143)


def main() -> int:
    options = arguments().parse_args()
    signal.signal(signal.SIGTERM, terminated)
    try:
        return 0 if options.function(options) else 1
    except HarnessError as error:
        print(f"vm.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
