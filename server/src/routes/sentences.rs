//! What a person reads when there is no answer: one wording for all dialects, each with the next step.

use identity::Limited;
use types::{MicroUsd, Pool, ReservationId};

use super::limits;

pub(crate) const NO_KEY: &str = "No API key came with the request. Send it as \"Authorization: Bearer lf_…\" or as \"x-api-key: lf_…\"; \
     POST /api/v1/developers/register makes one.";
pub(crate) const BAD_KEY: &str =
    "The API key is not valid: it is mistyped, unknown, expired or revoked. Check it, or make a new one.";
pub(crate) const NO_SESSION: &str =
    "Nobody is signed in. Open /signin and sign with a wallet, then try again.";
pub(crate) const SESSION_EXPIRED: &str = "The session's hour is over. Sign in again.";
pub(crate) const SESSION_ENDED: &str =
    "The session was ended, here or from another device. Sign in again to go on.";
pub(crate) const SESSION_NOT_FRESH: &str =
    "A repair of money wants a signature of the last five minutes. Sign in again, and then ask once more.";
pub(crate) const SESSION_BAD: &str = "This is not a session of ours. Sign in again.";
pub(crate) const SESSION_ELSEWHERE: &str =
    "The session was made for another page's origin and works there alone. Sign in from this page.";
pub(crate) const NO_SUCH_SESSION: &str = "The wallet has no such session, or it has ended. GET /api/v1/sessions and the page /account list those it has.";
pub(crate) const FROZEN: &str = "The account is frozen while its books are checked. Nothing is lost; ask the operator, who has been told.";
pub(crate) const UNAVAILABLE: &str =
    "Inference temporarily unavailable. Nothing was charged; try again in a moment.";
pub(crate) const OVERLOADED: &str =
    "Too many requests are in progress. Nothing was charged; try again in a second.";
pub(crate) const TIMED_OUT: &str =
    "The model sent no first token in time. Nothing was charged; try again, or ask another model.";
pub(crate) const UNEXPECTED: &str =
    "Something broke on our side. Nothing further is needed from you; quote the request id if you report it.";
pub(crate) const WRONG_TYPE: &str = "The body has to be JSON: send \"Content-Type: application/json\".";
pub(crate) const TOO_SLOW: &str = "The body did not arrive in time. Send it again over a faster connection.";
pub(crate) const HUNG_UP: &str = "The body broke off before its end. Send it again.";
pub(crate) const CROWDED: &str = "Too many large requests are arriving at once. Try again in a second.";
pub(crate) const OVER_SHARE: &str = "Your own requests that are still arriving take up all the room that one client has here. Let some of them \
     arrive, then send the next.";
pub(crate) const WRONG_METHOD: &str =
    "This address does not take that method; the Allow header and /docs name the ones it takes.";
pub(crate) const ANSWER_TOO_LONG: &str = "The answer is too long to be sent in one piece. What was delivered is charged; ask with \"stream\": true.";
pub(crate) const REVOKED: &str = "The API key was revoked. What was delivered is charged.";
pub(crate) const CUT: &str = "The answer broke off on our side. What was delivered is charged.";

pub(crate) const KEY_REUSED: &str = "This Idempotency-Key came with another request in the last 24 hours. Choose a new key for a new request.";

pub(crate) fn in_flight(request_id: &str) -> String {
    format!(
        "Request {request_id} with this Idempotency-Key is being answered right now, and runs to its end. Send it again in \
         a few seconds to read the same answer; it is charged once."
    )
}

pub(crate) fn answer_not_kept(request_id: &str, reservation_id: ReservationId) -> String {
    format!(
        "Request {request_id} with this Idempotency-Key was answered and charged once (reservation {reservation_id}), and \
         its answer was not kept (answer-not-kept): it is larger than 1 MiB, the account keeps as \
         many as one may, or the server stopped meanwhile. GET \
         /api/v1/requests says what was charged; choose a new key to ask again."
    )
}

pub(crate) fn too_large(limit: usize) -> String {
    format!("The body is larger than the {limit} bytes that this address takes. Send a shorter one.")
}

pub(crate) fn too_many_failures(retry_after_s: u64) -> String {
    format!(
        "Too many invalid API keys came from this address. Try again in {retry_after_s} seconds with a valid key."
    )
}

pub(crate) fn no_scope(scope: &str) -> String {
    format!("This API key lacks the scope \"{scope}\". Use a key that has it.")
}

