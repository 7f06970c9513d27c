// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules that learn and observe, which apply wherever they stand.

use super::*;

fn with(action: Action, id: u64, program: &str, scope: Scope) -> Rule {
    Rule { id: RuleId(id), spec: spec(action, program, scope) }
}

fn decision(rules: &[Rule]) -> Decision {
    settle(&policy(rules), &curl(), &connect("10.0.0.1:443")).0
}

fn goes_on(source: Source, rule: Option<u64>) -> Decision {
    Decision { verdict: Verdict::Allow, source, rule: rule.map(RuleId) }
}

#[test]
fn what_is_observed_goes_on_and_what_would_have_happened_is_told() {
    let observe = with(Action::Observe, 9, "any", Scope::ANY);
    let narrower = deny(1, CURL, to("10.0.0.0/8"));
    let first = at_priority(5, ask(1, "curl", Scope::ANY));
    assert_eq!(decision(&[narrower, observe.clone()]), goes_on(Source::WouldDeny, Some(1)));
    assert_eq!(decision(&[first, observe.clone()]), goes_on(Source::WouldAsk, Some(1)));
    let allowed = allow(1, "curl", Scope::ANY);
    assert_eq!(decision(&[allowed, observe.clone()]), by_rule(Verdict::Allow, 1));
    assert_eq!(decision(std::slice::from_ref(&observe)), by_fallback(Verdict::Allow));
    let fallbacks = [(Operation::Connect, Verdict::Deny)].into();
    let policy = Policy::compile(vec![observe], &table(), HOST, fallbacks);
    let (decision, ticket) = settle(&policy, &curl(), &connect("10.0.0.1:443"));
    assert_eq!((decision, ticket), (goes_on(Source::WouldDeny, None), None));
}

#[test]
fn what_is_learned_is_what_no_rule_decides() {
    let learn = with(Action::Learn, 9, "curl", scope("tcp", "connect"));
    assert_eq!(decision(std::slice::from_ref(&learn)), goes_on(Source::Learned, None));
    let denied = deny(1, "any", to("10.0.0.0/8"));
    assert_eq!(decision(&[learn.clone(), denied]), by_rule(Verdict::Deny, 1));
    let asking = policy(&[learn]).with_unmatched(Unmatched::Ask);
    assert_eq!(settle(&asking, &curl(), &connect("10.0.0.1:443")).0.source, Source::Learned);
    let other =
        asking.decide(&subject("/usr/bin/wget", 12), &connect("10.0.0.1:443"), Freshness::Fresh);
    assert_eq!(other, Outcome::Ask { rule: None });
}

#[test]
fn no_ticket_denies_what_is_observed() {
    let denied = deny(1, "curl", scope("tcp", "connect"));
    let observe = with(Action::Observe, 2, "any", to("10.0.0.0/8"));
    let policy = policy(&[denied.clone(), observe]);
    let (decision, ticket) = settle(&policy, &curl(), &connect("192.0.2.1:443"));
    let ticket = ticket.unwrap();
    assert!(!ticket.covers(&connect("10.0.0.1:443")) && ticket.covers(&connect("192.0.2.1:443")));
    let whole = kept(1, &curl(), &decision, denied.spec.effective_scope());
    assert!(!policy.still_issues(&curl(), &whole, Freshness::Fresh), "from before it was observed");
}

#[test]
fn a_mode_for_a_program_that_was_replaced_is_looked_at_first() {
    let learn = with(Action::Learn, 1, "curl", Scope::ANY);
    let outcome =
        policy(&[learn]).decide(&subject(CURL, 99), &connect("10.0.0.1:443"), Freshness::Unsure);
    assert_eq!(outcome, Outcome::Stale);
}
