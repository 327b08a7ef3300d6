//! What administrators do: each deed is written down, and a repair of money is asked for twice.
//!
//! What always holds: `admin_action` only grows; a confirmation serves one deed, once, within [`CONFIRM_WITHIN`] and by
//! whoever asked, or within [`APPROVE_WITHIN`] and by anyone but them. Deliberately absent: who may do what (the doors' access says so) and the deeds themselves.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use types::{Clock, CommunityId};
use uuid::Uuid;

/// Long enough to read what is about to happen, too short to be found in a log and used.
pub const CONFIRM_WITHIN: Duration = Duration::minutes(5);
/// Another administrator reads it when they next look: within a day, or it is asked for again.
pub const APPROVE_WITHIN: Duration = Duration::days(1);
/// How the record names a key, which approves nothing: whoever asked may hold it, too.
const KEY: &str = "key:";
/// Deeds that wait for approval are few; more than these are not listed.
const PENDING_AT_MOST: i64 = 100;
/// A reason in characters: a sentence or two, for whoever reads the record later.
pub const REASON_CHARACTERS_AT_MOST: usize = 500;
/// Used and expired confirmations are kept this long, then dropped on the way: the record of the deed is elsewhere.
const KEPT: Duration = Duration::days(1);

/// Who did what to which thing, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deed<'a> {
    /// `operator`, `command line`, `key:` and a key's public id, or `wallet:` and an address.
    pub who: &'a str,
    /// A word: `payment.reconcile`.
    pub what: &'a str,
    /// The thing it was done to.
    pub target: &'a str,
    /// In the person's own words, 1 to [`REASON_CHARACTERS_AT_MOST`] characters.
    pub reason: &'a str,
    /// Whose business it is; `None`: everybody's.
    pub community: Option<CommunityId>,
}

/// A deed as the record shows it.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Recorded {
    /// Its place in the record; later ones are larger.
    pub id: Uuid,
    /// When.
    pub at: OffsetDateTime,
    /// Who.
    pub who: String,
    /// What.
    pub what: String,
    /// To which thing.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// Writes a deed down, in the transaction that does it.
pub async fn record(connection: &mut PgConnection, clock: &Clock, deed: Deed<'_>) -> Result<(), sqlx::Error> {
    insert(connection, clock, deed, None).await
}

/// Writes a deed down that has an id of its own; the second time is a quiet success, as the deed itself is.
pub async fn record_once(
    connection: &mut PgConnection,
    clock: &Clock,
    deed: Deed<'_>,
    id: &str,
) -> Result<(), sqlx::Error> {
    insert(connection, clock, deed, Some(id)).await
}

