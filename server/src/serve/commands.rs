//! The commands that open the books for a moment: migrate, seed, grant, administrators and a key for one, requests for the
//! operator's approval, turning a switch.

use std::io::Write as _;

use anyhow::Context;
use domain::Ctx;
use domain::community::{self, Admin, Deputy};
use domain::flags::{self, Flag, Flags, Standing, Turn};
use domain::grants::{self, Grant};
use domain::order::{self, ApprovalRequest, WhichApprovals};
use ledger::NEVER;
use types::{AccountId, Clock, CommunityId, MicroUsd, WalletId};
use uuid::Uuid;

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

/// Who administers a community, the earliest first.
pub async fn admins(settings: Settings, slug: &str) -> anyhow::Result<Vec<Admin>> {
    let books = database::open(&settings).await?;
    let core = gateway::core(&settings, &books, &Clock::system(), reach(&settings)).await?;
    let found = async {
        let community = named(&core.ctx, slug).await?;
        Ok::<_, anyhow::Error>(community::admins(&core.ctx, community).await?)
    };
    let found = found.await;
    core.finish().await;
    books.close().await?;
    found
}

/// What happens to the right to administer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// The wallet gets it.
    Give,
    /// The wallet loses it.
    Take,
}

/// Gives or takes the right to administer a community. `false`: it was so already.
pub async fn set_admin(
    settings: Settings,
    slug: &str,
    right: Right,
    wallet: WalletId,
    reason: &str,
) -> anyhow::Result<bool> {
    let books = database::open(&settings).await?;
    let core = gateway::core(&settings, &books, &Clock::system(), reach(&settings)).await?;
    let set = async {
        let community = named(&core.ctx, slug).await?;
        let by = Deputy { who: COMMAND_LINE, reason };
        Ok::<_, anyhow::Error>(match right {
            Right::Give => community::give(&core.ctx, community, wallet, by).await?,
            Right::Take => community::take(&core.ctx, community, wallet, by).await?,
        })
    };
    let set = set.await;
    core.finish().await;
    books.close().await?;
    set
}

async fn named(ctx: &Ctx, slug: &str) -> anyhow::Result<CommunityId> {
    let found = community::by_slug(ctx, slug).await?;
    Ok(found.with_context(|| format!("there is no community {slug:?}"))?.id)
}

/// Requests of one listing: more than wait anywhere, and a list that ends.
const REQUESTS_AT_MOST: i64 = 1_000;

/// What administrators asked the operator for, newest first.
pub async fn approvals(settings: Settings, which: WhichApprovals) -> anyhow::Result<Vec<ApprovalRequest>> {
    let books = database::open(&settings).await?;
    let mut connection = books.pool.acquire().await?;
    let found = order::approvals(&mut connection, None, which, None, REQUESTS_AT_MOST).await?;
    drop(connection);
    books.close().await?;
    Ok(found)
}

/// What the operator says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Do it.
    Approve,
    /// Do nothing.
    Decline,
}

/// Approves or declines a request; with what was credited now.
pub async fn decide_request(
    settings: Settings,
    id: Uuid,
    word: Word,
    reason: &str,
) -> anyhow::Result<(ApprovalRequest, MicroUsd)> {
    let books = database::open(&settings).await?;
    let clock = Clock::system();
    let decided = match word {
        Word::Approve => {
            let approved = order::approve(&books.pool, &clock, id, COMMAND_LINE, reason).await;
            approved.map(|approved| {
                let credited = approved.done.map_or(MicroUsd::ZERO, |done| done.credited);
                (approved.request, credited)
            })
        }
        Word::Decline => {
            let declined = order::decline(&books.pool, &clock, id, COMMAND_LINE, reason).await;
            declined.map(|request| (request, MicroUsd::ZERO))
        }
    };
    books.close().await?;
    Ok(decided?)
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
