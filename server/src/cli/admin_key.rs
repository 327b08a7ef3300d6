//! `freeside admin-key`: the operator makes a key with the scope `admin`, for one community.
//!
//! The key goes to stdout and is shown this once. Keys of developers never have the scope, and cannot hand it on.

use clap::Args;
use types::AccountId;

use super::console::Console;
use super::{Exit, block_on, faults, log};
use crate::config::{Source, development};

/// Its arguments.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// An account of the community, as sign-up and `GET /api/v1/usage` show it.
    #[arg(long)]
    account: AccountId,
    /// Why, for the record.
    #[arg(long, default_value = "made on the command line", value_parser = super::reason)]
    reason: String,
}

pub(super) fn run(arguments: &Arguments, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(mut settings) = faults::settings(source, console)? else { return Ok(Exit::Misconfigured) };
    log::start(&settings.log)?;
    development::complete(&mut settings)?;
    block_on(crate::serve::admin_key(settings, arguments.account, &arguments.reason))??;
    Ok(Exit::Done)
}
