# SPDX-License-Identifier: MIT OR Apache-2.0
"""The guest itself: what every other scenario takes for granted. None of these needs snet."""

import json
import os
import socket
from pathlib import Path

from scenario import scenario


@scenario(module=False)
def runs_the_kernel_that_was_asked_for(g):
    """The release the host built the module for is the one that runs."""
    asked = json.loads(Path("/snet/run.json").read_text())["release"]
    g.assert_equal(os.uname().release, asked)


@scenario(module=False)
def has_bpf_among_the_active_security_modules(g):
    """The stubs that the module attaches to are called only if `bpf` is an active LSM, as it is unless the kernel's
    command line says otherwise."""
    active = Path("/sys/kernel/security/lsm").read_text().strip().split(",")
    g.assert_equal("bpf" in active, "lsm=" not in Path("/proc/cmdline").read_text(), f"bpf among {active}")


@scenario
def says_where_its_hooks_are(g):
    """The self-test at load finds out whether the stubs are called, and the log tells what came of it."""
    log = g.run("dmesg", check=True).out
    g.assert_in("snet: hooks at the BPF" if "lsm=" not in Path("/proc/cmdline").read_text() else
                "snet: hooks at security_*()", log)


@scenario(module=False)
def panics_on_a_kernel_warning(g):
    """A warning can't pass unnoticed: the settings that turn it into the end of the guest are in force."""
    for name in ("panic_on_warn", "panic_on_oops"):
        g.assert_equal(Path(f"/proc/sys/kernel/{name}").read_text().strip(), "1", name)


@scenario(module=False)
def reaches_the_peer_over_http(g):
    """Both HTTP services answer on every address of the peer, over IPv4 and IPv6."""
    for address in (g.peer.address4, g.peer.other4, g.peer.address6, g.peer.other6):
        for port in g.peer.http_ports:
            answer = g.run("curl", "-sS", "--max-time", "10", g.peer.url(address, port), check=True)
            g.assert_equal(answer.out, f"hello from port {port}\n", address)


@scenario(module=False)
def reaches_the_echo_services_with_nc(g):
    """nc gets its own words back over TCP and UDP, as an ordinary user."""
    port = str(g.peer.echo_port)
    tcp = g.run("nc", "-N", "-w", "5", g.peer.address4, port, text="over tcp\n", user="alice", check=True)
    g.assert_equal(tcp.out, "over tcp\n")
    udp = g.run("nc", "-u", "-w", "2", g.peer.address6, port, text="over udp\n", user="alice", check=True)
    g.assert_equal(udp.out, "over udp\n")


@scenario(module=False)
def has_sctp_and_mptcp(g):
    """The protocols with hooks of their own are there to be tested."""
    for protocol, port in ((socket.IPPROTO_SCTP, g.peer.echo_port), (262, g.peer.mptcp_port)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as client:
            client.settimeout(10)
            client.connect((g.peer.address4, port))
            client.sendall(b"echo")
            g.assert_equal(client.recv(16), b"echo", f"protocol {protocol}")


@scenario(module=False)
def counts_what_arrives_at_the_peer(g):
    """A datagram to a port is counted once, at that port only: later scenarios prove by it that nothing left."""
    before = {port: g.peer.packets("udp", port) for port in (4001, 4002)}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", (g.peer.address4, 4001))
    g.eventually(lambda: g.peer.packets("udp", 4001) == before[4001] + 1, what="one packet at port 4001")
    g.assert_equal(g.peer.packets("udp", 4002), before[4002])


@scenario(module=False)
def speaks_generic_netlink(g):
    """The test's own netlink client resolves a family and reads a refusal with its extended ack."""
    import genl
    with genl.Socket() as control:
        g.assert_equal(control.family("nlctrl"), genl.GENL_ID_CTRL)
        refusal = g.assert_raises(genl.NetlinkError, lambda: control.family("no-such-family"))
        g.assert_equal(refusal.name, "ENOENT")
        bad = genl.attr(genl.CTRL_ATTR_FAMILY_NAME, b"x" * 64)
        refusal = g.assert_raises(genl.NetlinkError, lambda: control.request(
            genl.GENL_ID_CTRL, genl.CTRL_CMD_GETFAMILY, bad, version=2))
        g.assert_true(refusal.message, "the refusal has an extended ack message")
        g.assert_equal(refusal.offset, 20, "the attribute at fault stands after both headers")


@scenario
def loads_and_unloads_the_module(g):
    """The module goes in and out again and again."""
    for _ in range(3):
        g.assert_true(g.module_loaded(), "loaded")
        g.unload_module()
        g.assert_true(not g.module_loaded(), "unloaded")
        g.load_module()
