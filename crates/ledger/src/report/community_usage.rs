//! Usage of a community for its admins: totals, by pool, by day, by user, and how long the credits last.
//!
//! Every figure comes from the journal's charges of one range of row numbers, so the sum of pools, the sum of days and the
//! sum of users are the same to the micro-USD, also while money moves and whichever page is asked for when.

use std::collections::VecDeque;

use sqlx::PgConnection;
use time::{Date, Duration};
use types::{AccountId, CommunityId, Pool};

use crate::audit;

/// Whole days behind today that the burn is measured over, longest first: a month's habit and the last week's.
const WINDOWS: [i64; 2] = [28, 7];
/// A projection ends here: further out, a date says nothing.
const HORIZON_DAYS: i64 = 3_650;

/// A range of journal rows, fixed: asking again gives the same figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first row.
    pub from_seq: i64,
    /// The last row; one less than the first when there is none.
    pub to_seq: i64,
}

/// The rows of some UTC days, both counted; `None`: no such community.
pub async fn span(
    connection: &mut PgConnection,
    community: CommunityId,
    from: Date,
    to: Date,
) -> Result<Option<Span>, sqlx::Error> {
    let Some(last) = audit::last(connection, community).await? else { return Ok(None) };
    let from = from.midnight().assume_utc();
    let to = to.next_day().unwrap_or(Date::MAX).midnight().assume_utc();
    let (from_seq, to_seq) = audit::range(connection, community, last, Some(from), Some(to)).await?;
    Ok(Some(Span { from_seq, to_seq }))
}

/// Charges that belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Charged {
    /// Requests.
    pub requests: i64,
    /// Micro-USD.
    pub cost: i64,
}

/// A community's charges in a span.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All.
    pub total: Charged,
    /// By the pool that answered; `None`: not known.
    pub by_pool: Vec<(Option<Pool>, Charged)>,
    /// By the UTC day of the charge, earliest first.
    pub by_day: Vec<(Date, Charged)>,
    /// How many accounts were charged.
    pub users: i64,
}

/// Sums the charges of a span, of one pool or of all.
pub async fn usage(
    connection: &mut PgConnection,
    community: CommunityId,
    span: Span,
    pool: Option<Pool>,
) -> Result<Usage, sqlx::Error> {
    /// Which grouping a row is of, its pool or its day, and the sums.
    type Row = (i32, Option<i16>, Option<Date>, i64, i64, i64);
    // A request that its hold did not cover is charged in two rows: requests are counted by their reservation.
    let rows: Vec<Row> = sqlx::query_as(
        "with charge as (
           select pool, (at at time zone 'utc')::date as day, ref, account_id, amount from journal
           where community_id = $1 and seq between $2 and $3 and credit = 3 and ($4::smallint is null or pool = $4))
         select grouping(pool, day), pool, day, count(distinct ref), coalesce(sum(amount), 0)::bigint, count(distinct account_id)
         from charge group by grouping sets ((), (pool), (day)) order by 1, 2, 3",
    )
    .bind(community.0)
    .bind(span.from_seq)
    .bind(span.to_seq)
    .bind(pool.map(Pool::as_db))
    .fetch_all(connection)
    .await?;
    let mut usage = Usage::default();
    for (grouping, pool, day, requests, cost, users) in rows {
        let charged = Charged { requests, cost };
        match (grouping, day) {
            (1, _) => usage.by_pool.push((pool.and_then(Pool::from_db), charged)),
            (2, Some(day)) => usage.by_day.push((day, charged)),
            _ => (usage.total, usage.users) = (charged, users),
        }
    }
    Ok(usage)
}

/// What one account was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserUsage {
    /// Whose.
    pub account: AccountId,
    /// Wallet address, if it has one.
    pub holder: Option<String>,
    /// Its charges.
    pub charged: Charged,
}

/// A page of [`usage`] by user, dearest first; `after` is the last entry of the page before.
pub async fn usage_by_user(
    connection: &mut PgConnection,
    community: CommunityId,
    span: Span,
    pool: Option<Pool>,
    after: Option<(i64, AccountId)>,
    limit: i64,
) -> Result<Vec<UserUsage>, sqlx::Error> {
    let rows: Vec<(i64, Option<String>, i64, i64)> = sqlx::query_as(
        "with charged as (
           select account_id, count(distinct ref) as requests, sum(amount)::bigint as cost from journal
           where community_id = $1 and seq between $2 and $3 and credit = 3 and ($4::smallint is null or pool = $4)
           group by account_id)
         select c.account_id, a.holder, c.requests, c.cost from charged c
         left join account a on a.community_id = $1 and a.id = c.account_id
         where $5::bigint is null or c.cost < $5 or (c.cost = $5 and c.account_id > $6)
         order by c.cost desc, c.account_id limit $7",
    )
    .bind(community.0)
    .bind(span.from_seq)
    .bind(span.to_seq)
    .bind(pool.map(Pool::as_db))
    .bind(after.map(|(cost, _)| cost))
    .bind(after.map_or(0, |(_, account)| account.0))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let user = |(account, holder, requests, cost)| UserUsage {
        account: AccountId(account),
        holder,
        charged: Charged { requests, cost },
    };
    Ok(rows.into_iter().map(user).collect())
}

