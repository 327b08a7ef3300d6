//! The words of each problem's page. `backticks` mark code.

/// What a kind of problem means to whoever meets it.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// When it comes.
    pub when: &'static str,
    /// What to do, best first.
    pub next: &'static [&'static str],
}

/// The words for a kind; a plain sentence for one that has none yet, which a test of the doors does not let pass.
#[must_use]
pub fn about(slug: &str) -> Words {
    known(slug).unwrap_or(Words { when: "The request was refused.", next: &["Read the answer's `detail`."] })
}

/// The words for a kind that has some.
#[must_use]
pub fn known(slug: &str) -> Option<Words> {
    TABLE.iter().find(|(name, ..)| *name == slug).map(|(_, when, next)| Words { when, next })
}

type Row = (&'static str, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    ("request-too-large", "The body has more bytes than this address takes: 4 MiB for inference, 64 KiB elsewhere.",
        &["Send less: shorten the conversation, or leave out tools that are not needed.", "Split the work into several requests."]),
    ("unsupported-media-type", "The request says that its body is something other than JSON.",
        &["Send `content-type: application/json`.", "With curl, `-d` alone sends a form: add `-H 'content-type: application/json'`."]),
    ("invalid-json", "The body is not a JSON object, or it broke off. The `detail` names the line and the column.",
        &["Check the place that `detail` names: a missing quote or a comma too many is the usual reason.", "Let a JSON library write the body."]),
    ("request-timeout", "The whole body did not arrive within 30 seconds.",
        &["Send it again; nothing was charged.", "If your line is slow, send a shorter body."]),
    ("invalid-request", "A field has a value that cannot be right. `field` names it, and `detail` says what would be.",
        &["Change the field that `field` names.", "The API reference lists every field with its bounds."]),
    ("unauthenticated", "No API key came, or one that is unknown, mistyped, revoked or expired. All of these get the same answer, so that nobody can guess keys.",
        &["Send the key as `Authorization: Bearer lf_…` or in `x-api-key`.", "Check that you copied all of it: a key carries a checksum, and one wrong letter makes it unknown.", "If it was revoked or lost, make a new one."]),
    ("forbidden", "The key is good, and it may not do this: it lacks a scope, or the thing belongs to another account.",
        &["Use a key with the scope that `detail` names.", "Make one: `POST /api/v1/keys` with `scopes`."]),
    ("not-found", "There is nothing at this address, or what it names does not exist or is not yours.",
        &["Check the address for a typing error.", "The API reference lists every operation."]),
    ("method-not-allowed", "The address is right; the HTTP method is not.",
        &["Look the operation up in the API reference and use its method."]),
    ("conflict", "The thing is in a state that does not allow this: it was done before, or something else has to be done first.",
        &["Read its current state, then decide.", "`detail` says what is in the way."]),
    ("model-not-found", "The name is no pool, no agent and no model of this server. Nothing was charged.",
        &["`GET /v1/models` lists what your key may use.", "Use a pool's name, such as `cheap` or `native`, to be independent of model names."]),
    ("insufficient-credits", "The most that the answer may cost is set aside before a model is asked, and your balance does not cover that. Nothing was charged.",
        &["Ask for fewer tokens: `affordable_max_tokens` is the largest `max_tokens` that fits.", "Send `X-Freeside-Clamp: affordable`, and it is lowered for you.", "Add credits. In the sandbox, wait for the next UTC day."]),
    ("over-monthly-cap", "The community has a monthly budget, and this request would go past it. Nothing was charged.",
        &["Ask an administrator of the community to raise the cap.", "Wait for the first of the month (UTC).", "Ask for fewer tokens."]),
    ("debt-to-settle", "An earlier answer cost more than was set aside for it, and the difference is owed.",
        &["Add credits: what is owed is settled first.", "`owed_micro` says how much it is."]),
    ("account-frozen", "The books of this account do not add up, so it is frozen until a person has looked. Money is safe; answers that were running are settled as usual.",
        &["Write to the operator and quote the `request_id`.", "Do not try again in a loop: it does not thaw by itself."]),
    ("rate-limited", "Too many requests or tokens in the time that your key's limits count, or too many tries from your address.",
        &["Wait as long as `retry-after` says.", "Spread requests out, or ask for a key with higher limits.", "Balance and limits are two things: buying credits does not lift a limit."]),
    ("web-chat-off", "The operator has switched the web chat off for now. Answers that run go on, and the API answers as ever.",
        &["Try again later.", "Use the API: an agent is a model name there."]),
    ("restarting", "This process is about to stop, and takes no new connections while its answers end. Nothing is lost.",
        &["Connect again in a moment, and resume the answer: it goes on where you stopped reading."]),
    ("sign-in-needed", "This belongs to a person, and nobody is signed in.",
        &["Sign in with your wallet, then try again."]),
    ("session-over", "The sign-in has ended: its hour is over, it was ended by you, or it was made for another page.",
        &["Sign in with your wallet again."]),
    ("origin-not-ours", "Signing in works on this server's own pages, so that no other page can make you sign for it.",
        &["Open the page on this server.", "Operators: `FREESIDE_PUBLIC_URL` is the address that people see."]),
    ("sign-in-needs-https", "Wallets and browsers keep a signature safe over https only, or on this very machine.",
        &["Open the page over https.", "Operators: put a certificate in front, and set `FREESIDE_PUBLIC_URL` to the https address."]),
    ("siwe-malformed", "The text that was signed is not a sign-in message as EIP-4361 defines it. Nobody was signed in.",
        &["Sign the `message` that `POST /api/v1/siwe/nonce` answers, with the address and the chain filled in and nothing else changed."]),
    ("siwe-not-canonical", "The message can be read in more than one way, which is how signatures are stolen. Nobody was signed in.",
        &["Build the message with a library, or sign the one that `POST /api/v1/siwe/nonce` answers, byte for byte."]),
    ("siwe-wrong-domain", "The message was signed for another domain, so it may have been made for another site.",
        &["Sign in on this server's own page.", "Use the domain that `POST /api/v1/siwe/nonce` names."]),
    ("siwe-wrong-uri", "The message names another address than this server's.",
        &["Use the URI that `POST /api/v1/siwe/nonce` names."]),
    ("siwe-wrong-version", "The message says another version than 1, which is the only one there is.",
        &["Write `Version: 1`."]),
    ("siwe-wrong-chain", "The message names a chain that this server does not know.",
        &["Switch the wallet to one of the `chain_ids` that `POST /api/v1/siwe/nonce` answers."]),
    ("siwe-wrong-time", "The message says that it was made long ago, or in the future.",
        &["Ask for a new nonce and sign again.", "Check the clock of your device."]),
    ("siwe-expired", "The message names its own end, and that is over.",
        &["Ask for a new nonce and sign again."]),
    ("siwe-not-yet-valid", "The message names a time from which it holds, and that has not come.",
        &["Ask for a new nonce and sign again.", "Check the clock of your device."]),
    ("siwe-signature-malformed", "What came as a signature is not one.",
        &["Send what `personal_sign` answers: 0x and 130 hexadecimal digits."]),
    ("siwe-signature-mismatch", "The signature was made by another wallet, or over another text.",
        &["Choose the account in the wallet that the message names, and sign again."]),
    ("siwe-wallet-unreachable", "The wallet is a contract, and the chain that could check its signature does not answer.",
        &["Try again in a moment.", "Operators: `EVM_RPC_URL_<chain id>` names where to ask."]),
    ("siwe-nonce-unknown", "The nonce in the message was not made here.",
        &["Ask for a new nonce and sign again."]),
    ("siwe-nonce-used", "Each nonce signs in once, and this one has been used.",
        &["Ask for a new nonce and sign again.", "If you did not sign in a moment ago, look at your sessions and end those that are not yours."]),
    ("siwe-nonce-expired", "A nonce lives for five minutes, and this one is older.",
        &["Ask for a new nonce and sign again."]),
    ("siwe-nonce-foreign", "The nonce was handed to another page or browser than the one that used it.",
        &["Sign in again, in one window.", "Allow this site's cookies."]),
    ("handoff-not-found", "There is no such code: it was used, its 60 seconds are over, or nobody has signed in with it yet.",
        &["A page that waits asks again in a second.", "Otherwise sign in again."]),
    ("handoff-foreign", "The code was made for another page or browser, and is used up now.",
        &["Sign in again from the page that you want to be signed in on."]),
    ("sign-up-off", "The operator has switched sign-up and new keys off for now. Keys that exist work as ever and can be rotated.",
        &["Ask the operator for a key, or come back later."]),
    ("bad-signature", "A payment notice came with a signature that does not fit its body. Nothing was stored.",
        &["Sign the body as it is sent, with the keys sorted at every depth.", "Compare the secret on both sides."]),
    ("payments-off", "The operator has switched buying credits off for now, or no payment processor is connected. Credits that exist can be spent.",
        &["Come back later, or ask the operator."]),
    ("payments-unavailable", "The payment processor did not answer in time. Nothing is lost: an order keeps its number, and payments that were made will be seen.",
        &["Try again in a minute.", "If you have paid already, just wait: we ask the processor by ourselves."]),
    ("pack-not-found", "No pack of credits has this name.",
        &["`GET /api/v1/packs` lists them."]),
    ("coin-not-offered", "The order cannot be paid in this coin.",
        &["Choose one of the coins that the order lists."]),
    ("below-minimum", "The pack costs less than the smallest payment that this coin's network carries.",
        &["Choose another coin.", "Choose a larger pack."]),
    ("order-done", "The order is paid, paid back, or has as many payments as one order may have.",
        &["Read the order to see how it stands.", "Make a new order."]),
    ("request-in-flight", "A request with the same `Idempotency-Key` is being answered at this moment.",
        &["Wait a few seconds and send it again: you will read the same answer.", "Do not change the key: that would make a second deed of it."]),
    ("answer-not-kept", "The first request with this `Idempotency-Key` was answered and charged once, and its answer is not here to be sent again: it was larger than 1 MiB, your account keeps as many answers as one may, or the server stopped meanwhile.",
        &["Read `GET /api/v1/requests`: it says what was charged.", "Take a new key to ask again; that is a new charge."]),
    ("idempotency-key-reused", "This `Idempotency-Key` came with another body in the last 24 hours.",
        &["Take a new key for a new request.", "To repeat a request, send exactly the same body."]),
    ("not-confirmed", "The deed is large or cannot be undone, so it has to be asked for twice.",
        &["Read what `detail` says would happen.", "Send the request again with the `confirmation` that came in the answer."]),
    ("minting-stopped", "The sums of all accounts are being checked, and no credits are added until they agree. Nothing is lost.",
        &["Try again in a few minutes.", "Payments that arrive meanwhile are kept and credited afterwards."]),
    ("engine-unavailable", "No model can be reached now. What was set aside is yours again, and nothing was charged.",
        &["Try again after `retry-after`.", "Another pool may be up: `GET /v1/models`."]),
    ("model-unavailable", "The models that may answer cannot now: they are switched off, or their provider failed or refused lately. Nothing was charged.",
        &["With `retry-after`: try again then.", "Ask another model or a pool that `GET /v1/models` lists.", "For a model asked by its id: `X-Freeside-Fallback: any` permits a dearer one."]),
    ("provider-rate-limited", "The model's provider limits how much this service may ask. Your own limits are not reached, and nothing was charged.",
        &["Try again after `retry-after`.", "Ask another model or pool."]),
    ("provider-overloaded", "The model's provider has more to do than it can. Nothing was charged.",
        &["Try again after `retry-after`, and a little later each time.", "Ask another model or pool."]),
    ("engine-failed", "A model failed before or while it answered. What it had not said is not charged; `cost_micro` says what was.",
        &["Try again, unless `cost_micro` says that part of the answer was delivered and paid.", "Try another pool."]),
    ("engine-timeout", "The model did not say its first word in time. Nothing was charged.",
        &["Try again, with a shorter prompt or a faster pool."]),
    ("overloaded", "The server has as much to do as it can. Nothing was charged.",
        &["Try again after `retry-after`, and a little later each time."]),
    ("cross-site-request", "A page of another site sent a form of ours. Nobody is made to do things here by a page elsewhere, so nothing was done.",
        &["Open the page on this site and send its form from there."]),
    ("unexpected", "Something broke on our side, and it is in our logs. What was set aside is released.",
        &["Try again once.", "If it stays, tell the operator the `request_id`."]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_words_once_and_a_next_step() {
        for (slug, when, next) in TABLE {
            assert_eq!(TABLE.iter().filter(|(other, ..)| other == slug).count(), 1, "{slug}");
            assert!(when.ends_with('.') && !next.is_empty(), "{slug}");
            assert!(next.iter().all(|step| step.ends_with('.')), "{slug}");
        }
    }
}
