# SPDX-License-Identifier: MIT OR Apache-2.0
"""A generic netlink client that sends exactly the bytes it is told to, malformed ones included.

Owns: headers, attributes, extended ack, multicast membership. It knows no family's commands: scenarios name them.
It is independent of libsnet on purpose, so that a mistake there is not made twice.
"""

import errno
import os
import socket
import struct
from dataclasses import dataclass, field

from order import SLOWNESS

NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE = 1, 2, 3
NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x2, 0x4, 0x300
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NETLINK_CAP_ACK, NETLINK_EXT_ACK = 270, 1, 10, 11
NETLINK_GENERIC, GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 0x10, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS = 1, 2, 7
CTRL_ATTR_MCAST_GRP_NAME, CTRL_ATTR_MCAST_GRP_ID = 1, 2
NLMSGERR_ATTR_MSG, NLMSGERR_ATTR_OFFS, NLMSGERR_ATTR_MISS_TYPE = 1, 2, 5
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3FFF


class NetlinkError(OSError):
    """The kernel's refusal. `message` is the extended ack's text, `offset` that of the attribute at fault."""

    def __init__(self, number: int, message: str | None, offset: int | None, missing: int | None):
        super().__init__(number, os.strerror(number))
        # Linux has two names for this number; the one that kernel code uses is wanted.
        self.name = "EOPNOTSUPP" if number == errno.EOPNOTSUPP else errno.errorcode.get(number, str(number))
        self.message, self.offset, self.missing = message, offset, missing

    def __str__(self) -> str:
        return f"{self.name}: {self.message or 'no extended ack'}"


@dataclass
class Message:
    kind: int
    flags: int
    sequence: int
    command: int
    version: int
    payload: bytes
    attributes: dict[int, bytes] = field(default_factory=dict)

    def u32(self, attribute: int) -> int:
        return struct.unpack("=I", self.attributes[attribute])[0]

    def u64(self, attribute: int) -> int:
        return struct.unpack("=Q", self.attributes[attribute])[0]

    def text(self, attribute: int) -> str:
        return self.attributes[attribute].rstrip(b"\0").decode()


def attr(kind: int, value: bytes | int | str = b"", *, width: int = 4, length: int | None = None) -> bytes:
    """One attribute, padded. An int takes `width` bytes, a str gets its NUL; `length` overrides nla_len to lie."""
    if isinstance(value, int):
        value = int(value).to_bytes(width, "little", signed=value < 0)
    elif isinstance(value, str):
        value = value.encode() + b"\0"
    header = struct.pack("=HH", length if length is not None else 4 + len(value), kind)
    return header + value + b"\0" * (-len(value) % 4)


def nested(kind: int, *children: bytes, flag: bool = True) -> bytes:
    return attr(kind | (NLA_F_NESTED if flag else 0), b"".join(children))


def parse(data: bytes) -> list[tuple[int, bytes]]:
    """Attributes in order, without their flags; stops at the first that doesn't fit."""
    found, position = [], 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4 or position + length > len(data):
            break
        found.append((kind & NLA_TYPE_MASK, data[position + 4:position + length]))
        position += (length + 3) & ~3
    return found


