//! The poller: asks the vendor about payments that it has not told us the end of (SPEC §3, §13).
//!
//! Notices get lost, so every payment is asked about until it ends: first after a quarter of an hour, then every 5 min
//! for an hour, hourly for a day, daily to day 8. What always holds: an answer runs the same [`apply`] as a notice; a
//! vendor that is busy or broken changes nothing but when we ask again; a payment that somebody else is asking about
//! is not asked about twice. All times are the given clock's. Deliberately absent: the loop and its sleep.

use std::cmp::Ordering;

use futures_util::future::join_all;
use pay::nowpayments::Client;
use pay::report::Report;
use rand::RngExt;
use sqlx::{PgConnection, PgPool};
use time::{Duration, OffsetDateTime};
use types::Clock;

use super::apply::{ApplyError, Origin, apply};
use super::store::PaymentRow;

/// Questions in a second: the vendor allows ten, and buyers who choose a coin need some of them.
pub const REQUESTS_PER_SECOND: usize = 8;
/// Questions at once, so that a slow vendor does not make us slow.
const AT_ONCE: usize = 4;
/// The first wait after "too many requests".
pub const BACK_OFF_AT_FIRST: Duration = Duration::seconds(30);
/// The longest wait, whatever the vendor asks for.
pub const BACK_OFF_AT_MOST: Duration = Duration::minutes(5);
/// A process that dies with questions open leaves them to others after this long.
const CLAIMED_FOR: Duration = Duration::minutes(1);
/// Before that a notice is the rule.
const FIRST_AFTER: Duration = Duration::minutes(15);
/// With nothing due, the next look.
const IDLE: Duration = Duration::seconds(15);
/// The last day on which a payment is asked about: the vendor gives up after seven.
const LAST_DAY: Duration = Duration::days(8);

/// When a payment that was made at `now` is asked about first.
pub(super) fn first(now: OffsetDateTime) -> OffsetDateTime {
    now + FIRST_AFTER
}

/// When a payment is asked about after `now`; `None`: never again.
fn next(created_at: OffsetDateTime, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let age = now - created_at;
    if age < FIRST_AFTER {
        Some(first(created_at))
    } else if age < Duration::hours(1) {
        Some(now + Duration::minutes(5))
    } else if age < Duration::days(1) {
        Some(now + Duration::hours(1))
    } else if age < LAST_DAY {
        Some(now + Duration::days(1))
    } else {
        None
    }
}

/// Writes down when to ask again about a payment that was just reported, in the transaction that applies the report.
pub(super) async fn reschedule(
    tx: &mut PgConnection,
    row: &PaymentRow,
    origin: Origin<'_>,
    is_held_up: bool,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let is_answer = match origin {
        Origin::Notice { .. } => false,
        Origin::Poll | Origin::Admin { .. } => true,
    };
    let next = if is_held_up {
        Some(now + Duration::minutes(5))
    } else if row.payment.facts.is_final() {
        None
    } else {
        next(row.created_at, now)
    };
    // A notice does not put off a question that is due.
    sqlx::query(
        "update payment set polled_at = case when $2 then $3 else polled_at end,
           next_poll_at = case when $2 or $4::timestamptz is null then $4 else least(next_poll_at, $4) end
         where id = $1",
    )
    .bind(&row.id)
    .bind(is_answer)
    .bind(now)
    .bind(next)
    .execute(tx)
    .await?;
    Ok(())
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Questions that were asked.
    pub asked: usize,
    /// Answers that were applied.
    pub applied: usize,
    /// When to take the next step, by the clock that was given.
    pub next_at: OffsetDateTime,
}

/// The poller of one process.
#[derive(Debug)]
pub struct Poller {
    /// The vendor said "too many", or nothing that makes sense: no question before this.
    pause_until: OffsetDateTime,
    /// Pauses in a row.
    pauses: u32,
}

impl Default for Poller {
    fn default() -> Self {
        Self { pause_until: OffsetDateTime::UNIX_EPOCH, pauses: 0 }
    }
}

