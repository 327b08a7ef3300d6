//! What a wallet has here, for the page of its own: accounts, agents that it talked to, orders.
//!
//! What always holds: only rows of this wallet are read, and each list has an end. Deliberately absent: sessions
//! (`identity`), and opening anything: a wallet that never asked has no account, and looking makes none.

use ledger::AccountKey;
use ledger::report::Balance;
use time::OffsetDateTime;
use types::{CommunityId, Tier, WalletId};

use crate::community::Community;
use crate::order::{self, OrderView, Payer};
use crate::{Ctx, accounts, member};

/// Communities of one wallet that are shown: each is a card, and nobody reads more of them.
pub const MEMBERSHIPS_AT_MOST: i64 = 24;
/// Agents that are shown: the latest conversations.
pub const CONVERSATIONS_AT_MOST: i64 = 12;
/// Orders of one account that are shown: the latest ones.
pub const ORDERS_AT_MOST: i64 = 10;

/// A wallet's account in a community.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The community.
    pub community: Community,
    /// What its holdings make it there.
    pub tier: Tier,
    /// The account's sums.
    pub balance: Balance,
}

/// An agent that a wallet talked to.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Conversation {
    /// The collection's slug.
    pub slug: String,
    /// Decimal, without leading zeros.
    pub token_id: String,
    /// What people call it.
    pub name: String,
    /// The collection's name.
    pub collection: String,
    /// When the wallet last asked it something; `None`: never.
    pub last_at: Option<OffsetDateTime>,
}

/// The wallet's accounts with their sums, the oldest first.
pub async fn memberships(ctx: &Ctx, wallet: WalletId) -> Result<Vec<Membership>, sqlx::Error> {
    let rows: Vec<(i64, String, String, i64)> = sqlx::query_as(
        "select community.id, community.slug, community.name, member.account_id
         from member join community on community.id = member.community_id
         where member.wallet = $1 order by member.joined_at, community.id limit $2",
    )
    .bind(wallet.to_string())
    .bind(MEMBERSHIPS_AT_MOST)
    .fetch_all(&ctx.db)
    .await?;
    let mut memberships = Vec::with_capacity(rows.len());
    for (id, slug, name, account) in rows {
        let id = CommunityId(id);
        let key = AccountKey { community: id, account: types::AccountId(account) };
        let mut connection = ctx.db.acquire().await?;
        // A member's account is opened in the same commit: one without is none.
        let Some(balance) = ledger::report::balance(&mut connection, key).await? else { continue };
        drop(connection);
        let tier = member::tier(ctx, id, wallet).await?;
        memberships.push(Membership { community: Community { id, slug, name }, tier, balance });
    }
    Ok(memberships)
}

/// The account of the wallet as a developer, with its sums; `None`: it has not signed up.
pub async fn developer(ctx: &Ctx, wallet: WalletId) -> anyhow::Result<Option<Balance>> {
    let Some(standing) = accounts::standing_of(ctx, wallet).await? else { return Ok(None) };
    let mut connection = ctx.db.acquire().await?;
    Ok(ledger::report::balance(&mut connection, standing.account).await?)
}

/// The agents that the wallet talked to, the latest first.
pub async fn conversations(ctx: &Ctx, wallet: WalletId) -> Result<Vec<Conversation>, sqlx::Error> {
    sqlx::query_as(
        "select collection.slug, agent.token_id, agent.name, collection.name as collection, said.last_at
         from (select agent_id, max(asked_at) as last_at from chat_turn where wallet = $1
               group by agent_id order by last_at desc limit $2) said
         join agent on agent.id = said.agent_id join collection on collection.id = agent.collection_id
         order by said.last_at desc",
    )
    .bind(wallet.to_string())
    .bind(CONVERSATIONS_AT_MOST)
    .fetch_all(&ctx.db)
    .await
}

/// Agents that somebody new could talk to: the first ones of the deployment's default collection.
pub async fn to_meet(ctx: &Ctx) -> Result<Vec<Conversation>, sqlx::Error> {
    sqlx::query_as(
        "select collection.slug, agent.token_id, agent.name, collection.name as collection, null::timestamptz as last_at
         from agent join collection on collection.id = agent.collection_id
         where collection.is_default and not agent.holder_only order by agent.id limit $1",
    )
    .bind(CONVERSATIONS_AT_MOST)
    .fetch_all(&ctx.db)
    .await
}

/// What the wallet's accounts ordered, the newest first. Asks no payment processor.
pub async fn orders(ctx: &Ctx, wallet: WalletId) -> anyhow::Result<Vec<OrderView>> {
    let mut keys = member::accounts_of(ctx, wallet).await?;
    keys.extend(accounts::standing_of(ctx, wallet).await?.map(|standing| standing.account));
    let mut orders = Vec::new();
    for key in keys {
        orders.extend(order::recent(ctx, Payer { key }, ORDERS_AT_MOST).await?);
    }
    orders.sort_by_key(|order| std::cmp::Reverse(order.created_at));
    orders.truncate(usize::try_from(ORDERS_AT_MOST).unwrap_or(usize::MAX));
    Ok(orders)
}
