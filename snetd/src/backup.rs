// SPDX-License-Identifier: MIT OR Apache-2.0
//! `snetd --backup` and `snetd --restore`: the database to standard output, beside a daemon or
//! without one, and from standard input, without one. Run by snet-tool, which owns the file at the
//! other end: whoever is root gives that up before the database is looked at.

use std::io::{ErrorKind, IsTerminal, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::stat::fstat;
use nix::unistd::Uid;
use serde::Serialize;

use crate::args::Args;
use crate::config::{Config, KernelUse};
use crate::daemon::compile;
use crate::early;
use crate::names::Names;
use crate::problems::Problems;
use crate::store::{Contents, Image, Place, is_header, receive};

/// Length of the header of a database.
const HEADER: usize = 100;

/// What was done.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    database: PathBuf,
    #[serde(flatten)]
    contents: Contents,
    bytes: u64,
    /// Where the database is that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<PathBuf>,
}

/// Writes the database to standard output.
pub(crate) async fn backup(config: &Config) -> Result<Done> {
    let mut output = std::io::stdout();
    if output.is_terminal() {
        bail!("a database is nothing for a terminal: say `snet-tool backup FILE`");
    }
    let database = found(config)?;
    let image = Image::of(&database).await?;
    let written = image.write(&mut output).map_err(|error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            anyhow!("no space is left for the backup: free some, or put it elsewhere")
        }
        _ => anyhow!("can't write the backup: {error}"),
    })?;
    Ok(Done { database, contents: image.contents, bytes: written, before: None })
}

/// The file of the database, wherever a link leads.
fn found(config: &Config) -> Result<PathBuf> {
    let named = config.database.as_path();
    match named.canonicalize() {
        Ok(database) if database.is_file() => Ok(database),
        Ok(database) => bail!("{} is no database: it isn't a regular file", database.display()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is no database {}: snetd makes it when it is started", named.display())
        }
        Err(error) => Err(error).with_context(|| unreached(named)),
    }
}

fn unreached(database: &Path) -> String {
    let who = if Uid::effective().is_root() { "" } else { ": be root, or its owner" };
    format!("can't get at the database {}{who}", database.display())
}

/// Puts the database from standard input in the place of the one that is there.
pub(crate) async fn restore(args: &Args, config: &Config) -> Result<Done> {
    let database = place(args, config)?;
    let mut input = std::io::stdin().lock();
    let given = fstat(&input).context("can't look at standard input")?;
    let is_given =
        |found: std::fs::Metadata| (found.dev(), found.ino()) == (given.st_dev, given.st_ino);
    if database.metadata().is_ok_and(is_given) {
        bail!("{} is the database itself", database.display());
    }
    // Nothing but a database of snet's is ever copied to where its owner could read it.
    let mut start = Vec::new();
    Read::by_ref(&mut input).take(HEADER as u64).read_to_end(&mut start)?;
    if !is_header(&start) {
        bail!("it is no database of snet, and nothing was changed");
    }
    let Some(_alone) = Place::alone(config.database.as_path())? else {
        bail!("{}", in_use(args, config));
    };
    let nothing = || "it can't be restored, and nothing was changed";
    let new = receive(&database, &start, input).await.with_context(nothing)?;
    let (names, _observer) = Names::new(Arc::new(Problems::default()));
    let (policy, _) = compile(&new.store, config, names).await.with_context(nothing)?;
    let (contents, bytes) = (new.contents, new.bytes);
    let before = new.put(&database).await.with_context(nothing)?;
    if config.kernel != KernelUse::Off {
        // A daemon does so when it starts; it might be the machine that is started.
        early::renew(config, &policy).context(
            "the database is restored, but not the tickets for the next boot: start snetd now, \
             which writes them",
        )?;
    }
    Ok(Done { database, contents, bytes, before })
}

/// Where the database is, or will be.
fn place(args: &Args, config: &Config) -> Result<PathBuf> {
    let named = config.database.as_path();
    match named.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found.with_context(|| unreached(named)),
    }
    let Some(directory) = named.parent() else { bail!("{} names no file", named.display()) };
    if !args.user && !directory.exists() {
        // Whose it is to be, the unit of the daemon says.
        bail!("there is no {}: start snetd once, stop it, and try again", directory.display());
    }
    crate::store::prepare_directory(named)?;
    Ok(named.to_owned())
}

fn in_use(args: &Args, config: &Config) -> String {
    if args.user {
        let socket = config.control.socket.as_path().display();
        return format!(
            "this user's snetd runs: end what runs under `snet-tool run`, stop it with `kill $(cat \
             '{socket}.lock')`, and try again"
        );
    }
    "snetd runs: stop it with `systemctl stop snetd`, restore, and start it with \
     `systemctl start snetd`"
        .to_owned()
}
