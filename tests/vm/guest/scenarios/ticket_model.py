# SPDX-License-Identifier: MIT OR Apache-2.0
"""The kernel's tickets beside the rules of tickets that libsnet has as a pure model: the same steps, the same answers."""

import json
import os
import random
import select
import subprocess
import time

import genl
import uapi
from client import Client
from decider import Decider, bit, policy, ticket, watch
from scenario import scenario

MODEL = "/snet/bin/ticket_model"
TOTAL, PER_PROCESS = 12, 5
HOSTS, SERVED = ("10.77.0.2", "10.77.0.3"), (8080, 8081)
OPERATIONS = {"connect": bit(uapi.OP_CONNECT), "connect,bind": bit(uapi.OP_CONNECT, uapi.OP_BIND)}
PROTOCOLS = {"tcp": bit(uapi.PROTO_TCP), "tcp,sctp": bit(uapi.PROTO_TCP, uapi.PROTO_SCTP)}
REMOTES = (None, "10.77.0.2/32", "10.77.0.3/32", "10.77.0.2/31", "10.77.0.0/24", "0.0.0.0/0")
PORTS = (None, (8080, 8080), (8081, 8081), (8000, 8080), (8081, 9000))
VERDICTS = {"allow": (uapi.VERDICT_ALLOW, "ok"), "deny": (uapi.VERDICT_DENY, "EACCES")}
# No step is taken from so long before the end of a lifetime until so long after it. Seconds.
BEFORE_END, AFTER_END = 1.0, 0.2


