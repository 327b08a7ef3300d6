//! A wallet that really signs, and a browser that keeps cookies.

use std::collections::BTreeMap;

use identity::siwe;
use k256::ecdsa::SigningKey;
use serde_json::{Value, json};
use types::WalletId;

use crate::client::{Ask, Reply};
use crate::house::House;

/// A key pair.
pub(crate) struct Signer(SigningKey);

impl Signer {
    /// The wallet of this number; 0 is none.
    pub(crate) fn number(number: u8) -> Self {
        Self(SigningKey::from_slice(&[number; 32]).expect("a key"))
    }

    pub(crate) fn address(&self) -> WalletId {
        let hash = siwe::hash("anything");
        WalletId::by_key(siwe::recover(&hash, &self.bytes("anything")).expect("our own signature"))
    }

    fn bytes(&self, text: &str) -> Vec<u8> {
        let (signature, recovery) = self.0.sign_prehash_recoverable(&siwe::hash(text));
        let mut bytes = signature.to_bytes().to_vec();
        bytes.push(27 + recovery.to_byte());
        bytes
    }

    /// What `personal_sign` answers.
    pub(crate) fn sign(&self, text: &str) -> String {
        let bytes = self.bytes(text);
        bytes.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// The message of a nonce, filled in.
    pub(crate) fn message(&self, nonce: &Value) -> String {
        let template = nonce["message"].as_str().expect("a message");
        template.replace("{address}", &self.address().to_string()).replace("{chain_id}", "8453")
    }
}

/// A browser on one of our pages.
pub(crate) struct Browser<'a> {
    pub(crate) house: &'a House,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) origin: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(house: &'a House) -> Self {
        Self { house, cookies: BTreeMap::new(), origin: format!("http://{}", house.address) }
    }

    /// The request with this browser's cookies, and the origin as a browser names it.
    pub(crate) fn dress<'b>(&self, ask: Ask<'b>) -> Ask<'b> {
        self.with_cookies(ask)
            .header("origin", &self.origin)
            .header("user-agent", "Firefox/128.0 (X11; Linux)")
    }

    pub(crate) fn with_cookies<'b>(&self, ask: Ask<'b>) -> Ask<'b> {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() { ask } else { ask.header("cookie", &pairs.join("; ")) }
    }

    pub(crate) fn keep(&mut self, reply: &Reply) {
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().expect("text");
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Reply {
        let reply = self.dress(self.house.post(path, body)).send().await;
        self.keep(&reply);
        reply
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        let ask = self.with_cookies(self.house.get(path)).header("sec-fetch-site", "same-origin");
        let reply = ask.send().await;
        self.keep(&reply);
        reply
    }

    pub(crate) async fn delete(&mut self, path: &str) -> Reply {
        let reply = self.dress(self.house.ask("DELETE", path)).send().await;
        self.keep(&reply);
        reply
    }

    pub(crate) async fn nonce(&mut self) -> Value {
        let reply = self.post("/api/v1/siwe/nonce", &json!({})).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    pub(crate) async fn verify(&mut self, message: &str, signature: &str) -> Reply {
        self.post("/api/v1/siwe/verify", &json!({"message": message, "signature": signature})).await
    }

    pub(crate) async fn sign_in(&mut self, signer: &Signer) -> Reply {
        let nonce = self.nonce().await;
        let message = signer.message(&nonce);
        let reply = self.verify(&message, &signer.sign(&message)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply
    }
}

/// The last part of a problem's type.
pub(crate) fn problem(reply: &Reply) -> String {
    let kind = reply.json()["type"].as_str().expect("a problem").to_owned();
    format!("{} {}", reply.status.as_u16(), kind.trim_start_matches("/problems/"))
}
