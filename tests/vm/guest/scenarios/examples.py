# SPDX-License-Identifier: MIT OR Apache-2.0
"""The deciders of libsnet/examples, by which others learn how to write theirs."""

import os
import signal

from scenario import scenario

EXAMPLES = (("python3", "/snet/examples/decide.py"), ("/snet/bin/decide",))


@scenario
def deciders_of_the_examples_decide(g):
    """In Python and in Rust: port 25 is denied, another allowed, each is printed, and nothing is watched after them."""
    for command in EXAMPLES:
        if not os.path.exists(command[-1]):
            g.skip(f"{command[-1]} isn't there: make build")
        decider = g.spawn(*command)
        g.eventually(lambda: g.run("nc", "-zw5", g.peer.address4, "25").rc == 1 and "25: deny" in decider.output(), what="the decider")
        g.assert_equal(g.run("curl", "-sS", g.peer.url()).out.strip(), "hello from port 8080", str(command))
        g.assert_in("curl", decider.output())
        g.assert_in("8080: allow", decider.output())
        decider.send_signal(signal.SIGINT)
        g.assert_equal(decider.ended(), 0, decider.output())
        g.assert_equal(g.run("curl", "-sSo/dev/null", g.peer.url()).rc, 0, "without it")
