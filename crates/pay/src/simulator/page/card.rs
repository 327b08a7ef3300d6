//! One payment on the page: what is asked, where it is, what can be pressed, and the notices with their answers.

use super::super::coin::{MICRO_DECIMALS, text};
use super::super::deliver::{Answer, Callback};
use super::super::payment::{Notice, Payment};
use super::super::script::{Manner, SCRIPTS, Script, Status};
use super::super::wire::iso;
use super::{escape, manners};

/// The scripts that have their buttons in the first row.
const COMMON: &[Script] = &[Script::Pay, Script::Underpay, Script::Expire, Script::Refund];

/// The payment as HTML.
pub(super) fn card(payment: &Payment) -> String {
    let id = payment.id;
    let coin = payment.asked.coin;
    let price = dollars(payment.asked.price_micro);
    let moving = if payment.plan.is_empty() { "" } else { " <span class=\"moving\">moving…</span>" };
    let child = payment.parent.map_or_else(String::new, |parent| {
        let why =
            if payment.status == Status::WrongAsset { "Wrong coin sent to" } else { "Second deposit for" };
        format!("<p class=\"child\">{why} <a href=\"#payment-{parent}\">payment {parent}</a></p>")
    });
    format!(
        "<article class=\"card\" id=\"payment-{id}\" aria-labelledby=\"title-{id}\">\
         <div class=\"head\"><h3 id=\"title-{id}\"><span class=\"price\">{price}</span> \
         <span class=\"due\">{due} {code}</span></h3>\
         <p class=\"state\"><span class=\"badge {tone}\">{status}</span>{moving}</p></div>{child}{facts}{buttons}{notices}</article>",
        due = coin.text(payment.due),
        code = coin.code.to_uppercase(),
        tone = tone(payment.status),
        status = sentence(payment.status),
        facts = facts(payment),
        buttons = buttons(payment),
        notices = notices(payment),
    )
}

/// The figures.
fn facts(payment: &Payment) -> String {
    let asked = &payment.asked;
    let mut rows = vec![
        ("Payment", format!("<code>{}</code>", payment.id)),
        ("Order", optional(asked.order_id.as_deref(), "no order id")),
        ("Description", asked.description.as_deref().map(escape).unwrap_or_default()),
        ("Coin", format!("{} <span class=\"quiet\">on {}</span>", asked.coin.name, asked.coin.network)),
        ("Arrived", format!("{} of {}", asked.coin.text(payment.paid), asked.coin.text(payment.due))),
        ("Address", format!("<code>{}</code>", payment.address())),
        ("Memo", payment.memo().map(|memo| format!("<code>{memo}</code>")).unwrap_or_default()),
        ("Made", time(payment.created)),
        (
            "Notices to",
            optional(asked.callback.as_ref().map(Callback::as_str), "nobody: no address was given"),
        ),
    ];
    rows.retain(|(_, value)| !value.is_empty());
    let rows = rows.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    format!("<dl>{}</dl>", rows.collect::<Vec<_>>().concat())
}

/// What can be pressed. What the original would not do now is there, and dimmed: the row keeps its shape.
fn buttons(payment: &Payment) -> String {
    let id = payment.id;
    let button = |script: &Script| {
        let class = if *script == Script::Pay { " class=\"primary\"" } else { "" };
        let off = if payment.allows(*script) { "" } else { " disabled" };
        format!(
            "<button formaction=\"/simulator/payments/{id}/{}\"{class}{off}>{}</button>",
            script.name(),
            script.label()
        )
    };
    let common: String = COMMON.iter().map(button).collect();
    let rare: String = SCRIPTS.iter().filter(|script| !COMMON.contains(script)).map(button).collect();
    let told = if payment.asked.callback.is_none() { " disabled" } else { "" };
    let again = if payment.notices.is_empty() { " disabled" } else { told };
    let open = if payment.manner == Manner::Plain { "" } else { " open" };
    format!(
        "<form method=\"post\" action=\"/simulator/payments/{id}/pay\">\
         <div class=\"row\" role=\"group\" aria-label=\"Common outcomes\">{common}</div>\
         <details{open}><summary>Rarer things</summary>\
         <div class=\"row\" role=\"group\" aria-label=\"Rarer outcomes\">{rare}</div>\
         <div class=\"row\" role=\"group\" aria-label=\"Notices\">\
         <button formaction=\"/simulator/payments/{id}/again\"{again}>Send all notices again</button>\
         <button formaction=\"/simulator/payments/{id}/forge\"{told}>Send a forged notice</button></div>\
         <div class=\"row\"><label for=\"manner-{id}\">Its notices come</label>\
         <select id=\"manner-{id}\" name=\"manner\">{}</select>\
         <button formaction=\"/simulator/payments/{id}/delivery\">Set</button></div></details></form>",
        manners(payment.manner)
    )
}