class Socket:
    """A netlink socket of its own port id; closing it is what a dying decider does."""

    def __init__(self, timeout: float = 30.0):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC)
        self.socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self.socket.settimeout(timeout * SLOWNESS)
        self.socket.bind((0, 0))
        self.sequence = 0
        self.unread: list[Message] = []

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def fileno(self) -> int:
        return self.socket.fileno()

    def family(self, name: str) -> int:
        """The family's id; NetlinkError ENOENT if there is none here."""
        return int.from_bytes(self._control(name)[CTRL_ATTR_FAMILY_ID], "little")

    def group(self, family: str, group: str) -> int:
        for _, entry in parse(self._control(family).get(CTRL_ATTR_MCAST_GROUPS, b"")):
            fields = dict(parse(entry))
            if fields[CTRL_ATTR_MCAST_GRP_NAME].rstrip(b"\0") == group.encode():
                return struct.unpack("=I", fields[CTRL_ATTR_MCAST_GRP_ID])[0]
        raise KeyError(f"family {family} has no multicast group {group}")

    def join(self, family: str, group: str) -> None:
        self.socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, self.group(family, group))

    def _control(self, name: str) -> dict[int, bytes]:
        replies = self.request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, attr(CTRL_ATTR_FAMILY_NAME, name), version=2)
        return replies[0].attributes

    def send(self, kind: int, command: int, payload: bytes = b"", *, flags: int = NLM_F_REQUEST | NLM_F_ACK,
             version: int = 1, length: int | None = None) -> int:
        """Send one message; `length` overrides nlmsg_len. Returns the sequence number."""
        self.sequence += 1
        body = struct.pack("=BBH", command, version, 0) + payload
        header = struct.pack("=IHHII", length if length is not None else 16 + len(body), kind, flags, self.sequence, 0)
        self.socket.sendto(header + body, (0, 0))
        return self.sequence

    def request(self, kind: int, command: int, payload: bytes = b"", **options) -> list[Message]:
        """Send and collect the replies up to the acknowledgement; NetlinkError if the kernel refuses.
        Messages that belong to nothing asked here (events) are kept for `event`."""
        sequence = self.send(kind, command, payload, **options)
        replies = []
        while True:
            for message in self._receive():
                if message.sequence != sequence:
                    self.unread.append(message)
                elif message.kind in (NLMSG_ERROR, NLMSG_DONE):
                    _raise_refusal(message)
                    return replies
                else:
                    replies.append(message)

    def dump(self, kind: int, command: int, payload: bytes = b"", **options) -> list[Message]:
        return self.request(kind, command, payload, flags=NLM_F_REQUEST | NLM_F_DUMP, **options)

    def event(self, timeout: float | None = None) -> Message:
        """The next message nobody asked for; TimeoutError if none comes."""
        before = self.socket.gettimeout()
        self.socket.settimeout(before if timeout is None else timeout)
        try:
            while not self.unread:
                self.unread.extend(self._receive())
            return self.unread.pop(0)
        finally:
            self.socket.settimeout(before)

    def _receive(self) -> list[Message]:
        data, messages, position = self.socket.recv(1 << 18), [], 0
        while position + 16 <= len(data):
            length, kind, flags, sequence, _ = struct.unpack_from("=IHHII", data, position)
            body = data[position + 16:position + length]
            messages.append(_message(kind, flags, sequence, body))
            position += (length + 3) & ~3
        return messages


def _message(kind: int, flags: int, sequence: int, body: bytes) -> Message:
    if kind < GENL_ID_CTRL:
        return Message(kind, flags, sequence, 0, 0, body)
    command, version, _ = struct.unpack_from("=BBH", body)
    return Message(kind, flags, sequence, command, version, body[4:], dict(parse(body[4:])))


def _raise_refusal(message: Message) -> None:
    """NLMSG_ERROR and NLMSG_DONE both begin with a negative errno (0 = acknowledged)."""
    number = -struct.unpack_from("=i", message.payload)[0] if len(message.payload) >= 4 else 0
    if number <= 0:
        return
    position = 4
    if message.kind == NLMSG_ERROR:
        echoed = struct.unpack_from("=I", message.payload, 4)[0]
        position += 16 if message.flags & NLM_F_CAPPED else (echoed + 3) & ~3
    details = dict(parse(message.payload[position:])) if message.flags & NLM_F_ACK_TLVS else {}
    text = details.get(NLMSGERR_ATTR_MSG)
    raise NetlinkError(number, text.rstrip(b"\0").decode() if text else None,
                       *(int.from_bytes(details[kind], "little") if kind in details else None
                         for kind in (NLMSGERR_ATTR_OFFS, NLMSGERR_ATTR_MISS_TYPE)))
