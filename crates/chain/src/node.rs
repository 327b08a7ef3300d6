//! One chain, asked by JSON-RPC over HTTP.

use std::fmt;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use client::{Client, HttpError};
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use types::Wallet;

/// A person waits for the answer, with a wallet in hand.
const ANSWER: Duration = Duration::from_secs(8);
/// An answer to one small call; nodes that fail send pages of HTML.
const ANSWER_BYTES: usize = 64 * 1024;
/// `isValidSignature(bytes32,bytes)`: the selector, and the value that means yes (ERC-1271).
const IS_VALID_SIGNATURE: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];
/// A word of the ABI.
const WORD: usize = 32;

/// The RPC of one chain. Cheap enough to keep for ever; it holds no connection open that nobody uses.
pub struct Node {
    chain_id: u64,
    /// May hold a key: never printed.
    url: Uri,
    client: Client,
    /// Set once the node said that it is of this chain.
    is_of_chain: OnceCell<()>,
}

/// The address of an RPC is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of an RPC is an http(s) URL")]
pub struct BadAddress;

/// Why a chain gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No connection, or it broke.
    #[error("the node of chain {0} cannot be reached: {1}")]
    Unreachable(u64, HttpError),
    /// It took too long.
    #[error("the node of chain {0} did not answer within {seconds} s", seconds = ANSWER.as_secs())]
    TooSlow(u64),
    /// It answered with another status than 200.
    #[error("the node of chain {0} answered {1}")]
    Status(u64, StatusCode),
    /// What it answered is no answer to the question.
    #[error("the node of chain {0} answered something else")]
    Unreadable(u64),
    /// It refused to look.
    #[error("the node of chain {0} refused with code {1}")]
    Refused(u64, i64),
    /// It is of another chain.
    #[error("the node that is configured for chain {0} is of chain {1}")]
    OtherChain(u64, u64),
}

impl fmt::Debug for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Node").field("chain_id", &self.chain_id).finish_non_exhaustive()
    }
}

/// What a call came to.
enum Called {
    /// What the contract returned; nothing where there is no contract.
    Returned(Vec<u8>),
    /// It reverted, or ran out of gas.
    Reverted,
}

impl Node {
    /// The node of a chain at this address.
    pub fn new(chain_id: u64, url: &str, client: Client) -> Result<Self, BadAddress> {
        let url: Uri = url.parse().map_err(|_| BadAddress)?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.authority().is_none() {
            return Err(BadAddress);
        }
        Ok(Self { chain_id, url, client, is_of_chain: OnceCell::new() })
    }

    /// Whether the contract at `wallet` accepts `signature` for `hash`, at the newest block (ERC-1271). An address without
    /// a contract accepts nothing, and neither does a contract that reverts.
    pub async fn accepts_signature(
        &self,
        wallet: Wallet,
        hash: [u8; 32],
        signature: &[u8],
    ) -> Result<bool, NodeError> {
        self.is_of_chain.get_or_try_init(|| self.look_at_chain()).await?;
        match self.call(wallet, &is_valid_signature(hash, signature)).await? {
            Called::Reverted => Ok(false),
            // A whole word whose first bytes are the selector and whose rest is empty: what an ABI decoder would take.
            Called::Returned(bytes) => Ok(bytes.len() >= WORD
                && bytes[..4] == IS_VALID_SIGNATURE
                && bytes[4..WORD].iter().all(|byte| *byte == 0)),
        }
    }

    /// The same address may be somebody else's on another chain.
    async fn look_at_chain(&self) -> Result<(), NodeError> {
        let answer = self.ask("eth_chainId", json!([])).await?;
        let found =
            answer["result"].as_str().and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        match found {
            Some(found) if found == self.chain_id => Ok(()),
            Some(found) => Err(NodeError::OtherChain(self.chain_id, found)),
            None => Err(self.refusal(&answer)),
        }
    }

    async fn call(&self, to: Wallet, data: &[u8]) -> Result<Called, NodeError> {
        let call = json!([{"to": to.to_string(), "data": hex(data)}, "latest"]);
        let answer = self.ask("eth_call", call).await?;
        if let Some(result) = answer["result"].as_str() {
            return unhex(result).map(Called::Returned).ok_or(NodeError::Unreadable(self.chain_id));
        }
        if is_revert(&answer["error"]) { Ok(Called::Reverted) } else { Err(self.refusal(&answer)) }
    }

