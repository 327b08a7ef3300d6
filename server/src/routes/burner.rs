//! Wallets for trying, in development only: the script that announces them to a page (EIP-6963), and what signs for them.
//!
//! A page finds them like any other wallet and they take the same way through the sign-in; their signatures are real.
//! What always holds: a production server has neither route. Deliberately absent: any key worth keeping. Two are those
//! of every local test chain, and a burner's own is made by the browser, which sends it along.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use identity::siwe::MAX_MESSAGE_BYTES;
use identity::siwe::burner::sign as sign_with;
use serde::{Deserialize, Serialize};
use types::Wallet;

use super::accounts::required;
use super::exchange::Asked;
use super::fault::Fault;
use super::fields::{self, Field};
use super::{App, body, limits, problem, shared};

/// Whether this server has wallets for trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burner {
    /// It is a development server.
    Offered,
    /// It is not.
    Absent,
}

/// Where the script is.
pub(crate) const SCRIPT_PATH: &str = "/dev/burner.js";
const SCRIPT: &str = include_str!("burner/burner.js");

/// The key of the first account of every local test chain: `domain::demo::HIGH_WALLET`. Everybody knows it.
const HIGH_KEY: [u8; 32] = [
    0xac, 0x09, 0x74, 0xbe, 0xc3, 0x9a, 0x17, 0xe3, 0x6b, 0xa4, 0xa6, 0xb4, 0xd2, 0x38, 0xff, 0x94, 0x4b,
    0xac, 0xb4, 0x78, 0xcb, 0xed, 0x5e, 0xfc, 0xae, 0x78, 0x4d, 0x7b, 0xf4, 0xf2, 0xff, 0x80,
];
/// And of the second one: `domain::demo::LOW_WALLET`.
const LOW_KEY: [u8; 32] = [
    0x59, 0xc6, 0x99, 0x5e, 0x99, 0x8f, 0x97, 0xa5, 0xa0, 0x04, 0x49, 0x66, 0xf0, 0x94, 0x53, 0x89, 0xdc,
    0x9e, 0x86, 0xda, 0xe8, 0x8c, 0x7a, 0x84, 0x12, 0xf4, 0x60, 0x3b, 0x6b, 0x78, 0x69, 0x0d,
];

/// `GET /dev/burner.js`
pub(crate) async fn script() -> Response {
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    (StatusCode::OK, [kind, (CACHE_CONTROL, HeaderValue::from_static("no-cache"))], SCRIPT).into_response()
}

/// What is to be signed, and by whom.
#[derive(Deserialize)]
struct SignBody<'a> {
    /// `high`, `low`, or `0x` and the 64 hexadecimal digits of a key that the browser made.
    #[serde(borrow)]
    wallet: Field<'a>,
    /// The text; without one, only the address is told.
    #[serde(borrow)]
    message: Field<'a>,
}

#[derive(Serialize)]
struct Signed {
    address: Wallet,
    signature: String,
}

/// `POST /dev/burner/sign`
pub(crate) async fn sign(
    State(app): State<Arc<App>>,
    Extension(asked): Extension<Asked>,
    request: Request,
) -> Response {
    let (parts, incoming) = request.into_parts();
    let signed = async {
        let whole =
            body::read(&app.budgets.bodies, asked.client(), &parts, incoming, limits::SMALL_BODY_BYTES)
                .await?;
        let body: SignBody<'_> = whole.parse()?;
        let wallet = required("wallet", body.wallet)?;
        let message = body.message.map(|raw| fields::text("message", raw)).transpose()?.unwrap_or_default();
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(Fault::field("message", format!("This has at most {MAX_MESSAGE_BYTES} bytes.")));
        }
        let key = key_of(&wallet).and_then(|key| sign_with(&key, &message));
        key.ok_or_else(|| {
            Fault::field("wallet", "This is \"high\", \"low\", or 0x and the 64 hexadecimal digits of a key.")
        })
    };
    match signed.await {
        Ok((address, signature)) => {
            shared::json(HeaderMap::new(), &Signed { address, signature: hex(&signature) })
        }
        Err(fault) => problem::answer(fault, &asked),
    }
}

fn key_of(text: &str) -> Option<[u8; 32]> {
    match text {
        "high" => Some(HIGH_KEY),
        "low" => Some(LOW_KEY),
        _ => super::siwe::bytes_of(text)?.try_into().ok(),
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use domain::demo::{HIGH_WALLET, LOW_WALLET};

    use super::*;

    #[test]
    fn the_demos_wallets_have_the_keys_of_a_test_chain() {
        for (name, address) in [("high", HIGH_WALLET), ("low", LOW_WALLET)] {
            let (wallet, _) = sign_with(&key_of(name).expect("a key"), "").expect("a key of the curve");
            assert_eq!(wallet.to_string(), address);
        }
        assert!(key_of(&format!("0x{}", "07".repeat(32))).is_some());
        for nothing in ["", "HIGH", "0x07", "0x"] {
            assert!(key_of(nothing).is_none(), "{nothing}");
        }
        assert!(SCRIPT.contains("/dev/burner/sign") && SCRIPT.contains("eip6963:announceProvider"));
    }
}
