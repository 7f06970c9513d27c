# SPDX-License-Identifier: MIT OR Apache-2.0
"""Distribution kernels: download, unpack and repair so that modules can be built from the cache.

Owns: the `<cache>/kernels/<name>/` directories of packaged kernels.
Hands over: a `targets.Kernel`; module.py builds against it and boot.py starts it.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import source
from archive import Apt
from targets import TARGETS, HarnessError, Kernel, Target, ready

WANTED = re.compile(r"linux-(image|headers|kbuild|binary|modules)-")
# Nothing of these directories is of use in a guest without hardware.
USELESS_MODULES = ("kernel/sound", "kernel/drivers/gpu", "kernel/drivers/media", "kernel/drivers/staging",
                   "kernel/drivers/infiniband/hw", "kernel/drivers/infiniband/ulp", "kernel/drivers/infiniband/sw",
                   "kernel/drivers/scsi", "kernel/drivers/iio",
                   "kernel/drivers/net/wireless", "kernel/drivers/net/ethernet", "kernel/drivers/usb",
                   "kernel/drivers/hwmon", "kernel/drivers/input", "kernel/drivers/mtd", "kernel/drivers/ata")


def fetch(target: Target, refresh: bool = False) -> Kernel:
    """The kernel from the cache, downloaded first if it isn't there whole."""
    if target.kernel:
        return fetch(TARGETS[target.kernel], refresh)
    kernel = ready(target)
    if target.source:
        current = kernel and kernel.version.endswith(source.version(target))
        return kernel if current and not refresh else source.compile_kernel(target)
    if kernel and kernel.without == " ".join(USELESS_MODULES) and not refresh:
        return kernel
    print(f"{target.name}: looking up {target.image} in {', '.join(s for _, s in target.suites)}", flush=True)
    apt = Apt(target.name, target.suites)
    apt.update()
    packages = apt.closure([target.image, target.headers], WANTED)
    kernel = _install(target, apt, packages)
    apt.forget()
    return kernel


def _install(target: Target, apt: Apt, packages: dict[str, str]) -> Kernel:
    """Everything happens in a directory beside the final one, which then takes its place at once."""
    target.cache.parent.mkdir(parents=True, exist_ok=True)
    for interrupted in target.cache.parent.glob(f".{target.name}-*"):
        shutil.rmtree(interrupted)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.cache.parent))
    try:
        print(f"{target.name}: downloading {', '.join(sorted(packages))}", flush=True)
        debs = apt.download(packages, work / "debs")
        for deb in debs:
            subprocess.run(["dpkg-deb", "-x", deb, work], check=True)
        shutil.rmtree(work / "debs")
        kernel = _describe(target, work, packages)
        _prune(work / kernel.modules)
        # It warns about lists that Debian stopped shipping; nothing here reads them.
        subprocess.run(["depmod", "-b", work, kernel.release], check=True, stderr=subprocess.DEVNULL)
        _repair_headers(work, target.cache)
        kernel.save(work)
        work.chmod(0o755)
        shutil.rmtree(target.cache, ignore_errors=True)
        work.rename(target.cache)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return kernel


def _describe(target: Target, root: Path, packages: dict[str, str]) -> Kernel:
    """Find the image, which is in /boot up to 6.12 and among the modules from 7.3 on, and what belongs to it."""
    if (root / "usr/lib/modules").is_dir() and not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")
    found = {path.name.removeprefix("vmlinuz-"): path for path in root.glob("boot/vmlinuz-*")}
    found |= {path.parent.name: path for path in root.glob("lib/modules/*/vmlinuz")}
    if len(found) != 1:
        raise HarnessError(f"{target.name}: expected one kernel image in the packages, found {len(found)}")
    (release, image), = found.items()
    build = f"usr/src/linux-headers-{release}"
    if not (root / build).is_dir():
        raise HarnessError(f"{target.name}: image {release} has no matching headers package")
    return Kernel(release, str(image.relative_to(root)), build, f"lib/modules/{release}", packages[target.image],
                  " ".join(USELESS_MODULES))


def _prune(modules: Path) -> None:
    for directory in USELESS_MODULES:
        shutil.rmtree(modules / directory, ignore_errors=True)


def _repair_headers(root: Path, final: Path) -> None:
    """Debian's headers name each other by absolute path, which has to lead into the cache."""
    for file in (root / "usr/src").glob("linux-headers-*/Makefile"):
        _rewrite(file, final)
    for file in (root / "usr/src").glob("linux-headers-*/.kernelvariables"):
        _rewrite(file, final)
    for top in ("usr/src", "usr/lib"):
        for link in (path for path in (root / top).glob("*/*") if path.is_symlink()):
            destination = str(link.readlink())
            if destination.startswith("/usr/"):
                link.unlink()
                link.symlink_to(f"{final}{destination}")


def _rewrite(file: Path, final: Path) -> None:
    if file.is_symlink() or not file.is_file():
        return
    text = file.read_text()
    file.write_text(re.sub(r"(?<![\w/.-])/usr/(src|lib)/linux-", rf"{final}/usr/\1/linux-", text))
