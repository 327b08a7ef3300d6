//! `/admin/{community}/ledger`. The download is the API's own, with the same filter.

use app::admin::{Choice, Journal, JournalRow};
use axum::response::Response;
use ledger::audit::{self, AuditRow, Filter, Page};
use types::{AccountId, MicroUsd, Pool};

use super::super::super::admin::{ROWS, next_cursor};
use super::super::super::fault::Fault;
use super::super::super::shared::moment;
use super::{Looking, Narrowed, narrowed};

/// `GET /admin/{community}/ledger`
pub(crate) async fn show(mut looking: Looking) -> Response {
    let account: Option<AccountId> = looking.asking.value("account").and_then(|text| text.parse().ok());
    let value = account.map_or_else(String::new, |account| account.to_string());
    let choice = Choice { name: "account", label: "Account", value, options: Vec::new() };
    let narrowed = narrowed(&looking.asking, looking.now().date(), vec![choice]);
    looking.told.clone_from(&narrowed.wrong);
    match read(&looking, narrowed, account).await {
        Ok(journal) => looking.show(app::admin::journal(looking.reader.visit(), &looking.look(), journal)),
        Err(error) => looking.failed(Fault::Unexpected(error)),
    }
}

async fn read(looking: &Looking, narrowed: Narrowed, account: Option<AccountId>) -> anyhow::Result<Journal> {
    let Narrowed { from, to, pool, filter, .. } = narrowed;
    let wanted = Page {
        before: looking.asking.cursor(|text| text.parse().ok()),
        from: Some(from.midnight().assume_utc()),
        to: to.next_day().map(|day| day.midnight().assume_utc()),
        filter: Filter { pool, account },
        limit: ROWS,
    };
    let mut connection = looking.app.ctx.db.acquire().await?;
    let rows = audit::page(&mut connection, looking.id(), &wanted).await?.unwrap_or_default();
    let next_cursor = next_cursor(&rows, ROWS, |row| row.entry.seq.to_string());
    Ok(Journal { filter, rows: rows.into_iter().map(row).collect(), next_cursor })
}

fn row(AuditRow { entry, holder, .. }: AuditRow) -> JournalRow {
    JournalRow {
        seq: entry.seq,
        at: moment(entry.at),
        operation: entry.kind.as_str(),
        account: entry.key.account.to_string(),
        wallet: holder,
        pool: entry.pool.and_then(Pool::from_db).map(Pool::as_str),
        amount: MicroUsd(entry.amount),
        balance: MicroUsd(entry.balance_after),
        hash: entry.hash.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
    }
}
