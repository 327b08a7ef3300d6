//! Words that every other crate speaks: ids, money, pools, wire shapes, the clock.
//!
//! Nothing here does I/O, and everything but the clock's system source builds for wasm.
//! What is deliberately absent: rules (they live in `domain` and `ledger`) and any HTTP library.

pub mod breaker;
#[cfg(feature = "native")]
pub mod catalog;
pub mod clock;
#[cfg(not(target_arch = "wasm32"))]
pub mod failpoint;
pub mod ids;
pub mod image_url;
pub mod json_end;
pub mod money;
pub mod narration;
pub mod network;
pub mod palette;
pub mod pool;
pub mod s2s;
pub mod sse;
pub mod text;
pub mod token_day;
pub mod wallet;
pub mod wallet_id;

pub use clock::Clock;
pub use ids::{AccountId, CommunityId, KeyId, LotId, OwnerId, ReservationId};
pub use money::{MicroUsd, PricePerMillion};
pub use network::network_of;
pub use palette::Palette;
pub use pool::{Pool, Tier};
pub use token_day::TokenDay;
pub use wallet::{NotAWallet, Wallet};
pub use wallet_id::{Proof, WalletId};
