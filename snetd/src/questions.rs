// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a person may answer to a question, and what becomes of it: the decider lets the calls
//! go and gives tickets, a rule is a change of the policy like any other.

use libsnet::control::{Answer, ErrorReply, Keep, QuestionId, Reply};
use libsnet::policy::{Program, RuleSpec};
use libsnet::types::{Event, RuleId, Verdict};
use nix::unistd::geteuid;

use crate::answers::Answers;
use crate::decider::Answered;
use crate::journal::now;
use crate::policy_control::{Changed, failed};
use crate::store::Change;

impl Answers {
    /// All that are open.
    pub(crate) async fn list_questions(&self) -> Result<Reply, ErrorReply> {
        let questions = self.decider.questions().await;
        let questions = questions.map_err(|error| failed(&error, "listing questions failed"))?;
        Ok(Reply::Questions { questions })
    }

    /// Answers one, in the name of a user.
    pub(crate) async fn answer_question(
        &self,
        answer: Answer,
        by: u32,
    ) -> Result<Reply, ErrorReply> {
        let (id, tried) = (answer.id, format!("answering question {} failed", answer.id));
        check(&answer)?;
        let asked = self.decider.matter(id).await.map_err(|error| failed(&error, &tried))?;
        let (event, asking) = asked.ok_or_else(|| not_open(id))?;
        check_user(&answer, by, event.subject.uid)?;
        if answer.keep != Keep::Rule {
            let answered = self.decider.answer(answer).await;
            let answered = answered.map_err(|error| failed(&error, &tried))?;
            let Answered { released, ticket } = answered.ok_or_else(|| not_open(id))?;
            return Ok(Reply::Answered { released, ticket, rule: None, notes: Vec::new() });
        }
        let waiting = self.waiting(id).await;
        let spec = self.rule(&answer, &event, asking).await?;
        let changed =
            self.policy.change(Change::Add { spec: Box::new(spec), by, at: now() }).await?;
        let Changed { rule, mut notes, .. } = changed;
        // Where the rule decides, it has let the calls go already.
        let once = Answer { keep: Keep::Once, ..answer };
        let left = self.decider.answer(once).await.map_err(|error| failed(&error, &tried))?;
        if left.is_some_and(|left| left.released > 0) {
            let note = format!("rule {} doesn't decide all of these calls: see `test`", rule.id);
            notes.push(note);
        }
        Ok(Reply::Answered { released: waiting, ticket: None, rule: Some(Box::new(rule)), notes })
    }

    async fn waiting(&self, id: QuestionId) -> u64 {
        let questions = self.decider.questions().await.unwrap_or_default();
        let found = questions.iter().find(|question| question.id == id);
        found.map_or(0, |question| question.calls.saturating_sub(question.over))
    }

    /// The rule that an answer makes: as narrow as the one that asked, so that it goes first.
    async fn rule(
        &self,
        answer: &Answer,
        event: &Event,
        asking: Option<RuleId>,
    ) -> Result<RuleSpec, ErrorReply> {
        let tried = format!("making a rule of the answer to question {} failed", answer.id);
        let asking = match asking {
            Some(id) => self.store.rule(id).await.map_err(|error| failed(&error, &tried))?,
            None => None,
        };
        let wanted = answer.reach.scope(&event.object);
        let within = asking.as_ref().map(|rule| rule.spec.effective_scope());
        let scope = within.map_or(Some(wanted.clone()), |within| wanted.intersection(&within));
        let exe = event.subject.exe.as_ref();
        let host = self.policy.current().await.inputs().host;
        let (Some(scope), Some(exe)) = (scope, exe.filter(|_| host.is_of_host(&event.subject)))
        else {
            let reason = format!("{tried}: no rule is about this process; answer for it alone");
            return Err(ErrorReply::Failed { reason });
        };
        let made = RuleSpec {
            uid: Some(event.subject.uid),
            expires_at: answer.expires_at,
            until_restart: answer.until_restart,
            note: noted(answer.verdict, event),
            ..RuleSpec::new(answer.verdict.into(), Program::Path(exe.path.clone()), scope)
        };
        // It is about no process that the person wasn't asked about.
        let spec = match asking.map(|rule| rule.spec) {
            Some(asking) => RuleSpec {
                unit: asking.unit,
                container: asking.container,
                command: asking.command,
                parent: asking.parent,
                priority: asking.priority,
                ..made
            },
            None => made,
        };
        spec.check().map_err(|error| ErrorReply::InvalidRule { reason: error.to_string() })?;
        Ok(spec)
    }
}

fn noted(verdict: Verdict, event: &Event) -> String {
    let object = &event.object;
    let place = object.remote.or(object.local).map(|at| format!(" {at}")).unwrap_or_default();
    format!("answered {verdict} to {} {}{place}", object.protocol, object.operation)
}

fn not_open(id: QuestionId) -> ErrorReply {
    ErrorReply::NotFound { kind: "question".to_owned(), id: id.0 }
}

fn check(answer: &Answer) -> Result<(), ErrorReply> {
    let refuse =
        |parameter: &str| Err(ErrorReply::InvalidParameter { parameter: parameter.to_owned() });
    let ends = answer.expires_at.is_some() || answer.until_restart;
    match answer.keep {
        Keep::Once | Keep::UntilExit if ends => {
            refuse("expires_at, until_restart: only a rule ends; keep: rule")
        }
        _ if answer.expires_at.is_some_and(|end| end <= now()) => {
            refuse("expires_at: that is over already")
        }
        _ => Ok(()),
    }
}

/// Who may read may answer for the own programs, but make no rules.
fn check_user(answer: &Answer, by: u32, asking: u32) -> Result<(), ErrorReply> {
    let refuse = |reason: &str| Err(ErrorReply::PermissionDenied { reason: reason.to_owned() });
    match answer.keep {
        _ if by == 0 || by == geteuid().as_raw() => Ok(()),
        Keep::Rule => refuse("only root may make a rule of an answer"),
        _ if by != asking => refuse("only root may answer for the programs of others"),
        Keep::Once | Keep::UntilExit => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libsnet::policy::Reach;

    fn answer(keep: Keep) -> Answer {
        Answer {
            id: QuestionId(1),
            verdict: Verdict::Allow,
            reach: Reach::Anywhere,
            keep,
            expires_at: None,
            until_restart: false,
        }
    }

    #[test]
    fn a_user_answers_for_the_own_programs_and_makes_no_rule() {
        // The tests may run as root.
        let user = geteuid().as_raw() + 4242;
        assert_eq!(check_user(&answer(Keep::UntilExit), user, user), Ok(()));
        for (keep, asking) in [(Keep::UntilExit, 0), (Keep::Once, user + 1), (Keep::Rule, user)] {
            let refused = check_user(&answer(keep), user, asking).unwrap_err().to_string();
            assert!(refused.contains("only root"), "{refused}");
        }
        for keep in [Keep::UntilExit, Keep::Rule] {
            assert_eq!(check_user(&answer(keep), 0, user), Ok(()));
        }
    }

    #[test]
    fn only_a_rule_ends_and_not_in_the_past() {
        let ends = |keep, expires_at| Answer { expires_at: Some(expires_at), ..answer(keep) };
        assert!(check(&ends(Keep::UntilExit, i64::MAX)).is_err());
        assert!(check(&Answer { until_restart: true, ..answer(Keep::Once) }).is_err());
        assert!(check(&ends(Keep::Rule, 1)).is_err());
        assert_eq!(check(&ends(Keep::Rule, i64::MAX)), Ok(()));
        assert_eq!(check(&answer(Keep::Once)), Ok(()));
    }
}
