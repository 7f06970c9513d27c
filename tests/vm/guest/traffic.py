# SPDX-License-Identifier: MIT OR Apache-2.0
"""Programs that make many calls at once, for scenarios that wear the module out. Each call must end in a way it may end.

Owns: the texts of the programs, their counts. What is allowed shows as ECONNREFUSED (nobody listens at these ports) or ok,
what is denied as EACCES.
"""

import signal
import subprocess

# Calls of several kinds in threads, one after the other, until standard input ends; then prints how often calls ended how.
RESTLESS = r"""
import collections, errno, json, socket, sys, threading, time

def tcp(s, port): s.connect(("127.0.0.1", port))
def nonblocking(s, port):
    s.setblocking(False)
    s.connect(("127.0.0.1", port))
def tcp6(s, port): s.connect(("::1", port))
def send(s, port): s.sendto(b"x", ("127.0.0.1", port))
def bind(s, port): s.bind(("127.0.0.1", 0))

IN, IN6, TCP, UDP = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.SOCK_DGRAM
KINDS = [(tcp, IN, TCP), (nonblocking, IN, TCP), (tcp6, IN6, TCP), (send, IN, UDP), (bind, IN, TCP)]
counts, over = collections.Counter(), threading.Event()

pause = float(sys.argv[2])

def restless(number):
    port = 0
    while not over.is_set():
        kind, family, form = KINDS[(number + port) % len(KINDS)]
        port = port % 200 + 1
        with socket.socket(family, form) as s:
            try:
                kind(s, port)
                counts["ok"] += 1
            except OSError as error:
                counts[errno.errorcode[error.errno]] += 1
        time.sleep(pause)

threads = [threading.Thread(target=restless, args=(number,)) for number in range(int(sys.argv[1]))]
for t in threads: t.start()
print("ready", flush=True)
sys.stdin.read()
over.set()
for t in threads: t.join()
print(json.dumps(counts))
"""

# As many threads of one process as the first argument says, each connects to a port of its own, and so is a request of its
# own. What they got is printed at the end. The second argument is the signal that it minds, and counts, or 0.
APART = r"""
import collections, errno, signal, socket, sys, threading
count, minded = int(sys.argv[1]), int(sys.argv[2])
signals = []
if minded:
    signal.signal(minded, lambda *_: signals.append(1))
answers = []
def attempt(port):
    with socket.socket() as s:
        try:
            s.connect(("127.0.0.1", port))
            answers.append("ok")
        except OSError as error:
            answers.append(errno.errorcode[error.errno])
threading.stack_size(65536)
threads = [threading.Thread(target=attempt, args=(20000 + number,)) for number in range(count)]
for t in threads: t.start()
for t in threads:
    while t.is_alive(): t.join(0.1)
print(*(f"{name} {count}" for name, count in sorted(collections.Counter(answers).items())), *(["signals"] if signals else []))
"""

# A decider that allows every event, until it is killed. It takes up what is held when it comes.
ALLOWING = r"""
import sys
sys.path.insert(0, "/snet")
import genl, uapi
from decider import Decider, watch
with Decider(watch(uapi.OP_CONNECT, uapi.PROTO_TCP), deadline=int(sys.argv[1])) as decider:
    def allow(held):
        try:
            decider.allow(held)
        except genl.NetlinkError as error:
            if error.name != "ENOENT": raise
    print("ready", flush=True)
    while True:
        for held in decider.control.requests():
            allow(held)
        try:
            while True:
                allow(decider.next(0.05))
        except TimeoutError:
            pass
"""


class Restless:
    """RESTLESS in a process of its own; `end` stops it and returns how often a call ended in which way."""

    def __init__(self, g, threads: int):
        self.g = g
        # On a slow kernel nothing else would be come to.
        pause = 0.2 if g.slow_kernel else 0.02
        self.process = subprocess.Popen(["python3", "-ISBuc", RESTLESS, str(threads), str(pause)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, start_new_session=True)
        g.at_end(self._close)
        assert self.process.stdout.readline() == "ready\n"

    def end(self) -> dict[str, int]:
        import json
        out, _ = self.process.communicate(timeout=60 * self.g.slowness)
        assert self.process.returncode == 0, self.process.returncode
        return json.loads(out)

    def _close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait(10 * self.g.slowness)


def apart(g, count: int, minded: int = 0):
    """A process of that many held threads, with a request each."""
    return g.spawn_python(APART, str(count), str(int(minded)))
