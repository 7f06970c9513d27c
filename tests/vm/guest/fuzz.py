# SPDX-License-Identifier: MIT OR Apache-2.0
"""Messages for the family that are nearly right: made from the protocol's shapes (uapi.SETS, uapi.REQUESTS), so that an
attribute that is added to the protocol is sent without a change here.

Owns: the making of messages. What is sent, and what must hold afterwards, is the scenario's.
"""

import random

import genl
import uapi
from genl import attr

WIDTHS = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}
EDGES = (0, 1, 2, 3, 4, 16, 32, 128, 255, 1000, 65535, 65536, 600000, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


class Maker:
    """`likely` maps (set, attribute) to values that are good there at the moment; the scenario keeps it up to date.
    `selections` maps a command to lists of attributes that make sense together, where not all of them do."""

    def __init__(self, seed: int):
        self.chance = random.Random(seed)
        self.likely: dict[tuple[str, int], list] = {}
        self.selections: dict[int, list[list[int]]] = {}

    def message(self, command: int) -> bytes:
        """The payload: right in half of the cases, as far as the shapes tell."""
        numbers = uapi.REQUESTS.get(command, ())
        if command in self.selections and self.chance.random() < 0.7:
            numbers = self.chance.choice(self.selections[command])
        wanted = [self._attribute("main", number) for number in numbers if self.chance.random() < 0.9]
        if self.chance.random() < 0.1:
            wanted.append(self._attribute("main", self.chance.choice(list(uapi.SETS["main"]))))
        payload = b"".join(self._spoilt(wanted))
        if self.chance.random() < 0.1 and payload:
            broken = bytearray(payload)
            broken[self.chance.randrange(len(broken))] ^= 1 << self.chance.randrange(8)
            payload = bytes(broken)
        return payload

    def _spoilt(self, attributes: list[bytes]) -> list[bytes]:
        """Now and then something is missing, doubled or out of order."""
        if attributes and self.chance.random() < 0.15:
            choice = self.chance.choice(attributes)
            how = self.chance.randrange(3)
            if how == 0:
                attributes.remove(choice)
            elif how == 1:
                attributes += [choice] * self.chance.choice((1, 2, 20))
            else:
                self.chance.shuffle(attributes)
        return attributes

    def _attribute(self, owner: str, number: int) -> bytes:
        shape = uapi.SETS[owner][number]
        if shape in uapi.SETS:
            inner = [self._attribute(shape, child) for child in self._members(owner, number, shape)]
            return genl.nested(number, *self._spoilt(inner), flag=self.chance.random() < 0.98)
        return attr(number, self._value(owner, number, shape))

    def _members(self, owner: str, number: int, shape: str) -> list[int]:
        """One of the selections that make sense together, or a random one."""
        known = self.likely.get((owner, number))
        if known and self.chance.random() < 0.7:
            return self.chance.choice(known)
        return [child for child in uapi.SETS[shape] if self.chance.random() < 0.4]

    def _value(self, owner: str, number: int, shape: str) -> bytes:
        if shape not in WIDTHS:
            return b"" if shape in ("flag", "pad") else self._bytes(owner, number)
        likely = self.likely.get((owner, number))
        value = self.chance.choice(likely if likely and self.chance.random() < 0.85 else EDGES)
        width = WIDTHS[shape] if self.chance.random() < 0.98 else self.chance.choice((1, 2, 3, 4, 8, 12))
        return (value % (1 << 8 * width)).to_bytes(width, "little")

    def _bytes(self, owner: str, number: int) -> bytes:
        likely = self.likely.get((owner, number))
        if likely and self.chance.random() < 0.8:
            return self.chance.choice(likely)
        return self.chance.randbytes(self.chance.choice((0, 1, 4, 5, 16, 17, 64)))