impl Poller {
    /// Asks about the payments that are due, as many as a second's budget allows.
    ///
    /// Call it again at [`Step::next_at`]. On an error too: in a quarter of a minute.
    pub async fn step(&mut self, db: &PgPool, clock: &Clock, vendor: &Client) -> Result<Step, ApplyError> {
        // Owned ids: a future that borrows one from a closure cannot be shown to be `Send`, and a job has to be.
        let ask = |id: String| {
            let vendor = vendor.clone();
            async move { vendor.payment(&id).await }
        };
        self.step_with(db, clock, ask).await
    }

    /// The same with any way of asking.
    pub(super) async fn step_with<Ask, Answer>(
        &mut self,
        db: &PgPool,
        clock: &Clock,
        ask: Ask,
    ) -> Result<Step, ApplyError>
    where
        Ask: Fn(String) -> Answer,
        Answer: Future<Output = Result<Report, pay::Error>>,
    {
        let now = clock.now();
        if now < self.pause_until {
            return Ok(Step { asked: 0, applied: 0, next_at: self.pause_until });
        }
        let due = claim(db, now).await?;
        let (mut asked, mut applied) = (0, 0);
        for ids in due.chunks(AT_ONCE) {
            let answers = join_all(ids.iter().map(|id| ask(id.clone()))).await;
            asked += ids.len();
            for (id, answer) in ids.iter().zip(answers) {
                match answer {
                    Ok(report) => applied += usize::from(self.take(db, clock, id, &report).await?),
                    Err(error) => self.missed(db, clock, id, &error).await?,
                }
            }
            if self.pause_until > clock.now() {
                put_back(db, &due[asked..], now).await?;
                return Ok(Step { asked, applied, next_at: self.pause_until });
            }
        }
        if asked > 0 {
            self.pauses = 0;
        }
        let wait = if due.len() < REQUESTS_PER_SECOND { IDLE } else { Duration::seconds(1) };
        Ok(Step { asked, applied, next_at: clock.now() + wait })
    }

    /// One payment whose rows are locked or broken must not hold up the others: it comes again by itself.
    async fn take(&self, db: &PgPool, clock: &Clock, id: &str, report: &Report) -> Result<bool, ApplyError> {
        match apply(db, clock, report, Origin::Poll).await {
            Ok(_) => Ok(true),
            Err(error @ ApplyError::Busy(_)) => {
                tracing::info!(payment = id, %error, "an answer could not be applied now");
                Ok(false)
            }
            Err(ApplyError::Unexpected(error)) => {
                metrics::counter!("pay_poll_failures_total").increment(1);
                tracing::error!(payment = id, error = format!("{error:#}"), "an answer could not be applied");
                Ok(false)
            }
        }
    }

    async fn missed(
        &mut self,
        db: &PgPool,
        clock: &Clock,
        id: &str,
        error: &pay::Error,
    ) -> Result<(), sqlx::Error> {
        metrics::counter!("pay_poll_failures_total").increment(1);
        tracing::warn!(payment = id, %error, "the payment processor did not answer about a payment");
        let now = clock.now();
        match error {
            pay::Error::Busy { retry_after } => {
                self.pause(now, Duration::try_from(*retry_after).unwrap_or(BACK_OFF_AT_MOST));
                put_back(db, &[id.to_owned()], now).await
            }
            pay::Error::Refused { status, .. } if *status >= 500 => {
                self.pause(now, Duration::ZERO);
                put_off(db, id, now).await
            }
            pay::Error::Unreachable => {
                self.pause(now, Duration::ZERO);
                put_off(db, id, now).await
            }
            // About this payment alone.
            pay::Error::Refused { .. } | pay::Error::Unreadable => follow_schedule(db, id, now).await,
        }
    }

