// SPDX-License-Identifier: MIT OR Apache-2.0
//! A user with an empty home directory, whose programs run under `snet-tool run`. Nothing has to
//! be set up: that is what is tested.
//!
//! Needs a built snetd: beside snet-tool in the target directory, or named by `SNETD`. Without
//! it the tests fail: a machine that can't run them must not look like one on which they pass.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Long enough for a busy machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(400);

/// A home directory, gone with its daemon when this is dropped.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    /// Where no rule matches, calls are denied.
    pub(crate) fn denying() -> Self {
        Self::with("[fallback]\ndefault = \"deny\"\n")
    }

    pub(crate) fn with(configuration: &str) -> Self {
        let home = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir_all(home.path().join(".config/snet")).unwrap();
        home.configure(configuration);
        home
    }

    pub(crate) fn configure(&self, configuration: &str) {
        fs::write(self.path().join(".config/snet/snetd.toml"), configuration).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// snet-tool with these arguments.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snet-tool"));
        command.args(arguments).current_dir(self.path()).env("HOME", self.path());
        for name in ["XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
        command.env_remove("SNET_SOCKET").env("SNETD", snetd()).stdin(Stdio::null());
        command
    }

    /// A supervised command.
    pub(crate) fn supervised(&self, command: &[&str]) -> Command {
        let mut tool = self.tool(&["run", "--"]);
        tool.args(command);
        tool
    }

    /// Runs it to its end, which has to come.
    pub(crate) fn run(&self, command: &[&str]) -> Ran {
        let mut command = self.supervised(command);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32);
        let (done, ended) = std::sync::mpsc::channel();
        thread::spawn(move || done.send(child.wait_with_output().unwrap()));
        match ended.recv_timeout(PATIENCE) {
            Ok(output) => output.into(),
            Err(_) => {
                let _ = kill(pid, Signal::SIGKILL);
                panic!("{command:?} hangs");
            }
        }
    }

    /// A Python program, as supervised command.
    pub(crate) fn python(&self, program: &str) -> Ran {
        self.run(&["/usr/bin/python3", "-c", program])
    }

    /// snet-tool, which must succeed.
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        let ran: Ran = self.tool(arguments).output().unwrap().into();
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.out
    }

    /// The first daemon comes with the first command.
    pub(crate) fn begun(self) -> Self {
        let ran = self.run(&["true"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        self
    }

    /// The daemon's process.
    pub(crate) fn daemon(&self) -> Option<Pid> {
        let lock = self.path().join(".local/share/snet/run/snetd.sock.lock");
        fs::read_to_string(lock).ok()?.trim().parse().ok().map(Pid::from_raw)
    }

    /// Ends the daemon by a signal. The next command starts another one.
    pub(crate) fn end_daemon(&self, signal: Signal) {
        let daemon = self.daemon().unwrap();
        kill(daemon, signal).unwrap();
        eventually("the daemon's end", || {
            // Who started it may not have waited for it yet.
            let stat = fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap_or_default();
            let lives =
                stat.rsplit(") ").next().is_some_and(|left| left.starts_with(['R', 'S', 'D']));
            // Its files are open until the last of its threads is gone.
            let threads = fs::read_dir(format!("/proc/{daemon}/task")).map_or(0, Iterator::count);
            (!lives && threads <= 1).then_some(())
        });
    }

    /// Does a daemon answer?
    pub(crate) fn is_served(&self) -> bool {
        let socket = self.path().join(".local/share/snet/run/snetd.sock");
        std::os::unix::net::UnixStream::connect(socket).is_ok()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Some(daemon) = self.daemon() {
            let _ = kill(daemon, Signal::SIGKILL);
        }
    }
}

pub(crate) fn snetd() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_snet-tool")).with_file_name("snetd");
    let snetd = std::env::var_os("SNETD").map_or(beside, PathBuf::from);
    assert!(snetd.is_file(), "there is no {}: cargo build -p snetd makes it", snetd.display());
    snetd
}

/// An example of the supervisor: a program that tries something.
pub(crate) fn example(name: &str) -> String {
    let tool = Path::new(env!("CARGO_BIN_EXE_snet-tool"));
    let example = tool.with_file_name("examples").join(name);
    assert!(
        example.is_file(),
        "there is no {}: cargo build --workspace --examples makes it",
        example.display()
    );
    example.to_str().unwrap().to_owned()
}

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// A server that answers each connection on 127.0.0.1 and counts them.
pub(crate) struct Server {
    pub(crate) port: u16,
    count: std::sync::Arc<std::sync::atomic::AtomicU64>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let count = std::sync::Arc::<std::sync::atomic::AtomicU64>::default();
        let counting = count.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                counting.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                if let Ok(stream) = stream {
                    thread::spawn(move || answer(stream));
                }
            }
        });
        Self { port, count }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn connections(&self) -> u64 {
        self.count.load(std::sync::atomic::Ordering::SeqCst)
    }
}

/// HTTP as far as curl needs it, with keep-alive.
fn answer(mut stream: TcpStream) {
    use std::io::{Read, Write};
    let mut request = [0; 4096];
    while matches!(stream.read(&mut request), Ok(count) if count > 0) {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

/// Waits until something holds.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} never came");
        thread::sleep(Duration::from_millis(10));
    }
}