/// The history.
fn notices(payment: &Payment) -> String {
    if payment.notices.is_empty() {
        return "<p class=\"quiet none\">No notice yet.</p>".to_owned();
    }
    let items: String = payment.notices.iter().map(|notice| notice_item(payment, notice)).collect();
    let count = payment.notices.len();
    let word = if count == 1 { "notice" } else { "notices" };
    format!("<h4>{count} {word}</h4><ol class=\"notices\">{items}</ol>")
}

fn notice_item(payment: &Payment, notice: &Notice) -> String {
    let untold = if payment.asked.callback.is_none() { "nobody to tell" } else { "kept silent" };
    let mut answers: String = notice.answers.iter().map(answer).collect();
    if answers.is_empty() {
        answers = format!("<span class=\"answer\">{untold}</span>");
    }
    let said = match notice.answers.last() {
        Some(Answer::Status(_, text)) if !text.is_empty() => {
            format!(
                "<p class=\"quiet\">The answer</p><pre tabindex=\"0\"><code>{}</code></pre>",
                escape(text)
            )
        }
        Some(Answer::Unreachable(why)) => format!("<p class=\"quiet\">{}</p>", escape(why)),
        Some(Answer::Status(..) | Answer::Late) | None => String::new(),
    };
    let forged = if notice.is_forged { " <span class=\"answer bad\">forged</span>" } else { "" };
    format!(
        "<li><details><summary>{} <b>{}</b>{forged} <span class=\"answers\">{answers}</span></summary>\
         <p class=\"quiet\">The body, as it was sent</p><pre tabindex=\"0\"><code>{}</code></pre>{said}</details></li>",
        time(notice.at),
        notice.status,
        escape(&notice.body)
    )
}

fn answer(answer: &Answer) -> String {
    let tone = if answer.is_accepted() { "good" } else { "bad" };
    format!("<span class=\"answer {tone}\">{answer}</span> ")
}

/// The status in words.
fn sentence(status: Status) -> String {
    let words = status.word().replace('_', " ");
    let (first, rest) = words.split_at(1);
    format!("{}{rest}", first.to_uppercase())
}

/// The status's colour; the word beside it says the same.
fn tone(status: Status) -> &'static str {
    match status {
        Status::Waiting => "calm",
        Status::Confirming | Status::Confirmed | Status::Sending => "moving",
        Status::Finished => "good",
        Status::PartiallyPaid | Status::WrongAsset | Status::Refunded => "odd",
        Status::Failed | Status::Expired | Status::Cancelled => "bad",
    }
}

fn optional(text: Option<&str>, nothing: &str) -> String {
    match text {
        Some(text) => format!("<code>{}</code>", escape(text)),
        None => format!("<span class=\"quiet\">{nothing}</span>"),
    }
}

/// Micro-USD with at least two decimals.
fn dollars(micro: u128) -> String {
    let amount = text(micro, MICRO_DECIMALS);
    match amount.split_once('.') {
        None => format!("${amount}.00"),
        Some((_, cents)) if cents.len() == 1 => format!("${amount}0"),
        Some(_) => format!("${amount}"),
    }
}

/// The time of day; the date for machines and for a pointer that rests on it.
fn time(at: time::OffsetDateTime) -> String {
    let iso = iso(at);
    format!("<time datetime=\"{iso}\" title=\"{iso}\">{}</time>", &iso[11..19])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_money() {
        assert_eq!(dollars(5_000_000), "$5.00");
        assert_eq!(dollars(5_500_000), "$5.50");
        assert_eq!(dollars(5_123_000), "$5.123");
        assert_eq!(sentence(Status::PartiallyPaid), "Partially paid");
    }
}
