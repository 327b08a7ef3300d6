//! `/admin/{community}`

use app::admin::{Amount, Burn, Overview, Spend, UserSpend};
use axum::response::Response;
use domain::reports::community::{CommunityUsage, UsageQuery};
use ledger::report::{Charged, Conservation, Projection, UserUsage};
use time::{Date, OffsetDateTime};
use types::{MicroUsd, Pool};

use super::super::super::admin::{next_cursor, usage};
use super::super::super::fault::Fault;
use super::super::super::shared::moment;
use super::{Looking, Narrowed, narrowed};

/// Users of a page: a screen of bars and a table that is still read.
const USERS: i64 = 25;

/// `GET /admin/{community}`
pub(crate) async fn show(mut looking: Looking) -> Response {
    let today = looking.now().date();
    let narrowed = narrowed(&looking.asking, today, Vec::new());
    looking.told.clone_from(&narrowed.wrong);
    match read(&looking, narrowed).await {
        Ok(overview) => {
            looking.show(app::admin::overview(looking.reader.visit(), &looking.look(), &overview))
        }
        Err(error) => looking.failed(Fault::Unexpected(error)),
    }
}

async fn read(looking: &Looking, narrowed: Narrowed) -> anyhow::Result<Overview> {
    let (ctx, id) = (&looking.app.ctx, looking.id());
    let Narrowed { from, to, pool, filter, .. } = narrowed;
    let after = looking.asking.cursor(usage::read_cursor);
    let query = UsageQuery { from, to, pool, after, limit: USERS };
    let gone = || anyhow::anyhow!("a community that is administered has no book");
    let usage = domain::reports::community::usage(ctx, id, query).await?.ok_or_else(gone)?;
    let (sums, _) = domain::reports::community::conservation(ctx, id, None, 0).await?.ok_or_else(gone)?;
    let (budget, _) = domain::reports::community::caps(ctx, id, None, 0).await?.ok_or_else(gone)?;
    let now = looking.now();
    let month = now.date().replace_day(1)?;
    // Counters turn over with the month's first hold; until then they speak of an earlier month.
    let of_month = |amount: i64| MicroUsd(if budget.cap_month == month { amount } else { 0 });
    Ok(Overview {
        available: MicroUsd(sums.available),
        held: MicroUsd(sums.held),
        owed: MicroUsd(sums.receivable),
        spent_this_month: of_month(budget.cap_spent),
        held_this_month: of_month(budget.cap_held),
        cap: budget.cap_limit.map(MicroUsd),
        burn: burn(&usage.projection),
        spend: spend(&usage, (from, to), after.is_some()),
        filter,
        difference: MicroUsd(sums.difference),
        open_violations: sums.open_violations,
        checked: checked(&sums, now),
    })
}

/// When the guard last looked, and how long ago that was.
pub(super) fn checked(sums: &Conservation, now: OffsetDateTime) -> Option<(String, i64)> {
    sums.checked_at.map(|at| (moment(at), (now - at).whole_seconds().max(0)))
}

fn burn(projection: &Projection) -> Burn {
    Burn {
        measured_days: projection.measured_days,
        slow: MicroUsd(projection.slow_per_day),
        fast: MicroUsd(projection.fast_per_day),
        balance: MicroUsd(projection.balance),
        earliest: projection.earliest.map(|day| day.to_string()),
        latest: projection.latest.map(|day| day.to_string()),
    }
}

fn spend(found: &CommunityUsage, (from, to): (Date, Date), is_later_page: bool) -> Spend {
    let CommunityUsage { span, usage, users, .. } = found;
    let days = std::iter::successors(Some(from), |day| day.next_day()).take_while(|day| *day <= to);
    let of_day = |day: Date| {
        let charged = usage.by_day.iter().find(|(known, _)| *known == day).map(|(_, charged)| *charged);
        amount(day.to_string(), charged.unwrap_or_default())
    };
    let place = |user: &UserUsage| usage::cursor_after(*span, user);
    Spend {
        requests: usage.total.requests,
        cost: MicroUsd(usage.total.cost),
        users: usage.users,
        by_day: days.map(of_day).collect(),
        by_pool: usage.by_pool.iter().map(|(pool, charged)| amount(pool_name(*pool), *charged)).collect(),
        by_user: users.iter().map(user).collect(),
        is_later_page,
        next_cursor: next_cursor(users, USERS, place),
    }
}

pub(super) fn pool_name(pool: Option<Pool>) -> String {
    pool.map_or("unknown", Pool::as_str).to_owned()
}

pub(super) fn amount(name: String, charged: Charged) -> Amount {
    Amount { name, requests: charged.requests, cost: MicroUsd(charged.cost) }
}

fn user(user: &UserUsage) -> UserSpend {
    UserSpend {
        account: user.account.to_string(),
        wallet: user.holder.clone(),
        requests: user.charged.requests,
        cost: MicroUsd(user.charged.cost),
    }
}
