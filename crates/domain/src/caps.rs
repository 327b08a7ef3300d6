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

/// Reads dollars as people write them, `12.50`, to the micro-dollar and without a float. `None`: nothing of the kind, or
/// more than fits.
#[must_use]
pub fn dollars(text: &str) -> Option<MicroUsd> {
    const DECIMALS: usize = 6;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > DECIMALS || (whole.is_empty() && part.is_empty())
    {
        return None;
    }
    format!("{whole}{part:0<DECIMALS$}").parse().ok().map(MicroUsd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_read_to_the_micro_dollar() {
        for (text, micro) in [
            ("0", 0),
            ("50", 50_000_000),
            ("12.50", 12_500_000),
            (".000001", 1),
            ("7.", 7_000_000),
            ("9223372036854.775807", i64::MAX),
        ] {
            assert_eq!(dollars(text), Some(MicroUsd(micro)), "{text}");
        }
        for bad in ["", ".", "-1", "+1", "1,50", "1.0000001", "$5", "1e3", " 1", "9223372036854.775808", "٣"]
        {
            assert_eq!(dollars(bad), None, "{bad}");
        }
    }
}
