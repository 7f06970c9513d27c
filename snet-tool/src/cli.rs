// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line: what stands before and behind the commands, and who runs each.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use libsnet::policy::Action;

use crate::commands::{
    Session, add_rule, answer, backup, completions, doctor, log, man, open, pending, replay, rules,
    run, status, test, tickets, watch,
};
use crate::exit::{self, Exit};
use crate::output::{Color, Output};

/// Rules, tickets and the journal of the snet application firewall
#[derive(Parser)]
#[command(
    name = "snet-tool",
    version,
    after_help = exit::HELP,
    max_term_width = 100,
    long_about = "Rules, tickets and the journal of the snet application firewall.\n\n\
        A rule says which program may do which network operation: \
        `snet-tool allow firefox tcp connect`.\n\
        Calls that no rule matches get the fallback that snetd is configured with."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Command,
}

/// Options of all commands.
#[derive(Args)]
struct Options {
    /// Answer in JSON: one document per line, with the field names of io.snet.Control
    #[arg(long, global = true, help_heading = "Global options")]
    json: bool,
    /// Times in UTC instead of local time
    #[arg(long, global = true, help_heading = "Global options")]
    utc: bool,
    /// Colours in the output
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        help_heading = "Global options"
    )]
    color: Color,
    /// The control socket of snetd [default: /run/snet/snetd.sock, or else this user's own]
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "SNET_SOCKET",
        help_heading = "Global options"
    )]
    socket: Option<PathBuf>,
    /// How long to wait for an answer
    #[arg(
        long, global = true, value_name = "SECONDS", default_value = "10",
        value_parser = seconds, help_heading = "Global options"
    )]
    timeout: Duration,
}

#[derive(Subcommand)]
enum Command {
    /// Let a program do something
    Allow(add_rule::Arguments),
    /// Forbid a program something
    Deny(add_rule::Arguments),
    /// Have a person asked when a program does something
    Ask(add_rule::Arguments),
    /// Let a program do what no rule decides, and record it, to make rules of
    Learn(add_rule::Arguments),
    /// Let a program do everything, and record what would have happened
    Observe(add_rule::Arguments),
    /// Deny nothing for a while, and log what would have been denied
    Open(open::Arguments),
    /// What people are asked now
    Pending(pending::Arguments),
    /// Answer a question
    Answer(answer::Arguments),
    /// List, show, delete, enable and disable rules
    Rules(rules::Arguments),
    /// Which rule would decide a call, and why?
    Test(test::Arguments),
    /// List and revoke tickets: verdicts that the kernel remembers
    Tickets(tickets::Arguments),
    /// Decisions of the past, from the journal
    Log(log::Arguments),
    /// Which decisions of the past would other rules change?
    Replay(replay::Arguments),
    /// Decisions as they are made
    Watch(watch::Arguments),
    /// Write rules, history and journal to a file
    Backup(backup::BackupArguments),
    /// Put such a file in the place of the database
    Restore(backup::RestoreArguments),
    /// Run a program under the firewall, without the kernel module
    Run(run::Arguments),
    /// Is the firewall at work?
    Status(status::Arguments),
    /// What keeps it from working, and what to do about it
    Doctor(doctor::Arguments),
    /// Write the completions of a shell to stdout
    Completions(completions::Arguments),
    /// Write the man pages
    Man(man::Arguments),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let Options { json, utc, color, socket, timeout } = self.options;
        let session = Session { out: Output::new(json, utc, color), socket, timeout };
        match self.command {
            Command::Allow(arguments) => add_rule::run(Action::Allow, arguments, &session),
            Command::Deny(arguments) => add_rule::run(Action::Deny, arguments, &session),
            Command::Ask(arguments) => add_rule::run(Action::Ask, arguments, &session),
            Command::Learn(arguments) => add_rule::run(Action::Learn, arguments, &session),
            Command::Observe(arguments) => add_rule::run(Action::Observe, arguments, &session),
            Command::Open(arguments) => open::run(&arguments, &session),
            Command::Pending(arguments) => pending::run(&arguments, &session),
            Command::Answer(arguments) => answer::run(&arguments, &session),
            Command::Rules(arguments) => rules::run(arguments, &session),
            Command::Test(arguments) => test::run(arguments, &session),
            Command::Tickets(arguments) => tickets::run(arguments, &session),
            Command::Log(arguments) => log::run(arguments, &session),
            Command::Replay(arguments) => replay::run(&arguments, &session),
            Command::Watch(arguments) => watch::run(arguments, &session),
            Command::Backup(arguments) => backup::backup(&arguments, &session),
            Command::Restore(arguments) => backup::restore(&arguments, &session),
            Command::Run(arguments) => run::run(arguments, &session),
            Command::Status(arguments) => status::run(arguments, &session),
            Command::Doctor(arguments) => doctor::run(&arguments, &session),
            Command::Completions(arguments) => completions::run(arguments, &session),
            Command::Man(arguments) => man::run(arguments, &session),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        // Nothing can be answered in no time, and a day is as good as forever.
        Ok(timeout) if (0.001..=86400.0).contains(&seconds) => Ok(timeout),
        _ => Err("expected a number of seconds from 0.001 to 86400".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("snet-tool"), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn the_timeout_is_a_number_of_seconds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "x", "nan", "1e9"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
