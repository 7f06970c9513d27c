# SPDX-License-Identifier: MIT OR Apache-2.0
"""The kernels that are tested, one table entry each, and where things are kept.

Owns: the target table, the cache layout, the description of a kernel that is ready to boot.
Must not: download, build or start anything (fetch.py, module.py, boot.py do).
"""

import fcntl
import json
import os
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Iterator

HERE = Path(__file__).resolve().parent
REPO = HERE.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "snet"
RESULTS = REPO / "target" / "vm"

# Modules of the stock kernel that scenarios need; their dependencies come from modules.dep.
GUEST_MODULES = (
    "veth", "dummy", "bridge", "sctp", "tun", "udp_tunnel", "vxlan", "wireguard", "fou",
    "vsock", "vsock_loopback", "tipc", "rds_tcp", "rxrpc", "l2tp_ip", "pptp", "dccp_ipv4", "smc",
    "nf_tables", "nft_ct", "nft_reject_inet", "nft_chain_nat", "inet_diag", "tcp_diag", "udp_diag",
    "sctp_diag", "af_packet_diag", "unix_diag", "netlink_diag", "overlay",
    # Found by name through the crypto API, so that modules.dep does not know of them.
    "crc32c_generic", "hmac", "sha1_generic", "sha256_generic", "pcbc", "fcrypt",
)


# What Debian's kernels had, and Linux 7 has no longer (SMC is not built any more).
RETIRED = ("udp-lite", "dccp", "smc")


# That the module attaches and holds calls, by any of its ways.
HOLDING = ("*/has_bpf_*", "*/says_where_*", "*/holds_*", "*/verdict_*", "*/no_answer_*")


class HarnessError(Exception):
    """Something the person at the keyboard has to know; printed without a traceback."""


@dataclass(frozen=True)
class Target:
    """One kernel under test. `suites` are (archive, suite) pairs, archive `debian` or `security`;
    `toolchain` names the Debian suite in whose chroot modules are built (None: on this machine);
    `kernel` names the target whose kernel it boots, with another command line; `source` is the linux-source package of a kernel that is compiled here with `config`; `offers` is what scenarios
    may require that other kernels don't have; `sample` are patterns of FILE/SCENARIO, those that run there where all kernels are asked
    for (all of them unless there are any); `exclusive` means that no other scenarios run there; `system` is the Debian
    that is booted where a whole one is, with systemd; `packaged` that the packages are installed there, in place of scenarios."""

    name: str
    about: str
    suites: tuple[tuple[str, str], ...] = ()
    kernel: str | None = None
    image: str = "linux-image-amd64"
    headers: str = "linux-headers-amd64"
    toolchain: str | None = None
    source: str | None = None
    config: str | None = None
    cmdline: tuple[str, ...] = ()
    memory_mib: int = 1536
    slowness: float = 1.0
    sparse: bool = True
    default: bool = True
    offers: tuple[str, ...] = ()
    sample: tuple[str, ...] = ()
    exclusive: bool = False
    secure_boot: bool = False
    system: str = "bookworm"
    packaged: bool = False

    def runs(self, requires: str | None) -> bool:
        return requires in self.offers if requires else not self.exclusive

    @property
    def origin(self) -> str:
        """The target whose kernel and modules these are."""
        return self.kernel or self.name

    @property
    def cache(self) -> Path:
        return CACHE / "kernels" / self.origin

    @property
    def results(self) -> Path:
        return RESULTS / self.name


