//! The conservation guard: the job that looks at every account every 15 s, quiet ones too (SPEC §2, §13).
//!
//! One pass is one REPEATABLE READ snapshot. It adds the new journal rows to the sums it keeps (`proof`), compares
//! every account's counters, lots and open holds with them in keyset pages inside the database, and compares the sum
//! of all. Whoever looks wrong is recomputed from the first journal row (`check`), and only that convicts: a mistake
//! in what the guard keeps is mended, and freezes nobody.
//!
//! What it does about a finding: an account's difference freezes that account, and no other. What no account explains
//! (a chain's head, journal rows that were changed, the sum of all) stops minting until an operator resolves it.
//! Deliberately absent: mending. A person does that, and [`crate::resolve_violation`] checks it.

mod read;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection, PgPool};
use time::OffsetDateTime;
use types::{AccountId, Clock, CommunityId};

use crate::audit;
use crate::check::{self, Difference, Holds, Sums, compare};
use crate::model::AccountKey;
use crate::violation::{self, Finding};

use read::{Look, absorb, changed_rows, look, open_holds};
pub(crate) use read::{heads, rebuild};

/// New journal rows of one community that are read at once; a community with more is read in several transactions.
const LINES_AT_ONCE: i64 = 50_000;
/// Communities whose chain's end is looked at in one pass; the next pass goes on where this one ended.
const HEADS_AT_ONCE: i64 = 50_000;
/// Accounts that one pass examines and freezes. Whoever changed more than this by hand meets the sum of all.
const SUSPECTS_AT_MOST: usize = 500;
/// Looks of one pass after the first. One mends what is wrong; more would find what the next pass finds too.
const MENDINGS_AT_MOST: usize = 3;

/// A pass that meets another process's tries again this often, after this pause: reading ahead takes milliseconds. Whoever is
/// at work for longer is making a pass, and the looking is left to it.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// What a pass found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// Accounts it looked at.
    pub accounts: i64,
    /// Differences of accounts, those that were known before too.
    pub differences: Vec<Difference>,
    /// What no account explains, in words. It stops minting.
    pub global: Vec<String>,
}

impl Pass {
    /// Whether the books agree.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty() && self.global.is_empty()
    }
}

/// The job that runs every 15 s. Any number of processes may have one: a pass that finds another at work leaves the
/// looking to it.
#[derive(Debug)]
pub struct Checker {
    /// The community up to which chains' ends were looked at.
    heads_until: i64,
}

impl Default for Checker {
    fn default() -> Self {
        Self { heads_until: i64::MIN }
    }
}

impl Checker {
    /// One pass. What is new is recorded, counted and acted upon; all that is wrong now is returned.
    pub async fn pass(&mut self, pool: &PgPool, clock: &Clock) -> Result<Pass, sqlx::Error> {
        let began = Instant::now();
        let mut connection = pool.acquire().await?;
        let mut tries = 0..TRIES;
        let seen = loop {
            match self.see(&mut connection, clock).await {
                Ok(Some(seen)) => break seen,
                Ok(None) => {}
                // Another one ended between this one's snapshot and its lock.
                Err(error) if is_overtaken(&error) => {}
                Err(error) => return Err(error),
            }
            if tries.next().is_none() {
                return Ok(Pass::default());
            }
            tokio::time::sleep(PAUSE).await;
        };
        let mut pass = Pass { accounts: seen.accounts, ..Pass::default() };

        for judged in seen.judged {
            let finding = Finding::of(&judged);
            violation::freeze(&mut connection, &finding, clock.now()).await?;
            pass.differences.extend(judged);
        }
        for (community, what) in seen.global {
            violation::stop_minting(&mut connection, community, &what, clock.now()).await?;
            pass.global.push(what);
        }
        if seen.changed.is_some_and(|(before, now)| now > before) {
            self.examine_everything(pool, clock, &mut pass).await?;
        }
        // Last: a pass that broke off before would be told of the same change again.
        if let Some((_, now)) = seen.changed {
            sqlx::query("update guard set changed = $1").bind(now).execute(&mut *connection).await?;
        }
        finish(&mut connection, &pass, clock.now(), began).await?;
        Ok(pass)
    }

