//! Turns whose process died: found by their owner's lease, ended by what the books say of their hold.
//!
//! What always holds: a turn whose owner may live is left alone, and so is one whose hold is still open (the ledger's sweep
//! comes first). The end that is written is true: charged what the hold was charged, with the text as far as it was stored.

use types::MicroUsd;
use types::s2s::Usage;

use super::store;
use super::words::{End, How};
use crate::Ctx;

/// Ends the turns of dead processes. Returns how many; any number of processes may do it at once.
pub async fn recover(ctx: &Ctx) -> anyhow::Result<usize> {
    let unfinished = store::unfinished(&ctx.db).await?;
    let owners: Vec<_> = unfinished.iter().map(|turn| turn.owner).collect();
    let dead = ledger::dead_among(&ctx.db, &owners).await?;
    let mut ended = 0;
    for turn in unfinished.iter().filter(|turn| dead.contains(&turn.owner)) {
        let closed =
            ledger::report::hold_end(&mut *ctx.db.acquire().await?, turn.account.community, turn.id).await?;
        let (usage, cost) = match closed {
            Some(ledger::report::HoldEnd::Open) => continue,
            Some(ledger::report::HoldEnd::Charged { amount, tokens_in, tokens_out }) => {
                let count = |tokens: i64| u64::try_from(tokens).unwrap_or(0);
                (Usage::new(count(tokens_in), count(tokens_out)), MicroUsd(amount))
            }
            Some(ledger::report::HoldEnd::GivenBack) | None => (Usage::default(), MicroUsd::ZERO),
        };
        let message = if cost.0 > 0 {
            "the server stopped in the middle of this answer: what was delivered is charged, ask again for the rest"
        } else {
            "the server stopped in the middle of this answer: nothing is charged, ask again"
        };
        let how = How::Broken { code: "interrupted".to_owned(), message: message.to_owned() };
        let end = End { how, usage, cost };
        if store::finish(&ctx.db, turn.id.0, turn.last_seq + 1, &end, ctx.clock.now()).await? {
            tracing::warn!(turn = %turn.id, owner = turn.owner.0, "a chat turn was ended for a process that died");
            metrics::counter!("chat_recovered_total").increment(1);
            ended += 1;
        }
    }
    Ok(ended)
}
