// SPDX-License-Identifier: MIT OR Apache-2.0
//! Does the Varlink description say what the Rust types do? Every method, type and error of
//! it is compared with a full example of its Rust counterpart, written as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::*;
use crate::policy::{Action, Program, Reach, RuleSpec};
use crate::types::{Cause, Object, Operation, Protocol, RuleId, Scope, Stats, TicketId, Verdict};

/// Fields by name, with their types as written.
type Fields = BTreeMap<String, String>;

/// `type NAME (…)`, `method NAME(…) -> (…)` and `error NAME (…)` of the description.
struct Description {
    types: BTreeMap<String, Vec<String>>,
    methods: BTreeMap<String, (Fields, Fields)>,
    errors: BTreeMap<String, Fields>,
}

fn members(text: &str) -> Vec<String> {
    let text = text.trim().strip_prefix('(').unwrap().strip_suffix(')').unwrap();
    text.split(',').map(|member| member.trim().to_owned()).filter(|m| !m.is_empty()).collect()
}

fn fields(text: &str) -> Fields {
    let pair = |member: String| {
        let (name, kind) = member.split_once(':').unwrap();
        (name.trim().to_owned(), kind.trim().to_owned())
    };
    members(text).into_iter().map(pair).collect()
}

fn description() -> Description {
    let text: Vec<&str> = DESCRIPTION.lines().filter(|line| !line.starts_with('#')).collect();
    let text = text.join("\n");
    let mut found =
        Description { types: BTreeMap::new(), methods: BTreeMap::new(), errors: BTreeMap::new() };
    for part in text.split("\n\n").map(str::trim).flat_map(|part| part.split("\nmethod ")) {
        let part = part.trim();
        if let Some(rest) = part.strip_prefix("type ") {
            let (name, body) = rest.split_once(' ').unwrap();
            found.types.insert(name.to_owned(), members(body));
        } else if let Some(rest) = part.strip_prefix("error ") {
            let (name, body) = rest.split_once(' ').unwrap();
            found.errors.insert(name.to_owned(), fields(body));
        } else if let Some(rest) = part.strip_prefix("method ") {
            let (name, rest) = rest.split_once('(').unwrap();
            let (input, output) = rest.split_once("->").unwrap();
            let both = (fields(&format!("({input}")), fields(output));
            found.methods.insert(name.to_owned(), both);
        }
    }
    found
}

impl Description {
    fn is_enum(&self, name: &str) -> bool {
        self.types.get(name).is_some_and(|members| !members.iter().any(|m| m.contains(':')))
    }

    /// Says where `value`, a full example, isn't of the described type.
    fn check(&self, at: &str, kind: &str, value: &Value) {
        let kind = kind.strip_prefix('?').unwrap_or(kind);
        if let Some(element) = kind.strip_prefix("[]") {
            let items = value.as_array().unwrap_or_else(|| panic!("{at}: {value} is no list"));
            assert!(!items.is_empty(), "{at}: the example is empty");
            items.iter().for_each(|item| self.check(at, element, item));
            return;
        }
        match kind {
            "int" => assert!(value.is_i64(), "{at}: {value} is no int"),
            "string" => assert!(value.is_string(), "{at}: {value} is no string"),
            "bool" => assert!(value.is_boolean(), "{at}: {value} is no bool"),
            name if self.is_enum(name) => {
                let word = value.as_str().unwrap_or_else(|| panic!("{at}: {value} is no word"));
                assert!(self.types[name].iter().any(|member| member == word), "{at}: {word}");
            }
            name => {
                let members =
                    self.types.get(name).unwrap_or_else(|| panic!("{at}: no type {name}"));
                let fields = fields(&format!("({})", members.join(",")));
                self.check_fields(&format!("{at} {name}"), &fields, value);
            }
        }
    }

    fn check_fields(&self, at: &str, fields: &Fields, value: &Value) {
        let object = value.as_object().unwrap_or_else(|| panic!("{at}: {value} is no object"));
        let described: BTreeSet<&String> = fields.keys().collect();
        assert_eq!(object.keys().collect::<BTreeSet<_>>(), described, "{at}");
        for (name, kind) in fields {
            self.check(&format!("{at}.{name}"), kind, &object[name]);
        }
    }
}

