//! Credits that nobody paid for: the operator gives them to an account, says why, and it is written down.
//!
//! What always holds: lot and record are one commit; a grant has an id made from the caller's own key, so that asking
//! again, even years later, gives nothing twice. Deliberately absent: who may grant (the doors' access says so).

use ledger::{AccountKey, PostError, Refusal};
use sqlx::PgPool;
use time::OffsetDateTime;
use types::{Clock, LotId, MicroUsd};

use crate::admin::{self, Deed};

/// What is given.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// To whom.
    pub key: AccountKey,
    /// How much.
    pub amount: MicroUsd,
    /// Until when it can be spent; [`ledger::NEVER`] for ever.
    pub expires_at: OffsetDateTime,
    /// The caller's own name for it: twice is once.
    pub idempotency_key: &'a str,
    /// By whom, as [`Deed::who`] says it.
    pub who: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Why nothing was given.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// No such account in that community.
    #[error("there is no such account")]
    NoAccount,
    /// The account is frozen while its books are checked.
    #[error("the account is frozen while its books are checked")]
    Frozen,
    /// The sums of all accounts differ: nothing is minted until a person has looked.
    #[error("minting is stopped while the books are checked")]
    MintingStopped,
    /// The same id was used for another grant.
    #[error("the idempotency key was used for another grant")]
    KeyReused,
    /// Nothing, less than nothing, or more than an account holds.
    #[error("a grant is more than nothing, and fits an account")]
    BadAmount,
    /// A surprise.
    #[error("unexpected")]
    Unexpected(#[from] anyhow::Error),
}

impl From<sqlx::Error> for GrantError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unexpected(error.into())
    }
}

impl From<PostError> for GrantError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Database(error) => error.into(),
            PostError::Refused(refusal) => match refusal {
                Refusal::NoAccount => Self::NoAccount,
                Refusal::Frozen => Self::Frozen,
                Refusal::MintingStopped => Self::MintingStopped,
                Refusal::Conflict => Self::KeyReused,
                Refusal::BadAmount => Self::BadAmount,
                Refusal::NoHold
                | Refusal::NoLot
                | Refusal::NotEnough { .. }
                | Refusal::OverCap { .. }
                | Refusal::Owing { .. }
                | Refusal::Closed(_) => Self::Unexpected(refusal.into()),
            },
        }
    }
}

/// Gives it.
pub async fn give(db: &PgPool, clock: &Clock, grant: Grant<'_>) -> Result<LotId, GrantError> {
    let Grant { key, amount, expires_at, idempotency_key, who, reason } = grant;
    let mut tx = db.begin().await?;
    let lot = ledger::grant(&mut tx, clock, key, idempotency_key, amount.0, expires_at).await?;
    let target = format!("account {} {amount} micro-USD", key.account);
    let deed = Deed { who, what: "grant", target: &target, reason, community: Some(key.community) };
    admin::record_once(&mut tx, clock, deed, &lot.to_string()).await?;
    tx.commit().await?;
    Ok(lot)
}

#[cfg(test)]
mod tests {
    use ledger::NEVER;
    use testing::postgres::TestDatabase;
    use types::{AccountId, CommunityId};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn asking_twice_gives_once_and_another_amount_under_the_same_key_is_refused() {
        let database = TestDatabase::new().await;
        let clock = Clock::system();
        let key = AccountKey { community: CommunityId(1), account: AccountId(2) };
        let mut connection = database.pool.acquire().await.expect("one");
        ledger::open_account(&mut connection, &clock, key, None).await.expect("opened");
        let grant = Grant {
            key,
            amount: MicroUsd(5_000_000),
            expires_at: NEVER,
            idempotency_key: "spring",
            who: "operator",
            reason: "a workshop",
        };
        for _ in 0..3 {
            give(&database.pool, &clock, grant).await.expect("given");
        }
        let other = Grant { amount: MicroUsd(6_000_000), ..grant };
        assert!(matches!(give(&database.pool, &clock, other).await, Err(GrantError::KeyReused)));
        let nobody = Grant { key: AccountKey { account: AccountId(3), ..key }, ..grant };
        assert!(matches!(give(&database.pool, &clock, nobody).await, Err(GrantError::NoAccount)));
        let nothing = Grant { amount: MicroUsd(0), idempotency_key: "nothing", ..grant };
        assert!(matches!(give(&database.pool, &clock, nothing).await, Err(GrantError::BadAmount)));
        let balance = ledger::report::balance(&mut connection, key).await.expect("read").expect("there");
        assert_eq!((balance.minted, balance.available), (5_000_000, 5_000_000));
        let deeds = admin::deeds(&mut connection, Some(key.community), None, 10).await.expect("read");
        assert_eq!(deeds.iter().map(|deed| deed.what.as_str()).collect::<Vec<_>>(), ["grant"]);
    }
}
