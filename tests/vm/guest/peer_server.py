# SPDX-License-Identifier: MIT OR Apache-2.0
"""The services of the other side: HTTP, echo over TCP, UDP, SCTP and MPTCP, and a UDP port that keeps quiet, on IPv4 and IPv6.

Runs in the network namespace `peer` for as long as the guest lives; prints one line when everything listens.
"""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTTP_PORTS = (8080, 8081)
ECHO_PORT = 7007
MPTCP_PORT = 7008
SINK_PORT = 7009
IPPROTO_MPTCP = 262


class DualStack(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 256

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "peer", self.server_address[1]


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"hello from port {self.server.server_port}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def listener(protocol: int, port: int) -> socket.socket:
    server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, protocol)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if protocol in (0, socket.IPPROTO_TCP):
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
    server.bind(("::", port))
    server.listen(256)
    return server


def serve_stream(server: socket.socket) -> None:
    while True:
        try:
            connection = server.accept()[0]
        except OSError:
            continue
        threading.Thread(target=echo_stream, args=(connection,), daemon=True).start()


def echo_stream(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            pass


def serve_datagrams(server: socket.socket) -> None:
    """The reply leaves from the address that was asked, which is not the one the kernel would choose."""
    while True:
        try:
            data, information, _, sender = server.recvmsg(65536, 256)
            server.sendmsg([data], information, 0, sender)
        except OSError:
            continue


def main() -> None:
    loops = [(DualStack(("::", port), Hello).serve_forever, ()) for port in HTTP_PORTS]
    loops.append((serve_stream, (listener(0, ECHO_PORT),)))
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    datagrams.bind(("::", ECHO_PORT))
    loops.append((serve_datagrams, (datagrams,)))
    sink = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sink.bind(("::", SINK_PORT))
    absent = []
    for name, protocol, port in (("sctp", socket.IPPROTO_SCTP, ECHO_PORT), ("mptcp", IPPROTO_MPTCP, MPTCP_PORT)):
        try:
            loops.append((serve_stream, (listener(protocol, port),)))
        except OSError as error:
            absent.append(f"no {name} ({error.strerror})")
    for function, arguments in loops:
        threading.Thread(target=function, args=arguments, daemon=True).start()
    print("ready", *absent, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