fn spec() -> RuleSpec {
    RuleSpec {
        action: Action::Deny,
        program: "curl".parse().unwrap(),
        uid: Some(1000),
        unit: Some("nginx.service".parse().unwrap()),
        container: Some("web".parse().unwrap()),
        command: Some("nginx: *".parse().unwrap()),
        parent: Some("/usr/sbin/nginx".parse().unwrap()),
        scope: scope(),
        host: Some("*.example.org".parse().unwrap()),
        priority: 1,
        enabled: true,
        expires_at: Some(1),
        until_restart: true,
        note: "why".into(),
    }
}

fn test_call(program: Program) -> TestCall {
    let RuleSpec { unit, container, command, parent, .. } = spec();
    let command = command.map(|pattern| pattern.to_string());
    TestCall { program, uid: 1, object: object(), unit, container, command, parent }
}

fn scope() -> Scope {
    Scope {
        operations: Operation::Connect.into(),
        protocols: Protocol::Tcp.into(),
        number: Some(6),
        remote: Some("192.0.2.0/24".parse().unwrap()),
        remote_ports: "443".parse().unwrap(),
        local_ports: "1-1023".parse().unwrap(),
    }
}

fn rule() -> RuleRecord {
    RuleRecord {
        id: RuleId(1),
        spec: spec(),
        created_by: 0,
        created_at: 1,
        hits: 1,
        last_hit: Some(1),
        resolved: Some("/usr/bin/curl".into()),
    }
}

fn object() -> Object {
    serde_json::from_value(json!({
        "operation": "connect", "protocol": "tcp", "family": 2, "kind": 1, "number": 6,
        "remote": "192.0.2.1:443", "local": "0.0.0.0:0", "flags": 1,
    }))
    .unwrap()
}

fn decision() -> Decision {
    Decision { verdict: Verdict::Deny, source: Source::Rule, rule: Some(RuleId(1)) }
}

fn entry() -> JournalEntry {
    JournalEntry {
        id: Some(1),
        time: 1,
        decision: decision(),
        tgid: 1,
        uid: 1,
        comm: "curl".into(),
        exe: Some("/usr/bin/curl".into()),
        operation: Operation::Connect,
        protocol: Protocol::Tcp,
        remote: object().remote,
        local: object().local,
        cause: Some(Cause::Ticket),
        dropped: 1,
    }
}

fn ticket() -> TicketRecord {
    serde_json::from_value(json!({
        "id": 1, "inherited": true, "tgid": 1, "start_time": 1, "exec_id": 1,
        "exe": "/usr/bin/curl", "file": "8:1 77", "uid": 1, "verdict": "deny", "scope": scope(),
        "rule": 1, "expires_in": 1, "uses": 1, "hits": 1, "last_hit": 1,
    }))
    .unwrap()
}

fn question() -> QuestionRecord {
    serde_json::from_value(json!({
        "id": 1, "rule": 1, "asked_at": 1, "expires_in": 1, "calls": 1, "over": 0, "tgid": 1,
        "uid": 1, "comm": "curl", "exe": "/usr/bin/curl", "operation": "connect",
        "protocol": "tcp", "remote": "192.0.2.1:443", "local": "0.0.0.0:0",
    }))
    .unwrap()
}

fn answer() -> Answer {
    Answer {
        id: QuestionId(1),
        verdict: Verdict::Allow,
        reach: Reach::ThisHost,
        keep: Keep::Rule,
        expires_at: Some(1),
        until_restart: true,
    }
}

fn answered() -> Reply {
    let rule = Some(Box::new(rule()));
    Reply::Answered { released: 1, ticket: Some(scope()), rule, notes: vec!["a note".into()] }
}

fn replaced() -> Reply {
    let (confirm_by, notes) = (Some(1), vec!["a note".into()]);
    Reply::Replaced { change: 1, added: 1, removed: 1, kept: 1, revoked: 1, confirm_by, notes }
}

