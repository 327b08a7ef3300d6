//! Members: a wallet's account in a community, and the tier that its holdings give it there.
//!
//! What always holds: a wallet has one account in a community, whoever asks first and however many ask at once; account
//! and membership are one commit. Deliberately absent: reading the chain; whoever does writes `holding`.

use ledger::{AccountKey, PostError};
use sqlx::PgConnection;
use time::Duration;
use types::{AccountId, CommunityId, Tier, WalletId};

use crate::Ctx;

/// What a chain said of a wallet this long ago counts no more (SPEC §13): the wallet is then one of the lowest tier.
const BELIEVED_FOR: Duration = Duration::hours(48);
/// What a new member is given is for trying; it ends, so that what nobody uses does not stay in the books for ever.
const WELCOME_FOR: Duration = Duration::days(30);
/// The name of the one grant that each account may have as a welcome.
const WELCOME: &str = "welcome";

/// The account that pays for a wallet in a community; opened at the first need. An error, too, when there is no such
/// community: whoever asks has read it from an agent.
pub async fn account(ctx: &Ctx, community: CommunityId, wallet: WalletId) -> anyhow::Result<AccountKey> {
    if let Some(key) = known_account(ctx, community, wallet).await? {
        return Ok(key);
    }
    let key = AccountKey { community, account: AccountId(ctx.clock.big_id()) };
    let mut tx = ctx.db.begin().await?;
    // Whoever comes second waits here for the first one's commit, and then finds its row.
    let done = sqlx::query(
        "insert into member (community_id, wallet, account_id, joined_at) values ($1, $2, $3, $4)
         on conflict on constraint member_pk do nothing",
    )
    .bind(community.0)
    .bind(wallet.to_string())
    .bind(key.account.0)
    .bind(ctx.clock.now())
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        tx.rollback().await?;
        let key = known_account(ctx, community, wallet).await?;
        return key.ok_or_else(|| anyhow::anyhow!("a member is there and cannot be read"));
    }
    ledger::open_account(&mut tx, &ctx.clock, key, Some(&wallet.to_string())).await?;
    welcome(ctx, &mut tx, key).await?;
    tx.commit().await?;
    Ok(key)
}

/// The account of a wallet that has one in this community.
pub async fn known_account(
    ctx: &Ctx,
    community: CommunityId,
    wallet: WalletId,
) -> Result<Option<AccountKey>, sqlx::Error> {
    let account: Option<i64> =
        sqlx::query_scalar("select account_id from member where community_id = $1 and wallet = $2")
            .bind(community.0)
            .bind(wallet.to_string())
            .fetch_optional(&ctx.db)
            .await?;
    Ok(account.map(|account| AccountKey { community, account: AccountId(account) }))
}

/// Every account that a wallet has, in the order in which they were opened.
pub async fn accounts_of(ctx: &Ctx, wallet: WalletId) -> Result<Vec<AccountKey>, sqlx::Error> {
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "select community_id, account_id from member where wallet = $1 order by joined_at, community_id",
    )
    .bind(wallet.to_string())
    .fetch_all(&ctx.db)
    .await?;
    let key =
        |(community, account)| AccountKey { community: CommunityId(community), account: AccountId(account) };
    Ok(rows.into_iter().map(key).collect())
}

/// The tier of a wallet in a community; the lowest for one that holds nothing, for one whose holdings no chain has confirmed
/// within two days, and for one whose tier was given by hand until a day that is over. A contract's holdings are its own:
/// what the same address holds by key, or on another chain, is somebody else's.
pub async fn tier(ctx: &Ctx, community: CommunityId, wallet: WalletId) -> Result<Tier, sqlx::Error> {
    let now = ctx.clock.now();
    let tier = sqlx::query_scalar!(
        "select tier from holding where community_id = $1 and wallet = $2 and (verified_at > $3 or given_until > $4)",
        community.0,
        wallet.to_string(),
        now - BELIEVED_FOR,
        now
    )
    .fetch_optional(&ctx.db)
    .await?;
    Ok(tier.and_then(|tier| Tier::new(u8::try_from(tier).ok()?)).unwrap_or(Tier::LOWEST))
}

/// Gives a new member what its community gives. While minting is stopped there is nothing, and membership goes on.
async fn welcome(ctx: &Ctx, connection: &mut PgConnection, key: AccountKey) -> anyhow::Result<()> {
    let amount: i64 = sqlx::query_scalar("select welcome_micro from community where id = $1")
        .bind(key.community.0)
        .fetch_one(&mut *connection)
        .await?;
    if amount == 0 {
        return Ok(());
    }
    let until = ctx.clock.now() + WELCOME_FOR;
    match ledger::grant(connection, &ctx.clock, key, WELCOME, amount, until).await {
        Ok(_) => Ok(()),
        Err(PostError::Refused(refusal)) => {
            tracing::warn!(%refusal, account = %key.account, "a new member could not be welcomed with credits");
            Ok(())
        }
        Err(PostError::Database(error)) => Err(error.into()),
    }
}
