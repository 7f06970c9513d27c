# SPDX-License-Identifier: MIT OR Apache-2.0
"""The long-lived client of the demo: for each address on its standard input it opens a new connection, and
says how that went."""

import sys
import urllib.request

for line in sys.stdin:
    try:
        with urllib.request.urlopen(line.strip(), timeout=10) as answer:
            print(f"visitor: {answer.status} {answer.read().decode().strip()}", flush=True)
    except OSError as error:
        print(f"visitor: {error}", flush=True)
