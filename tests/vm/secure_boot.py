# SPDX-License-Identifier: MIT OR Apache-2.0
"""A machine with UEFI Secure Boot: firmware that trusts one key, and a kernel and modules signed with it.

Owns: `<cache>/secure-boot/`. The key is the one that Debian's package ovmf ships for tests, secret part included; it takes
the place of a machine owner's key. Nothing is installed on this machine.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from archive import Apt
from targets import CACHE, Kernel, Target

HOME = CACHE / "secure-boot"
KEY, CERTIFICATE = HOME / "key.pem", HOME / "certificate.pem"
FIRMWARE, VARIABLES = HOME / "code.fd", HOME / "variables.fd"
SBSIGN = HOME / "sbsign"
SUITES = (("debian", "bookworm"),)


def prepare() -> None:
    """Firmware, its variables with the key enrolled, and the key."""
    if HOME.is_dir():
        return
    HOME.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME.parent, prefix=".secure-boot-") as directory:
        work = Path(directory)
        apt = Apt("secure-boot", SUITES)
        apt.update()
        packages = {name: apt.newest(name)["Version"] for name in ("ovmf", "sbsigntool")}
        for deb in apt.download(packages, work / "debs"):
            subprocess.run(["dpkg-deb", "-x", deb, work / "root"], check=True)
        apt.forget()
        share, made = work / "root/usr/share", work / "made"
        made.mkdir()
        shutil.copy(share / "OVMF/OVMF_CODE_4M.secboot.fd", made / FIRMWARE.name)
        shutil.copy(share / "OVMF/OVMF_VARS_4M.snakeoil.fd", made / VARIABLES.name)
        shutil.copy(share / "ovmf/PkKek-1-snakeoil.pem", made / CERTIFICATE.name)
        shutil.copy(work / "root/usr/bin/sbsign", made / SBSIGN.name)
        subprocess.run(["openssl", "rsa", "-in", share / "ovmf/PkKek-1-snakeoil.key", "-passin", "pass:snakeoil",
                        "-out", made / KEY.name], check=True, stderr=subprocess.DEVNULL)
        made.rename(HOME)


def signed_kernel(target: Target, kernel: Kernel) -> Path:
    """The stock image with a signature more, since the firmware doesn't know Debian's key."""
    prepare()
    signed = HOME / f"vmlinuz-{kernel.release}"
    if not signed.exists():
        subprocess.run([SBSIGN, "--key", KEY, "--cert", CERTIFICATE, "--output", f"{signed}.new",
                        target.cache / kernel.vmlinuz], check=True, stderr=subprocess.DEVNULL)
        Path(f"{signed}.new").rename(signed)
    return signed


def signed_module(target: Target, kernel: Kernel, module: Path) -> Path:
    """The same module with a signature, made as docs/secure-boot.md says."""
    prepare()
    signed = HOME / f"{target.name}-{module.name}"
    shutil.copy(module, signed)
    sign_file = target.cache / kernel.build / "scripts" / "sign-file"
    subprocess.run([sign_file, "sha256", KEY, CERTIFICATE, signed], check=True)
    return signed


def machine(work: Path) -> list[str]:
    """qemu's options; the variables are the guest's own, in a directory that lives as long as it."""
    variables = work / VARIABLES.name
    shutil.copy(VARIABLES, variables)
    flash = "if=pflash,format=raw"
    return ["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
            "-drive", f"{flash},unit=0,readonly=on,file={FIRMWARE}", "-drive", f"{flash},unit=1,file={variables}"]
