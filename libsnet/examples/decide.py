#!/usr/bin/python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The decider of decide.rs in Python, without a library: allows every TCP connection but those to port 25, and prints each.

Needs the kernel module, and root in the initial namespaces; snetd must not be running, since there is one decider at a
time. The numbers are those of kernel/uapi/snet.h; docs/protocol.md says what they mean.
"""

import errno
import ipaddress
import socket
import struct

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NETLINK_GENERIC, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 16, 16, 3, 1, 2
REGISTER, WATCH_SET, WATCH_FLUSH, REQUEST_GET, VERDICT = 1, 3, 5, 9, 10  # SNET_CMD_*
A_REQUEST_ID, A_SUBJECT, A_OBJECT, A_VERDICT, A_WATCH = 3, 4, 5, 7, 9  # SNET_A_MAIN_*
A_TGID, A_COMM, A_REMOTE_ADDR, A_REMOTE_PORT = 2, 9, 6, 7  # SNET_A_SUBJECT_*, SNET_A_OBJECT_*
ALLOW, DENY = 1, 2
NESTED = 0x8000  # NLA_F_NESTED
WATCHED = (3, 1 << 0)  # the operation connect, and a mask of the protocol tcp


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3:]
    return found


class Channel:
    """A netlink socket: commands and their answers, or events."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.socket.bind((0, 0))
        self.sequence = 0
        name = attribute(CTRL_ATTR_FAMILY_NAME, b"snet\0")
        family = self.ask(CTRL_CMD_GETFAMILY, name, family=GENL_ID_CTRL)[0][CTRL_ATTR_FAMILY_ID]
        self.family = int.from_bytes(family, "little")

    def receive(self) -> list[tuple[int, int, bytes]]:
        """Type, sequence number and body of each message."""
        data, found = self.socket.recv(1 << 16), []
        while len(data) >= 16:
            length, kind, _, sequence, _ = struct.unpack_from("=IHHII", data)
            found.append((kind, sequence, data[16:length]))
            data = data[(length + 3) & ~3:]
        return found

    def ask(self, command: int, payload: bytes = b"", flags: int = NLM_F_ACK, family: int | None = None) -> list[dict[int, bytes]]:
        """Attributes of each answer; OSError when the kernel refuses."""
        self.sequence += 1
        body = struct.pack("=BBH", command, 1, 0) + payload
        kind = self.family if family is None else family
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | flags, self.sequence, 0) + body)
        answers = []
        while True:
            for kind, sequence, body in self.receive():
                if sequence == self.sequence and kind in (NLMSG_ERROR, NLMSG_DONE):
                    number = -struct.unpack_from("=i", body)[0]
                    if number > 0:
                        raise OSError(number, errno.errorcode.get(number, str(number)))
                    return answers
                if sequence == self.sequence:
                    answers.append(attributes(body[4:]))


def decide(event: dict[int, bytes]) -> int:
    """The policy."""
    port = attributes(event[A_OBJECT]).get(A_REMOTE_PORT, bytes(2))
    return DENY if int.from_bytes(port, "little") == 25 else ALLOW


def describe(event: dict[int, bytes]) -> str:
    subject, thing = attributes(event[A_SUBJECT]), attributes(event[A_OBJECT])
    comm = subject[A_COMM].rstrip(b"\0").decode(errors="replace")
    peer = f"{ipaddress.ip_address(thing[A_REMOTE_ADDR])} {int.from_bytes(thing[A_REMOTE_PORT], 'little')}" \
        if A_REMOTE_ADDR in thing else "nobody"
    return f"{int.from_bytes(subject[A_TGID], 'little')} {comm} to {peer}"


def answer(commands: Channel, event: dict[int, bytes]) -> None:
    verdict = decide(event)
    try:
        commands.ask(VERDICT, attribute(A_REQUEST_ID, event[A_REQUEST_ID]) + attribute(A_VERDICT, struct.pack("=I", verdict)))
    except OSError as error:
        if error.errno != errno.ENOENT:  # It was too late, or the caller is gone.
            raise
    print(f"{describe(event)}: {'allow' if verdict == ALLOW else 'deny'}", flush=True)


def main() -> None:
    events, commands = Channel(), Channel()
    events.ask(REGISTER)
    operation, protocols = (struct.pack("=I", number) for number in WATCHED)
    commands.ask(WATCH_SET, attribute(A_WATCH | NESTED, attribute(1, operation) + attribute(2, protocols)))
    try:
        while True:
            try:
                waiting = [attributes(body[4:]) for _, _, body in events.receive()]
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                waiting = commands.ask(REQUEST_GET, flags=NLM_F_DUMP)  # Events were lost: all that is held.
            for event in waiting:
                answer(commands, event)
    except KeyboardInterrupt:
        pass
    finally:
        commands.ask(WATCH_FLUSH)  # The watch set outlives the decider, and the fallback would go on deciding.


if __name__ == "__main__":
    main()
