// SPDX-License-Identifier: MIT OR Apache-2.0
//! What was learned: kinds of calls in the journal that went on although no rule decides them.

use anyhow::{Context, Result};
use libsnet::control::ProposalRecord;
use sqlx::sqlite::SqliteRow;

use super::row::Columns;
use super::{Store, Writer};

impl Store {
    /// Kinds of calls, the first seen first, and not more than 10,000.
    pub(crate) async fn proposals(&self) -> Result<Vec<ProposalRecord>> {
        let rows = sqlx::query(
            "SELECT exe, uid, operation, protocol, remote,
                 CASE WHEN remote IS NULL THEN local END AS local,
                 count(*) AS count, min(time) AS first, max(time) AS last
             FROM journal WHERE source = 'learned' AND exe IS NOT NULL
             GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY min(id) LIMIT 10000",
        )
        .fetch_all(&self.readers)
        .await
        .with_context(|| format!("can't read the journal of {}", self.file.display()))?;
        rows.iter().map(read).collect()
    }
}

impl Writer<'_> {
    /// Takes them for calls of which no rule shall be made. Gives how many kinds there were.
    pub(crate) async fn drop_proposals(&mut self, proposals: &[ProposalRecord]) -> Result<u64> {
        let mut transaction = self.begin("PRAGMA synchronous = NORMAL").await?;
        let mut dropped = 0;
        for proposal in proposals {
            let done = sqlx::query(
                "UPDATE journal SET source = 'no-rule' WHERE source = 'learned'
                     AND exe = ? AND uid = ? AND operation = ? AND protocol = ? AND remote IS ?
                     AND (remote IS NOT NULL OR local IS ?)",
            )
            .bind(&proposal.exe)
            .bind(proposal.uid)
            .bind(proposal.operation.word())
            .bind(proposal.protocol.word())
            .bind(proposal.remote.map(|address| address.to_string()))
            .bind(proposal.local.map(|address| address.to_string()))
            .execute(&mut *transaction)
            .await
            .context("can't write to the journal")?;
            dropped += u64::from(done.rows_affected() > 0);
        }
        transaction.commit().await.context("can't write to the journal")?;
        Ok(dropped)
    }
}

fn read(row: &SqliteRow) -> Result<ProposalRecord> {
    let columns = Columns(row);
    Ok(ProposalRecord {
        exe: columns.string("exe")?,
        uid: columns.number("uid")?,
        operation: columns.word("operation")?,
        protocol: columns.word("protocol")?,
        remote: columns.parsed_or_null("remote")?,
        local: columns.parsed_or_null("local")?,
        count: columns.number("count")?,
        first: columns.number("first")?,
        last: columns.number("last")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::RuleHits;
    use super::super::tests::empty;
    use libsnet::control::JournalEntry;

    fn entry(source: &str, exe: &str, remote: Option<&str>, port: u16) -> JournalEntry {
        serde_json::from_value(serde_json::json!({
            "id": null, "time": port, "verdict": "allow", "source": source, "rule": null,
            "tgid": 7, "uid": 0, "comm": "x", "exe": exe, "operation": "connect",
            "protocol": "tcp", "remote": remote, "local": format!("0.0.0.0:{port}"),
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn kinds_of_learned_calls_are_proposed_until_they_are_dropped() {
        let (_dir, store) = empty().await;
        let entries = [
            entry("learned", "/x", Some("10.0.0.1:443"), 1),
            entry("learned", "/x", Some("10.0.0.1:443"), 2),
            entry("no-rule", "/x", Some("10.0.0.2:443"), 3),
            entry("learned", "/y", None, 80),
            entry("learned", "/y", None, 81),
        ];
        store.writer().await.append(&entries, &RuleHits::new()).await.unwrap();
        let proposals = store.proposals().await.unwrap();
        let told: Vec<_> = proposals
            .iter()
            .map(|one| (one.exe.as_str(), one.count, one.local.map(|local| local.port())))
            .collect();
        assert_eq!(told, [("/x", 2, None), ("/y", 1, Some(80)), ("/y", 1, Some(81))]);
        let dropped = store.writer().await.drop_proposals(&proposals[..2]).await.unwrap();
        assert_eq!(dropped, 2);
        assert_eq!(store.proposals().await.unwrap(), proposals[2..]);
    }
}
