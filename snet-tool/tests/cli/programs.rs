// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which program a rule is for, when the user and the daemon don't find the same.

use std::fs;

use libsnet::control::{ErrorReply, Reply, RuleRecord};
use serde_json::{Value, json};

use crate::fake::{Act, Fake, added, changed, reply, storing};

#[test]
fn a_relative_path_becomes_absolute() {
    let fake = storing();
    let file = fake.dir().canonicalize().unwrap().join("prog");
    fs::write(&file, "").unwrap();
    for word in ["./prog", "../{}/./prog"] {
        let word =
            word.replace("{}", file.parent().unwrap().file_name().unwrap().to_str().unwrap());
        let output = fake.tool(&["allow", &word]).current_dir(fake.dir()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let request = fake.requests().pop().unwrap();
        assert_eq!(request["parameters"]["rule"]["program"], json!(file.to_str().unwrap()));
    }
}

#[test]
fn a_program_that_is_not_installed_is_accepted() {
    let fake = Fake::new(|_, parameters| {
        let changed = Box::new(added(3, parameters));
        reply(Reply::Changed { changed, revoked: 0, notes: vec!["it isn't installed yet".into()] })
    });
    let ran = fake.run(&["allow", "no-such-program", "tcp", "connect"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, "note: it isn't installed yet\n"));
    assert_eq!(ran.out, "rule 3: allow no-such-program tcp connect\n");
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn a_program_that_is_several_files_for_the_daemon_keeps_its_name() {
    let fake = Fake::new(|_, parameters| reply(changed(added(3, parameters), 0)));
    let ran = fake.run(&["allow", "cat"]);
    assert_eq!(ran.out, "rule 3: allow cat any any\n");
    assert_eq!(fake.requests().len(), 1);
}

/// A daemon that finds no name, and a search path of the user that finds `mine`.
fn with_own_program(
    answer: impl Fn(&str, &Value) -> Act + Send + Sync + 'static,
) -> (Fake, String) {
    let fake = Fake::new(answer);
    let bin = fake.dir().canonicalize().unwrap().join("bin");
    fs::create_dir(&bin).unwrap();
    let file = bin.join("mine");
    fs::copy("/bin/true", &file).unwrap();
    (fake, file.to_str().unwrap().to_owned())
}

#[test]
fn a_name_that_only_the_user_finds_becomes_its_path() {
    let (fake, file) = with_own_program(|method, parameters| match method {
        "io.snet.Control.AddRule" if parameters["rule"]["program"] == "mine" => {
            reply(changed(added(3, parameters), 1))
        }
        "io.snet.Control.AddRule" => {
            let record = added(4, parameters);
            let resolved = Some(record.spec.program.to_string());
            reply(changed(RuleRecord { resolved, ..record }, 1))
        }
        _ => reply(changed(crate::fake::rule(3, libsnet::types::Verdict::Allow, "mine"), 0)),
    });
    let path = format!("{}/bin", fake.dir().display());
    let output = fake.tool(&["allow", "mine", "tcp"]).env("PATH", path).output().unwrap();
    let (out, err) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(out, format!("rule 4: allow {file} tcp any\nrevoked 2 tickets\n"));
    assert!(err.contains("the rule is for") && err.contains(&file), "{err}");
    let requests = fake.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[1]["parameters"]["rule"]["program"], json!(file));
    assert_eq!(requests[2]["method"], "io.snet.Control.DeleteRule");
    assert_eq!(requests[2]["parameters"], json!({ "id": 3 }));
}

#[test]
fn a_disabled_rule_keeps_the_name_as_the_daemon_looks_none_up_for_it() {
    let (fake, _) = with_own_program(|_, parameters| reply(changed(added(3, parameters), 0)));
    let path = format!("{}/bin", fake.dir().display());
    let output = fake.tool(&["allow", "mine", "--disabled"]).env("PATH", path).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "rule 3: allow mine any any, disabled\n");
    assert_eq!(fake.requests().len(), 1);
}

#[test]
fn what_is_left_when_the_path_is_refused_is_told() {
    let (fake, _) = with_own_program(|_, parameters| {
        if parameters["rule"]["program"] == "mine" {
            reply(changed(added(3, parameters), 0))
        } else {
            Act::Error(ErrorReply::Failed { reason: "disk full".into() })
        }
    });
    let path = format!("{}/bin", fake.dir().display());
    let output = fake.tool(&["allow", "mine"]).env("PATH", path).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("made rule 3") && err.contains("disk full"), "{err}");
}

#[test]
fn another_file_of_that_name_is_pointed_out() {
    let (fake, file) = with_own_program(|_, parameters| {
        let resolved = Some("/bin/true".to_owned());
        reply(changed(RuleRecord { resolved, ..added(3, parameters) }, 0))
    });
    let path = format!("{}/bin", fake.dir().display());
    let output = fake.tool(&["allow", "mine"]).env("PATH", path).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains(&format!("mine is {file} for you")), "{err}");
}