fn proposal() -> ProposalRecord {
    serde_json::from_value(json!({
        "exe": "/usr/bin/curl", "uid": 1, "operation": "connect", "protocol": "tcp",
        "remote": "192.0.2.1:443", "local": "0.0.0.0:0", "count": 1, "first": 1, "last": 1,
    }))
    .unwrap()
}

fn history() -> HistoryRecord {
    let what = "apply".into();
    HistoryRecord { id: 1, time: 1, made_by: 0, what, rules: 1, confirm_by: Some(1) }
}

fn status() -> StatusReply {
    let stats = Stats { decider: Some(1), ..Stats::default() };
    StatusReply {
        daemon: DaemonStatus {
            version: "0".into(),
            pid: 1,
            started_at: 1,
            rules: 1,
            generation: 1,
            decided: 1,
            journal_dropped: 0,
            questions: 1,
            problem: Some("disk full".into()),
        },
        kernel: Some(KernelStatus { abi_version: 1, stats }),
        supervised: SupervisedStatus::default(),
    }
}

fn terms() -> Terms {
    let all = Operation::ALL.iter().copied();
    Terms {
        kernel: false,
        watch: all.clone().map(|operation| (operation, Protocol::Tcp.into())).collect(),
        fallbacks: all.map(|operation| (operation, Verdict::Deny)).collect(),
        deadline: 1,
        nonblock_deadline: 1,
    }
}

fn changed() -> Reply {
    Reply::Changed { changed: Box::new(rule()), revoked: 1, notes: vec!["a script".into()] }
}

/// Each method with all its parameters, and with a full reply.
fn conversations() -> Vec<(Call, Reply)> {
    let id = RuleId(1);
    let explanation = Explanation {
        decision: decision(),
        asks: true,
        ticket: Some(scope()),
        considered: vec![id],
    };
    let program = "curl".parse().unwrap();
    vec![
        (Call::Status {}, Reply::Status(Box::new(status()))),
        (Call::ListRules {}, Reply::Rules { rules: vec![rule()] }),
        (Call::ShowRule { id }, Reply::Rule { rule: Box::new(rule()) }),
        (Call::AddRule { rule: spec() }, changed()),
        (Call::DeleteRule { id }, changed()),
        (Call::EnableRule { id, enabled: true }, changed()),
        (
            Call::ReplaceRules { rules: vec![spec()], keep_others: true, confirm_within: Some(1) },
            replaced(),
        ),
        (Call::ConfirmRules {}, Reply::Confirmed { confirmed: 1 }),
        (Call::RollBackRules { change: Some(1) }, replaced()),
        (Call::ListHistory {}, Reply::History { history: vec![history()] }),
        (
            Call::Test(test_call(program)),
            Reply::Explained { explanation: Box::new(explanation), watched: true },
        ),
        (Call::ListTickets {}, Reply::Tickets { tickets: vec![ticket()] }),
        (
            Call::RevokeTickets { id: Some(TicketId(1)), tgid: Some(1) },
            Reply::Revoked { revoked: 1 },
        ),
        (
            Call::Log { limit: 1, before: Some(1), verdict: Some(Verdict::Deny) },
            Reply::Journal { entries: vec![entry()] },
        ),
        (Call::ListProposals {}, Reply::Proposals { proposals: vec![proposal()] }),
        (Call::DropProposals { proposals: vec![proposal()] }, Reply::Dropped { dropped: 1 }),
        (Call::ListQuestions {}, Reply::Questions { questions: vec![question()] }),
        (Call::AnswerQuestion(answer()), answered()),
        (Call::Supervise {}, Reply::Supervising { terms: Box::new(terms()) }),
        (Call::Watch {}, Reply::Decided { decided: Box::new(entry()), missed: 0 }),
    ]
}

