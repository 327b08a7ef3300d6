//! `/admin/{community}`: what there is, how long it lasts, and where it goes.

use leptos::prelude::*;
use types::MicroUsd;

pub use super::chart::Amount;
use super::chart::{columns, gauge, ranks};
use super::frame::{self, Filter, Look, Tab, empty, next};
use super::table::{Cell, Column, dollars, grouped, per_cent, table};
use crate::parts::{self, Precision, time, zone};
use crate::shell::Visit;

/// Users whose bars are drawn; all of them are in the table.
const DRAWN: usize = 8;
/// Below this many whole days a projection is a first guess, and says so.
const FEW_DAYS: i64 = 7;

/// A community at a glance.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Free to spend.
    pub available: MicroUsd,
    /// Set aside for answers in progress.
    pub held: MicroUsd,
    /// Owed to us.
    pub owed: MicroUsd,
    /// Spent in this UTC month, as the cap counts it.
    pub spent_this_month: MicroUsd,
    /// Set aside this month, as the cap counts it.
    pub held_this_month: MicroUsd,
    /// The monthly cap.
    pub cap: Option<MicroUsd>,
    /// How fast credits go.
    pub burn: Burn,
    /// Where they went.
    pub spend: Spend,
    /// What is narrowed to.
    pub filter: Filter,
    /// By how much the books disagree.
    pub difference: MicroUsd,
    /// Violations that nobody has resolved.
    pub open_violations: i64,
    /// When every account was last looked at, and how many seconds ago.
    pub checked: Option<(String, i64)>,
}

/// How fast credits go and when they end.
#[derive(Clone, Debug)]
pub struct Burn {
    /// Whole days of charges that were measured, at most 28.
    pub measured_days: i64,
    /// The slowest pace, a day.
    pub slow: MicroUsd,
    /// The fastest.
    pub fast: MicroUsd,
    /// What the projection begins with.
    pub balance: MicroUsd,
    /// The first day without credits at the fastest pace; `None`: not within ten years.
    pub earliest: Option<String>,
    /// The same at the slowest.
    pub latest: Option<String>,
}

/// Where credits went. All three lists add up to the total.
#[derive(Clone, Debug)]
pub struct Spend {
    /// Charged requests.
    pub requests: i64,
    /// What they cost.
    pub cost: MicroUsd,
    /// Accounts that were charged.
    pub users: i64,
    /// Each day of the range.
    pub by_day: Vec<Amount>,
    /// By the pool that answered.
    pub by_pool: Vec<Amount>,
    /// A page of users, dearest first.
    pub by_user: Vec<UserSpend>,
    /// Whether the page is not the first.
    pub is_later_page: bool,
    /// Asks for further users.
    pub next_cursor: Option<String>,
}

/// What one account was charged.
#[derive(Clone, Debug)]
pub struct UserSpend {
    /// Its number.
    pub account: String,
    /// Its wallet.
    pub wallet: Option<String>,
    /// Charged requests.
    pub requests: i64,
    /// What they cost.
    pub cost: MicroUsd,
}

/// The page.
#[must_use]
pub fn overview(visit: &Visit, look: &Look, overview: &Overview) -> String {
    let lead = "What the community has, how long it lasts at today\u{2019}s pace, and where it goes.";
    let body = view! {
        <div class="pair">
            {balance(overview)}
            {lasts(&overview.burn)}
        </div>
        {spend(look, overview)}
        <div class="pair">
            {cap(look, overview)}
            {books(look, overview)}
        </div>
    };
    frame::page(visit, look, Tab::Overview, lead, body.into_any())
}

