# SPDX-License-Identifier: MIT OR Apache-2.0
"""Programs to hold: long-lived clients that connect on command, so that a scenario can watch one process.

Owns: the text of the client. Each line on its standard input is one call; each answer is one line, `ok` or an errno.
"""

import contextlib
import json
import pwd
import subprocess

from order import SLOWNESS

# The loop of the client. `fork`, `thread` and `uid` do the call elsewhere or as somebody else; `exec` starts it anew;
# `do` runs Python text with the names of calls.py, which keeps its variables for the next and may set `answer`.
# After `child` a child goes on in its place, until `end`.
TEXT = r"""
import errno, json, os, socket, sys, threading

STREAM, DATAGRAM, RAW = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW
KINDS = {"tcp": (STREAM, 0), "bind": (STREAM, 0), "listen": (STREAM, 0), "fastopen": (STREAM, 0), "udp": (DATAGRAM, 0),
         "send": (DATAGRAM, 0), "sctp": (STREAM, 132), "connectx": (STREAM, 132), "mptcp": (STREAM, 262),
         "raw": (RAW, 1), "packet": (RAW, 0)}

def sockaddr(family, address, port):
    head = family.to_bytes(2, "little") + port.to_bytes(2, "big")
    packed = socket.inet_pton(family, address)
    return head + packed + bytes(8) if family == socket.AF_INET else head + bytes(4) + packed + bytes(4)

def act(kind, s, family, address, port):
    if kind in ("bind", "listen"):
        s.bind((address, port))
        if kind == "listen":
            s.listen()
    elif kind == "send":
        s.sendto(b"x", (address, port))
    elif kind == "fastopen":
        s.sendto(b"x", socket.MSG_FASTOPEN, (address, port))
    elif kind == "connectx":
        s.setsockopt(132, 110, sockaddr(family, address, port))
    elif kind not in ("raw", "packet"):
        s.connect((address, port))

def attempt(kind, address="127.0.0.1", port="0"):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(socket.AF_PACKET if kind == "packet" else family, *KINDS[kind]) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            act(kind, s, family, address, int(port))
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]

def in_thread(words):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(attempt(*words)))
    thread.start()
    thread.join()
    return answers[0]

def in_child(words):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, attempt(*words).encode())
        os._exit(0)
    os.close(write)
    answer = os.read(read, 64).decode()
    os.close(read)
    os.waitpid(pid, 0)
    return answer

world = {}

def do(code, values):
    if not world:
        sys.path.insert(0, "/snet")
        import calls
        world.update(vars(calls))
    world.update(values)
    try:
        exec(code, world)
        return str(world.pop("answer", "ok"))
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

print("ready", flush=True)
for line in sys.stdin:
    verb, *words = line.split()
    if verb == "exec":
        os.execv(sys.executable, [sys.executable, "-ISBuc", sys.argv[1], sys.argv[1]])
    elif verb == "uid":
        os.setresuid(*[int(words[0])] * 3)
        answer = "ok"
    elif verb == "unshare":
        import ctypes
        answer = "ok" if not ctypes.CDLL(None).unshare(0x10000000) else "failed"
    elif verb == "pid":
        answer = str(os.getpid())
    elif verb == "child":
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        answer = "ok"
    elif verb == "end":
        os._exit(0)
    elif verb == "thread":
        answer = in_thread(words)
    elif verb == "do":
        answer = do(**json.loads(line[2:]))
    elif verb == "fork":
        answer = in_child(words)
    else:
        answer = attempt(verb, *words)
    print(answer, flush=True)
"""


# As many threads of one process as the first argument says connect at once to the second; counts the outcomes.
CROWD = r"""
import collections, errno, socket, sys, threading
count, address = int(sys.argv[1]), sys.argv[2]
answers = []
def attempt():
    s = socket.socket()
    try:
        s.connect((address, 8080))
        answers.append("ok")
    except OSError as error:
        answers.append(errno.errorcode[error.errno])
    s.close()
threads = [threading.Thread(target=attempt) for _ in range(count)]
for t in threads: t.start()
for t in threads: t.join()
print(*(f"{name} {count}" for name, count in collections.Counter(answers).items()))
"""


class Client:
    """One process. `begin` starts a call and returns, `answer` waits for it; `call` does both."""

    def __init__(self, g, user: str | None = None, program: tuple[str, ...] = ("python3",), text: str = TEXT,
                 command: tuple[str, ...] | None = None):
        """`program` is the command of a Python, or of a copy of one; `text` is TEXT with something added; `command` is
        another program that speaks like this one."""
        import scenario
        command = command or (*program, "-ISBuc", text, text)
        self.uid = pwd.getpwnam(user).pw_uid if user else 0
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, stdout=subprocess.PIPE, bufsize=1,
                                        **scenario._identity(user, None))
        g.at_end(self.close)
        said = self.process.stdout.readline()
        assert said == "ready\n", f"{command[0]} said {said!r}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def begin(self, *words: object) -> None:
        self.process.stdin.write(" ".join(map(str, words)) + "\n")

    def begin_do(self, code: str, **values: object) -> None:
        self.begin("do", json.dumps({"code": code, "values": values}))

    def do(self, code: str, **values: object) -> str:
        self.begin_do(code, **values)
        return self.answer()

    def answer(self) -> str:
        return self.process.stdout.readline().strip()

    def call(self, *words: object) -> str:
        self.begin(*words)
        return self.answer()

    def execute(self) -> None:
        """execve() of the same program."""
        self.begin("exec")
        assert self.answer() == "ready"

    def close(self) -> None:
        """Children that go on in its place end with their input; then its output is over."""
        if self.process.stdout.closed:
            return
        self.process.kill()
        self.process.wait(10 * SLOWNESS)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        while self.process.stdout.read():
            pass
        self.process.stdout.close()
