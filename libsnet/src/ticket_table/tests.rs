// SPDX-License-Identifier: MIT OR Apache-2.0
use proptest::prelude::*;

use super::*;
use crate::types::{Operation, Operations, Protocol, Protocols, RuleId, Scope};

const BOUNDS: Bounds = Bounds { total: 8, per_process: 4 };
const NOW: Duration = Duration::from_secs(100);

fn process(tgid: u32, exec_id: u64) -> ProcessKey {
    ProcessKey { tgid, start_time: 1, exec_id }
}

fn owner(tgid: u32, exec_id: u64) -> Owner {
    Owner {
        process: process(tgid, exec_id),
        uid: 1000,
        network: 1,
        net_ns: 1,
        user_ns: 1,
        cgroup_id: 1,
        exe: Some(Identity { device: 1, inode: 2 }),
    }
}

fn connect(remote: &str) -> Object {
    serde_json::from_value(serde_json::json!({
        "operation": "connect", "protocol": "tcp", "family": 2, "kind": 1, "number": 6,
        "remote": remote, "local": "0.0.0.0:0", "flags": 0,
    }))
    .unwrap()
}

fn ticket(id: u64, verdict: Verdict, remote: Option<&str>) -> Ticket {
    let scope = Scope {
        operations: Operations::from(Operation::Connect),
        protocols: Protocols::from(Protocol::Tcp),
        remote: remote.map(|net| net.parse().unwrap()),
        ..Scope::ANY
    };
    Ticket { rule: Some(RuleId(1)), ..Ticket::new(TicketId(id), scope, verdict) }
}

fn allow(id: u64) -> Ticket {
    ticket(id, Verdict::Allow, None)
}

fn table(tgid: u32, tickets: Vec<Ticket>) -> TicketTable {
    let mut table = TicketTable::new(BOUNDS);
    table.install(owner(tgid, 1), tickets, NOW).unwrap();
    table
}

fn verdict(table: &mut TicketTable, caller: &Owner) -> Option<Verdict> {
    table.decide(caller, &connect("192.0.2.1:443"), NOW).map(|hit| hit.verdict)
}

#[test]
fn a_ticket_counts_for_all_that_its_owner_is_and_nobody_else() {
    let mut table = table(7, vec![allow(1)]);
    let own = owner(7, 1);
    assert_eq!(verdict(&mut table, &own), Some(Verdict::Allow));
    for other in [
        Owner { process: process(8, 1), ..own },
        Owner { process: process(7, 2), ..own },
        Owner { process: ProcessKey { start_time: 2, ..own.process }, ..own },
        Owner { uid: 0, ..own },
        Owner { network: 2, ..own },
        Owner { user_ns: 2, ..own },
        Owner { cgroup_id: 2, ..own },
        Owner { exe: Some(Identity { device: 1, inode: 3 }), ..own },
        Owner { exe: None, ..own },
    ] {
        assert_eq!(verdict(&mut table, &other), None, "{other:?}");
    }
}

#[test]
fn who_has_no_executable_is_decided_by_no_ticket() {
    let mut table = TicketTable::new(BOUNDS);
    let nobody = Owner { exe: None, ..owner(7, 1) };
    table.install(nobody, vec![allow(1)], NOW).unwrap();
    assert_eq!(verdict(&mut table, &nobody), None);
}

#[test]
fn the_most_specific_ticket_decides_and_deny_wins_a_tie() {
    let narrow = ticket(2, Verdict::Deny, Some("192.0.2.0/24"));
    let mut first = table(7, vec![allow(1), narrow.clone()]);
    assert_eq!(verdict(&mut first, &owner(7, 1)), Some(Verdict::Deny));
    assert!(first.revoke(TicketId(2)));
    assert_eq!(verdict(&mut first, &owner(7, 1)), Some(Verdict::Allow));
    let tie = ticket(3, Verdict::Allow, Some("192.0.2.0/24"));
    let mut second = table(7, vec![tie, narrow]);
    assert_eq!(verdict(&mut second, &owner(7, 1)), Some(Verdict::Deny));
}

#[test]
fn an_expired_ticket_does_not_count() {
    let lifetime = Some(Duration::from_secs(5));
    let mut table = table(7, vec![Ticket { lifetime, ..allow(1) }]);
    let call = connect("192.0.2.1:443");
    let last = NOW + Duration::from_millis(4999);
    assert!(table.decide(&owner(7, 1), &call, last).is_some());
    assert_eq!(table.list(last).next().unwrap().ticket.lifetime, Some(Duration::from_millis(1)));
    let end = NOW + Duration::from_secs(5);
    assert_eq!(table.decide(&owner(7, 1), &call, end), None);
    assert_eq!(table.list(end).count(), 0);
    table.expire(end);
    assert!(table.is_empty());
}

#[test]
fn the_number_of_an_expired_ticket_is_free() {
    let lifetime = Some(Duration::from_secs(5));
    let mut table = table(7, vec![Ticket { lifetime, ..allow(1) }]);
    let again = || vec![allow(1)];
    assert_eq!(table.install(owner(8, 1), again(), NOW), Err(InstallError::DuplicateId));
    assert_eq!(table.install(owner(8, 1), again(), NOW + Duration::from_secs(5)), Ok(()));
    assert_eq!(table.len(), 1);
}

