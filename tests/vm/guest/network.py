# SPDX-License-Identifier: MIT OR Apache-2.0
"""The network of the guest: this side, the namespace `peer` behind a veth pair, and what reaches it.

Owns: addresses, the peer's services, exact per-port packet counters (nftables in the peer's namespace, so that
counting wakes no process and is no subject of snet).
"""

import json
import subprocess
from pathlib import Path

import counters
from order import SLOWNESS

NAMESPACE = "peer"
HOST4, HOST6 = "10.77.0.1", "fd77::1"
PEER4, PEER6 = "10.77.0.2", "fd77::2"
OTHER4, OTHER6 = "10.77.0.3", "fd77::3"

COUNTERS = """
table inet seen {
	set ports {
		typeof ip protocol . th dport
		flags dynamic
		size 65535
		counter
	}
	set protocols {
		typeof meta l4proto
		flags dynamic
		size 256
		counter
	}
	chain input {
		type filter hook prerouting priority raw; policy accept;
		# What IPv6 says of its own accord, at any moment: multicast listeners, routers, neighbours.
		icmpv6 type { 130-137, 143 } accept
		iifname "eth0" update @protocols { meta l4proto }
		iifname "eth0" meta l4proto { tcp, udp, sctp, udplite, dccp } update @ports { meta l4proto . th dport }
	}
}
"""
PROTOCOL_NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58, "ipv6-icmp": 58, "sctp": 132, "udplite": 136}


def command(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, timeout=30 * SLOWNESS)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def set_up() -> subprocess.Popen:
    """Make the namespace and start its services; the returned process lives until the guest ends."""
    command("ip", "netns", "add", NAMESPACE)
    command("ip", "link", "add", "veth0", "type", "veth", "peer", "name", "eth0", "netns", NAMESPACE)
    sides = ((["ip"], "veth0", (HOST4,), (HOST6,)),
             (["ip", "-n", NAMESPACE], "eth0", (PEER4, OTHER4), (PEER6, OTHER6)))
    for ip, device, four, six in sides:
        for address in four:
            command(*ip, "address", "add", f"{address}/24", "dev", device)
        for address in six:
            command(*ip, "address", "add", f"{address}/64", "dev", device, "nodad")
        command(*ip, "link", "set", "lo", "up")
        command(*ip, "link", "set", device, "up")
    command("ip", "netns", "exec", NAMESPACE, "nft", "-f", "-", text=COUNTERS)
    services = subprocess.Popen(["ip", "netns", "exec", NAMESPACE, "python3", "-B", "/snet/peer_server.py"],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    line = services.stdout.readline()
    if not line.startswith("ready"):
        raise RuntimeError("the peer's services did not start")
    return services


class Peer:
    """The other side, as scenarios see it."""

    namespace = NAMESPACE
    address4, address6 = PEER4, PEER6
    other4, other6 = OTHER4, OTHER6
    http_ports = (8080, 8081)
    echo_port, mptcp_port, sink_port = 7007, 7008, 7009

    @staticmethod
    def url(address: str = PEER4, port: int = 8080) -> str:
        return f"http://[{address}]:{port}/" if ":" in address else f"http://{address}:{port}/"

    @staticmethod
    def exec(*arguments: str) -> str:
        """A command in the peer's namespace; its output."""
        return command("ip", "netns", "exec", NAMESPACE, *arguments)

    def packets(self, protocol: str, port: int | None = None) -> int:
        """Packets of a protocol (and destination port) that have arrived at the peer since the guest's start, but for what
        IPv6 says of its own accord."""
        name = "protocols" if port is None else "ports"
        wanted = [protocol] if port is None else [protocol, port]
        total = 0
        for entry in counters.elements(Path("/run/netns") / NAMESPACE, "inet", "seen", name):
            value = entry["val"]["concat"] if isinstance(entry["val"], dict) else [entry["val"]]
            if [_protocol(value[0]), *value[1:]] == [_protocol(wanted[0]), *wanted[1:]]:
                total += entry["counter"]["packets"]
        return total

    def interface_packets(self) -> int:
        """Everything the peer's interface received, neighbour discovery included."""
        link = json.loads(command("ip", "-n", NAMESPACE, "-j", "-s", "link", "show", "eth0"))
        return link[0]["stats64"]["rx"]["packets"]


def _protocol(name: str | int) -> int:
    return name if isinstance(name, int) else int(name) if name.isdigit() else PROTOCOL_NUMBERS[name]
