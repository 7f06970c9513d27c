// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a client sends to the control socket. A call that is understood is written as the same
//! call, and a rule that would be stored is exported as the same rule.
#![no_main]

use libfuzzer_sys::fuzz_target;
use libsnet::control::{Call, ErrorReply};
use libsnet::policy::RuleSpec;
use snetd::fuzzing::{Meant, call, messages};

fuzz_target!(|sent: &[u8]| {
    let (messages, whole) = messages(sent).expect("an event loop");
    let mut parts: Vec<&[u8]> = sent.split(|byte| *byte == 0).collect();
    let rest = parts.pop().unwrap_or_default();
    assert_eq!(messages, parts);
    assert_eq!(whole, rest.is_empty());
    for message in &messages {
        understand(message);
    }
});

fn understand(message: &[u8]) {
    match call(message) {
        Meant::Nothing | Meant::Service => {}
        Meant::Wrong(error) => {
            let text = serde_json::to_vec(&error).expect("JSON");
            assert_eq!(serde_json::from_slice::<ErrorReply>(&text).expect("an error"), error);
        }
        Meant::Call(meant) => {
            let text = serde_json::to_vec(&meant).expect("JSON");
            match &*meant {
                Call::AddRule { rule } => export(std::slice::from_ref(rule)),
                Call::ReplaceRules { rules, .. } => export(rules),
                _ => {}
            }
            assert_eq!(call(&text), Meant::Call(meant));
        }
    }
}

fn export(rules: &[RuleSpec]) {
    if rules.iter().any(|rule| rule.check().is_err()) {
        return;
    }
    let file = snet_tool::fuzzing::write_rules(rules).expect("a file");
    let back = snet_tool::fuzzing::read_rules(&file);
    assert_eq!(back.as_deref(), Ok(rules), "{file}");
}
