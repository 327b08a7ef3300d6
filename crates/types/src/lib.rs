//! Words that every other crate speaks: ids, money, pools, wire shapes, the clock.
//!
//! Nothing here does I/O, and everything but the clock's system source builds for wasm.
//! What is deliberately absent: rules (they live in `domain` and `ledger`) and any HTTP library.

#[cfg(feature = "native")]
pub mod catalog;
pub mod clock;
#[cfg(not(target_arch = "wasm32"))]
pub mod failpoint;
pub mod ids;
pub mod key_day;
pub mod money;
pub mod narration;
pub mod palette;
pub mod pool;
pub mod s2s;
pub mod sse;
pub mod wallet;
pub mod wallet_id;

pub use clock::Clock;
pub use ids::{AccountId, CommunityId, KeyId, LotId, OwnerId, ReservationId};
pub use key_day::KeyDay;
pub use money::{MicroUsd, PricePerMillion};
pub use palette::Palette;
pub use pool::{Pool, Tier};
pub use wallet::{NotAWallet, Wallet};
pub use wallet_id::{Proof, WalletId};
