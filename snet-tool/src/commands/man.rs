// SPDX-License-Identifier: MIT OR Apache-2.0
//! `man`: the manual, from the same definition as the command line.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_mangen::Man;

use super::Session;
use crate::cli::Cli;
use crate::exit::Exit;

/// Where to.
#[derive(Args)]
#[command(after_help = "\
Examples:
  snet-tool man | man -l -
  snet-tool man /usr/share/man/man1")]
pub(crate) struct Arguments {
    /// Write the pages of all commands into this directory [default: the main one to stdout]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Writes it.
pub(crate) fn run(arguments: Arguments, session: &Session) -> anyhow::Result<Exit> {
    match arguments.directory {
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page).context("can't make the page")?;
            session.out.raw(&page)?;
        }
        Some(directory) => {
            let shown = directory.display();
            fs::create_dir_all(&directory).with_context(|| format!("can't make {shown}"))?;
            clap_mangen::generate_to(Cli::command(), &directory)
                .with_context(|| format!("can't write the pages to {shown}"))?;
        }
    }
    Ok(Exit::Success)
}
