//! The `changes` table: how one process tells the others that a row changed (SPEC §13).
//!
//! A row is written in the transaction that makes the change and read by everyone within 500 ms. The ids come from a
//! sequence, which hands out 7 and 8 in this order but lets 8 commit first. A reader that only asks for "more than the
//! highest I saw" would miss 7 for ever, so [`Tail`] remembers which ids it has skipped and asks for exactly those
//! again, until they appear or [`GIVE_UP`] has passed (their transactions were rolled back). That is exact, reads
//! nothing twice, and unlike a snapshot horizon is not held up by some unrelated long transaction.
//!
//! What is deliberately absent: a guarantee for transactions that stay open longer than [`GIVE_UP`]. Ours hold two
//! statements; and whoever caches refreshes from the source each minute anyway.

use std::collections::BTreeMap;

use sqlx::{PgConnection, PgPool};
use time::{Duration, OffsetDateTime};

/// A skipped id is asked for this long. No transaction that writes here waits for anything outside the database.
pub(crate) const GIVE_UP: Duration = Duration::seconds(60);
/// At most this many skipped ids are remembered: a jump of the sequence after a crash (32 ids) fits many times.
const MAX_SKIPPED: i64 = 1_000;
/// How far behind the newest id a starting process begins, for changes that are in flight at that moment.
const START_BEHIND: i64 = 100;
/// Rows of one read; more wait for the next one, half a second later.
const MAX_ROWS: i64 = 10_000;
/// Rows are kept far longer than any process may go on believing its cache (5 min).
const KEPT: Duration = Duration::days(1);

/// The topic of API keys; the subject is the public id.
pub(crate) const API_KEY: &str = "api_key";
/// The topic of wallets' sessions; the subject is the session's id, and the change is always its end.
pub(crate) const SESSION: &str = "session";

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    id: i64,
    pub(crate) topic: String,
    pub(crate) subject: String,
}

/// Announces a change, in the transaction that makes it.
pub(crate) async fn announce(
    db: &mut PgConnection,
    topic: &str,
    subject: &str,
    at: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!("insert into changes (topic, subject, at) values ($1, $2, $3)", topic, subject, at)
        .execute(db)
        .await?;
    Ok(())
}

/// Drops rows that everyone has read long ago.
pub(crate) async fn prune(db: &PgPool, now: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from changes where at < $1", now - KEPT).execute(db).await?;
    Ok(())
}

/// Where a reader stands.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// The highest id read; `None` before the first read.
    highest: Option<i64>,
    /// Ids below it that were not visible yet, and since when.
    skipped: BTreeMap<i64, OffsetDateTime>,
}

impl Tail {
    /// Rows that have become visible since the last [`Tail::advance`]. Reading alone moves nothing, so that a failure
    /// while the rows are being applied reads them again.
    pub(crate) async fn read(&self, db: &PgPool) -> Result<Vec<Change>, sqlx::Error> {
        let skipped: Vec<i64> = self.skipped.keys().copied().collect();
        sqlx::query_as!(
            Change,
            "select id, topic, subject from changes
             where id > coalesce($1, (select coalesce(max(id), 0) from changes) - $2) or id = any($3)
             order by id limit $4",
            self.highest,
            START_BEHIND,
            &skipped,
            MAX_ROWS
        )
        .fetch_all(db)
        .await
    }

    /// Takes note that `rows` have been applied.
    pub(crate) fn advance(&mut self, rows: &[Change], now: OffsetDateTime) {
        for row in rows {
            self.skipped.remove(&row.id);
            let Some(highest) = self.highest else {
                self.highest = Some(row.id);
                continue;
            };
            for id in (highest + 1).max(row.id - MAX_SKIPPED)..row.id {
                self.skipped.insert(id, now);
            }
            self.highest = Some(highest.max(row.id));
        }
        self.highest.get_or_insert(0);
        self.skipped.retain(|_, since| now - *since < GIVE_UP);
        while self.skipped.len() > usize::try_from(MAX_SKIPPED).expect("a small number") {
            self.skipped.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn rows(ids: &[i64]) -> Vec<Change> {
        ids.iter().map(|id| Change { id: *id, topic: API_KEY.into(), subject: String::new() }).collect()
    }

    fn skipped(tail: &Tail) -> Vec<i64> {
        tail.skipped.keys().copied().collect()
    }

    #[test]
    fn a_lower_id_that_commits_later_is_still_asked_for() {
        let mut tail = Tail::default();
        tail.advance(&rows(&[5]), START);
        tail.advance(&rows(&[6, 9]), START);
        assert_eq!((tail.highest, skipped(&tail)), (Some(9), vec![7, 8]));
        tail.advance(&rows(&[7, 10]), START);
        assert_eq!((tail.highest, skipped(&tail)), (Some(10), vec![8]));
        tail.advance(&[], START + GIVE_UP);
        assert_eq!(skipped(&tail), [0; 0], "rolled back");
    }

    #[test]
    fn a_reader_of_an_empty_table_and_a_jumping_sequence_stay_bounded() {
        let mut tail = Tail::default();
        tail.advance(&[], START);
        assert_eq!(tail.highest, Some(0));
        tail.advance(&rows(&[1_000_000]), START);
        assert_eq!(tail.skipped.len(), 1_000);
        tail.advance(&rows(&[2_000_000]), START);
        assert_eq!(tail.skipped.len(), 1_000);
        assert_eq!(tail.skipped.first_key_value().map(|(id, _)| *id), Some(1_999_000));
    }
}
