# SPDX-License-Identifier: MIT OR Apache-2.0
"""The protocol's edges: who may speak, and what happens to messages that are wrong."""

import os
import random
import struct

import genl
import uapi
from client import Client
from decider import Decider, Kernel, policy, ticket, watch
from genl import attr, nested
from scenario import scenario

NETLINK_AS_USER = r"""
import errno, sys
sys.path.insert(0, "/snet")
import genl, uapi
number, dumps = int(sys.argv[1]), sys.argv[2].split(",")
with genl.Socket() as s:
    try:
        s.family("snet")
        print("resolve ok")
    except OSError as error:
        print("resolve", errno.errorcode[error.errno])
    for name in sorted(name for name in vars(uapi) if name.startswith("CMD_")):
        try:
            (s.dump if name in dumps else s.request)(number, getattr(uapi, name))
            print(name, "ok")
        except OSError as error:
            print(name, errno.errorcode[error.errno])
"""
DUMPS = "CMD_TICKET_GET,CMD_REQUEST_GET,CMD_WATCH_GET"
ONLY_THE_KERNEL_SENDS = ("CMD_EVENT", "CMD_AUDIT")


def answers_to(g, *command, **options):
    """What somebody else hears for every command of the protocol, by its name, and for the family's own name."""
    with Kernel() as kernel:
        number = str(kernel.id)
    said = g.run(*command, "python3", "-ISBc", NETLINK_AS_USER, number, DUMPS, check=True, **options).out
    answers = dict(line.split() for line in said.splitlines())
    commands = {name for name in vars(uapi) if name.startswith("CMD_")}
    g.assert_equal(set(answers), commands | {"resolve"})
    for name in ONLY_THE_KERNEL_SENDS:
        g.assert_true(answers.pop(name) in ("EOPNOTSUPP", "ENOTSUP", "ENOENT"), name)
    return answers


@scenario
def second_decider_is_refused_with_ebusy(g):
    """One decides at a time; the first goes on, and after its end the second may."""
    with Decider() as decider, Kernel() as second:
        refusal = g.assert_raises(genl.NetlinkError, lambda: second.command(uapi.CMD_REGISTER))
        g.assert_equal(refusal.name, "EBUSY")
        g.assert_true(refusal.message, "extended ack")
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next())
        g.assert_equal(client.answer(), "ok")
        decider.command(uapi.CMD_UNREGISTER)
        second.command(uapi.CMD_REGISTER)


@scenario
def unprivileged_user_can_neither_register_nor_read(g):
    """Every command of an ordinary user is refused with EPERM, also from root of a user namespace of their own."""
    with Decider() as decider:
        for command in ([], ["unshare", "--user", "--map-root-user"]):
            answers = answers_to(g, *command, user="alice")
            g.assert_equal(answers.pop("resolve"), "ok")
            g.assert_equal(set(answers.values()), {"EPERM"}, str(answers))
        g.assert_equal(decider.control.count("decider"), os.getpid(), "the decider is who it was")


