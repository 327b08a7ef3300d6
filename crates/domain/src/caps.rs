//! Monthly caps: what a community, or one account of it, may spend in a UTC month.
//!
//! What always holds: the cap and the record of who set it are one commit. Deliberately absent: what a cap refuses
//! (`ledger`), and who may set one.

use sqlx::PgPool;
use types::{AccountId, Clock, CommunityId, MicroUsd};

use crate::admin::{self, Deed};

/// A cap to be set.
#[derive(Clone, Copy, Debug)]
pub struct Cap<'a> {
    /// Whose community.
    pub community: CommunityId,
    /// One account of it; `None`: the whole of it.
    pub account: Option<AccountId>,
    /// Micro-USD a month; `None`: no cap.
    pub limit: Option<MicroUsd>,
    /// By whom, as [`Deed::who`] says it.
    pub who: &'a str,
    /// Why.
    pub reason: &'a str,
}

/// Sets or lifts a cap. `false`: no such community, or no such account in it.
pub async fn set(db: &PgPool, clock: &Clock, cap: Cap<'_>) -> Result<bool, sqlx::Error> {
    let Cap { community, account, limit, who, reason } = cap;
    let limit_micro = limit.map(|limit| limit.0);
    let mut tx = db.begin().await?;
    let is_there = match account {
        Some(account) => ledger::set_account_cap(&mut tx, community, account, limit_micro).await?,
        None => ledger::set_community_cap(&mut tx, community, limit_micro).await?,
    };
    if !is_there {
        return Ok(false);
    }
    let whose = account.map_or_else(|| "community".to_owned(), |account| format!("account {account}"));
    let target = match limit {
        Some(limit) => format!("{whose} {limit} micro-USD a month"),
        None => format!("{whose} without a cap"),
    };
    let deed = Deed { who, what: "caps.set", target: &target, reason, community: Some(community) };
    admin::record(&mut tx, clock, deed).await?;
    tx.commit().await?;
    Ok(true)
}
