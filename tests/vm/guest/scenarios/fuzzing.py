# SPDX-License-Identifier: MIT OR Apache-2.0
"""The protocol under messages that are nearly right, while calls are held and tickets hit."""

import collections
import errno
import os

import genl
import uapi
from client import Client
from decider import Decider, Kernel, bit, policy, watch
from fuzz import Maker
from scenario import scenario
from traffic import Restless

# Attaching and detaching takes long: what does it is sent rarely.
RARE = (uapi.CMD_WATCH_SET, uapi.CMD_WATCH_FLUSH, uapi.CMD_UNREGISTER)
# Complete tickets: for a running process, and for a program; a bounded number of their other attributes.
NAMED = [uapi.A_TICKET_ID, uapi.A_TICKET_OPERATIONS, uapi.A_TICKET_PROTOCOLS, uapi.A_TICKET_VERDICT]
PROCESS = NAMED + [uapi.A_TICKET_TGID, uapi.A_TICKET_START_TIME, uapi.A_TICKET_EXEC_ID]
PROGRAM = NAMED + [uapi.A_TICKET_EXE_DEVICE, uapi.A_TICKET_EXE_INODE]
ADDRESS = [uapi.A_TICKET_REMOTE_ADDR, uapi.A_TICKET_REMOTE_PREFIX]
PORTS = [uapi.A_TICKET_REMOTE_PORT_MIN, uapi.A_TICKET_REMOTE_PORT_MAX, uapi.A_TICKET_LOCAL_PORT_MIN]


def selections():
    for of in (NAMED, PROCESS, PROGRAM):
        yield of
        yield of + ADDRESS
        yield of + PORTS + [uapi.A_TICKET_NUMBER]
        yield of + [uapi.A_TICKET_LIFETIME, uapi.A_TICKET_USES, uapi.A_TICKET_RULE_ID]
        yield of + [uapi.A_TICKET_LIFETIME, uapi.A_TICKET_INHERIT]
        yield of + [uapi.A_TICKET_UID]


def likely_values(event):
    """What is good in an attribute, given an event of a process that is there."""
    tgid, start, execution = event.process
    every = [1, 2, 8, bit(*range(uapi.OP_RECV + 1)), bit(*range(uapi.PROTO_OTHER + 1))]
    values = {
        ("main", uapi.A_MAIN_TICKET): list(selections()),
        ("main", uapi.A_MAIN_WATCH): [[uapi.A_WATCH_OPERATION, uapi.A_WATCH_PROTOCOLS]],
        ("policy", uapi.A_POLICY_FALLBACK): [[uapi.A_FALLBACK_OPERATION, uapi.A_FALLBACK_VERDICT]],
        ("main", uapi.A_MAIN_VERDICT): [1, 2], ("ticket", uapi.A_TICKET_VERDICT): [1, 2],
        ("fallback", uapi.A_FALLBACK_VERDICT): [1, 2], ("fallback", uapi.A_FALLBACK_OPERATION): [0, 3, 5],
        ("watch", uapi.A_WATCH_OPERATION): [uapi.OP_CONNECT, uapi.OP_BIND], ("watch", uapi.A_WATCH_PROTOCOLS): [0, 1, 3],
        ("main", uapi.A_MAIN_DEADLINE): [1, 100, 1000], ("policy", uapi.A_POLICY_DEADLINE): [50, 1000],
        ("policy", uapi.A_POLICY_NONBLOCK_DEADLINE): [50, 1000], ("policy", uapi.A_POLICY_MAX_REQUESTS): [1, 4096],
        ("ticket", uapi.A_TICKET_ID): list(range(1, 12)), ("main", uapi.A_MAIN_TICKET_ID): list(range(1, 12)),
        ("ticket", uapi.A_TICKET_RULE_ID): [1, 2], ("main", uapi.A_MAIN_RULE_ID): [1, 2],
        ("ticket", uapi.A_TICKET_OPERATIONS): every[:4], ("ticket", uapi.A_TICKET_PROTOCOLS): every,
        ("ticket", uapi.A_TICKET_TGID): [tgid], ("main", uapi.A_MAIN_TGID): [tgid],
        ("ticket", uapi.A_TICKET_START_TIME): [start], ("ticket", uapi.A_TICKET_EXEC_ID): [execution],
        ("ticket", uapi.A_TICKET_EXE_DEVICE): [event.subject[uapi.A_SUBJECT_EXE_DEVICE]],
        ("ticket", uapi.A_TICKET_EXE_INODE): [event.subject[uapi.A_SUBJECT_EXE_INODE]],
        ("ticket", uapi.A_TICKET_LIFETIME): [1, 10, 5000], ("ticket", uapi.A_TICKET_USES): [1, 5],
        ("ticket", uapi.A_TICKET_REMOTE_ADDR): [bytes((127, 0, 0, 1)), bytes(15) + b"\1", bytes(4)],
        ("ticket", uapi.A_TICKET_REMOTE_PREFIX): [0, 32, 128], ("ticket", uapi.A_TICKET_UID): [0, 1000],
        ("ticket", uapi.A_TICKET_REMOTE_PORT_MIN): [0, 100], ("ticket", uapi.A_TICKET_REMOTE_PORT_MAX): [100, 65535],
        ("ticket", uapi.A_TICKET_LOCAL_PORT_MIN): [0],
    }
    return values


