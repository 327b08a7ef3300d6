//! What a caller may read of the books: usage of the own account, budget of the own community.

pub mod community;

use identity::{ApiKey, KeyKind};
use ledger::AccountKey;
use ledger::report::{Balance, Budget, RequestLine, RequestQuery, UsageLine};
use time::Date;
use types::CommunityId;

use crate::Ctx;

/// An account's usage over some UTC days.
#[derive(Clone, Debug)]
pub struct UsageReport {
    /// First day.
    pub from: Date,
    /// Last day.
    pub to: Date,
    /// By day, pool and model.
    pub lines: Vec<UsageLine>,
    /// The payer's own account now: what was bought or granted.
    pub balance: Balance,
    /// The account of its sandbox keys now.
    pub sandbox: Balance,
}

/// What a payer used from `from` to `to`, both counted, with sandbox and live keys.
pub async fn usage(ctx: &Ctx, payer: AccountKey, from: Date, to: Date) -> anyhow::Result<UsageReport> {
    let mut connection = ctx.db.acquire().await?;
    let lines = ledger::report::usage(&mut connection, payer, from, to).await?;
    let balance = ledger::report::balance(&mut connection, payer).await?;
    let balance =
        balance.ok_or_else(|| anyhow::anyhow!("a caller's account {payer:?} is not in the books"))?;
    // A sandbox account is opened by its first request.
    let sandbox = paying_account(payer, KeyKind::Sandbox);
    let sandbox = ledger::report::balance(&mut connection, sandbox).await?.unwrap_or_default();
    Ok(UsageReport { from, to, lines, balance, sandbox })
}

/// A page of what the account asked, newest first: each request with what became of its money.
pub async fn requests(
    ctx: &Ctx,
    account: AccountKey,
    query: &RequestQuery,
) -> anyhow::Result<Vec<RequestLine>> {
    let mut connection = ctx.db.acquire().await?;
    Ok(ledger::report::requests(&mut connection, account, query).await?)
}

/// The budget of a community; `None` when the caller is not a member of it, or there is none of that id.
pub async fn budget(
    ctx: &Ctx,
    account: AccountKey,
    community: CommunityId,
) -> anyhow::Result<Option<Budget>> {
    if account.community != community {
        return Ok(None);
    }
    let mut connection = ctx.db.acquire().await?;
    Ok(ledger::report::budget(&mut connection, community).await?)
}

/// An account, live.
pub async fn balance(ctx: &Ctx, account: AccountKey) -> anyhow::Result<Option<Balance>> {
    let mut connection = ctx.db.acquire().await?;
    Ok(ledger::report::balance(&mut connection, account).await?)
}

/// The payer that a key belongs to: the account that credits are bought for, and that the API calls `account_id`.
#[must_use]
pub fn account_of(key: &ApiKey) -> AccountKey {
    AccountKey { community: key.community, account: key.account }
}

/// The ledger account that pays for what keys of this kind ask: sandbox credits and live ones never mix.
#[must_use]
pub fn paying_account(payer: AccountKey, kind: KeyKind) -> AccountKey {
    match kind {
        KeyKind::Live => payer,
        KeyKind::Sandbox => AccountKey { account: payer.account.sandbox(), ..payer },
    }
}