def clock() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Model:
    """libsnet/examples/ticket_model.rs."""

    def __init__(self, g):
        self.process = subprocess.Popen([MODEL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        g.at_end(self.process.kill)

    def ask(self, step: str, **what):
        self.process.stdin.write(json.dumps({"do": step, "now": int(clock() * 1000), **what}) + "\n")
        return json.loads(self.process.stdout.readline())


class Caller(Client):
    """A client, and who it is. `waiting` are the processes that go on when this one, their child, ends."""

    def __init__(self, g, decider):
        super().__init__(g)
        self.decider, self.waiting = decider, []
        self.learn()

    def learn(self) -> dict:
        """By a call that no ticket covers; returns the process."""
        self.begin("udp", HOSTS[0], 7009)
        event = self.decider.next()
        self.decider.allow(event)
        assert self.answer() == "ok"
        tgid, start, execution = event.process
        said = {name: event.subject[number] for name, number in (
            ("uid", uapi.A_SUBJECT_UID), ("namespaces", uapi.A_SUBJECT_USER_NS), ("cgroup", uapi.A_SUBJECT_CGROUP_ID),
            ("device", uapi.A_SUBJECT_EXE_DEVICE), ("inode", uapi.A_SUBJECT_EXE_INODE))}
        self.who = {"process": {"tgid": tgid, "start_time": start, "exec_id": execution}, **said}
        return self.who["process"]


class Pair:
    """Kernel and model. `ends` has the tickets that were given, and when each is over: (earliest, latest), or None."""

    def __init__(self, g, decider, chance):
        self.g, self.decider, self.chance = g, decider, chance
        self.model, self.ends = Model(g), {}
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_tickets=TOTAL, max_tickets_per_process=PER_PROCESS))
        self.model.ask("bounds", total=TOTAL, per_process=PER_PROCESS)
        self.callers = [Caller(g, decider) for _ in range(3)]

    def settle(self) -> None:
        for end in self.ends.values():
            if end and end[0] - BEFORE_END < clock() < end[1] + AFTER_END:
                time.sleep(end[1] + AFTER_END - clock())

    def call(self) -> None:
        caller, host, port = self.chance.choice(self.callers), self.chance.choice(HOSTS), self.chance.choice(SERVED)
        expected = self.model.ask("decide", caller=caller.who, object={
            "operation": "connect", "protocol": "tcp", "family": 2, "kind": 1, "number": 6, "remote": f"{host}:{port}",
            "local": "0.0.0.0:0", "flags": 0})
        caller.begin("tcp", host, port)
        ready, _, _ = select.select([self.decider.socket, caller.process.stdout], [], [], 30)
        if caller.process.stdout in ready:
            self.g.assert_equal(expected and VERDICTS[expected[0]][1], caller.answer(), "a ticket decided; by the model")
            return
        event = self.decider.next()
        self.g.assert_equal(expected, None, "no ticket decided; by the model")
        self.give(caller, event)

    def give(self, caller: Caller, event) -> None:
        """A verdict, mostly with tickets."""
        given = [self.made() for _ in range(self.chance.choice((0, 1, 1, 2, 3)))]
        verdict, outcome = VERDICTS[self.chance.choice(("allow", "deny"))]
        before, refusal = clock(), None
        try:
            self.decider.verdict(event, verdict, *map(self.encoded, given))
        except genl.NetlinkError as error:
            refusal = error.name
        self.g.assert_equal(caller.answer(), outcome)
        refused = self.model.ask("install", caller=caller.who, tickets=given)
        self.g.assert_equal(bool(refused), bool(refusal), f"{refused} and {refusal}")
        if not refusal:
            for kept in given:
                life = (kept["lifetime"] or 0) / 1000
                self.ends[kept["id"]] = (before + life, clock() + life) if life else None

    def made(self) -> dict:
        choice = self.chance.choice
        scope = {"operations": choice(list(OPERATIONS)), "protocols": choice(list(PROTOCOLS)), "remote": choice(REMOTES)}
        if ports := choice(PORTS):
            scope["remote_ports"] = "-".join(map(str, ports))
        used = self.chance.random() < 0.1 and self.ends
        uses = choice((None, None, 1, 3))
        return {"id": choice(list(self.ends)) if used else max(self.ends, default=0) + self.chance.randrange(1, 4),
                "scope": scope, "ports": ports, "verdict": choice(list(VERDICTS)), "lifetime": choice((None, None, 3000, 6000)),
                "uses": uses, "inherit": uses is None and self.chance.random() < 0.5}

    @staticmethod
    def encoded(made: dict) -> bytes:
        scope = made["scope"]
        return ticket(made["id"], VERDICTS[made["verdict"]][0], operations=OPERATIONS[scope["operations"]],
                      protocols=PROTOCOLS[scope["protocols"]], to=scope["remote"],
                      port=made["ports"], lifetime=made["lifetime"], uses=made["uses"],
                      inherit=made["inherit"])

    def fork(self) -> None:
        caller = self.chance.choice(self.callers)
        parent = caller.who
        self.g.assert_equal(caller.call("child"), "ok")
        caller.waiting.append(parent)
        self.model.ask("forked", parent=parent["process"], child=caller.learn())

    def end(self) -> None:
        """A child ends and its parent goes on; or a process ends and another one takes its place."""
        at = self.chance.randrange(len(self.callers))
        caller = self.callers[at]
        ended = caller.who
        if caller.waiting:
            self.g.assert_equal(caller.call("end"), "ok")
            caller.who = caller.waiting.pop()
        else:
            caller.close()
            self.callers[at] = Caller(self.g, self.decider)
        self.model.ask("ended", tgid=ended["process"]["tgid"])

    def execute(self) -> None:
        caller = self.chance.choice(self.callers)
        caller.execute()
        self.model.ask("executed", process=caller.learn())

    def revoke(self) -> None:
        current = [number for number, end in self.ends.items() if not end or clock() < end[0]]
        if not current:
            return
        number = self.chance.choice(current[-TOTAL:])
        try:
            self.decider.control.remove(ticket_id=number)
            found = True
        except genl.NetlinkError as error:
            self.g.assert_equal(error.name, "ENOENT")
            found = False
        self.g.assert_equal(found, self.model.ask("revoke", id=number), f"there was a ticket {number}")

    def compare(self) -> None:
        self.g.eventually(lambda: len(self.decider.control.tickets()) == self.model.ask("count"),
                          what="as many tickets in the kernel as in the model")


@scenario(timeout=300)
def kernel_and_model_of_tickets_agree(g):
    """Hundreds of random steps: calls, tickets of all kinds that are given with verdicts, forks, executions, ends, revocation
    and time that passes. Both give the same verdict, ask the decider at the same calls, refuse the same tickets and keep as many."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}", flush=True)
    with Decider(watch(uapi.OP_CONNECT, uapi.PROTO_TCP, uapi.PROTO_UDP), deadline=60000) as decider:
        pair = Pair(g, decider, random.Random(seed))
        steps = [pair.call] * 16 + [pair.fork, pair.end, pair.execute, pair.revoke, pair.revoke]
        taken = []
        try:
            for number in range(150 if g.slow_kernel else 400):
                step = pair.chance.choice(steps)
                taken.append(step.__name__)
                pair.settle()
                step()
                if number % 40 == 39:
                    pair.settle()
                    pair.compare()
        except (AssertionError, TimeoutError) as error:
            raise AssertionError(f"seed {seed}, step {len(taken)}, the last ones {taken[-8:]}: {error}") from error
