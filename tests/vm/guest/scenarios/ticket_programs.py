# SPDX-License-Identifier: MIT OR Apache-2.0
"""Program tickets: for every process of the host that runs a file."""

import os
import shutil

import genl
import uapi
from client import TEXT, Client
from decider import Decider, Kernel, policy, ticket, watch
from scenario import scenario
from ticket_kinds import empty
from tickets import asks, given

PYTHON = os.path.realpath("/usr/bin/python3")
LOADER = os.path.realpath("/lib64/ld-linux-x86-64.so.2")

# A command of the client, `swap FILE`: puts anonymous memory in place of every mapping of its executable, and makes the
# file its executable. The executable has to be the dynamic loader, whose data stand still meanwhile.
SWAP = r"""
def swap(path):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
    size, address = ctypes.c_size_t, ctypes.c_void_p
    own = os.readlink("/proc/self/exe")
    for line in open("/proc/self/maps").readlines():
        fields = line.split()
        if len(fields) < 6 or fields[5] != own:
            continue
        begin, end = (int(part, 16) for part in fields[0].split("-"))
        length = size(end - begin)
        copy = address(libc.mmap(None, length, 3, 0x22, -1, ctypes.c_long(0)))
        ctypes.memmove(copy, begin, end - begin)
        libc.mprotect(copy, length, sum(bit for letter, bit in zip("rwx", (1, 2, 4)) if letter in fields[1]))
        libc.mremap(copy, length, length, 3, address(begin))
    fd = os.open(path, os.O_RDONLY)
    failed = libc.prctl(35, 13, ctypes.c_ulong(fd), ctypes.c_ulong(0), ctypes.c_ulong(0))
    os.close(fd)
    return os.strerror(ctypes.get_errno()) if failed else "ok"
"""
SWAPPING = SWAP + TEXT.replace('    elif verb == "pid":', '    elif verb == "swap":\n        answer = swap(*words)\n'
                               '    elif verb == "pid":')
assert "swap(*words)" in SWAPPING


def program(path=PYTHON):
    """(device, inode), as a ticket names it."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def copied(g, name="copy", original=PYTHON):
    """Another file with the same in it."""
    path = g.tmp / name
    shutil.copy(original, path)
    return str(path)


def without_decider(fallback=uapi.VERDICT_DENY):
    """Connects of TCP are watched, and nobody decides."""
    kernel = Kernel()
    kernel.command(uapi.CMD_POLICY_SET, policy(fallback=fallback))
    kernel.command(uapi.CMD_WATCH_SET, watch(uapi.OP_CONNECT, uapi.PROTO_TCP))
    return kernel


@scenario
def program_ticket_decides_new_processes_without_a_decider(g):
    """No decider, fallback deny: who runs the file connects, also with other places and users; another program doesn't."""
    with without_decider() as kernel:
        kernel.add(ticket(1, program=program(), to="10.77.0.0/24", rule=7))
        for user in (None, "alice"):
            client = Client(g, user=user)
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", str(user))
            g.assert_equal(client.call("fork", "tcp", g.peer.other4, 8080), "ok", "a child")
            g.assert_equal(client.call("tcp", g.peer.address6, 8080), "EACCES", "beyond the ticket")
            client.execute()
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "after execve()")
            client.close()
        g.assert_equal(g.run("curl", "-sS", g.peer.url()).rc, 7, "curl")
        (kept,) = kernel.tickets()
        g.assert_equal((kept[uapi.A_TICKET_EXE_DEVICE], kept[uapi.A_TICKET_EXE_INODE]), program())
        g.assert_equal((kept[uapi.A_TICKET_HITS], kept[uapi.A_TICKET_RULE_ID]), (6, 7))
        g.assert_true(kept[uapi.A_TICKET_LAST_HIT] < 60000, "last hit")
        absent = (uapi.A_TICKET_TGID, uapi.A_TICKET_UID, uapi.A_TICKET_NET_NS, uapi.A_TICKET_CGROUP_ID)
        g.assert_true(not any(attribute in kept for attribute in absent), f"no process: {kept}")
        g.eventually(lambda: kernel.count("owners") == 1, what="entries of ended processes are freed")