#[test]
fn a_ticket_is_used_so_often_and_then_gone() {
    let mut table = table(7, vec![Ticket { uses: Some(2), ..allow(1) }]);
    assert_eq!(verdict(&mut table, &owner(7, 1)), Some(Verdict::Allow));
    assert_eq!(verdict(&mut table, &owner(7, 1)), Some(Verdict::Allow));
    assert_eq!(verdict(&mut table, &owner(7, 1)), None);
    assert!(table.is_empty());
}

#[test]
fn an_execution_drops_the_tickets_of_the_one_before() {
    let mut table = table(7, vec![allow(1)]);
    table.executed(process(7, 2));
    assert!(table.is_empty());
    table.install(owner(7, 2), vec![allow(2)], NOW).unwrap();
    table.install(owner(7, 3), vec![allow(3)], NOW).unwrap();
    assert_eq!(table.list(NOW).map(|kept| kept.ticket.id.0).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_forked_process_gets_copies_of_what_is_to_be_inherited() {
    let mut table = table(7, vec![allow(1), Ticket { inherit: true, ..allow(2) }]);
    table.forked(process(7, 1), process(9, 1), NOW);
    table.forked(process(9, 1), process(10, 1), NOW);
    table.forked(process(7, 2), process(11, 1), NOW);
    let held: Vec<u32> = table.list(NOW).map(|kept| kept.owner.process().unwrap().tgid).collect();
    assert_eq!(held, [7, 7, 9, 10]);
    assert_eq!(verdict(&mut table, &owner(10, 1)), Some(Verdict::Allow));
    assert!(table.revoke(TicketId(2)), "with all copies");
    assert_eq!(verdict(&mut table, &owner(10, 1)), None);
    assert_eq!(table.len(), 1);
}

#[test]
fn an_ended_process_leaves_nothing() {
    let mut table = table(7, vec![allow(1), allow(2)]);
    table.ended(8);
    assert_eq!(table.len(), 2);
    table.ended(7);
    assert!(table.is_empty());
    assert!(table.by_process.is_empty());
}

#[test]
fn all_or_none_are_kept_within_the_bounds() {
    let mut table = table(7, vec![allow(1), allow(2), allow(3)]);
    let two = vec![allow(4), allow(5)];
    assert_eq!(table.install(owner(7, 1), two.clone(), NOW), Err(InstallError::NoRoom));
    assert_eq!(table.len(), 3);
    table.install(owner(8, 1), two, NOW).unwrap();
    let clash = vec![allow(6), allow(5)];
    assert_eq!(table.install(owner(9, 1), clash, NOW), Err(InstallError::DuplicateId));
    assert_eq!(table.install(owner(9, 1), vec![allow(6); 2], NOW), Err(InstallError::DuplicateId));
    assert_eq!(table.len(), 5);
    let many = (10..14).map(allow).collect();
    assert_eq!(table.install(owner(9, 1), many, NOW), Err(InstallError::NoRoom), "in all");
}

#[test]
fn expired_tickets_make_room() {
    let mut brief = allow(1);
    brief.lifetime = Some(Duration::from_secs(1));
    let mut table = table(7, vec![brief, allow(2), allow(3), allow(4)]);
    assert_eq!(table.install(owner(7, 1), vec![allow(5)], NOW), Err(InstallError::NoRoom));
    table.install(owner(7, 1), vec![allow(5)], NOW + Duration::from_secs(1)).unwrap();
}

proptest! {
    /// Whatever happens, the two indices agree, the bounds hold, and what decides is a live
    /// ticket of exactly this caller.
    #[test]
    fn the_table_stays_sound(steps in prop::collection::vec((0u8..6, 1u32..4, 1u64..3, 0u64..12), 0..60)) {
        let mut table = TicketTable::new(BOUNDS);
        let mut now = NOW;
        for (step, tgid, exec, id) in steps {
            match step {
                0 => {
                    let mut ticket = Ticket { inherit: id % 2 == 0, ..allow(id + 1) };
                    ticket.lifetime = (id % 3 == 0).then(|| Duration::from_secs(id + 1));
                    let _ = table.install(owner(tgid, exec), vec![ticket], now);
                }
                1 => table.executed(process(tgid, exec)),
                2 => table.ended(tgid),
                3 => table.forked(process(tgid, exec), process(tgid % 3 + 1, exec), now),
                4 => drop(table.revoke(TicketId(id))),
                _ => now += Duration::from_secs(1),
            }
            let indexed: usize = table.by_process.values().map(Vec::len).sum();
            prop_assert_eq!(indexed, table.entries.len());
            prop_assert!(table.len() <= BOUNDS.total);
            prop_assert!(table.by_process.values().all(|ids| ids.len() <= BOUNDS.per_process));
            let caller = owner(tgid, exec);
            if let Some(hit) = table.decide(&caller, &connect("192.0.2.1:443"), now) {
                let own = table.list(now).find(|kept| kept.ticket.id == hit.id).unwrap();
                prop_assert_eq!(own.owner.process().unwrap(), caller.process);
            }
        }
    }
}
