//! `/admin/{community}/payments`: where credits came from, payments that hang, and the repair of one.

use leptos::prelude::*;
use types::MicroUsd;

use super::caps::{Must, field};
use super::frame::{self, Look, Tab, empty, next};
use super::repair::{Pending, ask, ask_by_id, waiting};
use super::table::{Cell, Column, dollars, grouped, table};
use crate::shell::Visit;

/// A payment that hangs.
#[derive(Clone, Debug)]
pub struct PaymentRow {
    /// The processor's id.
    pub payment: String,
    /// Whose account.
    pub account: String,
    /// The highest status that was told.
    pub status: &'static str,
    /// Paid, and only the credits are missing.
    pub is_paid: bool,
    /// What was asked for and what came, in coins.
    pub coins: String,
    /// When the money was first seen.
    pub deposit_at: String,
    /// When the processor was last asked.
    pub polled_at: Option<String>,
}

/// The payments of a community.
#[derive(Clone, Debug)]
pub struct Payments {
    /// Credits by origin: its name, lots, credited, left.
    pub origins: Vec<(&'static str, i64, MicroUsd, MicroUsd)>,
    /// A page of payments that hang, the longest first.
    pub stuck: Vec<PaymentRow>,
    /// Asks for further ones.
    pub next_cursor: Option<String>,
    /// Repairs that wait for another administrator.
    pub pending: Vec<Pending>,
}

/// The page.
#[must_use]
pub fn payments(visit: &Visit, look: &Look, payments: Payments) -> String {
    let lead = "Payments credit themselves. Here stands what hangs: money was seen half an hour ago, and nothing was credited.";
    let Payments { origins, stuck, next_cursor, pending } = payments;
    let path = Tab::Payments.of(&look.community);
    let further = next_cursor.map(|cursor| format!("{path}?cursor={}", crate::parts::encoded(&cursor)));
    let id = field(
        "payment",
        "Payment",
        String::new(),
        "The processor\u{2019}s id, as the buyer sees it.",
        None,
        Must::Must,
    );
    let body = view! {
        {waiting(&path, pending)}
        <section class="figures" aria-labelledby="stuck">
            <h2 id="stuck">"Payments that hang"</h2>
            {hanging(&path, stuck)}
            {next(further, "Further payments")}
        </section>
        <section class="figures" aria-labelledby="origins">
            <h2 id="origins">"Where credits came from"</h2>
            {of_origins(origins)}
        </section>
        <section class="figures" aria-labelledby="another">
            <h2 id="another">"Reconcile another payment"</h2>
            <p>"The processor is asked about it, and its answer is applied as its own notice would be. What is credited follows from the order, never from this form; doing it twice changes nothing."</p>
            {ask_by_id(&path, id, "Go on")}
        </section>
    };
    frame::page(visit, look, Tab::Payments, lead, body.into_any())
}

fn hanging(path: &str, stuck: Vec<PaymentRow>) -> AnyView {
    if stuck.is_empty() {
        return empty(
            "No payment hangs. Should a buyer miss credits, reconcile their payment by its id below.",
        );
    }
    let rows = stuck.into_iter().map(|row| {
        let PaymentRow { payment, account, status, is_paid, coins, deposit_at, polled_at } = row;
        let state =
            if is_paid { format!("{status}: only the credits are missing") } else { status.to_owned() };
        let fields = vec![("payment", payment.clone())];
        vec![
            Cell::Head(payment.clone()),
            Cell::Text(account),
            Cell::Text(state),
            Cell::Text(coins),
            Cell::Time(deposit_at),
            polled_at.map_or_else(|| Cell::Text("never".to_owned()), Cell::Time),
            Cell::View(ask(path, &payment, "Reconcile", &payment, fields, ().into_any())),
        ]
    });
    let columns = [
        Column::Words("Payment"),
        Column::Words("Account"),
        Column::Words("Status"),
        Column::Words("Coins"),
        Column::Words("Money seen"),
        Column::Words("Last asked"),
        Column::Words("Repair"),
    ];
    table("Payments that hang", "The longest first".to_owned(), &columns, rows.collect()).into_any()
}

fn of_origins(origins: Vec<(&'static str, i64, MicroUsd, MicroUsd)>) -> AnyView {
    if origins.is_empty() {
        return empty("No credits yet. Members buy packs; an operator can grant some.");
    }
    let rows = origins.into_iter().map(|(name, lots, credited, left)| {
        vec![
            Cell::Head(name.to_owned()),
            Cell::Number(grouped(lots)),
            Cell::Number(dollars(credited)),
            Cell::Number(dollars(left)),
        ]
    });
    let columns = [
        Column::Words("Origin"),
        Column::Figures("Times"),
        Column::Figures("Credited"),
        Column::Figures("Left"),
    ];
    table("Credits by origin", "Over all accounts, ever".to_owned(), &columns, rows.collect()).into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    #[test]
    fn a_payment_that_hangs_can_be_repaired_from_its_row() {
        let row = PaymentRow {
            payment: "57454\"".into(),
            account: "9".into(),
            status: "finished",
            is_paid: true,
            coins: "0.1 of 0.1 btc".into(),
            deposit_at: "2026-01-01T00:00:00Z".into(),
            polled_at: None,
        };
        let told = Payments { origins: Vec::new(), stuck: vec![row], next_cursor: None, pending: Vec::new() };
        let page = payments(&visit("/x"), &look(), told.clone());
        assert!(page.contains("only the credits are missing") && page.contains("value=\"57454&quot;\""));
        assert!(page.contains("No credits yet"));
        let none = payments(&visit("/x"), &look(), Payments { stuck: Vec::new(), ..told });
        assert!(none.contains("No payment hangs") && !none.contains("<table"));
    }
}
