# SPDX-License-Identifier: MIT OR Apache-2.0
"""The table of tickets: which of many decides, and that thousands come and go."""

import ipaddress
import os
import random
import time

import uapi
from client import Client
from decider import Decider, bit, policy, ticket, watch
from scenario import scenario
from ticket_kinds import SENDS, empty
from ticket_programs import copied, program
from tickets import asks, given

# Sends one datagram for each line `address port local-port` on its standard input; answers `ok` or an errno.
DATAGRAMS = r"""
import errno, socket, sys
def send(address, port, local):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if local:
                s.bind(("", local))
            s.sendto(b"x", (address, port))
            return "ok"
        except OSError as error:
            return errno.errorcode[error.errno]
print("ready", flush=True)
for line in sys.stdin:
    address, port, local = line.split()
    print(send(address, int(port), int(local)), flush=True)
"""
ANY = (0, 65535)
NETS = ("10.77.0.2/32", "10.77.0.3/32", "10.77.0.2/31", "10.77.0.0/24", "10.0.0.0/8", "0.0.0.0/0",
        "fd77::2/128", "fd77::3/128", "fd77::2/127", "fd77::/64", "fd77::/16", "::/0", None, None)
ADDRESSES = ("10.77.0.1", "10.77.0.2", "10.77.0.3", "10.77.0.200", "127.0.0.1", "fd77::1", "fd77::2", "fd77::3", "::1")
PORTS = (ANY, ANY, ANY, (7007, 7007), (7008, 7008), (7000, 7010), (7008, 9000), (0, 7007), (1, 65535))
LOCALS = (ANY, ANY, ANY, ANY, (0, 0), (6001, 6001), (6002, 6002), (6000, 6001), (0, 6001))


def narrowness(one):
    """As libsnet's Scope::specificity(), by which the kernel chooses, with deny first on a tie."""
    remote = -1
    if one["to"]:
        net = ipaddress.ip_network(one["to"])
        remote = net.prefixlen + (96 if net.version == 4 else 0)
    return (remote, one["port"][0] - one["port"][1], one["local"][0] - one["local"][1],
            one["verdict"] == uapi.VERDICT_DENY)


def covers(one, address, port, local):
    return ((one["to"] is None or ipaddress.ip_address(address) in ipaddress.ip_network(one["to"]))
            and one["port"][0] <= port <= one["port"][1] and one["local"][0] <= local <= one["local"][1])


def hits(kernel):
    return {kept[uapi.A_TICKET_ID]: kept[uapi.A_TICKET_HITS] for kept in kernel.tickets()}


