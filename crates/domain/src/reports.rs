//! What a caller may read of the books: usage of the own account, budget of the own community.

pub mod community;

use identity::ApiKey;
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
    /// The account now.
    pub balance: Balance,
}

/// What the account used from `from` to `to`, both counted.
pub async fn usage(ctx: &Ctx, account: AccountKey, from: Date, to: Date) -> anyhow::Result<UsageReport> {
    let mut connection = ctx.db.acquire().await?;
    let lines = ledger::report::usage(&mut connection, account, from, to).await?;
    let balance = ledger::report::balance(&mut connection, account).await?;
    let balance =
        balance.ok_or_else(|| anyhow::anyhow!("a caller's account {account:?} is not in the books"))?;
    Ok(UsageReport { from, to, lines, balance })
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

/// The account that pays for a key's requests.
#[must_use]
pub fn account_of(key: &ApiKey) -> AccountKey {
    AccountKey { community: key.community, account: key.account }
}
