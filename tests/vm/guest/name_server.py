# SPDX-License-Identifier: MIT OR Apache-2.0
"""A name server: answers for IPv4 addresses from a JSON file, {NAME: [ADDRESS, ...]}, that may change meanwhile.
Arguments: its address, the file. A name that is a string in place of a list is another name of that one."""

import json
import socket
import struct
import sys
from pathlib import Path

TTL = 1


def name_in(message: bytes) -> tuple[str, int]:
    """The name that is asked for, in lower case, and where it ends."""
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(labels).lower(), at + 1


def packed(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(name: str, kind: int, data: bytes) -> bytes:
    return packed(name) + struct.pack(">HHIH", kind, 1, TTL, len(data)) + data


def answer(message: bytes, known: dict) -> bytes:
    name, end = name_in(message)
    kind = struct.unpack(">H", message[end:end + 2])[0]
    records, found = [], known.get(name)
    while isinstance(found, str):
        records.append(record(name, 5, packed(found)))
        name, found = found, known.get(found)
    if kind == 1:
        records += [record(name, 1, socket.inet_aton(address)) for address in found or ()]
    code = 0x8180 if found is not None else 0x8183
    return message[:2] + struct.pack(">5H", code, 1, len(records), 0, 0) + message[12:end + 4] + b"".join(records)


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((sys.argv[1], 53))
        print("ready", flush=True)
        while True:
            message, client = server.recvfrom(4096)
            server.sendto(answer(message, json.loads(Path(sys.argv[2]).read_text())), client)


main()
