//! What the vendor's answers say. Pure, so that tests and fuzzers can hand it anything.
//!
//! What always holds: what a payer must see to pay (address, amount, memo) is there and is a short line, or the
//! answer is unreadable: a payment that cannot be shown whole would lose a deposit.

use time::OffsetDateTime;

use crate::Error;
use crate::decimal::Decimal;
use crate::json::{self, Json};
use crate::report::{self, Report};

/// The vendor offers a few hundred coins.
const MAX_CURRENCIES: usize = 5_000;

/// A new payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// As far as it is known.
    pub report: Report,
    /// Where the coins go.
    pub pay_address: String,
    /// The memo or destination tag, without which a deposit is lost; most coins have none.
    pub payin_extra_id: Option<String>,
    /// How many coins, as text; more than zero.
    pub pay_amount: String,
    /// The coin, in lower case.
    pub pay_currency: String,
    /// The chain that the coins travel on, such as `btc` or `trx`.
    pub network: Option<String>,
    /// When the amount ends to be valid, if it does.
    pub valid_until: Option<OffsetDateTime>,
    /// When the vendor expects to give the payment up.
    pub expires_at: Option<OffsetDateTime>,
}

/// The least that can be paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minimum {
    /// In the coin, as decimal text.
    pub amount: String,
    /// What that is in USD, as decimal text, if the vendor said it.
    pub fiat_equivalent: Option<String>,
}

/// Of `POST /payment`.
pub fn created(bytes: &[u8]) -> Result<Created, Error> {
    let json = read(bytes)?;
    let time = |key| report::field(&json, key).and_then(report::instant);
    let report = Report::read(&json).map_err(|_| Error::Unreadable)?;
    let is_positive = |text: &String| Decimal::parse(text).is_ok_and(|amount| amount.is_positive());
    Ok(Created {
        pay_address: line(&json, "pay_address")?.ok_or(Error::Unreadable)?,
        payin_extra_id: line(&json, "payin_extra_id")?,
        pay_amount: report.pay_amount.clone().filter(is_positive).ok_or(Error::Unreadable)?,
        pay_currency: report.pay_currency.clone().ok_or(Error::Unreadable)?,
        network: report::field(&json, "network").map(str::to_ascii_lowercase),
        valid_until: time("valid_until"),
        expires_at: time("expiration_estimate_date"),
        report,
    })
}

/// Of `GET /payment/:id`.
pub fn payment(bytes: &[u8]) -> Result<Report, Error> {
    Report::read(&read(bytes)?).map_err(|_| Error::Unreadable)
}

/// Of `GET /min-amount`.
pub fn minimum(bytes: &[u8]) -> Result<Minimum, Error> {
    let json = read(bytes)?;
    let amount = report::amount(&json, "min_amount").ok_or(Error::Unreadable)?;
    Ok(Minimum { amount, fiat_equivalent: report::amount(&json, "fiat_equivalent") })
}

/// Of `GET /estimate`.
pub fn estimate(bytes: &[u8]) -> Result<String, Error> {
    report::amount(&read(bytes)?, "estimated_amount").ok_or(Error::Unreadable)
}

/// Of `GET /currencies`: words, or objects with a word each, as the vendor's versions differ.
pub fn currencies(bytes: &[u8]) -> Result<Vec<String>, Error> {
    let json = read(bytes)?;
    let Some(Json::Array(items)) = json.get("currencies") else { return Err(Error::Unreadable) };
    if items.len() > MAX_CURRENCIES {
        return Err(Error::Unreadable);
    }
    let name = |item: &Json| {
        let text = item.get("currency").unwrap_or(item).text()?;
        let is_name = (1..=report::MAX_FIELD_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_name.then(|| text.to_ascii_lowercase())
    };
    Ok(items.iter().filter_map(name).collect())
}

/// Of `GET /status`.
pub fn status(bytes: &[u8]) -> Result<(), Error> {
    let json = read(bytes)?;
    let message = json.get("message").and_then(Json::text);
    if message.is_some_and(|text| text.eq_ignore_ascii_case("ok")) { Ok(()) } else { Err(Error::Unreadable) }
}

/// The stable word and the sentence of a refusal, as far as there are any.
#[must_use]
pub fn refusal(bytes: &[u8]) -> (String, String) {
    /// A line of a log.
    const MAX_CHARACTERS: usize = 200;
    let Ok(json) = json::parse(bytes) else { return Default::default() };
    let line = |key| {
        let text = json.get(key).and_then(Json::text).unwrap_or_default();
        text.chars().filter(|character| !character.is_control()).take(MAX_CHARACTERS).collect()
    };
    (line("code"), line("message"))
}

fn read(bytes: &[u8]) -> Result<Json, Error> {
    json::parse(bytes).map_err(|_| Error::Unreadable)
}

/// A line that a payer must copy whole. Something that is there and cannot be shown makes the answer unreadable.
fn line(json: &Json, key: &str) -> Result<Option<String>, Error> {
    let says_nothing =
        |value: &Json| matches!(value, Json::Null) || matches!(value.text(), Some("" | "null"));
    match json.get(key) {
        None => Ok(None),
        Some(value) if says_nothing(value) => Ok(None),
        Some(_) => {
            let text = report::field(json, key).filter(|text| !text.contains(char::is_whitespace));
            text.map(|text| Some(text.to_owned())).ok_or(Error::Unreadable)
        }
    }
}
