# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ways to make a call in somebody else's name, or with somebody else's ticket. docs/bypasses.md lists them."""

import os
import shutil
import time

import uapi
from client import TEXT, Client
from decider import ticket, watch
from scenario import scenario
from way import Way, decided, deciding, denied, told

ECHO = 7007
TRICKS = "/snet/bin/tricks"
CONNECT = "s.connect((peer, 7007))"


def way(g):
    return Way(uapi.OP_CONNECT, uapi.PROTO_TCP, (g.peer.address4, ECHO), packets=("tcp", ECHO))


def ticketed(g, decider, user=None):
    """A client that may connect anywhere by ticket, and has a socket `s` that isn't connected yet."""
    client = Client(g, user=user)
    client.begin("tcp", g.peer.address4, ECHO)
    decider.allow(decider.next(), ticket(1))
    g.assert_equal(client.answer(), "ok")
    client.do("s = socket.socket(); answer = s.fileno()")
    g.assert_equal(client.call("tcp", g.peer.address4, ECHO), "ok", "by ticket")
    g.assert_true(decider.nothing(0.2), "no event for who has a ticket")
    return client


def by_child(g, event, way, client):
    told(g, event, way, client, tgid=event.tgid, parent_tgid=client.pid)
    g.assert_true(event.tgid != client.pid, "not the parent")


@scenario(timeout=120)
def socket_handed_over_is_asked_for_in_its_new_owners_name(g):
    """A socket that isn't connected yet, made by a process with a ticket: sent over SCM_RIGHTS and taken by pidfd_getfd().
    Who connects it is asked, and the ticket stays with its process."""
    with deciding() as decider:
        giver, taker = ticketed(g, decider), Client(g)
        path = str(g.tmp / "channel")
        taker.do("channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); channel.bind(path)", path=path)
        number = int(giver.do("answer = s.fileno()"))
        for give, take in ((lambda: giver.do("send_fd(path, s)", path=path), "s = receive_fd(channel)"),
                           (lambda: "ok", "s = take_fd(pid, number)")):
            def begin():
                giver.do("s.close(); s = socket.socket()")
                g.assert_equal(give(), "ok", "handing over")
                taker.begin_do(f"{take}; {CONNECT}", peer=g.peer.address4, pid=giver.pid, number=number)
            decided(g, decider, taker, way(g), begin)
            taker.do("s.close()")
            giver.do("s.close()")


@scenario
def socket_inherited_by_fork_and_exec_is_asked_for(g):
    """The child that connects its parent's socket has no ticket, and neither has the same process after execve()."""
    with deciding() as decider:
        client = ticketed(g, decider)
        fork = "s.close(); s = socket.socket(); answer = in_child(lambda: s.connect((peer, 7007)))"
        decided(g, decider, client, way(g), lambda: client.begin_do(fork, peer=g.peer.address4), by_child)
        number = int(client.do("s.close(); s = socket.socket(); s.set_inheritable(True); answer = s.fileno()"))
        client.execute()
        denied(g, decider, client, way(g), lambda: client.begin_do(
            f"s = socket.socket(fileno={number}); {CONNECT}", peer=g.peer.address4))


@scenario(timeout=120)
def threads_and_children_are_told_as_they_are(g):
    """A thread is its process under its own number; a vfork() child is a process of its own though it shares the memory; a
    traced program is itself and not its tracer."""
    with deciding() as decider:
        client = Client(g, user="alice")

        def by_thread(g, event, way, client):
            told(g, event, way, client)
            g.assert_true(event.subject[uapi.A_SUBJECT_TID] != client.pid, "thread")

        decided(g, decider, client, way(g), lambda: client.begin("thread", "tcp", g.peer.address4, ECHO), by_thread)
        client = Client(g, user="alice", command=(TRICKS,))
        decided(g, decider, client, way(g), lambda: client.begin("vfork", g.peer.address4, ECHO), by_child)
        client = Client(g, user="alice", command=("strace", "-f", "-o", "/dev/null", TRICKS))
        decided(g, decider, client, way(g), lambda: client.begin("connect", g.peer.address4, ECHO), by_child)