TARGETS = {
    target.name: target
    for target in (
        Target(
            name="6.1",
            about="Debian 12 (bookworm)",
            suites=(("debian", "bookworm"), ("security", "bookworm-security")),
            offers=RETIRED,
        ),
        Target(
            # The same kernel as Debian 13's, with kbuild tools that run on Debian 12.
            name="6.12",
            about="Debian 13's kernel, from bookworm-backports",
            suites=(("debian", "bookworm-backports"),),
            offers=RETIRED,
            sample=(*HOLDING, "boot/*", "load/*", "units/*", "bypass_calls/*", "bypass_uring/*"),
        ),
        Target(
            name="newest",
            about="the newest kernel for Debian 13, from trixie-backports",
            suites=(("debian", "trixie-backports"),),
            toolchain="trixie",
            sample=(*HOLDING, "boot/*", "load/*", "units/*", "bypass_*", "incoming/*", "limits/*", "protocol/*", "subjects/*",
                    "suspend/*", "tickets/*", "endurance/loads_*"),
            sparse=False,
        ),
        Target(
            # Hooks are then at security_*(): docs/adr/0001-attach-by-ftrace.md.
            name="6.1-no-bpf",
            about="Debian 12, booted without bpf among its security modules",
            kernel="6.1",
            cmdline=("lsm=lockdown,yama,apparmor",),
            offers=RETIRED,
            sample=HOLDING,
        ),
        Target(
            name="6.12-no-bpf",
            about="the same with Debian 13's kernel",
            kernel="6.12",
            cmdline=("lsm=lockdown,yama,apparmor",),
            offers=RETIRED,
            default=False,
        ),
        Target(
            name="secure-boot",
            about="Debian 13's kernel under UEFI Secure Boot, which puts it into lockdown",
            kernel="6.12",
            # The scope is set for good, which other scenarios would not survive.
            offers=("secure-boot", "scope-3"),
            exclusive=True,
            secure_boot=True,
        ),
        Target(
            name="debian12-systemd",
            about="Debian 12 with its kernel and systemd, on which the packages are installed",
            kernel="6.1",
            packaged=True,
            default=False,
        ),
        Target(
            name="debian13-systemd",
            about="the same with Debian 13 and the kernel that it has by itself",
            suites=(("debian", "trixie"), ("security", "trixie-security")),
            toolchain="trixie",
            sparse=False,
            system="trixie",
            packaged=True,
            default=False,
        ),
        Target(
            name="debug",
            about="Debian 12's source with KASAN, lockdep, kmemleak and more, compiled here once",
            suites=(("debian", "bookworm"), ("security", "bookworm-security")),
            source="linux-source-6.1",
            config="debug.config",
            # KASAN and kmemleak see what slub_debug sees, and more; together they are too slow.
            cmdline=("slub_debug=-",),
            memory_mib=2560,
            slowness=4,
            offers=("fault-injection", "udp-lite", "smc"),
            default=False,
        ),
        Target(
            name="debug-6.12",
            about="the same for Debian 13's kernel",
            suites=(("debian", "bookworm-backports"),),
            source="linux-source-6.12",
            config="debug.config",
            # KASAN and kmemleak see what slub_debug sees, and more; together they are too slow.
            cmdline=("slub_debug=-",),
            memory_mib=2560,
            slowness=4,
            offers=("fault-injection", "udp-lite", "smc"),
            default=False,
        ),
    )
}


def package(name: str) -> Path:
    """The one of that name which `make deb` made."""
    made = list((REPO / "target/deb").glob(f"{name}_*.deb"))
    if len(made) != 1:
        raise HarnessError(f"there is no package {name} in target/deb: run make deb first ({len(made)} found)")
    return made[0]


@dataclass(frozen=True)
class Kernel:
    """A kernel that is ready: paths are relative to its directory in the cache."""

    release: str
    vmlinuz: str
    build: str
    modules: str
    version: str
    without: str = ""  # modules that were left out of it

    def save(self, directory: Path) -> None:
        (directory / "kernel.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def ready(target: Target) -> Kernel | None:
    """The description is written last and the directory renamed into place: its presence is the stamp."""
    try:
        return Kernel(**json.loads((target.cache / "kernel.json").read_text()))
    except FileNotFoundError:
        return None


@contextmanager
def locked(target: Target, what: str) -> Iterator[None]:
    """One vm.py at a time per kernel and `what`: `cache` (the kernel, the module's build) or `guest` (a run and its
    results). Who needs both takes `guest` first."""
    CACHE.mkdir(parents=True, exist_ok=True)
    name = target.origin if what == "cache" else target.name
    with (CACHE / f"{name}-{what}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name}: waiting for another vm.py that uses this kernel", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def select(name: str) -> list[Target]:
    """`all` means every target that is not opt-in."""
    if name == "all":
        return [target for target in TARGETS.values() if target.default]
    if name not in TARGETS:
        raise HarnessError(f"no kernel named {name!r}: there are {', '.join(TARGETS)} and all")
    return [TARGETS[name]]