fn balance(overview: &Overview) -> impl IntoView + use<> {
    let owed = (overview.owed > MicroUsd::ZERO)
        .then(|| view! { <div><dt>"Owed by members"</dt><dd>{dollars(overview.owed)}</dd></div> });
    view! {
        <section class="figures" aria-labelledby="balance">
            <h2 id="balance">"Balance"</h2>
            <dl class="sums">
                <div><dt>"Available"</dt><dd>{dollars(overview.available)}</dd></div>
                <div><dt>"Set aside"</dt><dd>{dollars(overview.held)}</dd></div>
                {owed}
                <div><dt>"Spent this month"</dt><dd>{dollars(overview.spent_this_month)}</dd></div>
            </dl>
            <p class="small quiet">"Over all accounts. What is set aside pays for answers in progress; the rest of it comes back."</p>
        </section>
    }
}

fn lasts(burn: &Burn) -> impl IntoView + use<> {
    let Burn { measured_days, slow, fast, balance, earliest, latest } = burn.clone();
    let until = |day: Option<String>| day.unwrap_or_else(|| "more than ten years".to_owned());
    let said = if balance <= MicroUsd::ZERO {
        view! { <p>"There are no credits to use up."</p> }.into_any()
    } else if measured_days == 0 {
        view! { <p>"Too little data: nothing was charged before today, and the first whole day gives the first pace."</p> }
            .into_any()
    } else {
        let (first, last) = (until(earliest), until(latest));
        let days = if first == last {
            view! { <p class="range"><strong>{first}</strong></p> }.into_any()
        } else {
            view! { <p class="range"><strong>{first}</strong>" to "<strong>{last}</strong></p> }.into_any()
        };
        let pace = if slow == fast {
            format!("At {} a day.", dollars(fast))
        } else {
            format!("At {} a day or, more slowly, {}.", dollars(fast), dollars(slow))
        };
        let few = (measured_days < FEW_DAYS).then(|| {
            let days = if measured_days == 1 { "one whole day".to_owned() } else { format!("{measured_days} whole days") };
            view! { <p class="note">{format!("Only {days} of charges so far: read this as a first guess.")}</p> }
        });
        view! { {days}<p>{pace}</p>{few} }.into_any()
    };
    view! {
        <section class="figures" aria-labelledby="lasts">
            <h2 id="lasts">"Lasts until"</h2>
            {said}
            <p class="small quiet">"A range, since nobody knows tomorrow\u{2019}s use: the average of the last 7 and of the last 28 whole UTC days, or of all days where there are fewer. Credits count as gone on the day on which they expire. "{format!("It begins with {}.", dollars(balance))}</p>
        </section>
    }
}

fn spend(look: &Look, overview: &Overview) -> impl IntoView + use<> {
    let (spend, filter) = (&overview.spend, &overview.filter);
    let path = Tab::Overview.of(&look.community);
    let found = if spend.requests == 0 {
        empty("Nothing was charged in these days. Ask an agent something, or widen the days.")
    } else {
        let people = if spend.users == 1 {
            "1 account".to_owned()
        } else {
            format!("{} accounts", grouped(spend.users))
        };
        let total = format!("{} for {} requests of {people}.", dollars(spend.cost), grouped(spend.requests));
        view! {
            <p class="total" data-total=spend.cost.to_string()>{total}</p>
            {columns(&spend.by_day)}
            {by_day(spend)}
            {by_pool(spend)}
            {by_user(spend, filter, &path)}
        }
        .into_any()
    };
    view! {
        <section class="figures" aria-labelledby="spend">
            <h2 id="spend">"Spend"</h2>
            {filter.form(path)}
            {found}
        </section>
    }
}

const COLUMNS: [Column; 3] = [Column::Figures("Requests"), Column::Figures("Cost"), Column::Figures("Share")];

fn row(first: Vec<Cell>, requests: i64, cost: MicroUsd, whole: MicroUsd) -> Vec<Cell> {
    let figures = [grouped(requests), dollars(cost), per_cent(cost.0, whole.0)];
    first.into_iter().chain(figures.map(Cell::Number)).collect()
}

fn columns_after(first: &[Column]) -> Vec<Column> {
    first.iter().chain(&COLUMNS).copied().collect()
}