@scenario
def program_ticket_survives_processes_and_deciders(g):
    """It stays after its process and the decider that gave it have ended; it goes by number, by rule, by flush."""
    with Decider() as decider:
        decider.control.add(*(ticket(number, program=program(), rule=number) for number in (1, 2, 3)))
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.assert_true(decider.nothing(), "no event")
        client.close()
    with Kernel() as kernel:
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "after the decider's end")
        refusal = g.assert_raises(genl.NetlinkError, lambda: kernel.remove(tgid=client.pid), "it is of no process")
        g.assert_equal(refusal.name, "ENOENT")
        kernel.remove(ticket_id=1)
        kernel.remove(rule_id=2)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "one is left")
        g.assert_equal(kernel.count("owners"), 2, "program and process")
        kernel.command(uapi.CMD_TICKET_FLUSH)
        g.assert_equal((kernel.count("tickets"), kernel.count("owners")), (0, 0))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")


@scenario
def program_ticket_is_not_for_a_copy_of_the_file(g):
    """Nor for a file that replaces it at its path; a hard link is the file."""
    with without_decider() as kernel:
        path = copied(g)
        kernel.add(ticket(1, program=program(path)))
        os.link(path, g.tmp / "link")
        g.assert_equal(Client(g, program=(path,)).call("tcp", g.peer.address4, 8080), "ok")
        g.assert_equal(Client(g, program=(str(g.tmp / "link"),)).call("tcp", g.peer.address4, 8080), "ok", "link")
        g.assert_equal(Client(g).call("tcp", g.peer.address4, 8080), "EACCES", "the file it was copied from")
        os.rename(copied(g, "newer"), path)
        g.assert_equal(Client(g, program=(path,)).call("tcp", g.peer.address4, 8080), "EACCES", "a newer file")


@scenario
def program_ticket_is_not_for_another_user_namespace(g):
    """A process that leaves the host's user namespace asks again, and so does one that starts in another."""
    with without_decider() as kernel:
        kernel.add(ticket(1, program=program()))
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")
        g.assert_equal(client.call("unshare"), "ok")
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES")
        client.execute()
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES", "executed there")


@scenario
def program_ticket_may_be_for_one_user(g):
    """With a uid it is for that effective user alone, also while a process changes its own."""
    with without_decider() as kernel:
        kernel.add(ticket(1, program=program(), uid=1000))
        (kept,) = kernel.tickets()
        g.assert_equal(kept[uapi.A_TICKET_UID], 1000)
        client = Client(g)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES", "root")
        client.call("uid", 1000)
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok")


@scenario
def change_of_program_tickets_reaches_running_processes(g):
    """A deny ticket for a program takes effect on a process that a wider ticket of its own allowed, and ends likewise."""
    with Decider() as decider:
        client, other = Client(g), Client(g)
        for number, one in ((1, client), (2, other)):
            given(g, decider, one, ticket(number))
        elsewhere = copied(g)
        for deny in (3, 4):
            decider.control.add(ticket(deny, uapi.VERDICT_DENY, program=program(), to=f"{g.peer.other4}/32"),
                                ticket(9, uapi.VERDICT_DENY, program=program(elsewhere)))
            for one in (client, other):
                g.assert_equal(one.call("tcp", g.peer.other4, 8080), "EACCES")
                g.assert_equal(one.call("tcp", g.peer.address4, 8080), "ok")
            decider.control.remove(ticket_id=9)
            decider.control.remove(ticket_id=deny)
            g.assert_equal(client.call("tcp", g.peer.other4, 8080), "ok")
        decider.control.add(ticket(5, uapi.VERDICT_DENY, program=program(), lifetime=1500))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "EACCES", "a tie")
        g.eventually(lambda: client.call("tcp", g.peer.address4, 8080) == "ok", what="the program's ticket expires")
        g.assert_true(decider.nothing(), "no event")
        g.eventually(lambda: (decider.control.count("tickets"), decider.control.count("owners")) == (2, 2),
                     what="the program's entry is freed")


