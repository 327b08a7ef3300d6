//! A wallet's purses: the accounts that it can buy credits for.
//!
//! A developer's wallet has the developer's account; a member's wallet has one account in each community; and whoever is
//! no member yet can become one by buying. What always holds: an account is opened when something is bought for it, not
//! when it is looked at. Deliberately absent: what a purse is spent on, and keys, which stand for one account by
//! themselves.

use ledger::AccountKey;
use types::{AccountId, CommunityId, MicroUsd, WalletId};

use crate::order::Payer;
use crate::{Ctx, member};

/// Purses of one page: nobody buys for more communities than this at one sitting.
const PURSES_AT_MOST: i64 = 20;

/// What kind of account a purse is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It pays for the keys of a developer.
    Developer,
    /// It pays for what a wallet asks in a community.
    Member,
}

/// An account that credits can be bought for.
#[derive(Clone, Debug)]
pub struct Purse {
    /// The community's name in addresses; it names the purse among one wallet's.
    pub slug: String,
    /// The community's name for people; the developer's own.
    pub name: String,
    /// What kind.
    pub kind: Kind,
    /// Free to spend.
    pub available: MicroUsd,
    community: CommunityId,
    /// `None`: the wallet is no member yet.
    account: Option<AccountId>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    slug: String,
    name: String,
    account_id: Option<i64>,
    is_developer: bool,
}

/// What the wallet can buy for: the developer's account first, then its communities; the deployment's default community
/// and the one that `wanted` names are offered to whoever is no member of them.
pub async fn of_wallet(ctx: &Ctx, wallet: WalletId, wanted: Option<&str>) -> anyhow::Result<Vec<Purse>> {
    // A community without a collection is a developer's own: nobody else joins it.
    let rows: Vec<Row> = sqlx::query_as(
        "select community.id, slug, community.name, account_id, true as is_developer from developer
           join community on community.id = developer.community_id where wallet = $1
         union all
         select community.id, slug, name, account_id, false from member
           join community on community.id = member.community_id where wallet = $2
         union all
         select distinct community.id, community.slug, community.name, null::bigint, false from collection
           join community on community.id = collection.community_id
           where (collection.is_default or community.slug = $3)
             and not exists (select from member where community_id = community.id and wallet = $2)
         order by is_developer desc, name, id limit $4",
    )
    .bind(wallet.to_bytes())
    .bind(wallet.to_string())
    .bind(wanted)
    .bind(PURSES_AT_MOST)
    .fetch_all(&ctx.db)
    .await?;
    let mut connection = ctx.db.acquire().await?;
    let mut purses = Vec::with_capacity(rows.len());
    for row in rows {
        let (community, account) = (CommunityId(row.id), row.account_id.map(AccountId));
        let balance = match account {
            Some(account) => {
                ledger::report::balance(&mut connection, AccountKey { community, account }).await?
            }
            None => None,
        };
        purses.push(Purse {
            slug: row.slug,
            name: row.name,
            kind: if row.is_developer { Kind::Developer } else { Kind::Member },
            available: MicroUsd(balance.map_or(0, |balance| balance.available)),
            community,
            account,
        });
    }
    Ok(purses)
}

/// Who pays out of a purse; a wallet that is no member yet becomes one. `None`: the wallet has no purse of that name.
pub async fn payer(ctx: &Ctx, wallet: WalletId, slug: &str) -> anyhow::Result<Option<Payer>> {
    let purses = of_wallet(ctx, wallet, Some(slug)).await?;
    let Some(purse) = purses.into_iter().find(|purse| purse.slug == slug) else { return Ok(None) };
    let community = purse.community;
    let key = match purse.account {
        Some(account) => AccountKey { community, account },
        None => member::account(ctx, community, wallet).await?,
    };
    Ok(Some(Payer { key }))
}