fn by_day(spend: &Spend) -> impl IntoView + use<> {
    let used = spend.by_day.iter().rev().filter(|day| day.requests > 0);
    let rows =
        used.map(|day| row(vec![Cell::Head(day.name.clone())], day.requests, day.cost, spend.cost)).collect();
    let columns = columns_after(&[Column::Words("Day")]);
    view! {
        <details>
            <summary>"The days as a table"</summary>
            {table("Spend by day, as a table", "Days with charges, newest first, in UTC".to_owned(), &columns, rows)}
        </details>
    }
}

fn by_pool(spend: &Spend) -> impl IntoView + use<> {
    let rows = spend.by_pool.iter();
    let rows = rows
        .map(|pool| row(vec![Cell::Head(pool.name.clone())], pool.requests, pool.cost, spend.cost))
        .collect();
    let columns = columns_after(&[Column::Words("Pool")]);
    view! {
        <section class="cut" aria-labelledby="by-pool">
            <h3 id="by-pool">"By pool"</h3>
            {ranks("Share of each pool", &spend.by_pool, spend.cost)}
            {table("Spend by pool, as a table", "By the pool that answered".to_owned(), &columns, rows)}
        </section>
    }
}

fn by_user(spend: &Spend, filter: &Filter, path: &str) -> impl IntoView + use<> {
    let name = |user: &UserSpend| match user.wallet.as_deref().map(str::parse) {
        Some(Ok(wallet)) => parts::short(wallet),
        Some(Err(_)) | None => format!("account {}", user.account),
    };
    let drawn: Vec<Amount> = spend
        .by_user
        .iter()
        .take(DRAWN)
        .map(|user| Amount { name: name(user), requests: user.requests, cost: user.cost })
        .collect();
    let rows = spend.by_user.iter().map(|user| {
        let wallet = user.wallet.clone().map_or_else(|| Cell::Text("no wallet".to_owned()), Cell::Code);
        row(vec![Cell::Head(user.account.clone()), wallet], user.requests, user.cost, spend.cost)
    });
    let columns = columns_after(&[Column::Words("Account"), Column::Words("Wallet")]);
    let caption =
        if spend.is_later_page { "Further users of the same sum" } else { "By user, dearest first" };
    let further =
        spend.next_cursor.as_deref().map(|cursor| filter.address(path, &[("cursor", cursor)]) + "#by-user");
    view! {
        <section class="cut" aria-labelledby="by-user">
            <h3 id="by-user">"By user"</h3>
            {ranks("Share of the dearest users", &drawn, spend.cost)}
            {table("Spend by user, as a table", caption.to_owned(), &columns, rows.collect())}
            {next(further, "Further users")}
        </section>
    }
}

fn cap(look: &Look, overview: &Overview) -> impl IntoView + use<> {
    let (spent, held) = (overview.spent_this_month, overview.held_this_month);
    let said = match overview.cap {
        Some(limit) => {
            let used = MicroUsd(spent.0.saturating_add(held.0));
            let text = format!(
                "{} of {} used this month, {}.",
                dollars(used),
                dollars(limit),
                per_cent(used.0, limit.0)
            );
            view! { {gauge(text.clone(), spent, held, limit)}<p>{text}</p> }.into_any()
        }
        None => view! { <p>"No monthly cap: members spend what they have."</p> }.into_any(),
    };
    let href = Tab::Caps.of(&look.community);
    view! {
        <section class="figures" aria-labelledby="cap">
            <h2 id="cap">"Monthly cap"</h2>
            {said}
            <p><a href=href>"Set caps"</a></p>
        </section>
    }
}

