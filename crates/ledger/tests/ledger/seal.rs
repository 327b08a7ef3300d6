//! Keys for seals, and export files made by hand: the format as SPEC §7 and the module's words describe it, written without
//! the exporter's code.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ledger::audit::Signer;
use ledger::verify::KeySet;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

const KID: &str = "test key";

fn pair() -> &'static EcdsaKeyPair {
    static PAIR: OnceLock<EcdsaKeyPair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap()
    })
}

fn sign(text: &[u8]) -> Vec<u8> {
    pair().sign(&SystemRandom::new(), text).unwrap().as_ref().to_vec()
}

/// A signer, as a process with keys has one.
pub(crate) fn signer() -> Signer {
    Signer { kid: KID.to_owned(), sign: Arc::new(sign) }
}

/// The JWKS that has the signer's key.
pub(crate) fn key_set() -> KeySet {
    keys(KID)
}

/// A JWKS that does not.
pub(crate) fn stranger() -> KeySet {
    keys("another key")
}

fn keys(kid: &str) -> KeySet {
    let (x, y) = pair().public_key().as_ref()[1..].split_at(32);
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let json = format!(
        r#"{{"keys":[{{"kty":"RSA","kid":"old"}},{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","kid":"{kid}"}}]}}"#
    );
    KeySet::parse(json.as_bytes()).unwrap()
}

fn sha256(text: &str) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// A chained export of `count` lines from number `first` on, behind `previous`; one line of the file per entry.
pub(crate) fn chain(count: usize, first: usize, previous: [u8; 32]) -> Vec<Vec<u8>> {
    let (opening, opening_hash) = opening("true", "null", first, &hex(&previous));
    let (journal, hashes) = journal(count, first, &hex(&previous));
    let head = hashes.last().cloned().unwrap_or_else(|| hex(&previous));
    let closing = closing(count, &head, &opening_hash, first + count - 1);
    [vec![opening], journal, vec![closing]].concat()
}

/// An export that was filtered by pool: those lines of a journal, in this order, with a running head of their own.
pub(crate) fn filtered(numbers: &[usize]) -> Vec<Vec<u8>> {
    let (opening, opening_hash) = opening("false", "\"cheap\"", 1, &hex(&[0; 32]));
    let (journal, hashes) = journal(*numbers.iter().max().unwrap(), 1, &hex(&[0; 32]));
    let fold = |head: String, number: &usize| sha256(&format!("{head}{}", hashes[number - 1]));
    let head = numbers.iter().fold(opening_hash.clone(), fold);
    let kept = numbers.iter().map(|number| journal[number - 1].clone()).collect();
    let closing = closing(numbers.len(), &head, &opening_hash, *numbers.last().unwrap());
    [vec![opening], kept, vec![closing]].concat()
}

/// An export of three lines whose last line says that it ends elsewhere, sealed all the same.
pub(crate) fn closed_elsewhere(wrong_head: bool, to_seq: usize) -> Vec<Vec<u8>> {
    let mut lines = chain(3, 1, [0; 32]);
    let (_, opening_hash) = opening("true", "null", 1, &hex(&[0; 32]));
    let (_, hashes) = journal(3, 1, &hex(&[0; 32]));
    let head = if wrong_head { &hashes[1] } else { &hashes[2] };
    lines[4] = closing(3, head, &opening_hash, to_seq);
    lines
}

fn opening(chained: &str, pool: &str, first: usize, previous: &str) -> (Vec<u8>, String) {
    let opening = |hash: &str| {
        format!(
            r#"{{"account_id":null,"chained":{chained},"community_id":"1","exported_at":"2026-03-30T12:00:00.000000Z","format":"freeside-audit/1","from":null,"from_seq":{first}{hash},"pool":{pool},"prev_hash":"{previous}","to":null}}"#
        )
    };
    let hash = sha256(&opening(""));
    (opening(&format!(r#","hash":"{hash}""#)).into_bytes(), hash)
}

/// Lines and their hashes.
fn journal(count: usize, first: usize, previous: &str) -> (Vec<Vec<u8>>, Vec<String>) {
    let mut head = previous.to_owned();
    (first..first + count)
        .map(|seq| {
            let (kind, before, after) = if seq % 2 == 1 { ("mint", 0, 40) } else { ("settle", 40, 0) };
            let line = |hash: &str| {
                format!(
                    r#"{{"amount_micro":"40","conservation_result":"ok",{hash}"operation_type":"{kind}","pool":"cheap","post_balance_micro":"{after}","pre_balance_micro":"{before}","prev_hash":"{head}","reservation_id":null,"seq":{seq},"timestamp":"2026-03-30T12:00:00.000000Z","user_wallet":"0xAbC0000000000000000000000000000000000001"}}"#
                )
            };
            let hash = sha256(&format!("{head}{}", line("")));
            let whole = line(&format!(r#""hash":"{hash}","#)).into_bytes();
            head.clone_from(&hash);
            (whole, hash)
        })
        .unzip()
}

fn closing(count: usize, head: &str, opening_hash: &str, to_seq: usize) -> Vec<u8> {
    let closing = |hash: &str, signature: &str| {
        format!(
            r#"{{"count":{count}{hash},"head_hash":"{head}","kid":"{KID}","opening_hash":"{opening_hash}"{signature},"to_seq":{to_seq}}}"#
        )
    };
    let header =
        URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","kid":"{KID}","typ":"freeside-audit/1"}}"#));
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(closing("", "")));
    let signature = URL_SAFE_NO_PAD.encode(sign(signed.as_bytes()));
    let signature = format!(r#","signature":"{header}..{signature}""#);
    let hash = sha256(&closing("", &signature));
    closing(&format!(r#","hash":"{hash}""#), &signature).into_bytes()
}
