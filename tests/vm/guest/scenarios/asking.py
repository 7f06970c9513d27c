# SPDX-License-Identifier: MIT OR Apache-2.0
"""People are asked: the kernel holds the call past its deadline until somebody has answered."""

import json
import time

from client import Client
from scenario import scenario

BRIEF = {"requests": {"deadline": "1s", "nonblock_deadline": "1s"}, "ask": {"timeout": "10m"},
         "fallback": {"default": "deny"}}
WITHOUT_WAITING = """
s = socket.socket()
s.setblocking(False)
code = s.connect_ex((peer, 8080))
answer = "ok" if code in (0, errno.EINPROGRESS) else errno.errorcode[code]
"""

def questions(g):
    return [json.loads(line) for line in g.tool("pending", "--json").out.splitlines()]


def question(g):
    (one,) = g.eventually(lambda: questions(g), what="a person is asked")
    return one


def stats(g):
    return g.stats()["kernel"]["stats"]


@scenario(timeout=120)
def question_holds_a_call_past_its_deadline(g):
    """The deadline is deferred while the question is open, nothing leaves, and the answer comes with a ticket that decides
    the next calls."""
    with g.snetd(BRIEF):
        g.tool("ask", "python3", "tcp", "connect")
        client = Client(g)
        before = g.peer.packets("tcp", 8080)
        client.begin("tcp", g.peer.address4, 8080)
        asked = question(g)
        g.assert_equal((asked["tgid"], asked["remote"]), (client.pid, f"{g.peer.address4}:8080"))
        time.sleep(2.5 * g.slowness)
        g.assert_equal((stats(g)["held"], g.peer.packets("tcp", 8080)), (1, before), "held, and no packet has left")
        g.assert_in("allow: 1 call", g.tool("answer", str(asked["id"]), "allow", "--to", "this-host").out)
        g.assert_equal(client.answer(), "ok")
        events = stats(g)["events"]
        g.assert_equal(client.call("tcp", g.peer.address4, 8081), "ok", "the same host")
        g.assert_equal(stats(g)["events"], events, "decided by the ticket")
        client.begin("tcp", g.peer.other4, 8080)
        g.tool("answer", str(question(g)["id"]), "deny", "--for", "once")
        g.assert_equal(client.answer(), "EACCES")
        g.assert_equal(questions(g), [])
        g.eventually(lambda: g.tool("log").out.count("answer (rule 1)") == 2, what="both answers are in the log")


@scenario(timeout=120)
def question_about_a_call_that_does_not_wait_is_for_its_next_attempt(g):
    """A non-blocking call gets the fallback at its own deadline; the answer gives its process a ticket all the same."""
    with g.snetd(BRIEF):
        g.tool("ask", "python3", "tcp", "connect")
        client = Client(g)
        g.assert_equal(client.do(WITHOUT_WAITING, peer=g.peer.address4), "EACCES", "the fallback")
        asked = question(g)
        g.assert_equal((asked["calls"], asked["over"]), (1, 1))
        g.assert_in("it is for the next", g.tool("answer", str(asked["id"]), "allow").out)
        g.eventually(lambda: stats(g)["tickets"] == 1, what="the ticket")
        g.assert_equal(client.do(WITHOUT_WAITING, peer=g.peer.address4), "ok", "decided by the ticket")
        g.assert_equal(questions(g), [])


@scenario(timeout=120)
def answer_becomes_a_rule_for_every_process_that_waits(g):
    """Several processes of a program are one question; a rule that is made of the answer lets all of them go."""
    with g.snetd(BRIEF):
        g.tool("ask", "python3", "tcp", "connect")
        clients = [Client(g) for _ in range(3)]
        for client in clients:
            client.begin("tcp", g.peer.address4, 8080)
        g.eventually(lambda: [one["calls"] for one in questions(g)] == [3], what="one question about three calls")
        answered = g.tool("answer", str(question(g)["id"]), "allow", "--for", "1h", "--to", "anywhere").out
        g.assert_in("allow: 3 calls", answered)
        g.assert_in("rule 2: allow ", answered)
        g.assert_equal([client.answer() for client in clients], ["ok"] * 3)
        g.assert_equal(Client(g).call("tcp", g.peer.other4, 8081), "ok", "another process, by the rule")


@scenario(timeout=120)
def question_outlives_the_daemon_that_asked(g):
    """snetd is killed, and stopped, while somebody is asked: the next one finds the held call and asks again."""
    daemon = g.snetd({**BRIEF, "requests": {"deadline": "20s", "nonblock_deadline": "1s"}})
    daemon.start()
    g.tool("ask", "python3", "tcp", "connect")
    client = Client(g)
    client.begin("tcp", g.peer.address4, 8080)
    for end in (daemon.kill, daemon.stop):
        question(g)
        end()
        g.assert_equal(Client(g).call("tcp", g.peer.other4, 8080), "EACCES", "without a decider nothing new is held")
        daemon.start()
    g.assert_in("allow: 1 call", g.tool("answer", str(question(g)["id"]), "allow").out)
    g.assert_equal(client.answer(), "ok")
    daemon.stop()


@scenario(timeout=120)
def question_ends_with_its_time_and_with_the_module(g):
    """Nobody answers: the fallback. The module goes: the held call gets the fallback, and the question is for the next."""
    with g.snetd({**BRIEF, "ask": {"timeout": f"{int(3 * g.slowness)}s"}}):
        g.tool("ask", "python3", "tcp", "connect")
        client = Client(g)
        begin = time.monotonic()
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        g.assert_true(time.monotonic() - begin >= 2.5, "it was held for as long as it was asked about")
        g.eventually(lambda: questions(g) == [], what="no question any more")
    with g.snetd(BRIEF):
        g.tool("ask", "python3", "tcp", "connect")
        client.begin("tcp", g.peer.address4, 8080)
        question(g)
        g.reload_module()
        g.assert_equal(client.answer(), "EACCES")
        g.assert_equal(question(g)["over"], 1)
        g.eventually(lambda: g.stats()["kernel"], 20, what="registered again")
        client.begin("tcp", g.peer.address4, 8080)
        g.eventually(lambda: question(g)["calls"] == 2, what="asked again")
        g.assert_in("allow: 1 call", g.tool("answer", str(question(g)["id"]), "allow").out)
        g.assert_equal(client.answer(), "ok")
