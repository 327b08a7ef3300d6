//! `/checkout/{id}`: one order, from the choice of a coin to the credits.
//!
//! What always holds: the page says all that a payer needs as text; the code, the copying, the clock and the looking
//! again are there on top. Deliberately absent: who may look, which the door decides before anything is rendered.

mod coin;
mod pay;

use leptos::prelude::*;
use types::MicroUsd;

use crate::parts::{Precision, as_of, encoded};
use crate::shell::{self, Head, Visit};

/// Milliseconds between two looks of a page that waits: soon enough to feel live.
const LOOK_EVERY_MS: &str = "3000";

/// An order as its owner sees it.
#[derive(Clone, Debug)]
pub struct Order {
    /// Its id.
    pub id: String,
    /// The pack's name.
    pub pack: String,
    /// The price, such as `$10`.
    pub price: String,
    /// What is bought.
    pub credits: MicroUsd,
    /// What comes on top.
    pub bonus: MicroUsd,
    /// Where it is.
    pub stage: Stage,
    /// The same in a sentence.
    pub text: String,
    /// Coins on offer: the vendor's word and the least that it can carry, in USD.
    pub coins: Vec<(String, String)>,
    /// Whether the processor answered for every coin.
    pub coins_complete: bool,
    /// How to pay.
    pub payment: Option<Payment>,
    /// The payment simulator's page; `None`: money moves.
    pub simulator: Option<String>,
    /// What the account can spend now.
    pub balance: Option<MicroUsd>,
    /// Where the buyer came from: address, name.
    pub back: (String, String),
    /// When this was read, RFC 3339 in UTC.
    pub read_at: String,
}

/// Where an order is, as far as a page differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// No coin is chosen.
    Choose,
    /// An address waits for coins.
    Pay,
    /// Coins were seen.
    Moving,
    /// The credits are there.
    Finished,
    /// Too little came.
    Underpaid,
    /// Nothing came in time.
    Expired,
    /// The processor gave up.
    Failed,
    /// Paid back.
    Refunded,
}

impl Stage {
    /// How far along the way: choose, send, confirm, done.
    fn step(self) -> usize {
        match self {
            Self::Choose | Self::Expired | Self::Failed => 0,
            Self::Pay | Self::Underpaid => 1,
            Self::Moving => 2,
            Self::Finished | Self::Refunded => 3,
        }
    }

    /// Whether something may still change without the buyer.
    fn is_live(self) -> bool {
        match self {
            Self::Pay | Self::Moving | Self::Underpaid => true,
            Self::Choose | Self::Finished | Self::Expired | Self::Failed | Self::Refunded => false,
        }
    }

    fn note(self) -> &'static str {
        match self {
            Self::Finished => "note good",
            Self::Underpaid | Self::Failed => "note bad",
            Self::Choose | Self::Pay | Self::Moving | Self::Expired | Self::Refunded => "note",
        }
    }
}

/// How to pay, and what came.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The processor's number of it.
    pub id: String,
    /// The vendor's word for the coin.
    pub coin: String,
    /// The chain, as the vendor names it.
    pub network: Option<String>,
    /// Where to pay.
    pub address: Option<String>,
    /// Without it the deposit is lost.
    pub memo: Option<String>,
    /// How many coins.
    pub amount: Option<String>,
    /// How many came.
    pub came: Option<String>,
    /// What is still missing of them.
    pub missing: Option<String>,
    /// Until when the amount holds, RFC 3339 in UTC.
    pub until: Option<String>,
    /// Whether that is over.
    pub is_over: bool,
}

/// How the looker proves that the order is theirs, at each form of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A session, which the browser shows by itself.
    Session,
    /// A key, to be typed each time.
    Key,
}

/// The page of an order. `refusal`: why the last click did nothing.
#[must_use]
pub fn page(visit: &Visit, order: &Order, proof: Proof, refusal: Option<String>) -> String {
    let head = Head {
        scripts: &["frontend.js"],
        ..Head::private(
            format!("{} pack", order.pack),
            "An order of credits: how to pay it, and how it stands.",
        )
    };
    let title = format!("{} pack, {}", order.pack, order.price);
    let refusal = refusal.map(|text| view! { <p class="note bad" role="alert">{text}</p> });
    let live = (order.stage.is_live() && proof == Proof::Session).then_some("state steps paying stamp");
    let every = live.map(|_| LOOK_EVERY_MS);
    let text = if order.stage == Stage::Choose {
        "Choose a coin to pay with".to_owned()
    } else {
        order.text.clone()
    };
    let body = view! {
        <div class="checkout">
            <header>
                <p class="eyebrow"><a href="/buy">"Buy credits"</a></p>
                <h1>{title}</h1>
            </header>
            {simulated(order)}
            <div class="paying" data-live=live data-every=every>
                {refusal}
                <div id="steps">{steps(order.stage)}</div>
                <div id="state" role="status"><p class=order.stage.note()>{text}</p></div>
                <div id="paying">{stage(order, proof)}</div>
                <div id="stamp">{look_again(order, proof)}</div>
            </div>
            {receipt(order)}
        </div>
    };
    shell::page(visit, head, body)
}