@scenario(timeout=240)
def choice_among_many_tickets_is_the_plain_one(g):
    """Random tickets of a process and of its program, with all sorts of prefixes and ranges: each of 200 calls is decided
    by the one that a search through all of them finds."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"seed {seed}")
    chance = random.Random(seed)
    with Decider(watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        path = copied(g)  # the peer's services run the original
        client = Client(g, program=(path,), text=DATAGRAMS)
        client.begin(g.peer.address4, 7007, 0)
        event = decider.next()
        decider.allow(event)
        g.assert_equal(client.answer(), "ok")
        decider.command(uapi.CMD_UNREGISTER)
        kernel = decider.control
        tickets, given_to = {}, ({"process": event.process}, {"program": program(path)})
        for number in range(1, 61):
            one = {"to": chance.choice(NETS), "port": chance.choice(PORTS), "local": chance.choice(LOCALS),
                   "verdict": chance.choice((uapi.VERDICT_ALLOW, uapi.VERDICT_DENY))}
            kernel.add(ticket(number, one["verdict"], to=one["to"], port=one["port"], local=one["local"], **SENDS,
                              **chance.choice(given_to)))
            tickets[number] = one
        decided = 0
        for call in range(200):
            if call % 20 == 19:
                gone = chance.choice(list(tickets))
                kernel.remove(ticket_id=gone)
                del tickets[gone]
            where = chance.choice(ADDRESSES), chance.choice((7006, 7007, 7008, 9000)), chance.choice((0, 6000, 6001, 6002))
            before = hits(kernel)
            answer = client.call(*where)
            decided_by = [number for number, count in hits(kernel).items() if count != before[number]]
            covering = [number for number, one in tickets.items() if covers(one, *where)]
            best = max((narrowness(tickets[number]) for number in covering), default=None)
            expected = [number for number in covering if narrowness(tickets[number]) == best]
            g.assert_equal(len(decided_by), bool(expected), f"{where}, one of {expected}")
            g.assert_true(not expected or decided_by[0] in expected, f"{where}: {decided_by}, not one of {expected}")
            allowed = bool(expected) and tickets[expected[0]]["verdict"] == uapi.VERDICT_ALLOW
            g.assert_equal(answer == "EACCES", not allowed, f"{where}: {answer}")
            decided += bool(expected)
        g.assert_true(decided > 50, f"{decided} calls were decided by tickets")


@scenario
def tickets_for_64_hosts_and_64_ports_each_serve_their_own(g):
    """One process; each call finds its ticket, and only that."""
    with Decider(watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        client = Client(g, text=DATAGRAMS)
        client.begin(g.peer.address4, 9999, 0)
        event = decider.next()
        decider.allow(event)
        client.answer()
        hosts = [ticket(i, to=f"10.77.0.{i}/32", process=event.process, **SENDS) for i in range(100, 164)]
        ports = [ticket(1000 + i, to=f"{g.peer.address4}/32", port=(i, i), process=event.process, **SENDS)
                 for i in range(7000, 7064)]
        own = [ticket(20000 + i, local=(i, i), port=(9, 9), process=event.process, **SENDS) for i in range(6000, 6064)]
        decider.control.add(*hosts, *ports, *own)
        decider.command(uapi.CMD_UNREGISTER)
        calls = [(f"10.77.0.{i}", 5, 0, i) for i in range(100, 164, 9)]
        calls += [(g.peer.address4, i, 0, 1000 + i) for i in range(7000, 7064, 9)]
        calls += [("10.77.0.250", 9, i, 20000 + i) for i in range(6000, 6064, 9)]
        for address, port, local, number in calls:
            g.assert_equal(client.call(address, port, local), "ok", f"{address} {port} {local}")
            g.assert_equal(hits(decider.control)[number], 1, f"ticket {number}")
        for missed in ((f"10.77.0.99", 5, 0), (g.peer.address4, 6999, 0), ("10.77.0.250", 9, 5999)):
            g.assert_equal(client.call(*missed), "EACCES", str(missed))


@scenario(timeout=240)
def ten_thousand_tickets_are_revoked_by_their_rule(g):
    """ticket-del by rule removes its 10,000 and leaves the 16 of another rule; what is left decides."""
    with Decider() as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_tickets_per_process=20000))
        client = Client(g)
        event = given(g, decider, client)
        decider.control.add(*(ticket(number, rule=5 if number > 16 else 6, port=(number, number),
                                     to=f"10.{number % 40}.0.0/16", process=event.process) for number in range(1, 10017)))
        decider.control.add(ticket(20000, rule=6, process=event.process))
        begin = time.monotonic()
        decider.control.remove(rule_id=5)
        g.assert_took(0, time.monotonic() - begin, 5, "seconds")
        g.assert_equal([kept[uapi.A_TICKET_ID] for kept in decider.control.tickets()], [*range(1, 17), 20000])
        g.assert_equal((decider.control.count("tickets"), decider.control.count("owners")), (17, 1))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        decider.control.remove(rule_id=6)
        asks(g, decider, client, "tcp", g.peer.address4, 8080)
        empty(g, decider.control)


@scenario(timeout=240)
def thousands_of_tickets_expire_and_end_with_their_process(g):
    """Expiry of 3000 at once, the exit of a process with 3000, and a flush of 3000: memory is free again."""
    with Decider() as decider:
        decider.control.command(uapi.CMD_POLICY_SET, policy(max_tickets_per_process=20000))
        client = Client(g)
        event = given(g, decider, client)

        def fill(**kind):
            decider.control.add(*(ticket(number, port=(number, number), process=event.process, **kind)
                                  for number in range(1, 3001)))

        fill(lifetime=3000)
        g.eventually(lambda: decider.control.count("tickets") == 0, timeout=30, what="they expire")
        g.assert_equal(decider.control.count("owners"), 0)
        fill()
        decider.control.command(uapi.CMD_TICKET_FLUSH)
        g.assert_equal((decider.control.count("tickets"), decider.control.count("owners")), (0, 0))
        fill(lifetime=600000)
        g.assert_equal((decider.control.count("tickets"), decider.control.count("owners")), (3000, 1))
        client.close()
        empty(g, decider.control)


@scenario
def number_is_free_again_when_its_ticket_is_over(g):
    """An id may be used again as soon as its ticket has expired or its process has executed, before memory is freed."""
    with Decider() as decider:
        client = Client(g)
        for _ in range(20):
            event = given(g, decider, client, ticket(1, operations=bit(uapi.OP_BIND)))
            client.execute()
            event = given(g, decider, client, ticket(1, operations=bit(uapi.OP_BIND), lifetime=1))
            time.sleep(0.002)
            decider.control.add(ticket(1, operations=bit(uapi.OP_BIND), process=event.process))
            decider.control.remove(ticket_id=1)
        empty(g, decider.control)
