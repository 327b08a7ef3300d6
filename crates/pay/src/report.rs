//! What the processor says of a payment: one shape, whether it told us unasked or answered.
//!
//! The wire is loose: ids come as strings or numbers, absent values as nothing, `null`, `""` or the string `"null"`,
//! words in either case. This module reads it once. What always holds: `payment_id` and `status` are there; amounts
//! are decimal numbers in the text in which they came; no field is longer than [`MAX_FIELD_BYTES`].
//!
//! Deliberately absent: what a status means. A value that is not what its field should hold reads as absent, since a
//! missing value passes no check and the verbatim text is kept by whoever got it.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::decimal::Decimal;
use crate::json::Json;

/// Ids and words have a few dozen bytes; a bound on what a row gets from outside.
pub const MAX_FIELD_BYTES: usize = 128;

/// What is known of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The processor's id: letters, digits, `-` and `_`.
    pub payment_id: String,
    /// The payment whose address got another deposit: this one is then a child, and is never fulfilled.
    pub parent_payment_id: Option<String>,
    /// Ours.
    pub order_id: Option<String>,
    /// In lower case, else as sent; may be a word that nobody announced.
    pub status: String,
    /// What we asked for, as text.
    pub price_amount: Option<String>,
    /// In lower case.
    pub price_currency: Option<String>,
    /// In coins, as text.
    pub pay_amount: Option<String>,
    /// In lower case.
    pub pay_currency: Option<String>,
    /// In coins, as text; may be less than `pay_amount` even when finished.
    pub actually_paid: Option<String>,
    /// The processor's id of the purchase.
    pub purchase_id: Option<String>,
    /// As sent: ISO 8601 or milliseconds since 1970; see [`instant`].
    pub updated_at: Option<String>,
}

/// The field without which nothing can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field {0} is missing")]
pub struct Missing(pub &'static str);

impl Report {
    /// Reads what a notice or an answer says.
    pub fn read(json: &Json) -> Result<Self, Missing> {
        let word = |key| field(json, key).map(str::to_ascii_lowercase);
        let text = |key| field(json, key).map(str::to_owned);
        Ok(Self {
            payment_id: id(json, "payment_id").ok_or(Missing("payment_id"))?,
            parent_payment_id: parent(json),
            order_id: text("order_id"),
            status: word("payment_status").ok_or(Missing("payment_status"))?,
            price_amount: amount(json, "price_amount"),
            price_currency: word("price_currency"),
            pay_amount: amount(json, "pay_amount"),
            pay_currency: word("pay_currency"),
            actually_paid: amount(json, "actually_paid"),
            purchase_id: text("purchase_id"),
            updated_at: text("updated_at"),
        })
    }
}

/// A point in time as the processor writes it: ISO 8601, or milliseconds since 1970.
#[must_use]
pub fn instant(text: &str) -> Option<OffsetDateTime> {
    if let Ok(milliseconds) = text.parse::<i64>() {
        return OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok();
    }
    OffsetDateTime::parse(text, &Rfc3339).ok().map(|at| at.to_offset(time::UtcOffset::UTC))
}

/// The text of a string or number, unless it means "nothing" or is no short line.
pub(crate) fn field<'a>(json: &'a Json, key: &str) -> Option<&'a str> {
    let text = json.get(key)?.text()?;
    let says_something = !text.is_empty() && text != "null";
    let is_short_line = text.len() <= MAX_FIELD_BYTES && !text.chars().any(char::is_control);
    (says_something && is_short_line).then_some(text)
}

/// An amount in the text in which it came.
pub(crate) fn amount(json: &Json, key: &str) -> Option<String> {
    field(json, key).filter(|text| Decimal::parse(text).is_ok()).map(str::to_owned)
}

/// An id of the processor's, which later stands in addresses.
fn id(json: &Json, key: &str) -> Option<String> {
    let is_safe =
        |text: &&str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    field(json, key).filter(is_safe).map(str::to_owned)
}

/// Whatever stands here makes the payment a child, also what reads as no id: the safe side is not to fulfil.
fn parent(json: &Json) -> Option<String> {
    match json.get("parent_payment_id")? {
        Json::Null => None,
        Json::String(text) if matches!(text.as_str(), Some("" | "null")) => None,
        Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
            Some(id(json, "parent_payment_id").unwrap_or_else(|| "unreadable".to_owned()))
        }
    }
}
