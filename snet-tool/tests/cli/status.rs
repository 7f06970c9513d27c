// SPDX-License-Identifier: MIT OR Apache-2.0
//! `status`.

use libsnet::control::{Reply, StatusReply};
use serde_json::json;

use crate::fake::{Fake, reply, status};

fn answering(status: StatusReply) -> Fake {
    Fake::new(move |_, _| reply(Reply::Status(Box::new(status.clone()))))
}

#[test]
fn a_firewall_at_work_shows_its_counters() {
    let fake = answering(status());
    let ran = fake.run(&["status"]);
    let call = json!({ "method": "io.snet.Control.Status", "parameters": {} });
    assert_eq!(fake.request(), call);
    let (first, rest) = ran.out.split_once('\n').unwrap();
    assert!(first.starts_with("snetd     0.1.0, process 77, up "), "{first}");
    assert!(first.ends_with("(since 1970-01-01 02:00:00)"), "{first}");
    assert_eq!(
        rest,
        "\
rules     4, policy generation 9
decided   8
journal   0 entries lost
kernel    protocol 1, decided by this snetd
calls     100, 0 held now
tickets   0 now, of 0 processes and programs; allowed 90, denied 0
verdicts  allowed 0, denied 8; events sent 0
fallbacks 2: no verdict in time 2
killed    0 while held
refused   0 source routes
audit     0 decisions of the kernel not told: too many
"
    );
}

#[test]
fn a_missing_module_and_a_problem_are_told() {
    let mut broken = StatusReply { kernel: None, ..status() };
    broken.daemon.problem = Some("rules can't be read\x07".into());
    let ran = answering(broken).run(&["status"]);
    assert_eq!(ran.code, 6);
    assert!(ran.out.contains("problem   rules can't be read\\u{7}\n"), "{}", ran.out);
    assert!(ran.out.contains("nothing is mediated"), "{}", ran.out);
}

#[test]
fn another_decider_is_told() {
    let mut other = status();
    if let Some(kernel) = &mut other.kernel {
        kernel.stats.decider = Some(5);
    }
    let ran = answering(other).run(&["status"]);
    assert!(ran.out.contains("decided by process 5, not by this snetd"), "{}", ran.out);
}

#[test]
fn json_is_the_answer() {
    let ran = answering(status()).run(&["status", "--json"]);
    assert_eq!(serde_json::from_str::<StatusReply>(&ran.out).unwrap(), status());
    assert_eq!(ran.out.lines().count(), 1);
}
