// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cuts a long list into several replies, none longer than `MAX_MESSAGE`.

use libsnet::control::{MAX_MESSAGE, Reply};
use serde::Serialize;

/// Of a part's records; leaves room for what is around them.
const BUDGET: usize = MAX_MESSAGE - 1024;

/// The replies that together say what `reply` says, at least one.
pub(super) fn split(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Rules { rules } => cut(rules, |rules| Reply::Rules { rules }),
        Reply::Tickets { tickets } => cut(tickets, |tickets| Reply::Tickets { tickets }),
        Reply::Journal { entries } => cut(entries, |entries| Reply::Journal { entries }),
        whole => vec![whole],
    }
}

fn cut<T: Serialize>(records: Vec<T>, wrap: impl Fn(Vec<T>) -> Reply) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut part = Vec::new();
    let mut size = 0;
    for record in records {
        // A record that can't be written fails again, with an answer, when it is sent.
        let length = serde_json::to_vec(&record).map_or(0, |text| text.len()) + 1;
        if size + length > BUDGET && !part.is_empty() {
            replies.push(wrap(std::mem::take(&mut part)));
            size = 0;
        }
        size += length;
        part.push(record);
    }
    replies.push(wrap(part));
    replies
}

#[cfg(test)]
mod tests {
    use super::*;
    use libsnet::control::RuleRecord;

    fn rule(id: u64) -> RuleRecord {
        serde_json::from_value(serde_json::json!({
            "id": id, "action": "allow", "program": "any", "note": "n".repeat(1000),
            "scope": { "operations": "any", "protocols": "any" },
            "created_by": 0, "created_at": 0, "hits": 0, "last_hit": null,
        }))
        .unwrap()
    }

    #[test]
    fn every_part_fits_a_message_and_nothing_is_lost() {
        let rules: Vec<_> = (0..1000).map(rule).collect();
        let parts = split(Reply::Rules { rules: rules.clone() });
        assert!(parts.len() > 4);
        let mut all = Vec::new();
        for part in parts {
            assert!(serde_json::to_vec(&part).unwrap().len() < MAX_MESSAGE);
            let Reply::Rules { rules } = part else { panic!("{part:?}") };
            all.extend(rules);
        }
        assert_eq!(all, rules);
    }

    #[test]
    fn an_empty_list_is_one_reply() {
        assert_eq!(split(Reply::Rules { rules: vec![] }), [Reply::Rules { rules: vec![] }]);
    }
}
