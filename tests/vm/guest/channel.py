# SPDX-License-Identifier: MIT OR Apache-2.0
"""The guest's side of the report channel: JSON objects, one per line, over the second serial port.

Owns: the device. The host's side is boot.py; the kinds of message are hello, next, start, result, fault, output, done.
The host answers to `next` alone, with a line.
"""

import json
import os
import threading

DEVICE = "/dev/ttyS1"


class Channel:
    def __init__(self, device: str = DEVICE):
        self.fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self.lock = threading.Lock()

    def send(self, kind: str, **fields) -> None:
        data = memoryview((json.dumps({"t": kind, **fields}) + "\n").encode())
        with self.lock:
            while data:
                data = data[os.write(self.fd, data):]

    def next_scenario(self) -> str:
        """The host's choice; empty when there are no more."""
        self.send("next")
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(self.fd, 256)
        return line.decode().strip()


def mark(text: str) -> None:
    """A line in the kernel log, so that the console shows where a scenario begins."""
    with open("/dev/kmsg", "w") as kmsg:
        kmsg.write(f"<5>snet-test: {text}\n")