@scenario
def most_specific_ticket_wins_across_process_and_program(g):
    """The narrower decides, whoever has it; on a tie deny does."""
    with Decider() as decider:
        client = Client(g)
        event = given(g, decider, client)
        address4, other4 = f"{g.peer.address4}/32", f"{g.peer.other4}/32"
        cases = (
            ("process is narrower", uapi.VERDICT_ALLOW, address4, uapi.VERDICT_DENY, "10.77.0.0/24", "ok"),
            ("program is narrower", uapi.VERDICT_ALLOW, "10.77.0.0/24", uapi.VERDICT_DENY, address4, "EACCES"),
            ("process is narrower", uapi.VERDICT_DENY, address4, uapi.VERDICT_ALLOW, "10.77.0.0/24", "EACCES"),
            ("program is narrower", uapi.VERDICT_DENY, None, uapi.VERDICT_ALLOW, address4, "ok"),
            ("tie", uapi.VERDICT_ALLOW, address4, uapi.VERDICT_DENY, address4, "EACCES"),
            ("tie", uapi.VERDICT_DENY, address4, uapi.VERDICT_ALLOW, address4, "EACCES"),
            ("tie without addresses", uapi.VERDICT_ALLOW, None, uapi.VERDICT_DENY, None, "EACCES"),
            ("only the program's covers", uapi.VERDICT_DENY, other4, uapi.VERDICT_ALLOW, None, "ok"),
            ("only the process's covers", uapi.VERDICT_ALLOW, None, uapi.VERDICT_DENY, other4, "ok"),
        )
        for what, own, own_to, theirs, theirs_to, expected in cases:
            decider.control.add(ticket(1, own, to=own_to, process=event.process),
                                ticket(2, theirs, to=theirs_to, program=program()))
            g.assert_equal(client.call("tcp", g.peer.address4, 8080), expected, f"{what}: {own_to}, {theirs_to}")
            decider.control.command(uapi.CMD_TICKET_FLUSH)
        g.assert_true(decider.nothing(), "no event")


@scenario
def program_is_what_stat_shows_on_overlayfs(g):
    """Where a file's own numbers aren't those of stat(2): the merged file's count, those below it don't."""
    parts = {name: g.tmp / name for name in ("lower", "upper", "work", "merged")}
    for part in parts.values():
        part.mkdir()
    g.run("mount", "-t", "tmpfs", "none", parts["lower"], check=True)
    g.at_end(lambda: g.run("umount", parts["lower"], check=True))
    shutil.copy(PYTHON, parts["lower"] / "python")
    options = f"lowerdir={parts['lower']},upperdir={parts['upper']},workdir={parts['work']}"
    g.run("mount", "-t", "overlay", "none", "-o", options, parts["merged"], check=True)
    g.at_end(lambda: g.run("umount", "-l", parts["merged"], check=True))
    below, merged = str(parts["lower"] / "python"), str(parts["merged"] / "python")
    g.assert_true(program(below) != program(merged), "the file has other numbers below")
    with without_decider() as kernel:
        kernel.add(ticket(1, program=program(merged)))
        g.assert_equal(Client(g, program=(merged,)).call("tcp", g.peer.address4, 8080), "ok", "merged")
        below_client = Client(g, program=(below,))
        g.assert_equal(below_client.call("tcp", g.peer.address4, 8080), "EACCES", "below")
        below_client.close()


@scenario
def process_that_changes_its_executable_changes_its_tickets(g):
    """prctl(PR_SET_MM_EXE_FILE) without execve(): what it had counts no more, what the other program has does."""
    with Decider() as decider:
        first, second = copied(g, "first", LOADER), copied(g, "second", LOADER)
        client = Client(g, program=(first, PYTHON), text=SWAPPING)
        given(g, decider, client, ticket(1))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "own ticket")
        g.assert_equal(client.call("swap", second), "ok")
        asks(g, decider, client, "tcp", g.peer.address4, 8080)
        decider.control.command(uapi.CMD_TICKET_FLUSH)
        decider.control.add(ticket(2, program=program(first)))
        asks(g, decider, client, "tcp", g.peer.address4, 8080)
        decider.control.add(ticket(3, program=program(second)))
        g.assert_equal(client.call("tcp", g.peer.address4, 8080), "ok", "the program it is now")
        g.assert_equal(client.call("swap", first), "ok")
        decider.control.remove(ticket_id=2)
        asks(g, decider, client, "tcp", g.peer.address4, 8080)


@scenario
def program_tickets_are_bounded_and_used_up(g):
    """max-tickets-per-process is for a program as well; uses are shared by all its processes; an id is taken once."""
    with without_decider() as kernel:
        kernel.command(uapi.CMD_POLICY_SET, policy(max_tickets_per_process=2))
        kernel.add(ticket(1, program=program(), uses=3), ticket(2, program=program(), to="10.9.0.0/16"))
        for number, name in ((3, "ENOSPC"), (1, "EEXIST")):
            refusal = g.assert_raises(genl.NetlinkError, lambda: kernel.add(ticket(number, program=program())))
            g.assert_equal((refusal.name, bool(refusal.message)), (name, True))
        answers = [Client(g).call("tcp", g.peer.address4, 8080) for _ in range(4)]
        g.assert_equal(answers, ["ok", "ok", "ok", "EACCES"])
        g.assert_equal(kernel.count("tickets"), 1)
        kernel.remove(ticket_id=2)
        empty(g, kernel)