@scenario(timeout=120)
def namespaces_hide_nothing(g):
    """In another network namespace, and as root of a user, network and pid namespace of one's own: held, and told by the
    numbers of the host."""
    inode = os.stat(f"/run/netns/{g.peer.namespace}").st_ino
    with deciding() as decider:
        client = Client(g)
        client.do("enter_netns(name)", name=g.peer.namespace)
        # Over that namespace's own loopback.
        inside = Way(uapi.OP_CONNECT, uapi.PROTO_TCP, (g.peer.address4, ECHO))
        decided(g, decider, client, inside, lambda: client.begin("tcp", g.peer.address4, ECHO),
                lambda *words: told(*words, net_ns=inode))
        client = Client(g, user="alice", command=("unshare", "-Urnpf", "--kill-child", TRICKS))
        spaces = {name: os.stat(f"/proc/self/ns/{name}").st_ino for name in ("net", "user", "pid")}

        def own(g, event, way, client):
            by_child(g, event, way, client)
            for name, inode in spaces.items():
                actual = event.subject[getattr(uapi, f"A_SUBJECT_{name.upper()}_NS")]
                g.assert_true(actual not in (0, inode), f"{name} namespace")

        apart = Way(uapi.OP_CONNECT, uapi.PROTO_TCP, (g.peer.address4, ECHO), allowed="ENETUNREACH")
        decided(g, decider, client, apart, lambda: client.begin("connect", g.peer.address4, ECHO), own)


@scenario(timeout=120)
def programs_and_sockets_from_before_the_module_are_held(g):
    """A program that ran, and sockets that it had, when the module was loaded: their next connect() and named packet are
    held. What was connected already goes on."""
    g.unload_module()
    client = Client(g)
    client.do("s = socket.socket(); u = socket.socket(type=socket.SOCK_DGRAM); "
              "raw = socket.socket(type=socket.SOCK_RAW, proto=253)")
    client.do("c = socket.create_connection((peer, 7007))", peer=g.peer.address4)
    g.load_module()
    with deciding(watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_SEND, uapi.PROTO_UDP, uapi.PROTO_RAW)) as decider:
        g.assert_equal(client.do("c.send(b'x'); answer = len(c.recv(1))"), "1", "an old conversation")
        decided(g, decider, client, way(g), lambda: client.begin_do(CONNECT))
        sink = g.peer.sink_port
        for name, port, protocol, packets in (("u", sink, uapi.PROTO_UDP, ("udp", sink)),
                                              ("raw", 0, uapi.PROTO_RAW, ("253", None))):
            send = Way(uapi.OP_SEND, protocol, (g.peer.address4, port), packets=packets)
            decided(g, decider, client, send, lambda: client.begin_do(f"{name}.sendto(b'x', (peer, port))", port=port))


@scenario
def address_written_over_while_held_does_not_count(g):
    """Another thread changes the buffer with the address after the call was told: the kernel's own copy is what was
    decided, and where the call goes."""
    with deciding(watch(uapi.OP_CONNECT, uapi.PROTO_TCP), watch(uapi.OP_SEND, uapi.PROTO_UDP)) as decider:
        client = Client(g, user="alice", command=(TRICKS,))
        decided(g, decider, client, way(g), lambda: client.begin("moving", g.peer.address4, ECHO))
        client = Client(g, user="alice")
        receive = ("s, a, b = (socket.socket(type=socket.SOCK_DGRAM) for _ in range(3)); a.bind(('127.0.0.1', 5410)); "
                   "b.bind(('127.0.0.2', 5410)); [r.settimeout(0.5) for r in (a, b)]")
        client.do(receive)
        client.begin_do("name = ctypes.create_string_buffer(sockaddr('127.0.0.1', 5410), 16)\n"
                        "meanwhile(lambda: ctypes.memmove(name, sockaddr('127.0.0.2', 5410), 16))\nsendto(s, name)")
        event = decider.next()
        g.assert_equal(event.remote, ("127.0.0.1", 5410))
        time.sleep(0.5)
        decider.allow(event)
        g.assert_equal(client.answer(), "ok")
        g.assert_equal(client.do("answer = a.recv(9)"), "b'x'", "where it was told to go")
        g.assert_equal(client.do("answer = b.recv(9)"), "timed out", "where it was changed to")


