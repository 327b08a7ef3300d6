//! The middle of the checkout: the coins, and how to pay in the one that was chosen.

use leptos::prelude::*;

use super::{Order, Payment, Proof, Stage, coin};
use crate::parts::{Precision, copy_button, key_field, time, zone};
use crate::qr;

/// The coins whose least fits the pack, each a button: one press makes the payment.
pub(super) fn coins(order: &Order, proof: Proof, title: &'static str) -> AnyView {
    let is_empty = order.coins.is_empty();
    let buttons: Vec<_> = order
        .coins
        .iter()
        .map(|(code, least)| {
            let known = coin::known(code);
            let least = format!("from ${}", coin::cents(least));
            view! {
                <li><button class="coin" name="coin" value=code.clone()>
                    <span class="name">{known.name}</span><span class="small quiet">{least}</span>
                </button></li>
            }
        })
        .collect();
    let none = is_empty.then(|| {
        view! { <p>"The payment processor names no coin for this pack right now. "<a href="">"Look again"</a>" in a minute, or choose a larger pack."</p> }
    });
    let some = (!is_empty && !order.coins_complete)
        .then(|| view! { <p class="small quiet">"The processor did not answer for every coin. There may be more in a minute."</p> });
    let key = (proof == Proof::Key && !is_empty).then(|| key_field("Your API key, once more"));
    // With a session the address stays as it is, with the way back in it.
    let action = if proof == Proof::Key { format!("/checkout/{}", order.id) } else { String::new() };
    let list = (!is_empty).then(|| {
        view! {
            <form method="post" action=action>
                {key}
                <fieldset class="coins"><legend>{title}</legend><ul>{buttons}</ul></fieldset>
            </form>
        }
    });
    view! { {none}{list}{some} }.into_any()
}

/// The other coins, out of the way of whoever has chosen one.
pub(super) fn other_coin(order: &Order, proof: Proof) -> Option<AnyView> {
    (!order.coins.is_empty()).then(|| {
        view! {
            <details class="other">
                <summary>"Pay with another coin"</summary>
                {coins(order, proof, "Each coin gets an address of its own; pay only one of them")}
            </details>
        }
        .into_any()
    })
}

/// What came of too little, and what is missing.
pub(super) fn underpaid(stage: Stage, payment: &Payment) -> Option<AnyView> {
    let unit = coin::known(&payment.coin).unit;
    let came = payment.came.clone()?;
    let missing = payment.missing.clone().map(|missing| {
        view! { <div><dt>"Still missing"</dt><dd><span id="missing">{missing}</span>" "{unit.clone()}</dd></div> }
    });
    (stage == Stage::Underpaid).then(|| {
        view! {
            <dl class="sums">
                <div><dt>"Came so far"</dt><dd>{came}" "{unit.clone()}</dd></div>
                {missing}
            </dl>
            <p>"Send the rest to the same address. Whoever answers for payments here has been told and can help."</p>
        }.into_any()
    })
}

/// Where, how much, until when.
pub(super) fn how(stage: Stage, payment: &Payment) -> AnyView {
    let known = coin::known(&payment.coin);
    let address = payment.address.clone().unwrap_or_default();
    // Of an underpaid one the rest is due, in the text and in the code.
    let (asks, due) = match (stage, &payment.missing) {
        (Stage::Underpaid, Some(missing)) => ("Still to send", Some(missing.clone())),
        _ => ("Send exactly", payment.amount.clone()),
    };
    let scanned = known.to_scan(&address, due.as_deref());
    let code =
        (!address.is_empty()).then(|| qr::code(&scanned, "QR code of the address to pay to")).flatten();
    let memo = payment.memo.clone().map(|memo| {
        view! {
            <div class="must">
                <dt>"Memo"</dt>
                <dd><code id="memo">{memo}</code>{copy_button("memo", "Copy the memo")}
                    <p class="small">"Required. Without this memo the deposit is lost."</p>
                </dd>
            </div>
        }
    });
    let until = payment.until.clone().map(|until| {
        view! {
            <div>
                <dt>"Good until"</dt>
                <dd>{time(&until, Precision::Minute)}" "{zone()}" "<span class="countdown" data-countdown=until hidden=true></span></dd>
            </div>
        }
    });
    let network = payment.network.clone().map(|network| {
        view! { <div><dt>"Network"</dt><dd>{network.to_uppercase()}</dd></div> }
    });
    let amount = due.map(|amount| {
        view! { <div><dt>{asks}</dt><dd><span class="amount"><code id="amount">{amount}</code>" "{known.unit.clone()}</span>{copy_button("amount", "Copy the amount")}</dd></div> }
    });
    let over = payment.is_over.then(|| {
        view! { <p class="note">"The time for this amount is over. If you have sent it, all is well: it is credited when it arrives. If not, choose a coin again below for a fresh amount."</p> }
    });
    let title = format!("Pay with {}", known.name);
    view! {
        <section class="sheet pay" aria-labelledby="how">
            <h2 id="how">{title}</h2>
            {over}
            <div class="way">
                {code}
                <dl class="facts">
                    {amount}
                    <div><dt>"To this address"</dt><dd><code id="address">{address}</code>{copy_button("address", "Copy the address")}</dd></div>
                    {memo}
                    {network}
                    {until}
                </dl>
            </div>
        </section>
    }
    .into_any()
}
