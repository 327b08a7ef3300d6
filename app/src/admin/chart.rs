//! Charts as SVG: columns over days, and bars by rank. Each stands beside a table of the same figures.

use leptos::prelude::*;
use types::MicroUsd;

use super::table::{dollars, per_cent};

/// Height of the tallest column and length of the longest bar, in a chart's own units.
const LONGEST: i64 = 100;
/// From one column to the next.
const STEP: usize = 10;
/// What is there at all shows at least so much, so that little does not look like nothing.
const LEAST: i128 = 2;

/// An amount with its name.
#[derive(Clone, Debug)]
pub struct Amount {
    /// Of what: a day, a pool, a wallet.
    pub name: String,
    /// Charged requests.
    pub requests: i64,
    /// What they cost.
    pub cost: MicroUsd,
}

fn longest(amounts: &[Amount]) -> i64 {
    amounts.iter().map(|amount| amount.cost.0).max().unwrap_or(0).max(1)
}

fn length(amount: &Amount, longest: i64) -> i128 {
    let length = i128::from(amount.cost.0.max(0)) * i128::from(LONGEST) / i128::from(longest);
    if amount.requests > 0 { length.max(LEAST) } else { length }
}

/// A column for each day, in order.
pub(super) fn columns(days: &[Amount]) -> impl IntoView + use<> {
    let dearest = longest(days);
    let columns: Vec<_> = days
        .iter()
        .enumerate()
        .map(|(place, day)| {
            let height = length(day, dearest);
            let top = i128::from(LONGEST) - height;
            view! { <rect x=(place * STEP).to_string() y=top.to_string() width="7" height=height.to_string() rx="1"></rect> }
        })
        .collect();
    let ends = days.first().zip(days.last()).map(|(first, last)| {
        view! { <figcaption class="ends small quiet"><span>{first.name.clone()}</span><span>{last.name.clone()}</span></figcaption> }
    });
    let label = format!("Spend by day; the dearest day cost {}.", dollars(MicroUsd(dearest)));
    let view_box = format!("0 0 {} {LONGEST}", days.len().max(1) * STEP);
    view! {
        <figure class="plot">
            <svg class="bars" viewBox=view_box preserveAspectRatio="none" role="img" aria-label=label>{columns}</svg>
            {ends}
        </figure>
    }
}

/// A bar for each amount, its name before and its share of `whole` after it. The figures stand in the table.
pub(super) fn ranks(label: &'static str, amounts: &[Amount], whole: MicroUsd) -> impl IntoView + use<> {
    let dearest = longest(amounts);
    let bars: Vec<_> = amounts
        .iter()
        .map(|amount| {
            let width = length(amount, dearest).to_string();
            view! {
                <li>
                    <span class="name">{amount.name.clone()}</span>
                    <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
                        <rect class="whole" width="100" height="10"></rect>
                        <rect width=width height="10"></rect>
                    </svg>
                    <span class="share">{per_cent(amount.cost.0, whole.0)}</span>
                </li>
            }
        })
        .collect();
    view! { <ol class="ranks" aria-label=label>{bars}</ol> }
}

/// How much of a limit is used: what is spent, and what is set aside beyond it.
pub(super) fn gauge(label: String, spent: MicroUsd, held: MicroUsd, limit: MicroUsd) -> impl IntoView {
    let part = |amount: i64| {
        let part = i128::from(amount.max(0)) * i128::from(LONGEST) / i128::from(limit.0.max(1));
        part.min(i128::from(LONGEST))
    };
    let (spent, both) = (part(spent.0), part(spent.0.saturating_add(held.0)));
    view! {
        <svg class="gauge" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label=label>
            <rect class="whole" width="100" height="10"></rect>
            <rect class="held" width=both.to_string() height="10"></rect>
            <rect width=spent.to_string() height="10"></rect>
            <rect class="soft" x="80" width="0.4" height="10"></rect>
        </svg>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(requests: i64, cost: i64) -> Amount {
        Amount { name: "<x>".into(), requests, cost: MicroUsd(cost) }
    }

    #[test]
    fn lengths_are_shares_of_the_dearest_and_little_still_shows() {
        let amounts = [amount(1, 1_000_000), amount(1, 1), amount(0, 0), amount(3, 500_000)];
        let html = Owner::new().with(|| columns(&amounts).to_html());
        for height in ["100", "2", "0", "50"] {
            assert!(html.contains(&format!("height=\"{height}\"")), "{height}: {html}");
        }
        let html = Owner::new().with(|| ranks("By user", &amounts, MicroUsd(1_500_001)).to_html());
        assert!(
            html.contains("&lt;x&gt;") && html.contains("66.6 %") && html.contains("width=\"50\""),
            "{html}"
        );
    }

    #[test]
    fn a_gauge_ends_at_its_limit() {
        let gauge = |spent, held| {
            let view = super::gauge("Used".into(), MicroUsd(spent), MicroUsd(held), MicroUsd(10));
            Owner::new().with(|| view.to_html())
        };
        assert!(gauge(5, 2).contains("width=\"70\"") && gauge(5, 2).contains("width=\"50\""));
        assert!(gauge(50, i64::MAX).matches("width=\"100\"").count() == 3);
    }
}
