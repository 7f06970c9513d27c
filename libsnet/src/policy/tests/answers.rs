// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules that ask, and what an answer may decide.

use proptest::prelude::*;
use proptest::sample::select;

use super::properties::worlds;
use super::reference::Says;
use super::universe::{calls, subjects};
use super::*;
use crate::policy::{Answered, Reach};

const ASKED: Outcome = Outcome::Ask { rule: Some(RuleId(1)) };

/// The ticket of an answer.
fn answer_ticket(subject: &Subject, verdict: Verdict, answered: &Answered) -> KeptTicket {
    let decision = Decision { verdict, source: Source::Answer, rule: None };
    kept(1, subject, &decision, answered.ticket.clone().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// An answer reaches calls that the same question would be asked about, and calls that are
    /// decided so anyway.
    #[test]
    fn an_answer_decides_nothing_that_the_policy_decides_otherwise(
        world in worlds(), subject in subjects(), calls in calls(),
        reach in select(&[Reach::ThisAddress, Reach::ThisHost, Reach::ThisPort, Reach::Anywhere][..]),
        verdict in select(&[Verdict::Allow, Verdict::Deny][..]),
    ) {
        let policy = world.compile();
        for object in &calls {
            let says = world.decide(&subject, object, Freshness::Fresh).unwrap();
            let unsure = world.decide(&subject, object, Freshness::Unsure);
            let Some(answered) = policy.answer(&subject, object, verdict, reach) else {
                // Only a file that has to be looked at first may make an answer impossible.
                prop_assert!(says.verdict().is_some() || unsure.is_none(), "{:?}", object);
                continue;
            };
            if let Says::Asks(rule) = says && unsure.is_some() {
                prop_assert_eq!(answered.rule, rule);
            }
            let Some(scope) = &answered.ticket else { continue };
            prop_assert!(scope.covers(object), "{} {:?}", scope, object);
            let kept = answer_ticket(&subject, verdict, &answered);
            for other in calls.iter().filter(|other| scope.covers(other)) {
                match world.decide(&subject, other, Freshness::Unsure) {
                    Some(Says::Asks(rule)) => prop_assert_eq!(rule, answered.rule),
                    Some(Says::Decides(decision)) => prop_assert_eq!(decision.verdict, verdict),
                    None => {}
                }
            }
            if unsure.is_some() && says == Says::Asks(answered.rule) {
                prop_assert!(policy.still_issues(&subject, &kept, Freshness::Fresh), "{:?}", kept);
            }
        }
    }
}

#[test]
fn a_rule_that_asks_goes_behind_one_that_decides() {
    let all = || scope("tcp", "connect");
    let says =
        |rules: &[Rule]| policy(rules).decide(&curl(), &connect("10.0.0.1:443"), Freshness::Fresh);
    assert_eq!(says(&[ask(1, "curl", all())]), ASKED);
    let outcome = says(&[ask(1, "curl", all()), allow(2, "curl", all())]);
    assert!(
        matches!(outcome, Outcome::Decided { decision, .. } if decision == by_rule(Verdict::Allow, 2))
    );
    assert_eq!(says(&[ask(1, CURL, all()), deny(2, "curl", all())]), ASKED, "narrower");
}

#[test]
fn an_answer_reaches_as_far_as_was_said() {
    let policy = policy(&[ask(1, "curl", scope("tcp", "any"))]);
    let reached = |reach, object| {
        let answered = policy.answer(&curl(), &object, Verdict::Allow, reach).unwrap();
        answered.ticket.unwrap().to_string()
    };
    assert_eq!(
        reached(Reach::ThisAddress, connect("10.0.0.1:443")),
        "tcp,mptcp connect to 10.0.0.1/32 port 443"
    );
    assert_eq!(
        reached(Reach::ThisHost, connect("10.0.0.1:443")),
        "tcp,mptcp connect to 10.0.0.1/32"
    );
    assert_eq!(reached(Reach::ThisPort, connect("10.0.0.1:443")), "tcp,mptcp connect port 443");
    assert_eq!(reached(Reach::Anywhere, connect("10.0.0.1:443")), "tcp,mptcp connect");
    assert_eq!(reached(Reach::ThisAddress, bind(80)), "tcp,mptcp bind local port 80");
    assert_eq!(reached(Reach::Anywhere, bind(80)), "tcp,mptcp bind");
}

#[test]
fn an_answer_stays_within_the_rule_that_asked_and_off_the_others() {
    let lan = Scope { remote: to("10.0.0.0/8").remote, ..scope("tcp", "connect") };
    let asking = ask(1, "curl", lan.clone());
    let denied = Scope { remote: to("10.77.0.0/16").remote, ..scope("tcp", "connect") };
    let policy = policy(&[asking, at_priority(1, deny(2, "curl", denied))]);
    let answered =
        |verdict| policy.answer(&curl(), &connect("10.0.0.1:443"), verdict, Reach::Anywhere);
    let allowed = answered(Verdict::Allow).unwrap().ticket.unwrap();
    assert_eq!(allowed.to_string(), "tcp,mptcp connect to 10.0.0.0/10");
    let denied = answered(Verdict::Deny).unwrap();
    assert_eq!(
        (denied.rule, denied.ticket),
        (
            Some(RuleId(1)),
            Some(lan.clone()).map(|lan| Scope { protocols: lan.protocols.as_rule(), ..lan })
        )
    );
}

#[test]
fn without_a_question_there_is_nothing_to_answer() {
    let nothing = |policy: Policy| {
        policy.answer(&curl(), &connect("10.0.0.1:443"), Verdict::Allow, Reach::Anywhere).is_none()
    };
    assert!(nothing(policy(&[])));
    assert!(nothing(policy(&[allow(1, "curl", Scope::ANY)])));
    assert!(!nothing(policy(&[]).with_unmatched(Unmatched::Ask)));
}

#[test]
fn an_answer_about_what_no_rule_is_about_goes_when_one_is_or_when_nobody_is_asked_any_more() {
    let asking = policy(&[]).with_unmatched(Unmatched::Ask);
    let answered =
        asking.answer(&curl(), &connect("10.0.0.1:443"), Verdict::Allow, Reach::Anywhere).unwrap();
    let ticket = answer_ticket(&curl(), Verdict::Allow, &answered);
    let stands = |policy: Policy| policy.still_issues(&curl(), &ticket, Freshness::Fresh);
    assert!(stands(asking));
    assert!(!stands(policy(&[])));
    let with = |rule| policy(&[rule]).with_unmatched(Unmatched::Ask);
    assert!(stands(with(allow(1, "curl", Scope::ANY))));
    assert!(stands(with(deny(1, "wget", Scope::ANY))));
    assert!(!stands(with(deny(1, "curl", to("10.0.0.0/8")))));
    assert!(!stands(with(ask(1, "curl", to("10.0.0.0/8")))));
}