fn books(look: &Look, overview: &Overview) -> impl IntoView + use<> {
    let is_sound = overview.difference == MicroUsd::ZERO && overview.open_violations == 0;
    let said = if is_sound {
        view! { <p><span class="status good">"holds"</span>" Every micro-dollar is accounted for."</p> }
    } else {
        view! { <p><span class="status hot">"violated"</span>" The books do not agree. Affected accounts are frozen until a person has looked."</p> }
    };
    let checked = overview.checked.clone().map(|(at, seconds)| {
        view! { <p class="small quiet">"Every account was last checked "{format!("{} s ago, at ", grouped(seconds))}{time(&at, Precision::Second)}" "{zone()}"."</p> }
    });
    let href = Tab::Conservation.of(&look.community);
    view! {
        <section class="figures" aria-labelledby="books">
            <h2 id="books">"The books"</h2>
            {said}
            {checked}
            <p><a href=href>"Sums and history"</a></p>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    fn shown(change: impl FnOnce(&mut Overview)) -> String {
        let amount = |name: &str, cost| Amount { name: name.into(), requests: 1, cost: MicroUsd(cost) };
        let user = |account: &str, wallet: Option<&str>, cost| UserSpend {
            account: account.into(),
            wallet: wallet.map(str::to_owned),
            requests: 1,
            cost: MicroUsd(cost),
        };
        let wallet = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        let mut told = Overview {
            available: MicroUsd(2_000_000),
            held: MicroUsd(1),
            owed: MicroUsd::ZERO,
            spent_this_month: MicroUsd(3_000_000),
            held_this_month: MicroUsd::ZERO,
            cap: Some(MicroUsd(4_000_000)),
            burn: Burn {
                measured_days: 9,
                slow: MicroUsd(1),
                fast: MicroUsd(2),
                balance: MicroUsd(2_000_001),
                earliest: Some("2026-02-03".into()),
                latest: None,
            },
            spend: Spend {
                requests: 2,
                cost: MicroUsd(3_000_000),
                users: 2,
                by_day: vec![amount("2026-01-01", 3_000_000)],
                by_pool: vec![amount("cheap", 1_000_000), amount("flagship", 2_000_000)],
                by_user: vec![user("1", Some(wallet), 2_000_000), user("2", None, 1_000_000)],
                is_later_page: false,
                next_cursor: Some("c.1".into()),
            },
            filter: Filter { from: "2026-01-01".into(), ..Filter::default() },
            difference: MicroUsd::ZERO,
            open_violations: 0,
            checked: Some(("2026-01-31T11:59:50Z".into(), 10)),
        };
        change(&mut told);
        overview(&visit("/admin/demo"), &look(), &told)
    }

    #[test]
    fn a_range_says_how_it_was_computed() {
        let page = shown(|_| ());
        assert!(page.contains("<strong>2026-02-03</strong>") && page.contains("more than ten years"));
        assert!(page.contains("last 7 and of the last 28 whole UTC days") && !page.contains("first guess"));
        assert!(shown(|told| told.burn.measured_days = 1).contains("Only one whole day"));
        let none = shown(|told| told.burn.measured_days = 0);
        assert!(none.contains("Too little data") && !none.contains("class=\"range\""));
        assert!(shown(|told| told.burn.balance = MicroUsd::ZERO).contains("no credits to use up"));
    }

    #[test]
    fn each_chart_has_its_table_and_the_rest_is_a_link() {
        let page = shown(|_| ());
        assert_eq!((page.matches("<table").count(), page.matches("class=\"ranks\"").count()), (3, 2));
        assert!(page.contains("0x5aAe…eAed") && page.contains("account 2") && page.contains("33.3 %"));
        assert!(page.contains("/admin/demo?from=2026-01-01&amp;cursor=c.1#by-user"));
        assert!(page.contains("75.0 %") && page.contains("10 s ago"));
        let none = shown(|told| told.spend.requests = 0);
        assert!(none.contains("Nothing was charged in these days") && !none.contains("<table"));
    }

    #[test]
    fn books_that_disagree_are_shown_as_such() {
        assert!(shown(|told| told.difference = MicroUsd(1)).contains("violated"));
        assert!(!shown(|_| ()).contains("violated"));
    }
}