/// How fast credits go and when they end, as a range: nobody knows tomorrow's use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Projection {
    /// Micro-USD that can be used: free and set aside.
    pub balance: i64,
    /// Whole days of charges that the paces are measured over, at most 28; 0: nothing was charged
    /// before today, and there is no pace yet.
    pub measured_days: i64,
    /// The slowest of the measured paces, micro-USD a day.
    pub slow_per_day: i64,
    /// The fastest.
    pub fast_per_day: i64,
    /// When the credits end at the fastest pace, expiry included; `None`: not within ten years.
    pub earliest: Option<Date>,
    /// When they end at the slowest pace, expiry included; `None`: not within ten years.
    pub latest: Option<Date>,
}

/// Projects when a community's credits end, from its burn over the last 7 and 28 whole days, and with the expiry of its
/// lots. A community younger than a window is measured over its own days. `None`: no such community.
pub async fn projection(
    connection: &mut PgConnection,
    community: CommunityId,
    today: Date,
) -> Result<Option<Projection>, sqlx::Error> {
    let days = |back| today.checked_sub(Duration::days(back)).unwrap_or(Date::MIN);
    let Some(span) = span(connection, community, days(WINDOWS[0]), days(1)).await? else { return Ok(None) };
    let usage = usage(connection, community, span, None).await?;
    let lots: Vec<(Date, i64)> = sqlx::query_as(
        "select (expires_at at time zone 'utc')::date, sum(remaining)::bigint from lot
         where community_id = $1 and is_open and expires_at > $2 group by 1 order by 1",
    )
    .bind(community.0)
    .bind(today.midnight().assume_utc())
    .fetch_all(&mut *connection)
    .await?;
    let is_older: bool = sqlx::query_scalar(
        "select exists (select from journal where community_id = $1 and seq < $2 and credit = 3)",
    )
    .bind(community.0)
    .bind(span.from_seq)
    .fetch_one(connection)
    .await?;
    let own_days = usage.by_day.first().map_or(0, |(first, _)| (today - *first).whole_days());
    let measured_days = if is_older { WINDOWS[0] } else { own_days };
    let paces = WINDOWS.map(|window| {
        let window = window.min(measured_days).max(1);
        let burnt = usage.by_day.iter().filter(|(day, _)| *day >= days(window));
        let cost: i128 = burnt.map(|(_, charged)| i128::from(charged.cost)).sum();
        i64::try_from((cost + i128::from(window) - 1) / i128::from(window)).unwrap_or(i64::MAX)
    });
    let (slow_per_day, fast_per_day) =
        (paces.into_iter().min().unwrap_or(0), paces.into_iter().max().unwrap_or(0));
    Ok(Some(Projection {
        measured_days,
        balance: lots.iter().fold(0_i64, |sum, (_, remaining)| sum.saturating_add(*remaining)),
        slow_per_day,
        fast_per_day,
        earliest: depleted(today, &lots, fast_per_day),
        latest: depleted(today, &lots, slow_per_day),
    }))
}

/// The first day without credits, when lots (by day of expiry, earliest first) are used at `per_day` and expire.
fn depleted(today: Date, lots: &[(Date, i64)], per_day: i64) -> Option<Date> {
    let mut lots: VecDeque<(Date, i64)> = lots.iter().copied().filter(|(_, left)| *left > 0).collect();
    let mut day = today;
    for _ in 0..=HORIZON_DAYS {
        while lots.front().is_some_and(|(expires, _)| *expires <= day) {
            lots.pop_front();
        }
        if lots.is_empty() {
            return Some(day);
        }
        let mut burnt = per_day;
        while burnt > 0
            && let Some((_, left)) = lots.front_mut()
        {
            let taken = burnt.min(*left);
            (burnt, *left) = (burnt - taken, *left - taken);
            if *left == 0 {
                lots.pop_front();
            }
        }
        day = day.next_day()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;

    const TODAY: Date = date!(2026 - 03 - 01);
    const NEVER: Date = date!(9999 - 12 - 31);

    #[test]
    fn credits_end_when_they_are_used_up() {
        assert_eq!(depleted(TODAY, &[(NEVER, 100)], 10), Some(date!(2026 - 03 - 11)));
        assert_eq!(depleted(TODAY, &[(NEVER, 5)], 10), Some(date!(2026 - 03 - 02)));
        assert_eq!(depleted(TODAY, &[(NEVER, 15), (NEVER, 5)], 10), Some(date!(2026 - 03 - 03)));
        assert_eq!(depleted(TODAY, &[], 10), Some(TODAY));
        assert_eq!(depleted(TODAY, &[(NEVER, 100)], 0), None);
        assert_eq!(depleted(TODAY, &[(NEVER, i64::MAX)], 1), None);
    }

    #[test]
    fn credits_end_when_they_expire() {
        // 40 of the 1,000 are used before the rest expires on the fifth.
        assert_eq!(depleted(TODAY, &[(date!(2026 - 03 - 05), 1_000)], 10), Some(date!(2026 - 03 - 05)));
        let lots = [(date!(2026 - 03 - 05), 1_000), (NEVER, 100)];
        assert_eq!(depleted(TODAY, &lots, 10), Some(date!(2026 - 03 - 15)));
        assert_eq!(depleted(TODAY, &[(date!(2026 - 03 - 05), 1_000)], 0), Some(date!(2026 - 03 - 05)));
    }
}
