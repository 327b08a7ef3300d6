//! Whose an order is, for a wallet that is signed in.

use ledger::AccountKey;
use types::{AccountId, CommunityId, WalletId};

use super::{OrderId, Payer};
use crate::Ctx;

/// The account that an order is for, when it is one of the wallet's: its account in a community, or its developer's
/// account. `None`: there is no such order, or it is somebody else's.
pub async fn payer_of(ctx: &Ctx, wallet: WalletId, order: OrderId) -> Result<Option<Payer>, sqlx::Error> {
    let found: Option<(i64, i64)> = sqlx::query_as(
        "select community_id, account_id from purchase_order as bought where id = $1 and (
           exists (select from member where community_id = bought.community_id and account_id = bought.account_id
             and wallet = $2)
           or exists (select from developer where community_id = bought.community_id
             and account_id = bought.account_id and wallet = $3))",
    )
    .bind(order.0)
    .bind(wallet.to_string())
    .bind(wallet.to_bytes())
    .fetch_optional(&ctx.db)
    .await?;
    let payer = |(community, account)| Payer {
        key: AccountKey { community: CommunityId(community), account: AccountId(account) },
    };
    Ok(found.map(payer))
}
