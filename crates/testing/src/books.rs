//! The books as an auditor reads them: with SQL of its own, and none of the ledger's code.
//!
//! [`audit`] is what every test of money ends with.

use std::time::Duration;

use sqlx::{FromRow, PgPool};

use crate::served::until;

/// Open, as `hold.state` says it.
pub const OPEN: i16 = 0;
/// Charged.
pub const SETTLED: i16 = 1;
/// Given back.
pub const RELEASED: i16 = 2;
/// Given back because its process died.
pub const ORPHANED: i16 = 3;

/// A request's reservation.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Hold {
    /// The reservation, as a UUID's text.
    pub id: String,
    /// One of the constants of this module.
    pub state: i16,
    /// Micro-USD that were set aside, extensions included.
    pub amount: i64,
    /// Micro-USD that were charged.
    pub charged: Option<i64>,
    /// Charged prompt tokens.
    pub tokens_in: Option<i64>,
    /// Charged completion tokens.
    pub tokens_out: Option<i64>,
    /// The journal's lines that charge it.
    pub charges: i64,
    /// Their sum in micro-USD.
    pub charged_in_journal: i64,
}

const HOLDS: &str = "select h.id::text, h.state, h.amount, h.charged, h.tokens_in, h.tokens_out,
      count(distinct j.kind) as charges, coalesce(sum(j.amount), 0)::bigint as charged_in_journal
    from hold h left join journal j on j.community_id = h.community_id and j.ref = h.id and j.credit = 3
    group by h.community_id, h.id order by h.id";

/// Every hold of the database, oldest first.
pub async fn holds(pool: &PgPool) -> Vec<Hold> {
    sqlx::query_as(HOLDS).fetch_all(pool).await.expect("the books are readable")
}

/// One hold, by the id that the answer's headers name.
pub async fn hold(pool: &PgPool, id: &str) -> Hold {
    let found = holds(pool).await.into_iter().find(|hold| hold.id == id);
    found.unwrap_or_else(|| panic!("there is no hold {id}"))
}

/// How many holds are open.
pub async fn open_holds(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from hold where state = 0")
        .fetch_one(pool)
        .await
        .expect("the books are readable")
}

/// Waits until no hold is open, and says how long that took.
pub async fn closed(pool: &PgPool, patience: Duration) -> Duration {
    until("every hold is closed", patience, async || open_holds(pool).await == 0).await
}

/// Free micro-USD of an account.
pub async fn available(pool: &PgPool, account: i64) -> i64 {
    sqlx::query_scalar("select available from account where id = $1")
        .bind(account)
        .fetch_one(pool)
        .await
        .expect("an account")
}

/// Checks every identity of the books, and that no hold is open and none was charged twice.
pub async fn audit(pool: &PgPool) {
    assert_eq!(open_holds(pool).await, 0, "a hold is open");
    for hold in holds(pool).await {
        let charged = hold.charged.unwrap_or(0);
        assert_eq!(hold.charged_in_journal, charged, "the journal charges what the hold says: {hold:?}");
        // An answer that costs nothing has no line.
        assert_eq!(
            hold.charges,
            i64::from(hold.state == SETTLED && charged > 0),
            "charged once, and only when settled: {hold:?}"
        );
    }
    // A side that money leaves is the debit; what is owed grows when it pays.
    let wrong: Vec<(i64, String)> = sqlx::query_as(
        "select a.id, row_to_json(a)::text from account a
         left join lateral (
           select coalesce(sum(amount) filter (where debit = 0), 0) as minted,
             coalesce(sum(amount) filter (where credit = 3), 0) as spent,
             coalesce(sum(amount) filter (where credit = 4), 0) as expired,
             coalesce(sum(amount) filter (where credit = 5), 0) as reversed,
             coalesce(sum(amount) filter (where debit = 6), 0) - coalesce(sum(amount) filter (where credit = 6), 0) as owed,
             count(*) as lines, coalesce(max(account_seq), 0) as last
           from journal j where j.community_id = a.community_id and j.account_id = a.id) j on true
         left join lateral (
           select coalesce(sum(remaining), 0) as remaining from lot l
           where l.community_id = a.community_id and l.account_id = a.id) l on true
         where a.minted <> j.minted or a.spent <> j.spent or a.expired <> j.expired or a.reversed <> j.reversed
           or a.owed <> j.owed or a.seq <> j.lines or a.seq <> j.last
           or a.minted + a.owed <> a.available + a.held + a.spent + a.expired + a.reversed
           or l.remaining <> a.available + a.held or a.held <> 0 or a.frozen_at is not null",
    )
    .fetch_all(pool)
    .await
    .expect("the books are readable");
    assert!(wrong.is_empty(), "accounts that the journal does not explain: {wrong:?}");
    let violations: i64 =
        sqlx::query_scalar("select count(*) from violation").fetch_one(pool).await.expect("readable");
    assert_eq!(violations, 0, "the checker found a violation");
}
