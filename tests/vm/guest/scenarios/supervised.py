# SPDX-License-Identifier: MIT OR Apache-2.0
"""`snet-tool run` on machines that let processes look into each other more or less: Yama's scopes, and containers that
forbid seccomp. All without the module; what supervision does where it is allowed is shown by tests of snet-tool."""

import contextlib
import os
import pwd
import shutil
import signal
import tempfile
from pathlib import Path

from scenario import scenario

SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")

# Forbids seccomp() to the command behind it, as the profiles of container engines did for long.
FORBIDDING = r"""
import ctypes, os, struct, sys
LOAD, EQUAL, RETURN, SECCOMP, ALLOW, EPERM = 0x20, 0x15, 0x06, 317, 0x7fff0000, 0x50001
program = b"".join(struct.pack("=HBBI", *one) for one in (
    (LOAD, 0, 0, 0), (EQUAL, 0, 1, SECCOMP), (RETURN, 0, 0, EPERM), (RETURN, 0, 0, ALLOW)))
kept = ctypes.create_string_buffer(program)
class Filter(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Filter(4, ctypes.addressof(kept))), 0, 0) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Person:
    """A user with an empty home directory, and a snetd of its own once it needs one."""

    def __init__(self, g, name: str):
        self.g, self.name, entry = g, name, pwd.getpwnam(name)
        # Short, since a socket has to be named in it.
        self.home = Path(tempfile.mkdtemp(dir="/tmp"))
        os.chown(self.home, entry.pw_uid, entry.pw_gid)
        g.at_end(lambda: shutil.rmtree(self.home))
        g.at_end(self.end_daemon)

    def does(self, *command: str):
        return self.g.run("env", f"HOME={self.home}", *command, user=self.name)

    def end_daemon(self) -> None:
        lock = self.home / ".local/share/snet/run/snetd.sock.lock"
        if lock.exists() and lock.read_text().strip():
            pid = int(lock.read_text())
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            self.g.eventually(lambda: not Path(f"/proc/{pid}").exists(), what="snetd has ended")

    def supervises(self) -> None:
        """The main job: allowed as shipped, and refused by a rule."""
        visit = ("snet-tool", "run", "--", "curl", "-sS", self.g.peer.url())
        allowed = self.does(*visit)
        self.g.assert_equal(allowed.rc, 0, str(allowed))
        added = self.does("snet-tool", "deny", "curl", "tcp", "connect")
        self.g.assert_equal(added.rc, 0, str(added))
        refused = self.does(*visit)
        self.g.assert_equal(refused.rc, 7, str(refused))

    def is_told(self, *words: str, before: tuple[str, ...] = ()) -> None:
        """It does not begin, and says why in these words."""
        begun = self.home / "begun"
        refused = self.does(*before, "snet-tool", "run", "--", "touch", str(begun))
        self.g.assert_true(refused.rc != 0 and not begun.exists(), str(refused))
        for word in words:
            self.g.assert_in(word, refused.err)


def scoped(g, scope: int) -> None:
    before = SCOPE.read_text()
    SCOPE.write_text(str(scope))
    g.at_end(lambda: SCOPE.write_text(before))


@scenario(module=False)
def supervision_works_where_a_parent_may_look_at_its_children(g):
    """Yama's scopes 0 and 1, as an ordinary user."""
    for scope, name in ((0, "alice"), (1, "bob")):
        scoped(g, scope)
        Person(g, name).supervises()


@scenario(module=False)
def supervision_is_refused_with_its_reason_where_root_alone_may_look(g):
    """Yama's scope 2: a user is told, and the command isn't begun; root supervises."""
    scoped(g, 2)
    Person(g, "alice").is_told("kernel.yama.ptrace_scope is 2", "root")
    Person(g, "root").supervises()


@scenario(module=False, requires="scope-3")
def supervision_is_refused_with_its_reason_where_nobody_may_look(g):
    """Yama's scope 3, which holds until the machine is booted again: root is told as well."""
    SCOPE.write_text("3")
    for name in ("alice", "root"):
        Person(g, name).is_told("kernel.yama.ptrace_scope is 3")


@scenario(module=False)
def supervision_is_refused_with_its_reason_in_a_container_without_seccomp(g):
    """Where seccomp() is forbidden the command isn't begun, and what forbids it is named."""
    Person(g, "alice").is_told("seccomp", "container", before=("python3", "-ISBc", FORBIDDING))
