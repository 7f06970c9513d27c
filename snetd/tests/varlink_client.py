#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""An independent Varlink client introspects snetd and calls it.

usage: varlink_client.py SNETD

Starts the given snetd without a kernel, in a directory of its own. Needs the Varlink client
for Python (Debian package python3-varlink, or varlink 31 from PyPI); says "skipped" without.
"""

import pathlib
import subprocess
import sys
import tempfile
import time

try:
    import varlink
except ImportError:
    print("skipped: the Varlink client for Python isn't installed (python3-varlink)")
    sys.exit(0)

RULE = {
    "action": "deny",
    "program": "no-such-program",
    "scope": {"operations": "connect", "protocols": "tcp", "remote": "192.0.2.0/24"},
}
OBJECT = {
    "operation": "connect", "protocol": "tcp", "family": 2, "kind": 1, "number": 6,
    "remote": "192.0.2.1:443", "local": None, "flags": 0,
}


def start(snetd, directory):
    config = directory / "snetd.toml"
    config.write_text(
        f'database = "{directory}/snet.db"\nkernel = "off"\n'
        f'[control]\nsocket = "{directory}/snetd.sock"\n'
    )
    daemon = subprocess.Popen([snetd, "--config", config])
    for _ in range(1000):
        if (directory / "snetd.sock").exists():
            return daemon
        if daemon.poll() is not None:
            break
        time.sleep(0.01)
    daemon.kill()
    sys.exit("snetd doesn't start")


def fails_with(name, call, *arguments):
    try:
        call(*arguments)
    except varlink.VarlinkError as error:
        assert error.error() == name, error
        return error.parameters()
    raise AssertionError(f"{name} expected")


def converse(address):
    with varlink.Client.new_with_address(address) as client:
        info = client.get_interfaces() and client.info
        assert "io.snet.Control" in info["interfaces"], info
        interface = client.get_interface("io.snet.Control")
        methods = [name for name, _ in interface.members.items()]
        assert "AddRule" in methods and "Status" in methods, methods
        with client.open("io.snet.Control") as control:
            status = control.Status()
            assert status.get("kernel") is None and status["daemon"]["rules"] == 0, status
            added = control.AddRule(RULE)
            assert added["changed"]["program"] == "no-such-program", added
            assert "isn't installed" in added["notes"][0], added
            number = added["changed"]["id"]
            rules = list(control.ListRules(_more=True))
            assert [rule["id"] for part in rules for rule in part["rules"]] == [number], rules
            assert control.ShowRule(number)["rule"]["scope"]["remote"] == "192.0.2.0/24"
            explanation = control.Test(sys.executable, 0, OBJECT)["explanation"]
            assert explanation["decision"]["source"] == "no-rule", explanation
            assert control.Log(10, None, None)["entries"] == []
            gone = fails_with("io.snet.Control.NotFound", control.DeleteRule, number + 1)
            assert gone == {"kind": "rule", "id": number + 1}, gone
            control.EnableRule(number, False)
            assert control.DeleteRule(number)["changed"]["enabled"] is False
            fails_with("org.varlink.service.ExpectedMore", control.Watch)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as directory:
        daemon = start(sys.argv[1], pathlib.Path(directory))
        try:
            converse(f"unix:{directory}/snetd.sock")
        finally:
            daemon.terminate()
        assert daemon.wait(20) == 0
    print(f"ok: introspected and called with {varlink.__name__} at {varlink.__file__}")


if __name__ == "__main__":
    main()
