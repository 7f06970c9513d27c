// SPDX-License-Identifier: MIT OR Apache-2.0
//! A daemon played by a thread: records what it is asked and answers as the test says.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use assert_cmd::Command;
use libsnet::control::{
    DaemonStatus, Decision, ErrorReply, JournalEntry, KernelStatus, Reply, RuleRecord, Source,
    StatusReply, SupervisedStatus,
};
use libsnet::policy::RuleSpec;
use libsnet::types::{Operation, Protocol, RuleId, Scope, Stats, Verdict};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the daemon does when it is asked.
pub(crate) enum Act {
    /// Answers, with the last of several replies marked as the last.
    Reply(Vec<Reply>),
    /// Answers with replies that are all followed by more, and keeps the connection.
    Stream(Vec<Reply>),
    Error(ErrorReply),
    Bytes(Vec<u8>),
    Close,
    /// Never answers.
    Hang,
}

/// One reply.
pub(crate) fn reply(reply: Reply) -> Act {
    Act::Reply(vec![reply])
}

pub(crate) struct Fake {
    dir: TempDir,
    requests: Arc<Mutex<Vec<Value>>>,
}

impl Fake {
    /// A daemon that answers each call with what `answer` makes of its method and parameters.
    pub(crate) fn new(answer: impl Fn(&str, &Value) -> Act + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("socket")).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (answer, recorded) = (Arc::new(answer), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, recorded) = (answer.clone(), recorded.clone());
                thread::spawn(move || serve(stream.unwrap(), &*answer, &recorded));
            }
        });
        Self { dir, requests }
    }

    /// A daemon that must not be asked anything.
    pub(crate) fn unasked() -> Self {
        Self::new(|_, _| Act::Close)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The tool, with this daemon.
    pub(crate) fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = tool(arguments);
        command.env("SNET_SOCKET", self.socket());
        command
    }

    /// Runs the tool.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.tool(arguments).output().unwrap().into()
    }

    /// What it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests.lock().unwrap().clone()
    }

    /// The one thing that it was asked.
    pub(crate) fn request(&self) -> Value {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }
}

/// The tool in an environment that is the same everywhere, two hours east of Greenwich.
pub(crate) fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("snet-tool"));
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("TZ", "TWO-2");
    command.timeout(Duration::from_secs(60));
    command
}

fn serve(
    mut stream: UnixStream,
    answer: &dyn Fn(&str, &Value) -> Act,
    recorded: &Mutex<Vec<Value>>,
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut frame = Vec::new();
        if reader.read_until(0, &mut frame).unwrap_or(0) == 0 {
            return;
        }
        assert_eq!(frame.pop(), Some(0), "a call ends in NUL");
        let call: Value = serde_json::from_slice(&frame).unwrap();
        recorded.lock().unwrap().push(call.clone());
        let act = answer(call["method"].as_str().unwrap(), &call["parameters"]);
        // A tool that has gone away is what some tests are about.
        if act_out(act, &mut stream).is_err() {
            return;
        }
    }
}

fn act_out(act: Act, stream: &mut UnixStream) -> std::io::Result<()> {
    let mut send = |message: Value| stream.write_all(format!("{message}\0").as_bytes());
    match act {
        Act::Reply(replies) => {
            let last = replies.len() - 1;
            for (number, parameters) in replies.iter().enumerate() {
                let continues = number < last;
                send(match continues {
                    true => json!({ "parameters": parameters, "continues": true }),
                    false => json!({ "parameters": parameters }),
                })?;
            }
        }
        Act::Stream(replies) => {
            for parameters in replies {
                send(json!({ "parameters": parameters, "continues": true }))?;
            }
        }
        Act::Error(error) => send(serde_json::to_value(error).unwrap())?,
        Act::Bytes(bytes) => stream.write_all(&bytes)?,
        Act::Close => return stream.shutdown(std::net::Shutdown::Both),
        Act::Hang => {}
    }
    Ok(())
}

/// How the tool ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A rule as the daemon keeps it.
pub(crate) fn record(id: u64, spec: RuleSpec) -> RuleRecord {
    RuleRecord {
        id: RuleId(id),
        spec,
        created_by: 0,
        created_at: 0,
        hits: 0,
        last_hit: None,
        resolved: None,
    }
}

/// The rule of a call of `AddRule`, stored under a number.
pub(crate) fn added(id: u64, parameters: &Value) -> RuleRecord {
    record(id, serde_json::from_value(parameters["rule"].clone()).unwrap())
}

/// A rule for a program by name, found in /usr/bin.
pub(crate) fn rule(id: u64, action: Verdict, program: &str) -> RuleRecord {
    let scope = Scope {
        operations: "connect".parse().unwrap(),
        protocols: "tcp".parse().unwrap(),
        ..Scope::ANY
    };
    let spec = RuleSpec::new(action.into(), program.parse().unwrap(), scope);
    RuleRecord { resolved: Some(format!("/usr/bin/{program}")), ..record(id, spec) }
}

/// What `AddRule` and its like answer.
pub(crate) fn changed(record: RuleRecord, revoked: u64) -> Reply {
    Reply::Changed { changed: Box::new(record), revoked, notes: vec![] }
}

/// A daemon that stores each rule as number 3 and finds each program in /usr/bin.
pub(crate) fn storing() -> Fake {
    Fake::new(|method, parameters| {
        assert_eq!(method, "io.snet.Control.AddRule");
        let record = added(3, parameters);
        let resolved = Some(format!("/usr/bin/{}", record.spec.program));
        reply(changed(RuleRecord { resolved, ..record }, 0))
    })
}

/// A denied connect of curl, `time` milliseconds into 1970.
pub(crate) fn entry(id: Option<i64>, time: i64) -> JournalEntry {
    JournalEntry {
        id,
        time,
        decision: Decision { verdict: Verdict::Deny, source: Source::Rule, rule: Some(RuleId(3)) },
        tgid: 4711,
        uid: 1000,
        comm: "curl".into(),
        exe: Some("/usr/bin/curl".into()),
        operation: Operation::Connect,
        protocol: Protocol::Tcp,
        remote: Some("192.0.2.1:443".parse().unwrap()),
        local: None,
        cause: None,
        dropped: 0,
    }
}

/// A daemon at work.
pub(crate) fn status() -> StatusReply {
    let mut stats = Stats::default();
    stats.calls = 100;
    stats.ticket_allowed = 90;
    stats.verdict_denied = 8;
    stats.fallback_deadline = 2;
    stats.decider = Some(77);
    StatusReply {
        daemon: DaemonStatus {
            version: "0.1.0".into(),
            pid: 77,
            started_at: 0,
            rules: 4,
            generation: 9,
            decided: 8,
            journal_dropped: 0,
            questions: 0,
            problem: None,
        },
        kernel: Some(KernelStatus { abi_version: 1, stats }),
        supervised: SupervisedStatus::default(),
    }
}
