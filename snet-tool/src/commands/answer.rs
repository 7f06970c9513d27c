// SPDX-License-Identifier: MIT OR Apache-2.0
//! `answer`: lets the calls of a question go.

use clap::{Args, ValueEnum};
use libsnet::control::{Answer, ErrorReply, Keep, QuestionId};
use libsnet::policy::Reach;
use libsnet::types::Verdict;

use super::Session;
use super::rule_text::rule_text;
use crate::client::{Answered, ClientError};
use crate::exit::Exit;
use crate::output::{Span, verdict};
use crate::words::{self, Lifetime};

/// The answer.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool answer 3 allow
  snet-tool answer 3 allow --for 1h --to this-host
  snet-tool answer 3 deny --for forever --to anywhere
  snet-tool answer 3 allow --for once")]
pub(crate) struct Arguments {
    /// Number of the question (see pending)
    id: u64,
    /// What becomes of the call
    #[arg(value_enum)]
    answer: Word,
    /// once (these calls only), until-exit of the process, or by a rule: until-restart of
    /// snetd, a time like 1h30m, forever
    #[arg(long = "for", value_name = "TIME", default_value = "until-exit", value_parser = words::lifetime)]
    lifetime: Lifetime,
    /// To which calls the answer applies as well, of the same operation and protocol
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = Where::ThisAddress)]
    to: Where,
}

#[derive(Clone, Copy, ValueEnum)]
enum Word {
    Allow,
    Deny,
}

#[derive(Clone, Copy, ValueEnum)]
enum Where {
    /// This address and port
    ThisAddress,
    /// This address, any port
    ThisHost,
    /// This port, any address
    ThisPort,
    /// Any address and port
    Anywhere,
}

impl From<Where> for Reach {
    fn from(place: Where) -> Self {
        match place {
            Where::ThisAddress => Self::ThisAddress,
            Where::ThisHost => Self::ThisHost,
            Where::ThisPort => Self::ThisPort,
            Where::Anywhere => Self::Anywhere,
        }
    }
}

/// Gives it.
pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Exit> {
    let given = match arguments.answer {
        Word::Allow => Verdict::Allow,
        Word::Deny => Verdict::Deny,
    };
    let (expires_at, until_restart) = arguments.lifetime.of_rule();
    let answer = Answer {
        id: QuestionId(arguments.id),
        verdict: given,
        reach: arguments.to.into(),
        keep: match arguments.lifetime {
            Lifetime::Once => Keep::Once,
            Lifetime::UntilExit => Keep::UntilExit,
            _ => Keep::Rule,
        },
        expires_at,
        until_restart,
    };
    let mut client = session.connect()?;
    let answered = client.answer_question(answer).map_err(|error| {
        let over = matches!(error, ClientError::Daemon(ErrorReply::NotFound { .. }));
        let why = if over { " (it was answered, or its time is over)" } else { "" };
        anyhow::Error::new(error).context(format!("can't answer question {}{why}", arguments.id))
    })?;
    tell(given, &answered, session)?;
    Ok(Exit::Success)
}

fn tell(given: Verdict, answered: &Answered, session: &Session) -> anyhow::Result<()> {
    let out = &session.out;
    if out.json {
        return Ok(out.document(answered)?);
    }
    let calls = match answered.released {
        0 => ": the calls are over; it is for the next".to_owned(),
        1 => ": 1 call".to_owned(),
        calls => format!(": {calls} calls"),
    };
    out.line(&[verdict(given), Span::plain(calls)])?;
    if let Some(scope) = &answered.ticket {
        out.line(&[Span::plain(format!("ticket until the process ends: {given} {scope}"))])?;
    }
    if let Some(rule) = &answered.rule {
        let mut line = vec![Span::plain(format!("rule {}: ", rule.id))];
        line.extend(rule_text(rule, &out.times));
        out.line(&line)?;
    }
    for note in &answered.notes {
        out.note(note);
    }
    Ok(())
}
