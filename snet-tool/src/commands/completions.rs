// SPDX-License-Identifier: MIT OR Apache-2.0
//! `completions`: the completion script of a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Session;
use crate::cli::Cli;
use crate::exit::Exit;

/// For which shell.
#[derive(Args)]
#[command(after_help = "\
Example:
  snet-tool completions bash > /usr/share/bash-completion/completions/snet-tool")]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes it to stdout.
pub(crate) fn run(arguments: Arguments, session: &Session) -> anyhow::Result<Exit> {
    // clap_complete panics when it can't write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "snet-tool", &mut script);
    if arguments.shell == Shell::Bash {
        // clap_complete 4.6 makes two names of one that has a hyphen, and then finds nothing behind
        // the first word: https://github.com/clap-rs/clap/issues/6421
        let text = String::from_utf8(script)?.replace("snet__subcmd__tool", "snet__tool");
        script = text.into_bytes();
    }
    session.out.raw(&script)?;
    Ok(Exit::Success)
}