/// The page for somebody who has not shown that the order is theirs. It says nothing about it.
#[must_use]
pub fn locked(visit: &Visit, id: &str, refusal: Option<String>) -> String {
    let head = Head::private("Checkout", "An order of credits. Only its buyer sees it.");
    let refusal = refusal.map(|text| view! { <p class="note bad" role="alert">{text}</p> });
    let sign_in = crate::parts::sign_in(&visit.path);
    let action = format!("/checkout/{}", encoded(id));
    let body = view! {
        <div class="docs">
            <header>
                <p class="eyebrow"><a href="/buy">"Buy credits"</a></p>
                <h1>"Whose order is it?"</h1>
                <p class="lead">"An order is its buyer\u{2019}s alone. Sign in with the wallet that made it, or show a key of the account."</p>
            </header>
            <article>
                {refusal}
                <p class="actions"><a class="button" href=sign_in>"Sign in with a wallet"</a></p>
                <form class="sheet after" method="post" action=action>
                    {crate::parts::key_field("An API key of the account")}
                    <button class="button plain">"Show the order"</button>
                </form>
            </article>
        </div>
    };
    shell::page(visit, head, body)
}

fn simulated(order: &Order) -> Option<AnyView> {
    let address = order.simulator.clone()?;
    let place = order.payment.as_ref().map_or(String::new(), |payment| format!("/#payment-{}", payment.id));
    let href = format!("{address}{place}");
    Some(view! {
        <p class="simulated" role="note">
            <strong>"Payment simulator, no real money. "</strong>
            "Nothing here moves on a chain. "
            <a id="simulator" href=href target="_blank" rel="noopener">"Press pay, underpay or expire on the simulator\u{2019}s page"</a>
        </p>
    }.into_any())
}

fn steps(stage: Stage) -> AnyView {
    let at = stage.step();
    let names = ["Coin", "Payment", "Confirmation", "Credits"];
    let items: Vec<_> = names
        .into_iter()
        .enumerate()
        .map(|(place, name)| {
            let is_done = place < at || stage == Stage::Finished;
            let class = if is_done { "done" } else { "" };
            let current = (place == at && !is_done).then_some("step");
            let said = is_done.then(|| view! { <span class="hidden">" (done)"</span> });
            view! { <li class=class aria-current=current>{name}{said}</li> }
        })
        .collect();
    view! { <ol class="steps-done" aria-label="Where this order is">{items}</ol> }.into_any()
}

/// Refreshing by hand, which is all there is without a script; with one, the sentence says that it looks by itself.
fn look_again(order: &Order, proof: Proof) -> Option<AnyView> {
    (order.stage.is_live() && proof == Proof::Session).then(|| {
        view! {
            <p class="small quiet">
                {as_of(&order.read_at, Precision::Minute)}<a href="">"Look again"</a>
                <span data-live-note="" hidden=true>" (this page looks by itself every three seconds)"</span>
            </p>
        }
        .into_any()
    })
}

fn stage(order: &Order, proof: Proof) -> AnyView {
    let payment = order.payment.as_ref();
    match (order.stage, payment) {
        (Stage::Choose, _) => pay::coins(order, proof, "Pay with").into_any(),
        (Stage::Pay | Stage::Underpaid, Some(payment)) => view! {
            {pay::underpaid(order.stage, payment)}
            {pay::how(order.stage, payment)}
            {pay::other_coin(order, proof)}
        }
        .into_any(),
        (Stage::Moving, _) => view! {
            <p>"We have seen your payment. Blocks take from seconds to some minutes; you may close this page, the credits come all the same."</p>
        }
        .into_any(),
        (Stage::Finished, _) => finished(order).into_any(),
        (Stage::Expired | Stage::Failed | Stage::Pay | Stage::Underpaid, _) => view! {
            <p>"No money was taken. If you did send coins, they are still credited when they arrive, however late."</p>
            {pay::coins(order, proof, "Try again with")}
        }
        .into_any(),
        (Stage::Refunded, _) => view! {
            <p>"The payment was sent back, and its credits are no longer in your account."</p>
            <p class="actions"><a class="button" href="/buy">"Buy credits"</a></p>
        }
        .into_any(),
    }
}

