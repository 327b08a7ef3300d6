//! What can go wrong while a wallet signs in: one problem for each cause, with the next step.

use identity::siwe::{MessageFault, SignatureFault};
use identity::{HandoffFault, NonceFault};

use super::{
    CROSS_SITE, HANDOFF_FOREIGN, HANDOFF_UNKNOWN, Kind, NONCE_EXPIRED, NONCE_FOREIGN, NONCE_UNKNOWN,
    NONCE_USED, NOT_OUR_PAGE, SIGN_IN_NEEDED, SIGN_IN_NEEDS_HTTPS, SIWE_CHAIN, SIWE_DOMAIN, SIWE_EXPIRED,
    SIWE_FORM, SIWE_NOT_CANONICAL, SIWE_NOT_YET, SIWE_SIGNATURE, SIWE_SIGNATURE_FORM, SIWE_TIME,
    SIWE_UNASKED, SIWE_URI, SIWE_VERSION, Shape,
};
use crate::routes::rate::Retry;

impl Shape {
    /// A page elsewhere tried to change something in a user's name.
    pub(crate) fn cross_site() -> Self {
        let detail = "This change carries a sign-in cookie and does not come from a page of this server. Open the page \
                      here and do it there; a program sends an API key and no cookie.";
        Self::new(CROSS_SITE, detail).retry(Retry::Useless)
    }

    /// The page is not one of ours, or nothing says that it is.
    pub(crate) fn not_our_page() -> Self {
        let detail = "Signing in works from this server's own pages alone: the Origin header has to name one of them. \
                      Open /signin here.";
        Self::new(NOT_OUR_PAGE, detail).retry(Retry::Useless)
    }

    /// Browsers and wallets refuse to sign on plain http.
    pub(crate) fn sign_in_needs_https() -> Self {
        let detail = "Wallets sign in over https, or on this machine. The operator has to put a certificate in front and \
                      set FREESIDE_PUBLIC_URL to the https address.";
        Self::new(SIGN_IN_NEEDS_HTTPS, detail).retry(Retry::Useless)
    }

    /// This needs somebody who is signed in.
    pub(crate) fn sign_in_needed() -> Self {
        Self::new(SIGN_IN_NEEDED, super::sentences::NO_SESSION)
    }

    pub(crate) fn of_message(fault: &MessageFault) -> Self {
        let kind: Kind = match fault {
            MessageFault::Form { .. } => SIWE_FORM,
            MessageFault::NotCanonical => SIWE_NOT_CANONICAL,
            MessageFault::Domain => SIWE_DOMAIN,
            MessageFault::Uri => SIWE_URI,
            MessageFault::Version => SIWE_VERSION,
            MessageFault::Chain => SIWE_CHAIN,
            MessageFault::IssuedAt => SIWE_TIME,
            MessageFault::Expired => SIWE_EXPIRED,
            MessageFault::NotYet => SIWE_NOT_YET,
        };
        Self::new(
            kind,
            format!(
                "Nobody was signed in: {fault}. POST /api/v1/siwe/nonce says what the message has to hold."
            ),
        )
    }

    /// A nonce that was refused; a surprise is the caller's to log.
    pub(crate) fn of_nonce(fault: NonceFault) -> Result<Self, anyhow::Error> {
        let kind = match fault {
            NonceFault::Unknown => NONCE_UNKNOWN,
            NonceFault::Used => NONCE_USED,
            NonceFault::Expired => NONCE_EXPIRED,
            NonceFault::Foreign => NONCE_FOREIGN,
            NonceFault::TooMany { retry_after_s } => {
                let detail =
                    format!("Too many tries to sign in from this address. Wait {retry_after_s} seconds.");
                return Ok(Self::rate_limited(detail, retry_after_s.into()));
            }
            NonceFault::Unexpected(error) => return Err(error),
        };
        Ok(Self::new(kind, format!("Nobody was signed in: {fault}. Ask for a new nonce and sign again.")))
    }

    /// A signature that was refused; a surprise is the caller's to log.
    pub(crate) fn of_signature(fault: &SignatureFault) -> Self {
        match fault {
            SignatureFault::Form => {
                let detail =
                    "The signature has to be 0x and 130 hexadecimal digits: what personal_sign answers.";
                Self::new(SIWE_SIGNATURE_FORM, detail)
            }
            SignatureFault::OtherSigner => {
                let detail = "The signature is not of this message and this wallet. Choose the account in the wallet that \
                              the message names, and sign again.";
                Self::new(SIWE_SIGNATURE, detail)
            }
            SignatureFault::Unasked(_) => {
                let detail =
                    "This wallet is a contract, and its chain could not be asked. Try again in a moment.";
                Self::new(SIWE_UNASKED, detail).retry(Retry::after_seconds(5))
            }
        }
    }

    /// A hand-off that was refused; a surprise is the caller's to log.
    pub(crate) fn of_handoff(fault: HandoffFault) -> Result<Self, anyhow::Error> {
        match fault {
            HandoffFault::Unknown => {
                let detail = "There is no such code: it was used, its 60 seconds are over, or nobody has signed in with it \
                              yet. A frame that waits asks again in a second.";
                Ok(Self::new(HANDOFF_UNKNOWN, detail))
            }
            HandoffFault::Foreign => {
                let detail =
                    "This code was made for another page or browser, and is used up now. Sign in again.";
                Ok(Self::new(HANDOFF_FOREIGN, detail))
            }
            HandoffFault::BadChallenge => {
                let message = "This has to be the SHA-256 of a fresh code, in base64url without padding.";
                Ok(Self::invalid("challenge", message))
            }
            HandoffFault::TooMany { retry_after_s } => {
                let detail = format!("Too many tries from this address. Wait {retry_after_s} seconds.");
                Ok(Self::rate_limited(detail, retry_after_s.into()))
            }
            HandoffFault::Unexpected(error) => Err(error),
        }
    }
}
