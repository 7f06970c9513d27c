// SPDX-License-Identifier: MIT OR Apache-2.0
//! A daemon of its own for each test, in a directory that goes with it.

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Long enough for a busy machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A directory with a configuration, in which a daemon can run.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        // So that other users get as far as the socket's own directory.
        fs::set_permissions(place.dir.path(), Permissions::from_mode(0o755)).unwrap();
        place.configure("", "");
        place
    }

    /// Writes the configuration: `top` before the tables, `control` in the table of that name
    /// and whatever follows.
    pub(crate) fn configure(&self, top: &str, control: &str) {
        let text = format!(
            "database = {:?}\nkernel = \"off\"\n{top}\n[control]\nsocket = {:?}\n{control}\n",
            self.database(),
            self.socket()
        );
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("snetd.toml")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("lib/snet.db")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("run/snetd.sock")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snetd"));
        command.arg("--config").arg(self.config()).env_remove("NOTIFY_SOCKET");
        command
    }

    /// Starts a daemon that must come up.
    pub(crate) fn start(&self) -> Daemon<'_> {
        self.start_as(self.command())
    }

    pub(crate) fn start_as(&self, mut command: Command) -> Daemon<'_> {
        let log = File::create(self.dir.path().join("log")).unwrap();
        let mut child = command.stderr(log).spawn().unwrap();
        let began = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{status}: {}", self.log());
            }
            assert!(began.elapsed() < PATIENCE, "no socket: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        let daemon = Daemon { place: self, child };
        daemon.client().ask("Status", json!({}));
        daemon
    }

    /// Runs a daemon that must refuse to start, and gives what it said.
    pub(crate) fn refusal(&self) -> String {
        let output = self.command().output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Does to the database what a person with the sqlite3 shell would.
    pub(crate) fn edit(&self, statement: &'static str) {
        use sqlx::{ConnectOptions, Connection};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.database());
            let mut connection = options.connect().await.unwrap();
            sqlx::query(statement).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    }
}

/// A running daemon; killed when it is dropped.
pub(crate) struct Daemon<'a> {
    place: &'a Place,
    child: Child,
}

impl Daemon<'_> {
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.place.socket())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as the service manager would, and gives how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "doesn't stop: {}", self.place.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks for the status until it is as wanted.
    pub(crate) fn wait_until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let status = self.client().ask("Status", json!({}))["daemon"].take();
            if wanted(&status) {
                return status;
            }
            assert!(began.elapsed() < PATIENCE, "{status}: {}", self.place.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to the control socket.
pub(crate) struct Client(pub(crate) BufReader<UnixStream>);

impl Client {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    /// The daemon may be gone.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// The next message, or nothing when the daemon closed.
    pub(crate) fn receive(&mut self) -> Option<Value> {
        let mut message = Vec::new();
        // A connection that is closed with something unread is reset.
        self.0.read_until(0, &mut message).unwrap_or_default();
        (message.pop() == Some(0)).then(|| serde_json::from_slice(&message).unwrap())
    }

    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        let method = format!("io.snet.Control.{method}");
        let call = json!({ "method": method, "parameters": parameters }).to_string();
        self.send(call.as_bytes());
        self.send(b"\0");
        self.receive().unwrap()
    }

    /// A call that must succeed.
    pub(crate) fn ask(&mut self, method: &str, parameters: Value) -> Value {
        let mut reply = self.call(method, parameters);
        assert_eq!(reply.get("error"), None, "{reply}");
        reply["parameters"].take()
    }

    /// A call that must succeed, unless the daemon is gone.
    pub(crate) fn try_ask(&mut self, method: &str, parameters: Value) -> Option<Value> {
        let method = format!("io.snet.Control.{method}");
        let call = json!({ "method": method, "parameters": parameters });
        self.try_send(format!("{call}\0").as_bytes()).ok()?;
        let mut reply = self.receive()?;
        assert_eq!(reply.get("error"), None, "{reply}");
        Some(reply["parameters"].take())
    }

    /// A call that must fail; gives the error's short name and its parameters.
    pub(crate) fn refused(&mut self, method: &str, parameters: Value) -> (String, Value) {
        let mut reply = self.call(method, parameters);
        let error = reply["error"].as_str().unwrap_or_else(|| panic!("{reply}"));
        (error.rsplit('.').next().unwrap().to_owned(), reply["parameters"].take())
    }
}
