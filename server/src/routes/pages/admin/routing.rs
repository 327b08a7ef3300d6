//! `/admin/{community}/routing`

use app::admin::{Choice, DecisionRow, Routing};
use axum::response::Response;
use ledger::report::{Decision, DecisionFilter};
use types::{MicroUsd, Pool, ReservationId};

use super::super::super::admin::{ROWS, next_cursor};
use super::super::super::fault::Fault;
use super::super::super::shared::moment;
use super::overview::{amount, pool_name};
use super::{Asking, Looking, Narrowed, narrowed};

/// `GET /admin/{community}/routing`
pub(crate) async fn show(mut looking: Looking) -> Response {
    let narrowed = narrowed(&looking.asking, looking.now().date(), choices(&looking.asking));
    looking.told.clone_from(&narrowed.wrong);
    match read(&looking, narrowed).await {
        Ok(routing) => looking.show(app::admin::routing(looking.reader.visit(), &looking.look(), routing)),
        Err(error) => looking.failed(Fault::Unexpected(error)),
    }
}

/// A text that no row can have matches none; the database takes no zero bytes.
fn plain<'a>(asking: &'a Asking, name: &str) -> Option<&'a str> {
    asking.value(name).filter(|text| !text.chars().any(char::is_control))
}

fn choices(asking: &Asking) -> Vec<Choice> {
    let value = |name| plain(asking, name).unwrap_or_default().to_owned();
    let reasons = app::reason::choices();
    vec![
        Choice { name: "agent", label: "Agent", value: value("agent"), options: Vec::new() },
        Choice { name: "reason", label: "Why", value: value("reason"), options: reasons },
    ]
}

async fn read(looking: &Looking, narrowed: Narrowed) -> anyhow::Result<Routing> {
    let Narrowed { from, to, pool, filter, .. } = narrowed;
    let text = |name| plain(&looking.asking, name).map(str::to_owned);
    let wanted = DecisionFilter { from, to, pool, agent: text("agent"), reason: text("reason") };
    let before = looking.asking.cursor(|text| text.parse().ok().map(ReservationId));
    let (ctx, id) = (&looking.app.ctx, looking.id());
    let found = domain::reports::community::enforcement(ctx, id, &wanted, before, ROWS).await?;
    let found = found.ok_or_else(|| anyhow::anyhow!("a community that is administered has no book"))?;
    Ok(Routing {
        filter,
        by_pool: found.shares.by_pool.iter().map(|(pool, of)| amount(pool_name(*pool), *of)).collect(),
        by_reason: found.shares.by_reason.iter().map(|(word, of)| amount(word.clone(), *of)).collect(),
        next_cursor: next_cursor(&found.decisions, ROWS, |(decision, _)| decision.id.to_string()),
        decisions: found.decisions.into_iter().map(row).collect(),
    })
}

fn row((decision, requested): (Decision, Option<Pool>)) -> DecisionRow {
    DecisionRow {
        at: moment(decision.at),
        agent: decision.agent,
        asked: decision.asked,
        requested: requested.map(Pool::as_str),
        actual: decision.pool.map(Pool::as_str),
        model: decision.model,
        reason: decision.reason,
        cost: MicroUsd(decision.cost),
    }
}