    /// Doubles with each pause in a row; a quarter of chance keeps processes from coming back together.
    fn pause(&mut self, now: OffsetDateTime, asked_for: Duration) {
        if self.pause_until > now {
            return; // the others of the same batch say the same
        }
        let doubled = BACK_OFF_AT_FIRST * 2_i32.pow(self.pauses.min(4));
        let wait = asked_for.max(doubled);
        let jitter = Duration::milliseconds(rand::rng().random_range(0..=7_500));
        self.pause_until = now + (wait + jitter).min(BACK_OFF_AT_MOST);
        self.pauses += 1;
    }
}

/// Takes the payments that are due, the longest overdue first, for as long as it takes to ask.
async fn claim(db: &PgPool, now: OffsetDateTime) -> Result<Vec<String>, sqlx::Error> {
    let mut claimed: Vec<(String, OffsetDateTime)> = sqlx::query_as(
        "with due as (
           select id, next_poll_at from payment where next_poll_at <= $1 order by next_poll_at, id limit $2
           for update skip locked)
         update payment set next_poll_at = $3 from due where payment.id = due.id
         returning payment.id, due.next_poll_at",
    )
    .bind(now)
    .bind(i64::try_from(REQUESTS_PER_SECOND).expect("a handful"))
    .bind(now + CLAIMED_FOR)
    .fetch_all(db)
    .await?;
    claimed.sort_by(|(one, at), (other, other_at)| match at.cmp(other_at) {
        Ordering::Equal => one.cmp(other),
        order => order,
    });
    Ok(claimed.into_iter().map(|(id, _)| id).collect())
}

/// Questions that were not asked are due again at once.
async fn put_back(db: &PgPool, ids: &[String], now: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query("update payment set next_poll_at = $2 where id = any($1) and next_poll_at is not null")
        .bind(ids)
        .bind(now)
        .execute(db)
        .await?;
    Ok(())
}

/// A question that the vendor will not answer is asked as rarely as one that it answers, and ends with the last day.
async fn follow_schedule(db: &PgPool, id: &str, now: OffsetDateTime) -> Result<(), sqlx::Error> {
    let made: OffsetDateTime =
        sqlx::query_scalar("select created_at from payment where id = $1").bind(id).fetch_one(db).await?;
    sqlx::query(
        "update payment set polled_at = $2, next_poll_at = $3 where id = $1 and next_poll_at is not null",
    )
    .bind(id)
    .bind(now)
    .bind(next(made, now))
    .execute(db)
    .await?;
    Ok(())
}

/// A question that got no answer comes after those that were not asked yet. Nothing else changes.
async fn put_off(db: &PgPool, id: &str, now: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query("update payment set next_poll_at = $2 where id = $1 and next_poll_at is not null")
        .bind(id)
        .bind(now + Duration::minutes(5))
        .execute(db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_payment_is_asked_about_for_eight_days_and_ever_more_rarely() {
        let made = datetime!(2026-01-01 00:00 UTC);
        let mut at = Some(first(made));
        let mut ages = Vec::new();
        while let Some(now) = at {
            ages.push((now - made).whole_minutes());
            at = next(made, now);
        }
        assert_eq!(ages[..10], [15, 20, 25, 30, 35, 40, 45, 50, 55, 60]);
        assert_eq!(ages[10..12], [120, 180]);
        let days: Vec<i64> = ages.iter().filter(|age| **age > 1_440).map(|age| age / 1_440).collect();
        assert_eq!(days, [2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(ages.len(), 10 + 23 + 7);
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let mut poller = Poller::default();
        let mut now = datetime!(2026-01-01 00:00 UTC);
        for least in [30, 60, 120, 240, 300, 300] {
            poller.pause(now, Duration::ZERO);
            let wait = (poller.pause_until - now).as_seconds_f64();
            assert!((f64::from(least)..=f64::from(least) + 7.5).contains(&wait), "{least}: {wait}");
            poller.pause(now, BACK_OFF_AT_MOST); // the same answer to another question of the batch
            assert!((poller.pause_until - now).as_seconds_f64() <= f64::from(least) + 7.5);
            now = poller.pause_until;
        }
        poller.pause(now, Duration::hours(1));
        assert_eq!(poller.pause_until - now, BACK_OFF_AT_MOST);
    }
}