    /// Reads what the journal has new since the last look, which the next pass then need not: the rows of many busy seconds
    /// at once would keep a processor from the requests. Judges nothing.
    pub async fn read_ahead(&mut self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let mut tx = connection.begin_with("begin isolation level repeatable read").await?;
        let read = async {
            if read::lock(&mut tx).await? {
                absorb(&mut tx, LINES_AT_ONCE).await?;
            }
            tx.commit().await
        };
        match read.await {
            Err(error) if is_overtaken(&error) => Ok(()),
            result => result,
        }
    }

    /// A pass, and then every account and every chain from the first journal row on: daily, and on demand. Keyset pages; a
    /// large journal takes minutes, and nobody waits for it.
    pub async fn examine(&mut self, pool: &PgPool, clock: &Clock) -> Result<Pass, sqlx::Error> {
        let mut pass = self.pass(pool, clock).await?;
        self.examine_everything(pool, clock, &mut pass).await?;
        Ok(pass)
    }

    /// What one snapshot shows; `None` when another process is looking.
    async fn see(
        &mut self,
        connection: &mut PgConnection,
        clock: &Clock,
    ) -> Result<Option<Seen>, sqlx::Error> {
        loop {
            let mut tx = connection.begin_with("begin isolation level repeatable read").await?;
            if !read::lock(&mut tx).await? {
                return Ok(None);
            }
            let now = clock.now();
            if !absorb(&mut tx, LINES_AT_ONCE).await? {
                tx.commit().await?; // there is more to read than fits one transaction
                continue;
            }
            let mut holds = open_holds(&mut tx, now).await?;
            // Once more after a mending of what is kept: the sum of all was counted with it.
            let mut looked = look(&mut tx, &holds).await?;
            let mut confirmed = confirm(&mut tx, &looked, &mut holds).await?;
            for _ in 0..MENDINGS_AT_MOST {
                if confirmed.mended == 0 {
                    break;
                }
                tracing::warn!(
                    accounts = confirmed.mended,
                    "the guard's own sums were wrong, and are made anew"
                );
                if looked.suspects.len() > SUSPECTS_AT_MOST {
                    rebuild(&mut tx).await?;
                }
                looked = look(&mut tx, &holds).await?;
                confirmed = confirm(&mut tx, &looked, &mut holds).await?;
            }
            let (until, broken) = heads(&mut tx, self.heads_until, HEADS_AT_ONCE).await?;
            self.heads_until = until;
            let mut global: Vec<(Option<CommunityId>, String)> = Vec::new();
            global.extend(broken.into_iter().map(|(community, what)| (Some(community), what)));
            global.extend(confirmed.gone.into_iter().map(|key| {
                (Some(key.community), format!("account {} has journal rows, and is not there", key.account))
            }));
            global.extend(looked.global.iter().map(|what| (None, what.clone())));
            let changed = changed_rows(&mut tx).await?;
            if let Some((before, rows)) = changed
                && rows > before
            {
                let what = format!("{} journal rows were changed or deleted by hand", rows - before);
                global.push((None, what));
            }
            tx.commit().await?;
            let (accounts, judged) = (looked.accounts, confirmed.judged);
            return Ok(Some(Seen { accounts, judged, global, changed }));
        }
    }

    /// Reads every account and every chain from the first row on, and acts on what it finds.
    async fn examine_everything(
        &self,
        pool: &PgPool,
        clock: &Clock,
        pass: &mut Pass,
    ) -> Result<(), sqlx::Error> {
        let mut connection = pool.acquire().await?;
        let mut by_account: HashMap<AccountKey, Vec<Difference>> = HashMap::new();
        for difference in check::check_everything(pool).await? {
            by_account.entry(difference.key).or_default().push(difference);
        }
        for (key, differences) in by_account {
            violation::freeze(&mut connection, &Finding::of(&differences), clock.now()).await?;
            if pass.differences.iter().all(|known| known.key != key) {
                pass.differences.extend(differences);
            }
        }
        for fault in audit::check_chains(pool, None).await? {
            let what = fault.to_string();
            violation::stop_minting(&mut connection, Some(fault.community), &what, clock.now()).await?;
            if !pass.global.contains(&what) {
                pass.global.push(what);
            }
        }
        Ok(())
    }
}

/// What one snapshot shows.
struct Seen {
    accounts: i64,
    /// Differences, account by account.
    judged: Vec<Vec<Difference>>,
    global: Vec<(Option<CommunityId>, String)>,
    /// Changed journal rows before and now, when that moved.
    changed: Option<(i64, i64)>,
}

