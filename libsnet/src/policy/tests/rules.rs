// SPDX-License-Identifier: MIT OR Apache-2.0
//! The order of rules, and which rules are refused.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::reference::goes_first;
use super::universe::any_rule;
use super::*;
use crate::policy::RuleError;
use crate::types::PortRange;

proptest! {
    #[test]
    fn precedence_is_a_total_order(one in any_rule(), two in any_rule(), three in any_rule()) {
        prop_assert_eq!(one.precedence(&one), Ordering::Equal);
        prop_assert_eq!(one.precedence(&two), two.precedence(&one).reverse());
        if one.id != two.id {
            prop_assert_ne!(one.precedence(&two), Ordering::Equal);
            prop_assert_eq!(one.precedence(&two) == Ordering::Less, goes_first(&one, &two));
        }
        if one.precedence(&two).is_le() && two.precedence(&three).is_le() {
            prop_assert!(one.precedence(&three).is_le());
        }
    }
}

#[test]
fn the_written_form_of_a_rule_does_not_change_its_place() {
    let written =
        allow(1, "curl", Scope { remote: to("10.1.2.3/8").remote, ..scope("tcp", "out") });
    let canonical = Rule {
        id: RuleId(2),
        spec: RuleSpec { scope: written.spec.effective_scope(), ..written.spec.clone() },
    };
    let expected = Scope { remote: to("10.0.0.0/8").remote, ..scope("tcp,mptcp", "out") };
    assert_eq!(canonical.spec.scope, expected);
    assert_eq!(written.precedence(&canonical), Ordering::Less);
    assert_eq!(Rule { id: RuleId(3), ..written }.precedence(&canonical), Ordering::Greater);
}

#[test]
fn rules_that_could_never_match_are_refused() {
    let low = PortRange::new(1, 1023).unwrap();
    let remote = to("10.0.0.0/8").remote;
    let cases = [
        (Scope { remote, ..scope("tcp", "bind,listen") }, RuleError::NoRemote("remote")),
        (
            Scope { remote_ports: low, ..scope("any", "create") },
            RuleError::NoRemote("remote_ports"),
        ),
        (Scope { remote, ..scope("unix", "connect") }, RuleError::NoAddress("remote")),
        (
            Scope { local_ports: low, ..scope("unix,packet", "bind") },
            RuleError::NoAddress("local_ports"),
        ),
        (Scope { local_ports: low, ..scope("tcp", "create") }, RuleError::NoPortYet),
        (
            to("::ffff:10.0.0.0/104"),
            RuleError::MappedRemote("::ffff:10.0.0.0/104".parse().unwrap()),
        ),
    ];
    for (scope, error) in cases {
        assert_eq!(spec(Action::Deny, "curl", scope).check(), Err(error));
    }
    for scope in
        [Scope::ANY, Scope { remote, ..Scope::ANY }, Scope { remote, ..scope("tcp", "in") }]
    {
        assert_eq!(spec(Action::Deny, "curl", scope).check(), Ok(()));
    }
}

#[test]
fn a_program_path_is_plain() {
    for path in ["/", "/usr/../bin/curl", "/usr//bin/curl", "/usr/bin/curl/", "/./curl"] {
        let checked = spec(Action::Deny, path, Scope::ANY).check();
        assert_eq!(checked, Err(RuleError::NotPlainPath("program", path.into())));
    }
    assert_eq!(spec(Action::Deny, CURL, Scope::ANY).check(), Ok(()));
}

#[test]
fn a_user_and_an_end_are_some_that_there_can_be() {
    let rule = spec(Action::Deny, CURL, Scope::ANY);
    for (uid, checked) in [(0, Ok(())), (u32::MAX - 1, Ok(())), (u32::MAX, Err(RuleError::NoUser))]
    {
        assert_eq!(RuleSpec { uid: Some(uid), ..rule.clone() }.check(), checked);
    }
    let year_9999 = 253_370_764_800_000;
    for (end, checked) in [
        (0, Ok(())),
        (year_9999 - 1, Ok(())),
        (year_9999, Err(RuleError::NoDate)),
        (-1, Ok(())),
        (i64::MIN, Err(RuleError::NoDate)),
    ] {
        assert_eq!(RuleSpec { expires_at: Some(end), ..rule.clone() }.check(), checked);
    }
}