class Fuzzer(Kernel):
    """Counts which commands were accepted and which refused, and why."""

    def __init__(self, maker):
        super().__init__()
        self.maker = maker
        self.accepted, self.refused = collections.Counter(), collections.Counter()

    def shoot(self, command):
        flags = genl.NLM_F_REQUEST | genl.NLM_F_ACK
        if (command in uapi.DUMPS) != (self.maker.chance.random() < 0.02):
            flags |= genl.NLM_F_DUMP
        sequence = self.send(self.id, command, self.maker.message(command), flags=flags)
        try:
            genl._raise_refusal(self._answer(sequence))
        except genl.NetlinkError as refusal:
            self.refused[command] += 1
            return refusal
        self.accepted[command] += 1
        return None

    def _answer(self, sequence):
        """Events come here as well when this socket has registered."""
        while True:
            try:
                message = self.event()
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue
            if message.sequence == sequence and message.kind in (genl.NLMSG_ERROR, genl.NLMSG_DONE):
                return message


@scenario(timeout=400)
def survives_messages_that_are_nearly_right(g):
    """Thousands of messages made from the protocol's shapes, to every command, under traffic: each is accepted or refused
    with a reason, every command is seen accepted, and afterwards calls are held and decided as ever."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}", flush=True)
    maker = Maker(seed)
    maker.selections[uapi.CMD_TICKET_DEL] = [[uapi.A_MAIN_TICKET_ID], [uapi.A_MAIN_RULE_ID], [uapi.A_MAIN_TGID]]
    commands = [command for command in uapi.REQUESTS if command not in RARE] * 6 + [uapi.CMD_VERDICT] * 20
    commands += [uapi.CMD_TICKET_ADD] * 20 + [uapi.CMD_EVENT, uapi.CMD_AUDIT, 0, 18, 255]
    with Decider(watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_SEND, uapi.PROTO_UDP), deadline=int(1000 * g.slowness)) as decider:
        traffic = Restless(g, 6)
        maker.likely = likely_values(decider.next())
        with Fuzzer(maker) as fuzzer:
            rare = 0
            for number in range(2000 if g.slow_kernel else 4000):
                if number % 50 == 0:
                    held = [event.request for event in decider.control.requests()]
                    maker.likely["main", uapi.A_MAIN_REQUEST_ID] = held or [1]
                if number % 400 == 399:
                    command, rare = RARE[rare % len(RARE)], rare + 1
                else:
                    command = maker.chance.choice(commands)
                refusal = fuzzer.shoot(command)
                g.assert_true(refusal is None or refusal.errno > 0, f"seed {seed}, message {number}")
            never = set(uapi.REQUESTS) - set(fuzzer.accepted)
            for command in never & set(RARE) | never & {uapi.CMD_REGISTER}:
                fuzzer.command(command, watch(uapi.OP_CONNECT, 0) if command == uapi.CMD_WATCH_SET else b"")
            g.assert_equal(never - set(RARE) - {uapi.CMD_REGISTER}, set(), f"seed {seed}: commands never accepted")
            g.assert_true(all(fuzzer.refused[command] for command, attributes in uapi.REQUESTS.items()
                              if attributes and command not in RARE), f"seed {seed}: {fuzzer.refused}")
            g.assert_equal([command for command in (uapi.CMD_EVENT, uapi.CMD_AUDIT, 0, 18, 255) if fuzzer.accepted[command]],
                           [], "commands that only the kernel sends, and none")
            fuzzer.command(uapi.CMD_TICKET_FLUSH)
            # Some operation that nobody would answer may be watched by now.
            fuzzer.command(uapi.CMD_WATCH_FLUSH)
        traffic.end()
    with Decider() as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(20000, uapi.VERDICT_DENY, max_requests=4096, max_tickets=1000,
                                                            max_requests_per_process=64, max_tickets_per_process=64))
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next())
        g.assert_equal(client.answer(), "ok")
        g.assert_equal(decider.control.tickets(), [])
