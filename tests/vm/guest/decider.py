# SPDX-License-Identifier: MIT OR Apache-2.0
"""A decider in Python: the scenarios' own hand on the kernel's end of the protocol, without libsnet and snetd.

Owns: the encoding of snet's commands. Policy is the scenario's.
"""

import ipaddress
import struct
from dataclasses import dataclass

import genl
import uapi
from genl import attr, nested

EVERY_OPERATION = range(uapi.OP_CREATE, uapi.OP_RECV + 1)


def bit(*numbers: int) -> int:
    return sum(1 << number for number in numbers)


def integers(data: bytes) -> dict[int, int]:
    """Attributes as numbers, flags as 0; those that aren't are left out."""
    return {kind: int.from_bytes(value, "little") for kind, value in genl.parse(data) if len(value) in (0, 1, 2, 4, 8)}


def watch(operation: int, *protocols: int) -> bytes:
    return nested(uapi.A_MAIN_WATCH, attr(uapi.A_WATCH_OPERATION, operation),
                  attr(uapi.A_WATCH_PROTOCOLS, bit(*protocols)))


def policy(deadline: int | None = None, fallback: int | None = None, **limits: int) -> bytes:
    """`deadline` in ms, for blocking and non-blocking sockets; `fallback` for every operation;
    the limits by name: max_requests, max_requests_per_process, max_tickets, max_tickets_per_process."""
    parts = []
    if deadline is not None:
        parts += [attr(uapi.A_POLICY_DEADLINE, deadline), attr(uapi.A_POLICY_NONBLOCK_DEADLINE, deadline)]
    if fallback is not None:
        parts += [nested(uapi.A_POLICY_FALLBACK, attr(uapi.A_FALLBACK_OPERATION, operation),
                         attr(uapi.A_FALLBACK_VERDICT, fallback)) for operation in EVERY_OPERATION]
    parts += [attr(getattr(uapi, f"A_POLICY_{name.upper()}"), value) for name, value in limits.items()]
    return nested(uapi.A_MAIN_POLICY, *parts)


def ticket(number: int, verdict: int = uapi.VERDICT_ALLOW, *, operations: int = bit(uapi.OP_CONNECT),
           protocols: int = bit(uapi.PROTO_TCP), to: str | None = None, port: tuple[int, int] | None = None,
           local: tuple[int, int] | None = None, lifetime: int | None = None, rule: int | None = None,
           uses: int | None = None, inherit: bool = False, process: tuple[int, int, int] | None = None,
           program: tuple[int, int] | None = None, uid: int | None = None) -> bytes:
    """`to` is a prefix; `port` and `local` are the first and last port; `lifetime` in ms. Only for ticket-add: `process`
    is (tgid, start time, exec id), `program` is (device, inode) and `uid` its user."""
    parts = [attr(uapi.A_TICKET_ID, number, width=8), attr(uapi.A_TICKET_OPERATIONS, operations),
             attr(uapi.A_TICKET_PROTOCOLS, protocols), attr(uapi.A_TICKET_VERDICT, verdict)]
    if to is not None:
        prefix = ipaddress.ip_network(to)
        parts += [attr(uapi.A_TICKET_REMOTE_ADDR, prefix.network_address.packed),
                  attr(uapi.A_TICKET_REMOTE_PREFIX, prefix.prefixlen, width=1)]
    if port is not None:
        parts += [attr(uapi.A_TICKET_REMOTE_PORT_MIN, port[0], width=2),
                  attr(uapi.A_TICKET_REMOTE_PORT_MAX, port[1], width=2)]
    if local is not None:
        parts += [attr(uapi.A_TICKET_LOCAL_PORT_MIN, local[0], width=2),
                  attr(uapi.A_TICKET_LOCAL_PORT_MAX, local[1], width=2)]
    for kind, value, width in ((uapi.A_TICKET_LIFETIME, lifetime, 8), (uapi.A_TICKET_RULE_ID, rule, 8),
                               (uapi.A_TICKET_USES, uses, 4), (uapi.A_TICKET_UID, uid, 4)):
        if value is not None:
            parts.append(attr(kind, value, width=width))
    if inherit:
        parts.append(attr(uapi.A_TICKET_INHERIT))
    if program is not None:
        parts += [attr(uapi.A_TICKET_EXE_DEVICE, program[0], width=8),
                  attr(uapi.A_TICKET_EXE_INODE, program[1], width=8)]
    if process is not None:
        parts += [attr(uapi.A_TICKET_TGID, process[0]), attr(uapi.A_TICKET_START_TIME, process[1], width=8),
                  attr(uapi.A_TICKET_EXEC_ID, process[2], width=8)]
    return nested(uapi.A_MAIN_TICKET, *parts)


