//! Sign-in with Ethereum (EIP-4361): the message that a wallet signs, what it must say, and who signed it.
//!
//! What always holds: a message that does not print to the very bytes it was read from is refused. Lenient readers let
//! through lines that the wallet showed and nobody checked; ours has one text for each message and one message for each
//! text. What the message says is then compared with the server's own values, one by one, each with its own fault.
//!
//! Deliberately absent: whether the nonce is ours (see [`crate::nonces`]), wallets that are contracts (`domain::sign_in`
//! asks their chain), and delegation: resources are shown to the
//! signer and mean nothing here.

pub mod burner;
mod message;
mod signature;

use time::{Duration, OffsetDateTime};

pub use message::{MAX_MESSAGE_BYTES, Message, Moment, claimed_nonce};
pub use signature::{MAX_SIGNATURE_BYTES, SignatureFault, hash, recover, verify_signature};

/// The version that EIP-4361 knows.
pub const VERSION: &str = "1";
/// A message is signed within this time of being made: the life of its nonce (SPEC §6).
pub const MAX_AGE: Duration = Duration::minutes(5);
/// How far the clock of whoever wrote the message may lie from ours.
pub const LEEWAY: Duration = Duration::seconds(30);

/// What this server expects a message to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Host and port of the page, as its address bar shows them.
    pub domain: &'a str,
    /// The page's origin.
    pub uri: &'a str,
    /// The chains that may be named.
    pub chains: &'a [u64],
    /// Now.
    pub now: OffsetDateTime,
}

/// Why a message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageFault {
    /// It is not a message of EIP-4361.
    #[error("the message is not in the form of EIP-4361: {what}")]
    Form {
        /// What is wrong, without quoting the message.
        what: &'static str,
    },
    /// It reads as one message and prints as another.
    #[error("the message differs from its own canonical form")]
    NotCanonical,
    /// It names another site.
    #[error("the message was made for another domain")]
    Domain,
    /// It names another page.
    #[error("the message was made for another URI")]
    Uri,
    /// It is of a version that does not exist here.
    #[error("the message's version is not {VERSION}")]
    Version,
    /// It names a chain that is not offered.
    #[error("the message names a chain that is not offered here")]
    Chain,
    /// It was made too long ago, or lies in the future.
    #[error("the message was not made within the last five minutes")]
    IssuedAt,
    /// It says itself that it is over.
    #[error("the message has expired")]
    Expired,
    /// It says itself that it does not hold yet.
    #[error("the message does not hold yet")]
    NotYet,
}

impl Message {
    /// Compares what the message says with what the server expects.
    pub fn check(&self, expected: &Expected<'_>) -> Result<(), MessageFault> {
        let now = expected.now;
        if self.domain != expected.domain {
            return Err(MessageFault::Domain);
        }
        if self.uri != expected.uri {
            return Err(MessageFault::Uri);
        }
        if self.version != VERSION {
            return Err(MessageFault::Version);
        }
        if !expected.chains.contains(&self.chain_id) {
            return Err(MessageFault::Chain);
        }
        let age = now - self.issued_at.at();
        if age > MAX_AGE + LEEWAY || age < -LEEWAY {
            return Err(MessageFault::IssuedAt);
        }
        if self.expiration_time.as_ref().is_some_and(|end| end.at() <= now) {
            return Err(MessageFault::Expired);
        }
        if self.not_before.as_ref().is_some_and(|begin| begin.at() > now + LEEWAY) {
            return Err(MessageFault::NotYet);
        }
        Ok(())
    }
}
