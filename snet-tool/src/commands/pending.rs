// SPDX-License-Identifier: MIT OR Apache-2.0
//! `pending`: what people are asked now.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;
use libsnet::control::{QuestionId, QuestionRecord};

use super::decision::call_text;
use super::{Session, user_text};
use crate::exit::Exit;
use crate::output::{Span, Style, Table, duration};

/// Between two looks for new questions.
const LOOK: Duration = Duration::from_millis(300);

/// What to show.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool pending
  snet-tool pending --follow
  snet-tool answer 3 allow --for 1h")]
pub(crate) struct Arguments {
    /// Go on, and tell of each new question
    #[arg(long, short)]
    follow: bool,
}

/// Shows them.
pub(crate) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<Exit> {
    if arguments.follow {
        return follow(session);
    }
    let questions = session.connect()?.questions()?;
    let out = &session.out;
    if out.json {
        for question in &questions {
            out.document(question)?;
        }
        return Ok(Exit::Success);
    }
    let header = &["ID", "PROGRAM", "PROCESS", "USER", "CALL", "CALLS", "RULE", "TIME LEFT"];
    out.table(&Table::new(header, questions.iter().map(row).collect()))?;
    if questions.is_empty() {
        out.note("nothing is asked");
    }
    Ok(Exit::Success)
}

fn row(question: &QuestionRecord) -> Vec<Span> {
    let calls = match question.over {
        0 => question.calls.to_string(),
        over => format!("{} ({over} over)", question.calls),
    };
    vec![
        Span::plain(question.id),
        Span::plain(question.exe.as_deref().unwrap_or("unknown program")),
        Span::plain(format!("{}[{}]", question.comm, question.tgid)),
        Span::plain(user_text(question.uid)),
        Span::plain(call(question)),
        Span::plain(calls),
        Span::optional(question.rule),
        Span::plain(duration(Duration::from_millis(question.expires_in))),
    ]
}

fn call(question: &QuestionRecord) -> String {
    call_text(question.protocol, question.operation, question.remote, question.local)
}

/// One line for each question, until nobody reads them any more.
fn follow(session: &Session) -> anyhow::Result<Exit> {
    let mut told: BTreeSet<QuestionId> = BTreeSet::new();
    let mut client = session.connect()?;
    loop {
        let questions = client.questions()?;
        for question in questions.iter().filter(|question| !told.contains(&question.id)) {
            tell(question, session)?;
        }
        told = questions.iter().map(|question| question.id).collect();
        std::thread::sleep(LOOK);
    }
}

fn tell(question: &QuestionRecord, session: &Session) -> anyhow::Result<()> {
    let out = &session.out;
    if out.json {
        return Ok(out.document(question)?);
    }
    let who = question.exe.as_deref().unwrap_or("unknown program");
    let rest = format!(
        "  {who} [{}] of {}: {}  ({} to answer)",
        question.tgid,
        user_text(question.uid),
        call(question),
        duration(Duration::from_millis(question.expires_in)),
    );
    Ok(out.line(&[
        Span::dim(out.times.moment(question.asked_at)),
        Span::new(format!("  question {}", question.id), Style::Bold),
        Span::plain(rest),
    ])?)
}
