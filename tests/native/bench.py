#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""What `snet-tool run` costs: the same calls unsupervised, supervised and under strace, in one
run, interleaved so that a busy machine is busy for all of them. Takes the directory of the built programs.

Without arguments of its own it measures nothing that it doesn't print as a ratio as well: the
absolute numbers are this machine's.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 5
CALLS = 1000
MEGABYTES = 1024

# Runs in each of the three ways, as a child.
CHILD = """
import json, socket, sys, threading, time
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(1024)
place = server.getsockname()
def drain():
    while True:
        peer, _ = server.accept()
        while peer.recv(1 << 20):
            pass
        peer.close()
threading.Thread(target=drain, daemon=True).start()
def each(kind, calls):
    before = time.perf_counter()
    for _ in range(calls):
        one = socket.socket(socket.AF_INET, kind)
        one.connect(place)
        one.close()
    return (time.perf_counter() - before) / calls * 1e6
def throughput(megabytes):
    one = socket.create_connection(place)
    data = bytes(1 << 20)
    before = time.perf_counter()
    for _ in range(megabytes):
        one.sendall(data)
    one.shutdown(socket.SHUT_WR)
    return megabytes / (time.perf_counter() - before)
calls, megabytes = map(int, sys.argv[1:])
each(socket.SOCK_STREAM, 50)
print(json.dumps({"connect+close": each(socket.SOCK_STREAM, calls), "UDP connect": each(socket.SOCK_DGRAM, calls),
                  "throughput": throughput(megabytes)}))
"""


def measure(prefix: list[str], environment: dict[str, str]) -> dict[str, float]:
    command = [*prefix, "/usr/bin/python3", "-c", CHILD, str(CALLS), str(MEGABYTES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: {' '.join(prefix)} failed: {done.stderr}")
    return json.loads(done.stdout)


def main() -> None:
    built = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        environment |= {"HOME": home, "SNETD": str(built / "snetd")}
        tool = str(built / "snet-tool")
        subprocess.run([tool, "run", "--", "true"], env=environment, check=True)
        subprocess.run([tool, "allow", "/usr/bin/python3"], env=environment, check=True, capture_output=True)
        ways = {
            "unsupervised": [],
            "supervised": [tool, "run", "--"],
            "strace": ["strace", "-f", "-q", "-o", "/dev/null", "-e", "trace=network"],
        }
        found = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, prefix in ways.items():
                found[way].append(measure(prefix, environment))
        lock = Path(home, ".local/share/snet/run/snetd.sock.lock")
        os.kill(int(lock.read_text()), 15)
        while lock.with_suffix("").exists():
            time.sleep(0.01)
    print(f"{'median of ' + str(ROUNDS):<16}{''.join(f'{way:>16}' for way in ways)}")
    for name, unit in (("connect+close", "µs"), ("UDP connect", "µs"), ("throughput", "MB/s")):
        medians = [statistics.median(one[name] for one in found[way]) for way in ways]
        cells = [f"{value:.1f} ({value / medians[0]:.2f}×)" for value in medians]
        print(f"{name + ', ' + unit:<20}{''.join(f'{cell:>18}' for cell in cells)}")


if __name__ == "__main__":
    main()