@scenario
def root_without_the_capability_can_neither_register_nor_read(g):
    """Root that has dropped CAP_NET_ADMIN is refused as well."""
    answers = answers_to(g, "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    g.assert_equal(answers.pop("resolve"), "ok")
    g.assert_equal(set(answers.values()), {"EPERM"}, str(answers))


@scenario
def other_network_namespaces_do_not_see_the_family(g):
    """Root in a container's network namespace finds no family `snet`, and gets ENOENT for every command to its number;
    so does an ordinary user in namespaces of their own."""
    for command, options in ((("env",), {"netns": g.peer.namespace}),
                             (("unshare", "--user", "--map-root-user", "--net"), {"user": "alice"})):
        g.assert_equal(set(answers_to(g, *command, **options).values()), {"ENOENT"}, str(command))


@scenario
def only_the_decider_gives_verdicts(g):
    """A verdict, a defer and an unregister of another process are refused, and the call stays held."""
    with Decider(deadline=20000) as decider:
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        event = decider.next()
        code = r"""
import sys
sys.path.insert(0, "/snet")
import genl, uapi
from decider import Kernel
number = genl.attr(uapi.A_MAIN_REQUEST_ID, int(sys.argv[1]), width=8)
for command, rest in ((uapi.CMD_VERDICT, genl.attr(uapi.A_MAIN_VERDICT, 1)), (uapi.CMD_UNREGISTER, b""),
                      (uapi.CMD_DEFER, genl.attr(uapi.A_MAIN_DEADLINE, 1))):
    try:
        with Kernel() as kernel:
            kernel.command(command, number if rest else b"", rest)
        print("ok")
    except genl.NetlinkError as error:
        print(error.name)
"""
        g.assert_equal(g.python(code, str(event.request), check=True).out.split(), ["EPERM"] * 3)
        g.assert_equal(decider.control.count("held"), 1)
        decider.allow(event)
        g.assert_equal(client.answer(), "ok")


@scenario
def settings_are_read_back_as_they_were_set(g):
    """policy-get and watch-get show what policy-set and watch-set said, and only that changed."""
    with Decider() as decider:
        kernel = decider.control
        before = genl.parse(kernel.command(uapi.CMD_POLICY_GET)[0].attributes[uapi.A_MAIN_POLICY])
        kernel.command(uapi.CMD_POLICY_SET, policy(deadline=1234))
        after = genl.parse(kernel.command(uapi.CMD_POLICY_GET)[0].attributes[uapi.A_MAIN_POLICY])
        changed = {kind for (kind, old), (_, new) in zip(before, after) if old != new}
        g.assert_equal(changed, {uapi.A_POLICY_DEADLINE, uapi.A_POLICY_NONBLOCK_DEADLINE})
        kernel.command(uapi.CMD_WATCH_SET, watch(uapi.OP_BIND, uapi.PROTO_UDP, uapi.PROTO_SCTP))
        shown = [genl.parse(message.attributes[uapi.A_MAIN_WATCH])
                 for message in kernel.dump(kernel.id, uapi.CMD_WATCH_GET)]
        masks = {struct.unpack("=I", operation)[0]: struct.unpack("=I", mask)[0]
                 for (_, operation), (_, mask) in shown}
        g.assert_equal(masks, {0: 0, 1: 0b1010, 2: 0, 3: 1, 4: 0, 5: 0, 6: 0})


def malformed():
    """(what is wrong, command, payload) of messages that must be refused."""
    number, verdict = attr(uapi.A_MAIN_REQUEST_ID, 1, width=8), attr(uapi.A_MAIN_VERDICT, 1)
    good = dict(genl.parse(ticket(9)))[uapi.A_MAIN_TICKET]
    yield "no attributes", uapi.CMD_VERDICT, b""
    yield "no verdict", uapi.CMD_VERDICT, number
    yield "no such request", uapi.CMD_VERDICT, number + verdict
    yield "short request-id", uapi.CMD_VERDICT, attr(uapi.A_MAIN_REQUEST_ID, 1, width=4) + verdict
    yield "long request-id", uapi.CMD_VERDICT, attr(uapi.A_MAIN_REQUEST_ID, bytes(12)) + verdict
    yield "verdict 0", uapi.CMD_VERDICT, number + attr(uapi.A_MAIN_VERDICT, 0)
    yield "verdict 3", uapi.CMD_VERDICT, number + attr(uapi.A_MAIN_VERDICT, 3)
    yield "unknown attribute", uapi.CMD_VERDICT, number + verdict + attr(250, 1)
    yield "attribute of another command", uapi.CMD_VERDICT, number + verdict + attr(uapi.A_MAIN_DEADLINE, 5)
    yield "length over the end", uapi.CMD_VERDICT, attr(uapi.A_MAIN_VERDICT, 1, length=64)
    yield "length below its header", uapi.CMD_VERDICT, attr(uapi.A_MAIN_VERDICT, 1, length=2)
    yield "ticket that isn't nested", uapi.CMD_TICKET_ADD, attr(uapi.A_MAIN_TICKET, good)
    yield "ticket of nothing", uapi.CMD_TICKET_ADD, nested(uapi.A_MAIN_TICKET)
    yield "ticket of garbage", uapi.CMD_TICKET_ADD, nested(uapi.A_MAIN_TICKET, b"\xff" * 64)
    yield "ticket cut off", uapi.CMD_TICKET_ADD, attr(uapi.A_MAIN_TICKET | genl.NLA_F_NESTED, good[:-3])
    yield "ticket with an unknown operation", uapi.CMD_TICKET_ADD, ticket(9, operations=1 << 7)
    yield "ticket for no operation", uapi.CMD_TICKET_ADD, ticket(9, operations=0)
    yield "ticket for no protocol", uapi.CMD_TICKET_ADD, ticket(9, protocols=0)
    yield "ticket 0", uapi.CMD_TICKET_ADD, ticket(0)
    yield "empty port range", uapi.CMD_TICKET_ADD, ticket(9, port=(2, 1))
    yield "no lifetime at all", uapi.CMD_TICKET_ADD, ticket(9, lifetime=0)
    yield "endless lifetime", uapi.CMD_TICKET_ADD, ticket(9, lifetime=2**64 - 1)
    for name, addr, prefix in (("prefix without an address", None, 8), ("address of 5 bytes", bytes(5), 8),
                               ("address of 17 bytes", bytes(17), 8), ("prefix longer than IPv4", bytes(4), 33),
                               ("prefix longer than IPv6", bytes(16), 129), ("bits behind the prefix", b"\1" * 4, 8)):
        parts = [good] + ([attr(uapi.A_TICKET_REMOTE_ADDR, addr)] if addr is not None else [])
        parts.append(attr(uapi.A_TICKET_REMOTE_PREFIX, prefix, width=1))
        yield name, uapi.CMD_TICKET_ADD, nested(uapi.A_MAIN_TICKET, *parts)
    yield "17 tickets", uapi.CMD_TICKET_ADD, b"".join(ticket(number) for number in range(1, 18))
    yield "nothing to delete", uapi.CMD_TICKET_DEL, b""
    yield "watch without an operation", uapi.CMD_WATCH_SET, nested(uapi.A_MAIN_WATCH, attr(uapi.A_WATCH_PROTOCOLS, 1))
    yield "watch of an unknown protocol", uapi.CMD_WATCH_SET, watch(uapi.OP_CONNECT, 10)
    yield "watch of an unknown operation", uapi.CMD_WATCH_SET, watch(7, 0)
    yield "no watch", uapi.CMD_WATCH_SET, b""
    yield "no policy", uapi.CMD_POLICY_SET, b""
    yield "deadline 0", uapi.CMD_POLICY_SET, policy(deadline=0)
    yield "deadline of 11 minutes", uapi.CMD_POLICY_SET, policy(deadline=660000)
    yield "fallback 0", uapi.CMD_POLICY_SET, policy(fallback=0)
    yield "a bound of 0", uapi.CMD_POLICY_SET, policy(max_tickets=0)
    yield "unknown command", 99, b""
    yield "command that only the kernel sends", uapi.CMD_EVENT, b""


@scenario
def malformed_messages_are_answered_with_an_error(g):
    """Wrong, missing, unknown and badly nested attributes: each is refused, with a text, and changes nothing."""
    with Decider() as decider:
        kernel = decider.control
        state = lambda: (kernel.command(uapi.CMD_POLICY_GET)[0].payload, kernel.tickets(),
                         [message.payload for message in kernel.dump(kernel.id, uapi.CMD_WATCH_GET)])
        before = state()
        for what, command, payload in malformed():
            refusal = g.assert_raises(genl.NetlinkError, lambda: kernel.command(command, payload), what)
            g.assert_true(refusal.message or refusal.missing or refusal.errno == 95, f"{what}: extended ack")
            g.assert_equal(state(), before, f"state after {what}")


@scenario(timeout=120)
def survives_random_messages(g):
    """Random bytes and mutated messages to every command, a bounded number: no warning, and a decider still works."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    chance = random.Random(seed)
    bodies = [payload for _, _, payload in malformed()] + [ticket(7), policy(deadline=5000), watch(uapi.OP_BIND, 1)]
    with Decider() as decider:
        with Kernel(timeout=0.01) as fuzzer:
            for _ in range(4000):
                body = bytearray(chance.choice(bodies) + (chance.randbytes(chance.randrange(32))))
                for _ in range(chance.randrange(4)):
                    if body:
                        body[chance.randrange(len(body))] = chance.randrange(256)
                command = chance.choice([c for c in range(20) if c not in (uapi.CMD_UNREGISTER,)])
                flags = chance.choice([genl.NLM_F_REQUEST, genl.NLM_F_REQUEST | genl.NLM_F_ACK,
                                       genl.NLM_F_REQUEST | genl.NLM_F_DUMP])
                length = chance.choice([None] * 9 + [chance.randrange(65536)])
                try:
                    fuzzer.send(fuzzer.id, command, bytes(body), flags=flags, length=length)
                    fuzzer.socket.recv(1 << 18, 0x40)
                except OSError:
                    pass
        decider.control.command(uapi.CMD_POLICY_SET, policy(20000, uapi.VERDICT_DENY, max_requests=4096,
                                                            max_requests_per_process=64))
        decider.control.command(uapi.CMD_WATCH_SET, watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_BIND))
        decider.control.command(uapi.CMD_TICKET_FLUSH)
        client = Client(g)
        client.begin("tcp", g.peer.address4, 8080)
        decider.allow(decider.next())
        g.assert_equal(client.answer(), "ok")


@scenario(timeout=120)
def client_of_libsnet_speaks_with_the_module(g):
    """libsnet/examples/client_checks.rs: verdicts, tickets by the dozen, settings, deferral, lost events; each by the Rust client."""
    said = g.run("/snet/bin/client_checks", timeout=100, check=True).out.splitlines()
    g.assert_equal(len(said), 6, said)
    g.assert_true(all(line.startswith("ok ") for line in said), said)