fn json_of(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn every_method_takes_and_gives_what_is_described() {
    let description = description();
    let mut methods = description.methods.keys().cloned().collect::<BTreeSet<_>>();
    for (call, reply) in conversations() {
        let call = json_of(call);
        let name = call["method"].as_str().unwrap();
        let name = name.strip_prefix("io.snet.Control.").unwrap();
        let (input, output) = &description.methods[name];
        description.check_fields(&format!("{name} takes"), input, &call["parameters"]);
        description.check_fields(&format!("{name} gives"), output, &json_of(reply));
        methods.remove(name);
    }
    assert!(methods.is_empty(), "described and not offered: {methods:?}");
}

/// A variant added to `Call` without a word in the description makes this fail to be built
/// or to pass.
#[test]
fn every_call_is_described() {
    let methods = description().methods.len();
    let named = |call: &Call| match call {
        Call::Status {}
        | Call::ListRules {}
        | Call::ShowRule { .. }
        | Call::AddRule { .. }
        | Call::DeleteRule { .. }
        | Call::EnableRule { .. }
        | Call::Test(_)
        | Call::ListTickets {}
        | Call::RevokeTickets { .. }
        | Call::Log { .. }
        | Call::ReplaceRules { .. }
        | Call::ConfirmRules {}
        | Call::RollBackRules { .. }
        | Call::ListHistory {}
        | Call::ListProposals {}
        | Call::DropProposals { .. }
        | Call::ListQuestions {}
        | Call::AnswerQuestion(_)
        | Call::Watch {}
        | Call::Supervise {} => 1,
    };
    assert_eq!(conversations().iter().map(|(call, _)| named(call)).sum::<usize>(), methods);
}

/// What is described as nullable may be left out, and nothing else may.
#[test]
fn only_nullable_parameters_may_be_absent() {
    let description = description();
    let parts = [
        ("RuleSpec", json_of(spec()), refuses::<RuleSpec> as fn(&Value) -> bool),
        ("Scope", json_of(scope()), refuses::<Scope>),
        ("Object", json_of(object()), refuses::<Object>),
    ];
    for (name, full, refuses) in parts {
        for (field, kind) in fields(&format!("({})", description.types[name].join(","))) {
            let mut without = full.clone();
            without.as_object_mut().unwrap().remove(&field);
            assert_eq!(refuses(&without), !kind.starts_with('?'), "{name}.{field}");
        }
    }
    for (call, _) in conversations() {
        let full = json_of(call);
        let name = full["method"].as_str().unwrap().rsplit('.').next().unwrap().to_owned();
        for (field, kind) in &description.methods[&name].0 {
            let mut without = full.clone();
            without["parameters"].as_object_mut().unwrap().remove(field);
            assert_eq!(refuses::<Call>(&without), !kind.starts_with('?'), "{name}.{field}");
        }
    }
}

fn refuses<T: serde::de::DeserializeOwned>(value: &Value) -> bool {
    serde_json::from_value::<T>(value.clone()).is_err()
}

#[test]
fn every_error_is_described() {
    let description = description();
    let text = || "x".to_owned();
    let own = [
        ErrorReply::NotFound { kind: text(), id: 1 },
        ErrorReply::InvalidRule { reason: text() },
        ErrorReply::PermissionDenied { reason: text() },
        ErrorReply::Failed { reason: text() },
    ];
    assert_eq!(own.len(), description.errors.len());
    for error in own {
        let error = json_of(error);
        let name = error["error"].as_str().unwrap().strip_prefix("io.snet.Control.").unwrap();
        description.check_fields(name, &description.errors[name], &error["parameters"]);
    }
}

#[test]
fn every_word_of_an_enum_is_described() {
    let description = description();
    let words = |name: &str| description.types[name].clone();
    let operations: Vec<_> = Operation::ALL.iter().map(|entry| entry.word()).collect();
    assert_eq!(words("Operation"), operations);
    let protocols: Vec<_> = Protocol::ALL.iter().map(|entry| entry.word()).collect();
    assert_eq!(words("Protocol"), protocols);
    assert_eq!(words("Verdict"), ["allow", "deny"]);
    let actions = [Action::Deny, Action::Allow, Action::Ask, Action::Learn, Action::Observe];
    let actions = actions.map(|action| action.to_string());
    assert_eq!(words("Action"), actions);
}
