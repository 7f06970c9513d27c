# SPDX-License-Identifier: MIT OR Apache-2.0
"""A listener of the kernel's multicast group `audit`, without libsnet and snetd."""

from dataclasses import dataclass

import decider
import genl
import uapi

NETLINK_BROADCAST_ERROR = 4


@dataclass(frozen=True)
class Record:
    """What the kernel decided alone. `ticket` and `rule` are None and `dropped` is 0 when they are absent."""

    verdict: int
    cause: int
    ticket: int | None
    rule: int | None
    dropped: int
    tgid: int
    exe: str
    operation: int
    remote: tuple[str, int] | None


def record(message: genl.Message) -> Record:
    assert message.command == uapi.CMD_AUDIT, message
    subject, thing, exe = decider.call(message)

    def u64(kind: int) -> int | None:
        return message.u64(kind) if kind in message.attributes else None

    return Record(message.u32(uapi.A_MAIN_VERDICT), message.u32(uapi.A_MAIN_CAUSE), u64(uapi.A_MAIN_TICKET_ID),
                  u64(uapi.A_MAIN_RULE_ID), u64(uapi.A_MAIN_DROPPED) or 0, subject[uapi.A_SUBJECT_TGID], exe,
                  thing[uapi.A_OBJECT_OPERATION],
                  decider.address(message, uapi.A_OBJECT_REMOTE_ADDR, uapi.A_OBJECT_REMOTE_PORT))


class Listener(decider.Kernel):
    """Commands go out on another socket, so that nothing but records comes here."""

    def __init__(self):
        super().__init__()
        self.control = decider.Kernel()
        self.socket.setsockopt(genl.SOL_NETLINK, NETLINK_BROADCAST_ERROR, 1)
        self.join(uapi.FAMILY_NAME, uapi.MCGRP_AUDIT)

    def close(self) -> None:
        super().close()
        self.control.close()

    def next(self, timeout: float | None = None) -> Record:
        return record(self.event(timeout))

    def rest(self, quiet: float = 0.5) -> list[Record]:
        """All that is there, and comes with no longer pause than this."""
        records = []
        while True:
            try:
                records.append(self.next(quiet))
            except TimeoutError:
                return records
