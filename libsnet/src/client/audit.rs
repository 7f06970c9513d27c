// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hearing what the kernel decides alone.
//!
//! Owns the socket that is a member of the group, and nothing else: a record that isn't read
//! in time is lost, and costs no call anything.

use super::Error;
use super::channel::Channel;
use super::connection::follow_family;
use crate::types::AuditRecord;
use crate::uapi::{FAMILY_NAME, MCGRP_AUDIT, cmd};
use crate::wire::family::{self, CONTROLLER};
use crate::wire::{Message, Messages, audit};

/// Room for records that wait to be read; the kernel counts its own overhead too.
const RECEIVE_BUFFER: usize = 1024 * 1024;

/// A listener of the kernel's multicast group `audit`. There may be any number of them; it
/// needn't be the decider's process.
pub struct Audit {
    channel: Channel,
    family: u16,
    /// Where in the datagram the next message begins.
    at: usize,
    gone: bool,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").field("family", &self.family).finish_non_exhaustive()
    }
}

/// What a message is to a listener.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and most of them are records")]
enum Notice {
    Record(Result<AuditRecord, Error>),
    /// The module is unloaded.
    Gone,
    Other,
}

impl Audit {
    /// Joins the group. Records come from now on.
    ///
    /// # Errors
    /// [`Error::NotLoaded`] without the module, [`Error::NoGroup`] when it has no such group,
    /// [`Error::Io`] with `EPERM` without `CAP_NET_ADMIN` in the initial user namespace.
    pub async fn join() -> Result<Self, Error> {
        let mut channel = Channel::open()?;
        channel.set_receive_buffer(RECEIVE_BUFFER)?;
        channel.tell_sender_of_loss()?;
        let family = follow_family(&channel).await?;
        let group = family.groups.iter().find(|(name, _)| name == MCGRP_AUDIT);
        let Some((_, group)) = group else {
            return Err(Error::NoGroup { group: MCGRP_AUDIT });
        };
        channel.join(*group)?;
        Ok(Self { channel, family: family.id, at: 0, gone: false })
    }

    /// The next record. May be cancelled: no record is lost by that. Records that found no
    /// room are no error: the next one tells how many they were.
    ///
    /// # Errors
    /// After each of these but the last the next call goes on.
    /// * [`Error::Decode`]: a record that can't be understood was passed over.
    /// * [`Error::Io`]: the socket failed.
    /// * [`Error::NotLoaded`]: the module was unloaded. There will be no more records.
    pub async fn next_record(&mut self) -> Result<AuditRecord, Error> {
        loop {
            if let Some(record) = self.next_in_datagram()? {
                return record;
            }
            if self.gone {
                return Err(Error::NotLoaded { family: FAMILY_NAME.to_owned() });
            }
            self.at = 0;
            match self.channel.receive().await {
                // Each one that was lost made the kernel count one.
                Err(Error::Overrun) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn next_in_datagram(&mut self) -> Result<Option<Result<AuditRecord, Error>>, Error> {
        let datagram = self.channel.datagram();
        let mut messages = Messages::new(datagram.get(self.at..).unwrap_or_default());
        while let Some(message) = messages.next() {
            self.at = datagram.len() - messages.unread();
            match read(&message?, self.family) {
                Notice::Record(record) => return Ok(Some(record)),
                Notice::Gone => self.gone = true,
                Notice::Other => {}
            }
        }
        Ok(None)
    }
}

fn read(message: &Message<'_>, family: u16) -> Notice {
    match message.genl() {
        Ok(genl) if message.kind == CONTROLLER && family::says_gone(genl, family) => Notice::Gone,
        Ok(genl) if message.kind == family && genl.command == cmd::AUDIT => {
            Notice::Record(audit::decode(genl.attributes).map_err(Error::from))
        }
        _ => Notice::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILY: u16 = 0x21;

    #[test]
    fn only_records_are_read_as_records() {
        let read = |kind, payload: &[u8]| {
            read(&Message { kind, flags: 0, sequence: 0, port: 0, payload }, FAMILY)
        };
        let bare = [cmd::AUDIT, 1, 0, 0];
        assert!(matches!(read(FAMILY, &bare), Notice::Record(Err(Error::Decode(_)))));
        assert!(matches!(read(FAMILY + 1, &bare), Notice::Other));
        assert!(matches!(read(FAMILY, &[cmd::EVENT, 1, 0, 0]), Notice::Other));
        assert!(matches!(read(FAMILY, &[cmd::AUDIT]), Notice::Other));
    }

    #[tokio::test]
    async fn without_the_module_nobody_can_join() {
        match Audit::join().await {
            Err(Error::NotLoaded { family }) => assert_eq!(family, FAMILY_NAME),
            other => eprintln!("skipped: snet is loaded: {other:?}"),
        }
    }

    #[test]
    fn a_listener_can_be_moved_to_a_task() {
        fn sent<T: Send>(_: T) {}
        sent(Audit::join());
        fn next(audit: &mut Audit) -> impl Future<Output = Result<AuditRecord, Error>> + Send {
            audit.next_record()
        }
        let _ = next;
    }
}
