//! The commands that open the books for a moment: migrate, seed, grant.

use std::io::Write as _;

use anyhow::Context;
use ledger::{NEVER, Op, Source};
use types::{AccountId, Clock, LotId, MicroUsd};

use super::{database, gateway, welcome};
use crate::config::Settings;

/// Brings the database to this version's schema.
pub async fn migrate(settings: Settings) -> anyhow::Result<()> {
    database::migrate(&settings).await?;
    let newest = database::MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    writeln!(std::io::stdout(), "the schema is at version {newest}")?;
    Ok(())
}

/// Fills a development database with a demo developer, and shows its key.
pub async fn seed(settings: Settings) -> anyhow::Result<()> {
    let books = database::open(&settings).await?;
    let core = gateway::core(&settings, &books, &Clock::system(), settings.finn_listen).await?;
    match welcome::demo_key(&settings, &core.ctx).await? {
        Some(demo) => writeln!(std::io::stdout(), "{}", demo.secret.reveal())?,
        None => writeln!(std::io::stderr(), "there are developers already: nothing was changed")?,
    }
    core.finish().await;
    books.close().await
}

/// Gives `amount` to `account` as a granted lot.
pub async fn grant(settings: Settings, account: AccountId, amount: MicroUsd) -> anyhow::Result<()> {
    let books = database::open(&settings).await?;
    let clock = Clock::system();
    let mut tx = books.pool.begin().await?;
    let key = ledger::report::find_account(&mut tx, account).await?;
    let key = key.with_context(|| format!("there is no account {account}"))?;
    let op = Op::Mint {
        key,
        id: LotId(clock.uuid_v7()),
        source: Source::Grant,
        amount: amount.0,
        expires_at: NEVER,
    };
    ledger::post(&mut tx, &clock, &op).await?;
    tx.commit().await?;
    writeln!(std::io::stdout(), "granted ${} to account {account}", amount.to_usd())?;
    books.close().await
}