/// What became of the suspects.
#[derive(Default)]
struct Confirmed {
    /// Differences, account by account.
    judged: Vec<Vec<Difference>>,
    /// Accounts that have journal rows, and are not there.
    gone: Vec<AccountKey>,
    /// How many are sound: what was kept of them was wrong.
    mended: u64,
}

/// Recomputes the suspects from the first journal row, in the same snapshot. Who turns out to be sound was looked at
/// with wrong sums, which are replaced.
async fn confirm(
    connection: &mut PgConnection,
    look: &Look,
    holds: &mut HashMap<AccountKey, i64>,
) -> Result<Confirmed, sqlx::Error> {
    let mut by_community: HashMap<CommunityId, Vec<i64>> = HashMap::new();
    for key in look.suspects.iter().take(SUSPECTS_AT_MOST) {
        by_community.entry(key.community).or_default().push(key.account.0);
    }
    let mut confirmed = Confirmed::default();
    for (community, accounts) in by_community {
        // Who is known to be wrong need not be convicted again, which would read the community's holds each time.
        let known = violation::already_open(connection, community, &accounts).await?;
        let (old, new): (Vec<i64>, Vec<i64>) = accounts.into_iter().partition(|id| known.contains(id));
        for (accounts, is_known) in [(old, true), (new, false)] {
            for page in accounts.chunks(check::PAGE) {
                let source = if is_known { Holds::Known(holds) } else { Holds::Read };
                let judged = compare(connection, community, page, source).await?;
                let is_there = |id: &i64| judged.iter().any(|judged| judged.key.account.0 == *id);
                let missing = page.iter().filter(|id| !is_there(id));
                confirmed.gone.extend(missing.map(|id| AccountKey { community, account: AccountId(*id) }));
                for judged in judged {
                    if judged.differences.is_empty() {
                        replace(connection, judged.key, judged.sums).await?;
                        if holds.insert(judged.key, judged.open_holds).unwrap_or(0) != judged.open_holds {
                            read::forget_open_since(connection).await?;
                        }
                        confirmed.mended += 1;
                    } else {
                        confirmed.judged.push(judged.differences);
                    }
                }
            }
        }
    }
    Ok(confirmed)
}

/// Puts sums that were recomputed from the first row in the place of what the guard kept.
async fn replace(connection: &mut PgConnection, key: AccountKey, sums: Sums) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into proof (community_id, account_id, lines, seq, minted, spent, expired, reversed, owed, last_balance)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict (community_id, account_id) do update set lines = excluded.lines, seq = excluded.seq, minted = excluded.minted,
           spent = excluded.spent, expired = excluded.expired, reversed = excluded.reversed, owed = excluded.owed,
           last_balance = excluded.last_balance",
    )
    .bind(key.community.0)
    .bind(key.account.0)
    .bind(sums.lines)
    .bind(sums.seq)
    .bind(sums.minted)
    .bind(sums.spent)
    .bind(sums.expired)
    .bind(sums.reversed)
    .bind(sums.owed)
    .bind(sums.last_balance)
    .execute(connection)
    .await?;
    Ok(())
}

fn is_overtaken(error: &sqlx::Error) -> bool {
    /// `serialization_failure`.
    const CODE: &str = "40001";
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == CODE)
}

/// Writes down that a pass was made, and shows it to whoever watches the metrics.
async fn finish(
    connection: &mut PgConnection,
    pass: &Pass,
    now: OffsetDateTime,
    began: Instant,
) -> Result<(), sqlx::Error> {
    let (open, is_stopped): (i64, bool) = sqlx::query_as(
        "update guard set checked_at = $1, accounts = $2
         returning (select count(*) from violation where resolved_at is null), minting_stopped_at is not null",
    )
    .bind(now)
    .bind(pass.accounts)
    .fetch_one(connection)
    .await?;
    metrics::counter!("ledger_conservation_checks_total").increment(1);
    metrics::histogram!("ledger_conservation_pass_seconds").record(began.elapsed().as_secs_f64());
    let count = |number: i64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    metrics::gauge!("ledger_open_violations").set(count(open));
    metrics::gauge!("ledger_minting_stopped").set(f64::from(u8::from(is_stopped)));
    Ok(())
}
