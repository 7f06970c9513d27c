// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program, and whoever started it, would notice if it were not so: exit codes, signals,
//! jobs, terminals, waiting and being interrupted.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::harness::{Home, Server, eventually};

#[test]
fn the_exit_is_that_of_the_command() {
    let home = Home::with("");
    assert_eq!(home.run(&["sh", "-c", "exit 77"]).code, Some(77));
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGSEGV] {
        let command = format!("kill -{} $$", signal as i32);
        let status = home.supervised(&["sh", "-c", &command]).status().unwrap();
        assert_eq!(status.signal(), Some(signal as i32));
    }
    let absent = home.run(&["/no/such/program"]);
    assert_eq!(absent.code, Some(127), "{absent:?}");
    assert_eq!(home.run(&["/etc/passwd"]).code, Some(126));
}

#[test]
fn nested_supervision_is_refused_with_a_reason() {
    let home = Home::with("");
    let ran = home.run(&[env!("CARGO_BIN_EXE_snet-tool"), "run", "--", "true"]);
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.err.contains("supervised already"), "{}", ran.err);
}

#[test]
fn input_and_output_are_the_commands_own() {
    let home = Home::with("");
    let script = "cat; echo to stderr >&2; ls /proc/self/fd";
    let mut cat = home
        .supervised(&["sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    cat.stdin.take().unwrap().write_all(b"through\n").unwrap();
    let output = cat.wait_with_output().unwrap();
    // It has those descriptors that it would have had otherwise.
    let mut plain = std::process::Command::new("sh");
    let plain = plain.args(["-c", script]).stdin(Stdio::null()).output().unwrap();
    let descriptors = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let mut found = descriptors(output.stdout);
    assert!(found.remove("through"));
    assert_eq!(found, descriptors(plain.stdout));
    assert_eq!(output.stderr, b"to stderr\n");
}

/// Whoever reads a pipe to its end waits for nobody but those who write to it.
#[test]
fn the_supervisor_keeps_no_pipe_open() {
    let home = Home::with("");
    let began = Instant::now();
    let ran = home.run(&["sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!"]);
    assert!(began.elapsed() < Duration::from_secs(60));
    let left: i32 = ran.out.trim().parse().unwrap();
    kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
}

#[test]
fn what_a_command_leaves_behind_stays_supervised() {
    let (home, server) = (Home::denying().begun(), Server::start());
    let visit = format!("sleep 0.5; curl -sS {} 2>err; echo $? >code", server.url());
    assert_eq!(home.run(&["sh", "-c", &format!("({visit}) >/dev/null 2>&1 &")]).code, Some(0));
    let code = eventually("the exit code", || {
        std::fs::read_to_string(home.path().join("code")).ok().filter(|code| !code.is_empty())
    });
    assert_eq!(code, "7\n");
    assert_eq!(server.connections(), 0);
}

#[test]
fn signals_reach_the_command() {
    let home = Home::with("");
    let trap = "trap 'echo got it; exit 9' TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = home.supervised(&["sh", "-c", trap]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = command.stdout.take().unwrap();
    let mut ready = [0; 6];
    out.read_exact(&mut ready).unwrap();
    kill(Pid::from_raw(command.id() as i32), Signal::SIGTERM).unwrap();
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    assert_eq!((said.as_str(), command.wait().unwrap().code()), ("got it\n", Some(9)));
}

#[test]
fn a_stopped_command_is_a_stopped_job() {
    let home = Home::with("");
    let script = "kill -STOP $$; exit 5";
    #[allow(clippy::zombie_processes)] // Waited for by its number.
    let command = home.supervised(&["sh", "-c", script]).spawn().unwrap();
    let pid = Pid::from_raw(command.id() as i32);
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(stopped, WaitStatus::Stopped(pid, Signal::SIGSTOP));
    kill(pid, Signal::SIGCONT).unwrap();
    assert_eq!(waitpid(pid, None).unwrap(), WaitStatus::Exited(pid, 5));
}

#[test]
fn a_terminal_is_still_one() {
    let home = Home::with("");
    let tool = env!("CARGO_BIN_EXE_snet-tool");
    let ask = format!("{tool} run -- sh -c 'tty -s && ps -o stat= -p $$'");
    let mut command = home.tool(&[]);
    let snetd =
        command.get_envs().find(|(name, _)| *name == "SNETD").unwrap().1.unwrap().to_owned();
    command = std::process::Command::new("script");
    let ran = command
        .args(["-qec", &ask, "/dev/null"])
        .env("HOME", home.path())
        .env("SNETD", snetd)
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // In the foreground of its terminal.
    let out = String::from_utf8(ran.stdout).unwrap();
    assert!(ran.status.success() && out.contains('+'), "{out}");
}

/// A listener whose queue is full: who connects waits.
const FULL: &str = "
import os, signal, socket, sys, time
full = socket.socket()
full.bind(('127.0.0.1', 0))
full.listen(0)
held = [socket.socket() for _ in range(2)]
for one in held:
    one.setblocking(False)
    one.connect_ex(full.getsockname())
time.sleep(0.2)
waiting = socket.socket()
";

#[test]
fn a_call_that_waits_is_interrupted_by_a_signal() {
    let home = Home::with("");
    let program = format!(
        "{FULL}
def stop(*_):
    raise InterruptedError('by the handler')
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.3)
before = time.monotonic()
try:
    waiting.connect(full.getsockname())
except InterruptedError as error:
    print(error, 0.25 < time.monotonic() - before < 20)
"
    );
    let ran = home.python(&program);
    assert_eq!(ran.out, "by the handler True\n", "{ran:?}");
}

#[test]
fn a_call_that_was_interrupted_goes_on_behind_the_handler() {
    let home = Home::with("");
    let program = format!(
        "{FULL}
caught = []
signal.signal(signal.SIGALRM, lambda *_: caught.append(1))
signal.siginterrupt(signal.SIGALRM, False)
if os.fork() == 0:
    time.sleep(1)
    full.accept()
    full.accept()
    os._exit(0)
signal.setitimer(signal.ITIMER_REAL, 0.3)
waiting.connect(full.getsockname())
print(len(caught), waiting.getpeername() == full.getsockname())
"
    );
    let ran = home.python(&program);
    assert_eq!(ran.out, "1 True\n", "{ran:?}");
}

#[test]
fn a_call_that_waits_can_be_killed() {
    let home = Home::with("");
    let program =
        format!("{FULL}\nprint('ready', flush=True)\nwaiting.connect(full.getsockname())");
    let mut command = home
        .supervised(&["/usr/bin/python3", "-c", &program])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    command.stdout.take().unwrap().read_exact(&mut [0; 6]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    kill(Pid::from_raw(command.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(command.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
}

#[test]
fn timeouts_and_non_blocking_sockets_are_as_they_were() {
    let home = Home::with("");
    let program = format!(
        "{FULL}
import struct
waiting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('ll', 0, 300000))
before = time.monotonic()
print(waiting.connect_ex(full.getsockname()), 0.25 < time.monotonic() - before < 20)
ready = socket.socket()
ready.setblocking(False)
print(ready.connect_ex(full.getsockname()), ready.connect_ex(full.getsockname()))
print(socket.socket().connect_ex(('127.0.0.1', 1)))
"
    );
    let ran = home.python(&program);
    use nix::errno::Errno::{EALREADY, ECONNREFUSED, EINPROGRESS};
    let (progress, already, refused) = (EINPROGRESS as i32, EALREADY as i32, ECONNREFUSED as i32);
    assert_eq!(ran.out, format!("{progress} True\n{progress} {already}\n{refused}\n"), "{ran:?}");
}

#[test]
fn a_broken_pipe_is_the_senders() {
    let home = Home::with("");
    let program = "
import signal, socket, threading
signal.signal(signal.SIGPIPE, lambda *_: print('signal'))
threading.Thread(target=threading.Event().wait, daemon=True).start()
one, other = socket.socketpair()
other.close()
try:
    one.sendmsg([b'x'])
except BrokenPipeError:
    print('error')
try:
    one.sendmsg([b'x'], [], socket.MSG_NOSIGNAL)
except BrokenPipeError:
    print('error alone')
";
    let ran = home.python(program);
    assert_eq!(ran.out, "signal\nerror\nerror alone\n", "{ran:?}");
}

#[test]
fn threads_pass_descriptors_and_find_unix_sockets() {
    let home = Home::with("");
    let program = "
import os, socket, threading
def work():
    one, other = socket.socketpair()
    socket.send_fds(one, [b'fd'], [os.open('/etc/hostname', os.O_RDONLY)])
    _, fds, _, _ = socket.recv_fds(other, 16, 4)
    print(os.readlink('/proc/self/fd/%d' % fds[0]))
    server = socket.socket(socket.AF_UNIX)
    os.umask(0o077)
    server.bind('here.sock')
    print(oct(os.stat('here.sock').st_mode & 0o777))
    server.listen()
    client = socket.socket(socket.AF_UNIX)
    client.connect('here.sock')
    client.sendall(b'hello')
    print(server.accept()[0].recv(5))
    try:
        socket.socket(socket.AF_UNIX).connect('nowhere.sock')
    except FileNotFoundError:
        print('not found')
thread = threading.Thread(target=work)
thread.start()
thread.join()
";
    let ran = home.python(program);
    assert_eq!(ran.out, "/etc/hostname\n0o700\nb'hello'\nnot found\n", "{ran:?}");
}
