//! `/admin/{community}/conservation`

use app::admin::{Conservation, ViolationRow};
use axum::response::Response;
use ledger::Violation;
use types::MicroUsd;

use super::super::super::admin::{ROWS, next_cursor};
use super::super::super::fault::Fault;
use super::super::super::shared::moment;
use super::{Looking, overview};

/// `GET /admin/{community}/conservation`
pub(crate) async fn show(looking: Looking) -> Response {
    match read(&looking).await {
        Ok(sums) => looking.show(app::admin::conservation(looking.reader.visit(), &looking.look(), sums)),
        Err(error) => looking.failed(Fault::Unexpected(error)),
    }
}

async fn read(looking: &Looking) -> anyhow::Result<Conservation> {
    let before = looking.asking.cursor(|text| text.parse().ok());
    let found =
        domain::reports::community::conservation(&looking.app.ctx, looking.id(), before, ROWS).await?;
    let (sums, violations) =
        found.ok_or_else(|| anyhow::anyhow!("a community that is administered has no book"))?;
    Ok(Conservation {
        accounts: sums.accounts,
        created: MicroUsd(sums.created),
        receivable: MicroUsd(sums.receivable),
        available: MicroUsd(sums.available),
        held: MicroUsd(sums.held),
        consumed: MicroUsd(sums.consumed),
        expired: MicroUsd(sums.expired),
        reversed: MicroUsd(sums.reversed),
        difference: MicroUsd(sums.difference),
        frozen: sums.frozen,
        open_violations: sums.open_violations,
        minting_stopped_at: sums.minting_stopped_at.map(moment),
        checked: overview::checked(&sums, looking.now()),
        next_cursor: next_cursor(&violations, ROWS, |violation| violation.id.to_string()),
        violations: violations.into_iter().map(row).collect(),
    })
}

fn row(violation: Violation) -> ViolationRow {
    let how = violation.resolved_by.zip(violation.note).map(|(who, note)| format!("{who}: {note}"));
    ViolationRow {
        found_at: moment(violation.found_at),
        account: violation.account.map(|account| account.to_string()),
        what: violation.what,
        resolved: violation.resolved_at.map(|at| (moment(at), how.unwrap_or_default())),
    }
}
