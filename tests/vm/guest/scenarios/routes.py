# SPDX-License-Identifier: MIT OR Apache-2.0
"""Source routes, by which what is sent to one host reaches another first."""

import subprocess

import uapi
from decider import Decider, watch
from scenario import scenario

# Prints one line for each way of making a source route. Waits for a line after the first, which makes its own before
# anything is watched.
PROGRAM = r"""
import errno, socket, struct, sys
v4, v6 = sys.argv[1:]
route = bytes([131, 7, 4]) + socket.inet_aton(v4) + b"\x01"
timestamp = bytes([7, 7, 4, 0, 0, 0, 0, 0])
header = struct.pack("BBBBI", 0, 2, 2, 1, 0) + socket.inet_pton(socket.AF_INET6, v6)
IPV6, RTHDR, OPTIONS, RETOPTS, PKTOPTIONS = 41, 57, 4, 7, 6
udp, udp6 = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
early, early_udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

def cmsg(level, kind, data):
    return struct.pack("@Nii", 16 + len(data), level, kind) + data + bytes(-len(data) % 8)

def attempt(name, call, *arguments):
    try:
        call(*arguments)
        print(name, "ok", flush=True)
    except OSError as error:
        print(name, errno.errorcode[error.errno], flush=True)

for s in early, early_udp:
    s.setblocking(False)
    s.setsockopt(socket.SOL_IP, OPTIONS, route)
print("ready", flush=True)
sys.stdin.readline()
attempt("option", udp.setsockopt, socket.SOL_IP, OPTIONS, route)
attempt("option6", udp6.setsockopt, socket.SOL_IP, OPTIONS, route)
attempt("control", udp.sendmsg, [b"x"], [(socket.SOL_IP, RETOPTS, route)], 0, (v4, 7007))
attempt("harmless", udp.setsockopt, socket.SOL_IP, OPTIONS, timestamp)
attempt("cleared", udp.setsockopt, socket.SOL_IP, OPTIONS, b"")
attempt("header", udp6.setsockopt, IPV6, RTHDR, header)
attempt("control6", udp6.sendmsg, [b"x"], [(IPV6, RTHDR, header)], 0, (v6, 7007))
attempt("packed6", udp6.setsockopt, IPV6, PKTOPTIONS, cmsg(IPV6, RTHDR, header))
attempt("early", early.connect, (v4, 8080))
attempt("early_udp", early_udp.sendto, b"x", (v4, 7007))
attempt("plain", udp.sendto, b"x", (v4, 7007))
"""
REFUSED = ("option", "option6", "control", "header", "control6", "packed6", "early", "early_udp")
PASSES = ("harmless", "cleared", "plain")


def attempts(g, go):
    """Runs the program, `go()` when its own routes are made; its lines as a dictionary."""
    program = subprocess.Popen(["python3", "-ISuc", PROGRAM, g.peer.address4, g.peer.address6], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    g.at_end(program.kill)
    g.assert_equal(program.stdout.readline(), "ready\n")
    go()
    out, _ = program.communicate("\n", timeout=30 * g.slowness)
    return dict(line.split() for line in out.splitlines())


@scenario
def refuses_source_routes(g):
    """By option, control message and routing header, and on sockets that had one before; other options pass."""
    free = attempts(g, lambda: None)
    for name in ("option", "option6", "header", "packed6"):
        g.assert_equal(free[name], "ok", f"{name} works where nothing is watched")
    deciders = []

    def begin():
        decider = Decider(watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_SEND, uapi.PROTO_UDP),
                          deadline=500, fallback=uapi.VERDICT_ALLOW)
        deciders.append(decider)

    before = g.peer.packets("udp", 7007)
    outcome = attempts(g, begin)
    with deciders[0] as decider:
        g.assert_equal({name: outcome[name] for name in REFUSED}, dict.fromkeys(REFUSED, "EACCES"))
        g.assert_equal({name: outcome[name] for name in PASSES}, dict.fromkeys(PASSES, "ok"))
        g.assert_equal(decider.control.count("refused"), len(REFUSED))
        g.assert_equal(g.peer.packets("udp", 7007) - before, 1, "only the plain one arrived")