    async fn ask(&self, method: &str, params: Value) -> Result<Value, NodeError> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let exchange = async {
            let answer = self.client.send(request).await;
            let answer = answer.map_err(|error| NodeError::Unreachable(self.chain_id, error))?;
            let status = answer.status();
            let bytes = client::read_all(answer.into_body(), ANSWER_BYTES).await;
            let value = bytes.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
            // Some nodes say with 4xx what stands in the body as well.
            match value {
                Some(value) if value.is_object() => Ok(value),
                _ if status != StatusCode::OK => Err(NodeError::Status(self.chain_id, status)),
                _ => Err(NodeError::Unreadable(self.chain_id)),
            }
        };
        tokio::time::timeout(ANSWER, exchange).await.map_err(|_| NodeError::TooSlow(self.chain_id))?
    }

    fn refusal(&self, answer: &Value) -> NodeError {
        match answer["error"]["code"].as_i64() {
            Some(code) => NodeError::Refused(self.chain_id, code),
            None => NodeError::Unreadable(self.chain_id),
        }
    }
}

/// The contract's own no: geth and its kin answer with code 3, others with words. Nodes have no other way to say it.
fn is_revert(error: &Value) -> bool {
    const REVERTED: i64 = 3;
    let message = error["message"].as_str().unwrap_or_default().to_ascii_lowercase();
    let words = ["revert", "invalid opcode", "out of gas", "bad instruction"];
    error["code"].as_i64() == Some(REVERTED) || words.iter().any(|word| message.contains(word))
}

/// The call's data: the selector, the hash, where the signature begins, its length, itself, filled up to whole words.
fn is_valid_signature(hash: [u8; 32], signature: &[u8]) -> Vec<u8> {
    let number = |number: usize| {
        let mut word = [0; WORD];
        word[WORD - 8..].copy_from_slice(&(number as u64).to_be_bytes());
        word
    };
    let mut data = IS_VALID_SIGNATURE.to_vec();
    data.extend_from_slice(&hash);
    data.extend_from_slice(&number(2 * WORD));
    data.extend_from_slice(&number(signature.len()));
    data.extend_from_slice(signature);
    data.resize(4 + 3 * WORD + signature.len().div_ceil(WORD) * WORD, 0);
    data
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix("0x")?.as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    if digits.len() % 2 == 1 {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_written_as_the_abi_wants_it() {
        let data = is_valid_signature([0xab; 32], &[1, 2, 3]);
        let words: Vec<String> = data[4..].chunks(WORD).map(|word| hex(word)[2..].to_owned()).collect();
        assert_eq!(hex(&data[..4]), "0x1626ba7e");
        assert_eq!(words[0], "ab".repeat(32));
        assert_eq!(words[1].trim_start_matches('0'), "40");
        assert_eq!(words[2].trim_start_matches('0'), "3");
        assert_eq!(words[3], format!("010203{}", "0".repeat(58)));
        assert_eq!((words.len(), is_valid_signature([0; 32], &[]).len()), (4, 4 + 3 * WORD));
        assert_eq!(is_valid_signature([0; 32], &[7; 65]).len(), 4 + 6 * WORD);
    }

    #[test]
    fn an_address_is_checked_and_never_printed() {
        let node = Node::new(1, "https://rpc.example.org/v2/a-secret", Client::new()).expect("a URL");
        assert!(!format!("{node:?}").contains("secret"));
        for bad in ["", "rpc.example.org", "wss://rpc.example.org", "/path"] {
            assert_eq!(Node::new(1, bad, Client::new()).err(), Some(BadAddress), "{bad}");
        }
    }

    #[test]
    fn a_contracts_no_is_told_from_a_nodes() {
        for no in
            [json!({"code": 3, "message": ""}), json!({"code": -32_000, "message": "execution reverted"})]
        {
            assert!(is_revert(&no), "{no}");
        }
        for away in [
            json!(null),
            json!({"code": -32_005, "message": "limit exceeded"}),
            json!({"code": -32_000, "message": "header not found"}),
        ] {
            assert!(!is_revert(&away), "{away}");
        }
    }
}
