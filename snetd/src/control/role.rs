// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who may call what.
//!
//! The mode of the socket keeps strangers out already; asking again at each call holds
//! when somebody leaves the group, or when the socket's mode was changed by hand.

use std::ffi::CString;

use libsnet::control::{Call, ErrorReply, MAX_MESSAGE, MAX_REPLY};
use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};

use crate::supervisors::Supervisors;

/// The user and the group behind a connection, told by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Effective user id.
    pub(crate) uid: u32,
    /// Effective group id.
    pub(crate) gid: u32,
    /// It runs under a supervisor of this daemon.
    pub(crate) supervised: bool,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Nothing.
    Stranger,
    /// Look.
    Reader,
    /// Everything.
    Administrator,
}

/// Which group reads.
#[derive(Debug, Clone)]
pub(crate) struct Access {
    group: Option<Gid>,
    name: String,
    /// Who supervises: those under them may look at most.
    pub(super) supervisors: Supervisors,
}

impl Access {
    /// Looks the group up; without one (an empty name, or no such group) only root may call.
    pub(crate) fn of_group(name: &str) -> Self {
        let found = if name.is_empty() { Ok(None) } else { Group::from_name(name) };
        let group = match found {
            Ok(Some(group)) => Some(group.gid),
            Ok(None) if name.is_empty() => None,
            Ok(None) => {
                tracing::info!(
                    "there is no group '{name}': only root may use the control socket \
                     (`groupadd --system {name}` and a restart change that)"
                );
                None
            }
            Err(error) => {
                tracing::warn!(
                    "looking up the group '{name}' failed ({error}): only root may use the \
                     control socket"
                );
                None
            }
        };
        Self { group, name: name.to_owned(), supervisors: Supervisors::default() }
    }

    /// With those under these supervisors told apart from others.
    pub(crate) fn knowing(self, supervisors: Supervisors) -> Self {
        Self { supervisors, ..self }
    }

    /// The group whose members may connect.
    pub(crate) fn group(&self) -> Option<Gid> {
        self.group
    }

    /// Refuses a call that the peer may not make.
    pub(crate) async fn check(&self, peer: Peer, call: &Call) -> Result<(), ErrorReply> {
        let role = self.role(peer).await;
        let refuse = |reason: String| Err(ErrorReply::PermissionDenied { reason });
        // Whose programs a reader may answer for is looked at where the question is known.
        let answering = matches!(call, Call::AnswerQuestion(_)) && !peer.supervised;
        match (role, is_reading(call) || role == Role::Reader && answering) {
            (Role::Administrator, false) if peer.supervised => {
                refuse("a supervised program may not change what it is held by".to_owned())
            }
            (Role::Administrator, _) | (Role::Reader, true) => Ok(()),
            (Role::Reader, false) => refuse("only root may change anything".to_owned()),
            (Role::Stranger, _) if self.group.is_some() => {
                refuse(format!("only root and members of the group '{}' may call", self.name))
            }
            (Role::Stranger, _) => refuse("only root may call".to_owned()),
        }
    }

    /// How long a call of this peer may be: who changes rules may change all of them at once.
    pub(super) fn longest_call(peer: Peer) -> usize {
        if is_administrator(peer) { MAX_REPLY } else { MAX_MESSAGE }
    }

    async fn role(&self, peer: Peer) -> Role {
        if is_administrator(peer) {
            return Role::Administrator;
        }
        let Some(group) = self.group else {
            return Role::Stranger;
        };
        if peer.gid == group.as_raw() {
            return Role::Reader;
        }
        // The user database may be on the network.
        match tokio::task::spawn_blocking(move || is_member(peer.uid, group)).await {
            Ok(true) => Role::Reader,
            Ok(false) | Err(_) => Role::Stranger,
        }
    }
}

/// The daemon of one user is that user's.
fn is_administrator(peer: Peer) -> bool {
    peer.uid == 0 || peer.uid == geteuid().as_raw()
}

fn is_member(uid: u32, group: Gid) -> bool {
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else {
        return false;
    };
    let Ok(name) = CString::new(user.name) else {
        return false;
    };
    getgrouplist(&name, user.gid).is_ok_and(|groups| groups.contains(&group))
}

fn is_reading(call: &Call) -> bool {
    matches!(
        call,
        Call::Status {}
            | Call::ListRules {}
            | Call::ShowRule { .. }
            | Call::ListHistory {}
            | Call::ListProposals {}
            | Call::Test(_)
            | Call::ListTickets {}
            | Call::ListQuestions {}
            | Call::Log { .. }
            | Call::Watch {}
            | Call::Supervise {}
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use libsnet::types::RuleId;

    const DELETE: Call = Call::DeleteRule { id: RuleId(1) };

    fn access(group: Option<u32>) -> Access {
        Access { group: group.map(Gid::from_raw), ..Access::of_group("") }
    }

    #[tokio::test]
    async fn root_may_do_everything() {
        let root = Peer { uid: 0, gid: 0, supervised: false };
        assert_eq!(access(None).check(root, &DELETE).await, Ok(()));
    }

    #[tokio::test]
    async fn a_supervised_program_may_only_look_whoever_runs_it() {
        let held = Peer { uid: 0, gid: 0, supervised: true };
        assert_eq!(access(None).check(held, &Call::ListRules {}).await, Ok(()));
        let error = access(None).check(held, &DELETE).await.unwrap_err().to_string();
        assert!(error.contains("supervised"), "{error}");
    }

    #[tokio::test]
    async fn members_of_the_group_may_only_look() {
        let member = Peer { uid: 4242, gid: 77, supervised: false };
        let access = access(Some(77));
        assert_eq!(access.check(member, &Call::Status {}).await, Ok(()));
        assert_eq!(access.check(member, &Call::Watch {}).await, Ok(()));
        let revoke = Call::RevokeTickets { id: None, tgid: None };
        for call in [DELETE, revoke, Call::EnableRule { id: RuleId(1), enabled: true }] {
            let error = access.check(member, &call).await.unwrap_err().to_string();
            assert!(error.contains("only root may change"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_supplementary_group_counts() {
        // Root's own groups are in every user database.
        assert!(is_member(0, Gid::from_raw(0)));
        assert!(!is_member(0, Gid::from_raw(0xfff0)));
        assert!(!is_member(4_000_000_000, Gid::from_raw(0)));
    }

    #[tokio::test]
    async fn strangers_may_do_nothing() {
        let stranger = Peer { uid: 4_000_000_000, gid: 4242, supervised: false };
        for access in [access(None), access(Some(77))] {
            assert!(access.check(stranger, &Call::Status {}).await.is_err());
        }
    }
}
