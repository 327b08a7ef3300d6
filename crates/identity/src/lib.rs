//! Who asks: API keys with their limits, wallets with their sessions, and the keys with which freeside signs its tokens
//! for finn.
//!
//! * [`keys`]: `lf_live_…` and `lf_test_…` keys (SPEC §6): make, recognise, rotate, revoke.
//! * [`limits`]: requests per minute and tokens per day of a key, in memory.
//! * [`siwe`]: the message that a wallet signs (EIP-4361), [`nonces`]: the number in it that works once.
//! * [`sessions`]: wallets that signed in; [`handoff`]: how a session gets into the frame that asked for it.
//! * [`service_keys`]: the ES256 keys of the service-to-service contract (SPEC §4) and their public JWKS.
//! * [`tickets`]: one-time tickets that open a socket for a session (SPEC §8).
//!
//! What always holds: a key's plain text lives no longer than the request that carries it, and nothing here prints a
//! secret. What is deliberately absent: HTTP, the environment (settings are passed in), money, and any other clock
//! than [`types::Clock`].

mod changes;
pub mod handoff;
pub mod key_text;
pub mod keys;
pub mod limits;
pub mod nonces;
pub mod peppers;
mod per_minute;
pub mod scopes;
pub mod secret;
pub mod service_keys;
pub mod sessions;
pub mod siwe;
pub mod tickets;

pub use self::limits::{Admission, Counted, Limited, Limits, Of, RateHeaders, Seeding, Which};
pub use handoff::{HandoffFault, Handoffs};
pub use key_text::KeyKind;
pub use keys::{ApiKey, ApiKeyRow, KeyError, KeyLimits, KeyRefusal, KeyRequest, KeyRing, NewKey, Revocation};
pub use nonces::{Nonce, NonceFault, Nonces};
pub use peppers::{PepperFault, Peppers};
pub use scopes::{Scope, Scopes, UnknownScope};
pub use secret::{Secret, ShownOnce};
pub use service_keys::{Jwks, ServiceKeyError, ServiceKeyStatus, ServiceKeys};
pub use sessions::{
    NewSession, Session, SessionId, SessionRefusal, SessionRow, SessionSecretFault, SessionSecrets, Sessions,
};
pub use tickets::{Redeemed, TicketError, Tickets};
