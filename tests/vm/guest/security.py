# SPDX-License-Identifier: MIT OR Apache-2.0
"""Policies of the kernel's own security modules that check the socket calls of bench, and nothing else of the
guest: what snet is measured against.

Owns: how AppArmor and TOMOYO are given a policy. A function of ENFORCE puts one into force, and says with which errno
the module refuses a call that the policy doesn't allow.
"""

import errno
import subprocess
from pathlib import Path

SUBJECT = "/snet/bin/bench"
TOMOYO_DRAFT = Path("/run/tomoyo")

APPARMOR_PROFILE = f"""
profile bench {SUBJECT} {{
  network inet stream,
  network inet dgram,
  file,
}}
"""

TOMOYO_POLICY = {
    "profile": """PROFILE_VERSION=20150505
0-COMMENT=nothing is checked
0-CONFIG={ mode=disabled grant_log=no reject_log=no }
1-COMMENT=the network is checked
1-CONFIG={ mode=disabled grant_log=no reject_log=no }
1-CONFIG::network={ mode=enforcing grant_log=no reject_log=no }
""",
    "exception_policy": f"initialize_domain {SUBJECT} from any\n",
    "domain_policy": f"""<kernel> {SUBJECT}
use_profile 1
use_group 0
network inet stream bind/listen/connect 127.0.0.1 0-65535
network inet dgram bind/send 127.0.0.1 0-65535
""",
}


def apparmor() -> int:
    subprocess.run(["apparmor_parser", "--replace", "--skip-cache"], input=APPARMOR_PROFILE, text=True, check=True)
    return errno.EACCES


def tomoyo() -> int:
    """Only the loader that the kernel starts can write the first policy, and only a loader that exists when the kernel
    meets its trigger is started: the host's bench.py names both on the kernel's command line."""
    TOMOYO_DRAFT.mkdir()
    for name, text in TOMOYO_POLICY.items():
        (TOMOYO_DRAFT / name).write_text(text)
    subprocess.run(["/usr/bin/true"], check=True)
    return errno.EPERM


ENFORCE = {"apparmor": apparmor, "tomoyo": tomoyo}
