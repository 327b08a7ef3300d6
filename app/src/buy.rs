//! `/buy`: the packs, what they are for, and one button.

use leptos::prelude::*;
use types::MicroUsd;

use crate::parts::{key_field, sign_in};
use crate::shell::{self, Head, Visit};

/// A pack on offer.
#[derive(Clone, Debug)]
pub struct Pack {
    /// What an order names.
    pub slug: String,
    /// For people.
    pub name: String,
    /// `$10`.
    pub price: String,
    /// What is bought.
    pub credits: MicroUsd,
    /// What comes on top.
    pub bonus: MicroUsd,
    /// Days after which it expires; `None`: never.
    pub expires_days: Option<u16>,
}

/// An account that can be bought for.
#[derive(Clone, Debug)]
pub struct Purse {
    /// What the form sends.
    pub slug: String,
    /// For people.
    pub name: String,
    /// What kind of account, in words.
    pub kind: &'static str,
    /// What is on it.
    pub available: MicroUsd,
}

/// What there is to choose from.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Cheapest first.
    pub packs: Vec<Pack>,
    /// The one that is marked.
    pub pack: String,
    /// The wallet's accounts; empty when nobody is signed in.
    pub purses: Vec<Purse>,
    /// The one that is marked.
    pub purse: String,
    /// New for each page, so that the same form sent twice is one order.
    pub once: String,
    /// Where the checkout leads back to.
    pub back: Option<String>,
    /// Why nothing can be bought, or not like this.
    pub refusal: Option<String>,
    /// Whether orders are taken now.
    pub is_open: bool,
}

/// The page.
#[must_use]
pub fn page(visit: &Visit, offer: Offer) -> String {
    let head = Head {
        index: crate::shell::Index::No,
        ..Head::new(
            "Buy credits",
            "Prepaid credits for agents and for the API: choose a pack, pay in a coin, and see them arrive.",
        )
    };
    let Offer { packs, pack, purses, purse, once, back, refusal, is_open } = offer;
    let refusal = refusal.map(|text| view! { <p class="note bad" role="alert">{text}</p> });
    let closed = (!is_open).then(|| {
        view! { <p class="note" role="status">"Buying credits is switched off here for now. Payments of earlier orders are still credited, and credits still spend."</p> }
    });
    let back = back.map(|back| view! { <input r#type="hidden" name="back" value=back/> });
    let packs: Vec<_> = packs.into_iter().map(|row| choice(row, &pack)).collect();
    let body = view! {
        <div class="buy">
            <header>
                <h1>"Buy credits"</h1>
                <p class="lead">"Credits pay for answers, to the millionth of a dollar. You choose the coin on the next page; nothing is charged before you send it."</p>
            </header>
            {refusal}
            {closed}
            <form method="post" action="/buy">
                <input r#type="hidden" name="once" value=once/>
                {back}
                <fieldset class="packs"><legend>"Pack"</legend>{packs}</fieldset>
                {who(visit, purses, &purse, is_open)}
            </form>
        </div>
    };
    shell::page(visit, head, body)
}

fn choice(pack: Pack, chosen: &str) -> impl IntoView + use<> {
    let Pack { slug, name, price, credits, bonus, expires_days } = pack;
    let is_chosen = slug == chosen;
    let gets = format!("${} of credits", MicroUsd(credits.0.saturating_add(bonus.0)).to_usd());
    let bonus = (bonus > MicroUsd::ZERO)
        .then(|| view! { <span class="bonus">{format!("${} of them a bonus", bonus.to_usd())}</span> });
    let life =
        expires_days.map_or_else(|| "They never expire".to_owned(), |days| format!("Good for {days} days"));
    view! {
        <label class="pack">
            <input r#type="radio" name="pack" value=slug checked=is_chosen required=true/>
            <span class="name">{name}</span>
            <span class="price">{price}</span>
            <span>{gets}</span>
            {bonus}
            <span class="small quiet">{life}</span>
        </label>
    }
}

/// For which account, and the button; or how to say who one is.
fn who(visit: &Visit, purses: Vec<Purse>, chosen: &str, is_open: bool) -> AnyView {
    let disabled = !is_open;
    if purses.is_empty() {
        let href = sign_in(&visit.path);
        return view! {
            <p class="actions"><a class="button" href=href>"Sign in to buy"</a></p>
            <details class="other">
                <summary>"Buy for an API key\u{2019}s account"</summary>
                {key_field("An API key of the account")}
                <button class="button plain" disabled=disabled>"Order with this key"</button>
            </details>
        }
        .into_any();
    }
    let is_only = purses.len() == 1;
    let options: Vec<_> = purses
        .into_iter()
        .map(|Purse { slug, name, kind, available }| {
            let is_chosen = is_only || slug == chosen;
            let has = format!("{kind}, ${} now", available.to_usd());
            view! {
                <label class="purse">
                    <input r#type="radio" name="for" value=slug checked=is_chosen required=true/>
                    <span class="name">{name}</span><span class="small quiet">{has}</span>
                </label>
            }
        })
        .collect();
    view! {
        <fieldset class="purses"><legend>"For"</legend>{options}</fieldset>
        <button class="button" disabled=disabled>"Go to the checkout"</button>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    fn offer(purses: Vec<Purse>) -> Offer {
        let pack = Pack {
            slug: "standard".into(),
            name: "Standard".into(),
            price: "$10".into(),
            credits: MicroUsd(10_000_000),
            bonus: MicroUsd(500_000),
            expires_days: Some(90),
        };
        Offer {
            packs: vec![pack],
            pack: "standard".into(),
            purses,
            purse: String::new(),
            once: "o-1".into(),
            back: Some("/docs".into()),
            refusal: None,
            is_open: true,
        }
    }

    #[test]
    fn a_stranger_reads_the_packs_and_is_asked_who_buys() {
        let page = page(&visit("/buy?pack=standard"), offer(Vec::new()));
        assert!(page.contains("$10.50 of credits") && page.contains("$0.50 of them a bonus"));
        assert!(page.contains("/signin?return=%2Fbuy%3Fpack%3Dstandard") && page.contains("name=\"key\""));
    }

    #[test]
    fn a_wallet_chooses_for_what_and_one_choice_is_made_already() {
        let purse = |slug: &str| Purse {
            slug: slug.into(),
            name: "<Demo>".into(),
            kind: "your account in this community",
            available: MicroUsd(1),
        };
        let one = page(&visit("/buy"), offer(vec![purse("demo")]));
        assert_eq!(one.matches(" checked").count(), 2, "the pack and the only purse");
        assert!(one.contains("&lt;Demo&gt;") && one.contains("name=\"once\" value=\"o-1\""));
        let two = page(&visit("/buy"), offer(vec![purse("a"), purse("b")]));
        assert_eq!(two.matches(" checked").count(), 1, "nobody's money is put anywhere unasked");
        let closed = page(&visit("/buy"), Offer { is_open: false, ..offer(vec![purse("demo")]) });
        assert!(closed.contains("switched off") && closed.contains("disabled"));
    }
}