@scenario(timeout=120)
def held_socket_stays_what_it_is(g):
    """Another thread closes the descriptor, or puts another socket in its place, while the call is held: the verdict is
    about the socket that was told, a denied one sends nothing and the new one is not connected."""
    forms = {
        "close": "thread = meanwhile(s.close)",
        "dup2": "other = socket.socket(); thread = meanwhile(lambda: os.dup2(other.fileno(), number))",
    }
    with deciding() as decider:
        client = Client(g, user="alice")
        for name, form in forms.items():
            code = (f"s = socket.socket(); number = s.fileno(); {form}\n"
                    "try:\n    check(libc.connect(number, sockaddr(peer, 7007), 16))\nfinally:\n    thread.join()")
            decided(g, decider, client, way(g), lambda: client.begin_do(code, peer=g.peer.address4))
            if name == "dup2":
                g.assert_equal(client.do("s.getpeername()"), "ENOTCONN", "the socket in its place")


@scenario
def changed_executable_makes_tickets_void(g):
    """prctl(PR_SET_MM_EXE_FILE), which needs privileges: the ticket was for another file, and the event tells the new
    one."""
    with deciding() as decider:
        client = Client(g, command=(TRICKS,))
        client.begin("connect", g.peer.address4, ECHO)
        decider.allow(decider.next(), ticket(1))
        g.assert_equal(client.answer(), "ok")
        g.assert_equal(client.call("connect", g.peer.address4, ECHO), "ok", "by ticket")
        g.assert_equal(client.call("exe", "/usr/bin/curl", 0), "ok")
        decided(g, decider, client, way(g), lambda: client.begin("connect", g.peer.address4, ECHO))


@scenario
def exec_ends_the_held_calls_of_other_threads(g):
    """A thread is held, another executes a program: the held call never happens, and a verdict for it comes too late."""
    with deciding(deadline=30000) as decider:
        client = Client(g, user="alice")
        before = g.peer.packets("tcp", ECHO)
        client.begin_do("meanwhile(lambda: os.execv('/usr/bin/python3', ['python3', '-ISBuc', text, text]), 1)\n"
                        "s = socket.socket(); s.connect((peer, 7007))", peer=g.peer.address4, text=TEXT)
        decider.next()
        g.assert_equal(client.answer(), "ready", "the new program")
        g.eventually(lambda: decider.control.count("held") == 0, what="nothing is held any more")
        g.assert_equal(decider.control.count("killed"), 1)
        g.assert_equal(g.peer.packets("tcp", ECHO), before, "packets")
        denied(g, decider, client, way(g), lambda: client.begin("tcp", g.peer.address4, ECHO))


@scenario(timeout=120)
def copies_and_loaders_are_other_programs(g):
    """A copy, a hard link, a program in memory, one that was deleted and one that the dynamic loader was told to run aren't
    the file that a rule names: each is told by its own path or inode."""
    original = os.stat(TRICKS)
    copy, link, gone = (str(g.tmp / name) for name in ("copy", "link", "gone"))
    shutil.copy(TRICKS, copy)
    shutil.copy(TRICKS, gone)
    os.link(copy, link)
    in_memory = ("import os, sys\nfd = os.memfd_create('tricks')\nos.write(fd, open(sys.argv[1], 'rb').read())\n"
                 "os.execve(fd, ['tricks'], {})")
    loader = os.path.realpath("/lib64/ld-linux-x86-64.so.2")
    programs = {
        copy: ((copy,), ("connect",)), link: ((link,), ("connect",)), f"{gone} (deleted)": ((gone,), ("connect",)),
        "/memfd:tricks (deleted)": (("python3", "-ISBc", in_memory, TRICKS), ("connect",)),
        loader: ((loader, os.path.realpath("/usr/bin/python3"), "-ISBuc", TEXT, TEXT), ("tcp",)),
    }
    with deciding() as decider:
        for exe, (command, verb) in programs.items():
            client = Client(g, command=command)
            if command == (gone,):
                os.unlink(gone)
            client.begin(*verb, g.peer.address4, ECHO)
            event = decider.next()
            decider.deny(event)
            g.assert_equal((event.tgid, event.exe), (client.pid, exe))
            file = event.subject[uapi.A_SUBJECT_EXE_DEVICE], event.subject[uapi.A_SUBJECT_EXE_INODE]
            g.assert_true(file != (original.st_dev, original.st_ino), f"{exe} is another file")
            g.assert_equal(client.answer(), "EACCES")