async fn insert(
    connection: &mut PgConnection,
    clock: &Clock,
    deed: Deed<'_>,
    once: Option<&str>,
) -> Result<(), sqlx::Error> {
    let done = sqlx::query(
        "insert into admin_action (id, at, who, what, target, reason, community_id, once)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict on constraint admin_action_once do nothing",
    )
    .bind(clock.uuid_v7())
    .bind(clock.now())
    .bind(deed.who)
    .bind(deed.what)
    .bind(deed.target)
    .bind(deed.reason)
    .bind(deed.community.map(|community| community.0))
    .bind(once)
    .execute(connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    tracing::info!(who = deed.who, what = deed.what, target = deed.target, "an administrator acted");
    Ok(())
}

/// The record, newest first, at most `limit` deeds before the id `before`; of one community, or (`None`) of all.
pub async fn deeds(
    connection: &mut PgConnection,
    community: Option<CommunityId>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Recorded>, sqlx::Error> {
    sqlx::query_as(
        "select id, at, who, what, target, reason from admin_action
         where ($1::bigint is null or community_id = $1) and ($2::uuid is null or id < $2)
         order by id desc limit $3",
    )
    .bind(community.map(|community| community.0))
    .bind(before)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// A first request, answered: the second one brings the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Names the deed that was asked for.
    pub token: Uuid,
    /// Until when it serves.
    pub expires_at: OffsetDateTime,
}

/// Who has to ask for the second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Whoever asked for the first time.
    Oneself,
    /// Another administrator of the deed's community.
    Another,
}

/// Takes note that somebody wants to do `deed`, and hands out the token with which it is confirmed.
pub async fn ask_twice(
    connection: &mut PgConnection,
    clock: &Clock,
    deed: Deed<'_>,
    by: By,
) -> Result<Confirmation, sqlx::Error> {
    let now = clock.now();
    sqlx::query("delete from confirmation where expires_at < $1")
        .bind(now - KEPT)
        .execute(&mut *connection)
        .await?;
    let within = match by {
        By::Oneself => CONFIRM_WITHIN,
        By::Another => APPROVE_WITHIN,
    };
    let confirmation = Confirmation { token: clock.uuid_v7(), expires_at: now + within };
    sqlx::query(
        "insert into confirmation (id, who, what, target, reason, expires_at, community_id, by_another)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(confirmation.token)
    .bind(deed.who)
    .bind(deed.what)
    .bind(deed.target)
    .bind(deed.reason)
    .bind(confirmation.expires_at)
    .bind(deed.community.map(|community| community.0))
    .bind(by == By::Another)
    .execute(connection)
    .await?;
    Ok(confirmation)
}

/// Uses a token up and says who asked first, for the record: `deed.who`, or another whose deed they approve. `None`: it is
/// unknown, used, too old, was handed out for another deed, or this is not who has to confirm it.
pub async fn confirm(
    connection: &mut PgConnection,
    clock: &Clock,
    token: Uuid,
    deed: Deed<'_>,
) -> Result<Option<String>, sqlx::Error> {
    // A key confirms nothing, not even what it asked for itself.
    let may_approve = !is_key(deed.who);
    sqlx::query_scalar(
        "update confirmation set used_at = $6 where id = $1 and what = $3 and target = $4 and reason = $5
           and used_at is null and expires_at > $6
           and $8 and case when by_another then who <> $2 and community_id = $7 else who = $2 end
         returning who",
    )
    .bind(token)
    .bind(deed.who)
    .bind(deed.what)
    .bind(deed.target)
    .bind(deed.reason)
    .bind(clock.now())
    .bind(deed.community.map(|community| community.0))
    .bind(may_approve)
    .fetch_optional(connection)
    .await
}

/// Whether the record names a key, which approves nothing.
pub(crate) fn is_key(who: &str) -> bool {
    who.starts_with(KEY)
}

/// A deed that waits for another administrator.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Pending {
    /// With which it is confirmed.
    pub token: Uuid,
    /// Who asked.
    pub who: String,
    /// What for.
    pub what: String,
    /// To which thing.
    pub target: String,
    /// Why.
    pub reason: String,
    /// Until when it may be approved.
    pub expires_at: OffsetDateTime,
}

/// What waits for approval in a community, the latest first; what names the same `what` words only, such as `review`.
pub async fn pending(
    connection: &mut PgConnection,
    clock: &Clock,
    community: CommunityId,
    about: &str,
) -> Result<Vec<Pending>, sqlx::Error> {
    sqlx::query_as(
        "select id as token, who, what, target, reason, expires_at from confirmation
         where by_another and community_id = $1 and used_at is null and expires_at > $2 and starts_with(what, $3)
         order by expires_at desc, id desc limit $4",
    )
    .bind(community.0)
    .bind(clock.now())
    .bind(about)
    .bind(PENDING_AT_MOST)
    .fetch_all(connection)
    .await
}

/// Makes a token that was used up serve again, for as long as it would have: the deed changed nothing.
pub async fn give_back(connection: &mut PgConnection, token: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("update confirmation set used_at = null where id = $1")
        .bind(token)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use testing::postgres::TestDatabase;

    use super::*;

    const DEED: Deed<'_> = Deed {
        who: "operator",
        what: "payment.reconcile",
        target: "5745459419",
        reason: "the vendor says finished",
        community: Some(CommunityId(7)),
    };

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_token_serves_its_own_deed_once_and_for_five_minutes() {
        let database = TestDatabase::new().await;
        let clock = Clock::fixed(time::macros::datetime!(2026-03-14 12:00 UTC));
        let mut connection = database.pool.acquire().await.expect("one");
        let token = ask_twice(&mut connection, &clock, DEED, By::Oneself).await.expect("asked").token;
        for other in [
            Deed { who: "key:abc", ..DEED },
            Deed { what: "grant", ..DEED },
            Deed { target: "1", ..DEED },
            Deed { reason: "another", ..DEED },
        ] {
            let answer = confirm(&mut connection, &clock, token, other).await.expect("asked");
            assert_eq!(answer, None, "{other:?}");
        }
        let unknown = clock.uuid_v7();
        assert_eq!(confirm(&mut connection, &clock, unknown, DEED).await.expect("asked"), None);
        let first = confirm(&mut connection, &clock, token, DEED).await.expect("asked");
        assert_eq!(first.as_deref(), Some("operator"));
        assert_eq!(confirm(&mut connection, &clock, token, DEED).await.expect("asked"), None, "once");
        let token = ask_twice(&mut connection, &clock, DEED, By::Oneself).await.expect("asked").token;
        clock.advance(CONFIRM_WITHIN);
        assert_eq!(confirm(&mut connection, &clock, token, DEED).await.expect("asked"), None, "too late");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_another_has_to_approve_is_listed_and_approved_by_nobody_who_asked() {
        let database = TestDatabase::new().await;
        let clock = Clock::fixed(time::macros::datetime!(2026-03-14 12:00 UTC));
        let mut connection = database.pool.acquire().await.expect("one");
        let asked = Deed { who: "wallet:0xA", ..DEED };
        let token = ask_twice(&mut connection, &clock, asked, By::Another).await.expect("asked").token;
        clock.advance(CONFIRM_WITHIN * 2);
        let waiting = pending(&mut connection, &clock, CommunityId(7), "payment").await.expect("read");
        assert_eq!((waiting.len(), waiting[0].token, &*waiting[0].who), (1, token, "wallet:0xA"));
        assert!(pending(&mut connection, &clock, CommunityId(8), "").await.expect("read").is_empty());
        assert!(pending(&mut connection, &clock, CommunityId(7), "review").await.expect("read").is_empty());
        for other in [
            asked,
            Deed { who: "key:abc", ..DEED },
            Deed { who: "wallet:0xB", reason: "another", ..DEED },
            Deed { who: "wallet:0xB", community: Some(CommunityId(8)), ..DEED },
        ] {
            let answer = confirm(&mut connection, &clock, token, other).await.expect("asked");
            assert_eq!(answer, None, "{other:?}");
        }
        let second = Deed { who: "wallet:0xB", ..DEED };
        let first = confirm(&mut connection, &clock, token, second).await.expect("asked");
        assert_eq!(first.as_deref(), Some("wallet:0xA"));
        assert!(pending(&mut connection, &clock, CommunityId(7), "").await.expect("read").is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn deeds_of_one_moment_are_all_written_down() {
        /// So many draws of 21 random bits would all but surely clash.
        const DEEDS: usize = 5_000;
        let database = TestDatabase::new().await;
        let clock = Clock::fixed(time::macros::datetime!(2026-03-14 12:00 UTC));
        let mut tx = database.pool.begin().await.expect("one");
        for _ in 0..DEEDS {
            record(&mut tx, &clock, DEED).await.expect("written");
        }
        let (mut seen, mut before) = (0, None);
        loop {
            let page = deeds(&mut tx, DEED.community, before, 999).await.expect("read");
            let Some(last) = page.last() else { break };
            (seen, before) = (seen + page.len(), Some(last.id));
        }
        assert_eq!(seen, DEEDS);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_record_only_grows_and_is_read_in_pages() {
        let database = TestDatabase::new().await;
        let clock = Clock::fixed(time::macros::datetime!(2026-03-14 12:00 UTC));
        let mut connection = database.pool.acquire().await.expect("one");
        for target in ["1", "2", "3"] {
            record(&mut connection, &clock, Deed { target, ..DEED }).await.expect("written");
            clock.advance(Duration::seconds(1));
        }
        let targets = |page: &[Recorded]| page.iter().map(|deed| deed.target.clone()).collect::<Vec<_>>();
        let first = deeds(&mut connection, DEED.community, None, 2).await.expect("read");
        assert_eq!(targets(&first), ["3", "2"]);
        let next = deeds(&mut connection, DEED.community, Some(first[1].id), 2).await.expect("read");
        assert_eq!(targets(&next), ["1"]);
        assert!(deeds(&mut connection, Some(CommunityId(8)), None, 9).await.expect("read").is_empty());
        for change in ["update admin_action set reason = 'x'", "delete from admin_action"] {
            assert!(sqlx::query(change).execute(&database.owner_pool()).await.is_err(), "{change}");
        }
    }
}
