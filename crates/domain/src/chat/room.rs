//! An agent's page: what stands on it beside the profile, read at once.
//!
//! What always holds: a reader who is not signed in sees what is shared and nobody's purse; a person sees their own
//! conversation unless they ask for what is shared. Looking opens no account: that is the first question's deed.

use std::time::Duration;

use types::{CommunityId, MicroUsd, Tier, WalletId};
use uuid::Uuid;

use super::history::{self, Said, Sharing, Whose};
use crate::agent::Agent;
use crate::{Ctx, member};

/// Turns of one page: a screen and a half.
const TURNS: u16 = 20;
/// Of a usual question with what was said before it, in tokens: two short turns. The model's own words come on top.
const USUAL_PROMPT_TOKENS: u64 = 400;
/// Of a usual answer, in tokens: two paragraphs.
const USUAL_ANSWER_TOKENS: u64 = 250;
/// A page waits no longer for an engine that hangs: the price is then that of any model that the pool lists.
const MODELS_PATIENCE: Duration = Duration::from_millis(250);

/// What a reader wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The newest turns; of before this one, when it says one.
    Page(Option<Uuid>),
    /// One turn, in full.
    Turn(Uuid),
}

/// What stands on an agent's page.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its community's name.
    pub community: String,
    /// What a usual answer costs whoever looks.
    pub usual: MicroUsd,
    /// The purse of whoever is signed in.
    pub purse: Option<Purse>,
    /// Whether their conversation may be read by others.
    pub sharing: Option<Sharing>,
    /// Turns, newest first.
    pub turns: Vec<Said>,
    /// Whether there are earlier ones.
    pub has_earlier: bool,
}

/// What a person has in a community.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purse {
    /// An account: so much is free.
    Available(MicroUsd),
    /// None yet: the first question opens one, and the community gives so much.
    New(MicroUsd),
}

/// Reads the page of `agent` for `wallet`, with the conversations of `whose`. `None`: there is no such turn.
pub async fn room(
    ctx: &Ctx,
    agent: &Agent,
    wallet: Option<WalletId>,
    whose: Whose,
    look: Look,
) -> anyhow::Result<Option<Room>> {
    let (before, limit) = match look {
        Look::Page(before) => (before, TURNS + 1),
        // The newest before the next id is that turn, or it is not there.
        Look::Turn(id) => (Some(Uuid::from_u128(id.as_u128().saturating_add(1))), 1),
    };
    let mut turns = history::page(ctx, agent, whose, before, limit).await?;
    match look {
        Look::Turn(id) if turns.first().is_none_or(|turn| turn.id != id) => return Ok(None),
        Look::Turn(_) | Look::Page(_) => {}
    }
    let has_earlier = turns.len() > usize::from(TURNS);
    turns.truncate(TURNS.into());

    let (community, welcome): (String, i64) =
        sqlx::query_as("select name, welcome_micro from community where id = $1")
            .bind(agent.community.0)
            .fetch_one(&ctx.db)
            .await?;
    let tier = match wallet {
        Some(wallet) => member::tier(ctx, agent.community, wallet).await?,
        None => Tier::LOWEST,
    };
    Ok(Some(Room {
        community,
        usual: usual(ctx, tier).await,
        purse: match wallet {
            Some(wallet) => Some(purse(ctx, agent.community, wallet, MicroUsd(welcome)).await?),
            None => None,
        },
        sharing: match wallet {
            Some(wallet) if agent.public_history => Some(history::sharing(ctx, agent, wallet).await?),
            Some(_) | None => None,
        },
        turns,
        has_earlier,
    }))
}

/// What a usual answer costs in the usual pool of a tier.
async fn usual(ctx: &Ctx, tier: Tier) -> MicroUsd {
    let pool = tier.default_pool();
    let prompt = u64::from(ctx.catalog.pool(pool).system_tokens) + USUAL_PROMPT_TOKENS;
    let now = tokio::time::timeout(MODELS_PATIENCE, ctx.engine.models_now()).await.ok().flatten();
    let models = ctx.catalog.answering(pool, |id| now.as_ref().is_none_or(|now| now.contains(id)));
    ctx.catalog.dearest_of(models).charge(prompt, USUAL_ANSWER_TOKENS)
}

async fn purse(
    ctx: &Ctx,
    community: CommunityId,
    wallet: WalletId,
    welcome: MicroUsd,
) -> anyhow::Result<Purse> {
    let Some(key) = member::known_account(ctx, community, wallet).await? else {
        return Ok(Purse::New(welcome));
    };
    let mut connection = ctx.db.acquire().await?;
    let balance = ledger::report::balance(&mut connection, key).await?;
    let balance = balance.ok_or_else(|| anyhow::anyhow!("a member's account is not in the books"))?;
    Ok(Purse::Available(MicroUsd(balance.available)))
}
