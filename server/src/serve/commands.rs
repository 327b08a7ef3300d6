//! The commands that open the books for a moment: migrate, seed, grant, a key for an administrator, turning a switch.

use std::io::Write as _;

use anyhow::Context;
use domain::flags::{self, Flag, Flags, Standing, Turn};
use domain::grants::{self, Grant};
use ledger::NEVER;
use types::{AccountId, Clock, MicroUsd};

use super::payments::Payments;
use super::{database, gateway, welcome};
use crate::config::Settings;

/// Who acts, in the record of what administrators did.
const COMMAND_LINE: &str = "command line";

/// Brings the database to this version's schema.
pub async fn migrate(settings: Settings) -> anyhow::Result<()> {
    database::migrate(&settings).await?;
    let newest = database::MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
    writeln!(std::io::stdout(), "the schema is at version {newest}")?;
    Ok(())
}

/// A command asks no engine and sells nothing.
fn reach(settings: &Settings) -> gateway::Reach {
    gateway::Reach { finn: settings.finn_listen, client: client::Client::new(), payments: Payments::none() }
}

/// Fills a development database with the demo community and a demo developer, and shows the developer's key.
pub async fn seed(settings: Settings) -> anyhow::Result<()> {
    let books = database::open(&settings).await?;
    let clock = Clock::system();
    let core = gateway::core(&settings, &books, &clock, reach(&settings)).await?;
    match welcome::demo(&settings, &core.ctx).await? {
        Some(demo) => writeln!(std::io::stdout(), "{}", demo.secret.reveal())?,
        None => writeln!(
            std::io::stderr(),
            "there are developers already, so there is no new key; the demo community is there"
        )?,
    }
    core.finish().await;
    books.close().await
}

/// Every switch as it stands.
pub async fn flags(settings: Settings) -> anyhow::Result<Vec<Standing>> {
    let books = database::open(&settings).await?;
    let standing = Flags::new(settings.features.into()).standing(&books.pool).await?;
    books.close().await?;
    Ok(standing)
}

/// Turns a switch; every process follows within seconds.
pub async fn set_flag(settings: Settings, flag: Flag, turn: Turn, reason: &str) -> anyhow::Result<()> {
    let books = database::open(&settings).await?;
    flags::set(&books.pool, &Clock::system(), flag, turn, COMMAND_LINE, reason).await?;
    books.close().await
}

/// Makes a key for the admin API of the account's community, and prints it once.
pub async fn admin_key(settings: Settings, account: AccountId, reason: &str) -> anyhow::Result<()> {
    let books = database::open(&settings).await?;
    let clock = Clock::system();
    let key = ledger::report::find_account(&mut *books.pool.acquire().await?, account).await?;
    let key = key.with_context(|| format!("there is no account {account}"))?;
    let core = gateway::core(&settings, &books, &clock, reach(&settings)).await?;
    let made = domain::accounts::admin_key(&core.ctx, key, COMMAND_LINE, reason).await;
    core.finish().await;
    writeln!(std::io::stdout(), "{}", made?.secret.reveal())?;
    books.close().await
}

/// Gives `amount` to `account` as a granted lot.
pub async fn grant(
    settings: Settings,
    account: AccountId,
    amount: MicroUsd,
    reason: &str,
) -> anyhow::Result<()> {
    let books = database::open(&settings).await?;
    let clock = Clock::system();
    let key = ledger::report::find_account(&mut *books.pool.acquire().await?, account).await?;
    let key = key.with_context(|| format!("there is no account {account}"))?;
    let idempotency_key = clock.uuid_v7().to_string();
    let idempotency_key = idempotency_key.as_str();
    let grant = Grant { key, amount, expires_at: NEVER, idempotency_key, who: COMMAND_LINE, reason };
    grants::give(&books.pool, &clock, grant).await?;
    writeln!(std::io::stdout(), "granted ${} to account {account}", amount.to_usd())?;
    books.close().await
}