@dataclass(frozen=True)
class Event:
    """A held call. `subject` and `object` are attributes by number; `remote` is (address, port) or None."""

    request: int
    deadline: int
    subject: dict[int, int]
    object: dict[int, int]
    exe: str
    remote: tuple[str, int] | None
    local: tuple[str, int] | None

    @property
    def tgid(self) -> int:
        return self.subject[uapi.A_SUBJECT_TGID]

    @property
    def process(self) -> tuple[int, int, int]:
        return self.tgid, self.subject[uapi.A_SUBJECT_START_TIME], self.subject[uapi.A_SUBJECT_EXEC_ID]


def call(message: genl.Message) -> tuple[dict[int, int], dict[int, int], str]:
    """Subject, object and executable of a message about a call."""
    subject, thing = message.attributes[uapi.A_MAIN_SUBJECT], message.attributes[uapi.A_MAIN_OBJECT]
    exe = dict(genl.parse(subject)).get(uapi.A_SUBJECT_EXE, b"").rstrip(b"\0").decode()
    return integers(subject), integers(thing), exe


def address(message: genl.Message, addr: int, port: int) -> tuple[str, int] | None:
    raw = dict(genl.parse(message.attributes[uapi.A_MAIN_OBJECT]))
    return (str(ipaddress.ip_address(raw[addr])), struct.unpack("=H", raw[port])[0]) if addr in raw else None


def event(message: genl.Message) -> Event:
    return Event(message.u64(uapi.A_MAIN_REQUEST_ID), message.u32(uapi.A_MAIN_DEADLINE), *call(message),
                 address(message, uapi.A_OBJECT_REMOTE_ADDR, uapi.A_OBJECT_REMOTE_PORT),
                 address(message, uapi.A_OBJECT_LOCAL_ADDR, uapi.A_OBJECT_LOCAL_PORT))


class Kernel(genl.Socket):
    """A socket that knows snet's family."""

    def __init__(self, timeout: float = 30.0):
        super().__init__(timeout)
        self.id = self.family(uapi.FAMILY_NAME)

    def command(self, command: int, *payload: bytes, **options) -> list[genl.Message]:
        return self.request(self.id, command, b"".join(payload), **options)

    def stats(self) -> dict[int, int]:
        return integers(self.command(uapi.CMD_STATS_GET)[0].attributes[uapi.A_MAIN_STATS])

    def count(self, counter: str) -> int:
        return self.stats()[getattr(uapi, f"A_STATS_{counter.upper()}")]

    def add(self, *tickets: bytes) -> None:
        """As many messages as it takes."""
        for first in range(0, len(tickets), uapi.MAX_TICKETS_PER_MESSAGE):
            self.command(uapi.CMD_TICKET_ADD, *tickets[first:first + uapi.MAX_TICKETS_PER_MESSAGE])

    def remove(self, **what: int) -> None:
        """ticket_id=…, rule_id=… or tgid=…"""
        self.command(uapi.CMD_TICKET_DEL, *(attr(getattr(uapi, f"A_MAIN_{name.upper()}"), value,
                                                 width=4 if name == "tgid" else 8) for name, value in what.items()))

    def tickets(self) -> list[dict[int, int]]:
        dumped = self.dump(self.id, uapi.CMD_TICKET_GET)
        return [integers(message.attributes[uapi.A_MAIN_TICKET]) for message in dumped]

    def requests(self) -> list[Event]:
        return [event(message) for message in self.dump(self.id, uapi.CMD_REQUEST_GET)]


class Decider(Kernel):
    """The registered decider. Events come on this socket, commands go out on another, as in snetd."""

    def __init__(self, *watched: bytes, deadline: int = 5000, fallback: int = uapi.VERDICT_DENY):
        super().__init__()
        self.control = Kernel()
        self.command(uapi.CMD_REGISTER)
        self.control.command(uapi.CMD_POLICY_SET, policy(deadline, fallback))
        self.control.command(uapi.CMD_WATCH_SET, *(watched or (watch(uapi.OP_CONNECT, uapi.PROTO_TCP),)))

    def close(self) -> None:
        super().close()
        self.control.close()

    def next(self, timeout: float | None = None) -> Event:
        return event(self.event(timeout))

    def nothing(self, seconds: float = 0.5) -> bool:
        """No event comes within this time."""
        try:
            self.unread.insert(0, self.event(seconds))
        except TimeoutError:
            return True
        return False

    def verdict(self, held: Event | int, verdict: int, *tickets: bytes) -> None:
        request = held.request if isinstance(held, Event) else held
        self.control.command(uapi.CMD_VERDICT, attr(uapi.A_MAIN_REQUEST_ID, request, width=8),
                             attr(uapi.A_MAIN_VERDICT, verdict), *tickets)

    def allow(self, held: Event, *tickets: bytes) -> None:
        self.verdict(held, uapi.VERDICT_ALLOW, *tickets)

    def deny(self, held: Event, *tickets: bytes) -> None:
        self.verdict(held, uapi.VERDICT_DENY, *tickets)