pub(crate) fn unknown_model(name: &str) -> String {
    let name: String = name.chars().take(limits::MODEL_NAME_BYTES).collect();
    format!(
        "The model `{name}` does not exist or you do not have access to it. GET /v1/models lists what you can use."
    )
}

pub(crate) fn out_of_reach(name: &str, pool: Pool) -> String {
    let name: String = name.chars().take(limits::MODEL_NAME_BYTES).collect();
    format!(
        "The model `{name}` is above this key's tier, and no model of the pool \"{pool}\" may answer for it. Ask a model that \
         GET /v1/models lists, or send the header \"X-Freeside-Fallback: any\"."
    )
}

pub(crate) fn provider_limited(retry_after_s: u32) -> String {
    format!(
        "The model's provider is at its limit for this service; your key is not at its own. Nothing was charged. Try again in \
         {retry_after_s} s, or ask another model."
    )
}

pub(crate) fn provider_overloaded(retry_after_s: u32) -> String {
    format!(
        "The model's provider is overloaded. Nothing was charged. Try again in {retry_after_s} s, or ask another model."
    )
}

pub(crate) fn not_enough(asked: MicroUsd, affordable: MicroUsd, max_tokens: u32) -> String {
    let change = if max_tokens == 0 {
        "Even one token does not fit: shorten the prompt, choose a cheaper model, or add credits.".to_owned()
    } else {
        format!(
            "Lower max_tokens to {max_tokens} or less, send the header \"X-Freeside-Clamp: affordable\" to have it lowered \
             for you, or add credits."
        )
    };
    format!(
        "This request may cost up to {asked} micro-USD (${}) and {affordable} micro-USD (${}) are available. {change}",
        asked.to_usd(),
        affordable.to_usd()
    )
}

pub(crate) fn over_cap(limit: MicroUsd, used: MicroUsd, asked: MicroUsd) -> String {
    format!(
        "The community's monthly budget of {limit} micro-USD (${}) has {used} used or held, and this request may cost up to \
         {asked}. Ask a community admin to raise the cap, lower max_tokens, or wait for the next month (UTC).",
        limit.to_usd()
    )
}

pub(crate) fn owing(owed: MicroUsd) -> String {
    format!(
        "The account owes {owed} micro-USD (${}) from an earlier answer or refund. Add credits to settle it, then ask again.",
        owed.to_usd()
    )
}

pub(crate) fn too_many_at_once(most: usize) -> String {
    format!(
        "Too many answers at once for this account: {most} are in flight. Let one of them end, then ask again; nothing was charged."
    )
}

pub(crate) fn limited(limited: &Limited) -> String {
    let wait = limited.retry_after.as_secs().max(1);
    let headers = &limited.headers;
    match (limited.which, limited.never_fits) {
        (identity::Which::RequestsPerMinute, _) => {
            format!(
                "The limit of {} requests per minute is reached, of this key or of all keys of its account together. Try again in {wait} s.",
                headers.limit_requests
            )
        }
        (identity::Which::TokensPerDay, false) => format!(
            "The limit of {} tokens per day, which all keys of the account share, leaves {} and this request may use more. Lower \
             max_tokens or shorten the prompt; the day ends in {wait} s (00:00 UTC).",
            headers.limit_tokens, headers.remaining_tokens
        ),
        (identity::Which::TokensPerDay, true) => format!(
            "This request may use more than the key's whole limit of {} tokens per day, so waiting does not help. Lower \
             max_tokens or shorten the prompt.",
            headers.limit_tokens
        ),
    }
}

pub(crate) fn broken(message: &str, cost: MicroUsd) -> String {
    if cost == MicroUsd::ZERO {
        format!("{message} Nothing was charged; try again.")
    } else {
        format!("{message} {cost} micro-USD were charged for what had been delivered.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_money_says_what_was_asked_what_is_there_and_what_to_change() {
        let text = not_enough(MicroUsd(12_345), MicroUsd(100), 37);
        for part in ["12345", "$0.012345", "100", "max_tokens to 37", "X-Freeside-Clamp: affordable"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(not_enough(MicroUsd(5), MicroUsd(0), 0).contains("add credits"));
    }

    #[test]
    fn a_very_long_model_name_is_not_echoed_whole() {
        assert!(unknown_model(&"x".repeat(100_000)).len() < 500);
    }
}