fn finished(order: &Order) -> AnyView {
    let (href, name) = order.back.clone();
    let balance = order.balance.map(|balance| {
        view! { <div><dt>"New balance"</dt><dd id="new-balance">{dollars(balance)}</dd></div> }
    });
    let came = dollars(MicroUsd(order.credits.0.saturating_add(order.bonus.0)));
    view! {
        <dl class="sums">
            <div><dt>"Credited"</dt><dd>{came}</dd></div>
            {balance}
        </dl>
        <p class="actions"><a class="button" href=href>{name}</a><a href="/buy">"Buy more"</a></p>
    }
    .into_any()
}

/// What is bought, as the books will say it.
fn receipt(order: &Order) -> AnyView {
    let bonus = (order.bonus > MicroUsd::ZERO)
        .then(|| view! { <div><dt>"Bonus"</dt><dd>{dollars(order.bonus)}</dd></div> });
    let sum = dollars(MicroUsd(order.credits.0.saturating_add(order.bonus.0)));
    view! {
        <section class="books" aria-labelledby="receipt">
            <h2 id="receipt" class="hidden">"What you buy"</h2>
            <dl>
                <div><dt>"You pay"</dt><dd>{order.price.clone()}</dd></div>
                <div><dt>"Credits"</dt><dd>{dollars(order.credits)}</dd></div>
                {bonus}
                <div class="sum"><dt>"You get"</dt><dd>{sum}</dd></div>
            </dl>
            <p class="quiet">"Order "<code>{order.id.clone()}</code></p>
        </section>
    }
    .into_any()
}

fn dollars(amount: MicroUsd) -> String {
    format!("${}", amount.to_usd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    fn order(stage: Stage) -> Order {
        let payment = Payment {
            id: "5".into(),
            coin: "btc".into(),
            network: Some("btc".into()),
            address: Some("bc1qexample".into()),
            memo: Some("77".into()),
            amount: Some("0.00010500".into()),
            came: Some("0.00005".into()),
            missing: Some("0.000055".into()),
            until: Some("2026-01-01T00:20:00Z".into()),
            is_over: false,
        };
        Order {
            id: "0190".into(),
            pack: "Standard".into(),
            price: "$10".into(),
            credits: MicroUsd(10_000_000),
            bonus: MicroUsd(500_000),
            stage,
            text: "A <sentence>".into(),
            coins: vec![("btc".into(), "3".into())],
            coins_complete: true,
            payment: (stage != Stage::Choose).then_some(payment),
            simulator: None,
            balance: Some(MicroUsd(12_000_000)),
            back: ("/account".into(), "Back".into()),
            read_at: "2026-01-01T00:00:00Z".into(),
        }
    }

    fn shown(stage: Stage) -> String {
        page(&visit("/checkout/0190?return=%2Fdocs"), &order(stage), Proof::Session, None)
    }

    #[test]
    fn a_payer_reads_address_memo_and_exact_amount_as_text() {
        let page = shown(Stage::Pay);
        for text in ["bc1qexample", ">77<", "0.00010500", "class=\"qr\"", "A &lt;sentence&gt;", "data-live="]
        {
            assert!(page.contains(text), "{text}");
        }
        assert!(page.contains("datetime=\"2026-01-01T00:20:00Z\"") && !page.contains("simulator"));
    }

    #[test]
    fn each_stage_says_what_can_be_done_now() {
        assert!(
            shown(Stage::Choose).contains("value=\"btc\"") && !shown(Stage::Choose).contains("data-live=")
        );
        let done = shown(Stage::Finished);
        assert!(
            done.contains("$12.00") && done.contains("href=\"/account\"") && !done.contains("bc1qexample")
        );
        let short = shown(Stage::Underpaid);
        assert!(short.contains("<code id=\"amount\">0.000055</code>") && short.contains("Still to send"));
        assert!(
            shown(Stage::Expired).contains("Try again with")
                && shown(Stage::Failed).contains("value=\"btc\"")
        );
        assert!(
            shown(Stage::Refunded).contains("sent back") && shown(Stage::Moving).contains("We have seen")
        );
    }

    #[test]
    fn somebody_else_learns_nothing() {
        let page = locked(&visit("/checkout/0190"), "0190", None);
        assert!(
            !page.contains("bc1q")
                && !page.contains("$10")
                && page.contains("/signin?return=%2Fcheckout%2F0190")
        );
    }

    #[test]
    fn a_simulator_is_called_one() {
        let order = Order { simulator: Some("http://127.0.0.1:3002".into()), ..order(Stage::Pay) };
        let page = page(&visit("/checkout/0190"), &order, Proof::Session, None);
        assert!(page.contains("no real money") && page.contains("http://127.0.0.1:3002/#payment-5"));
    }
}
