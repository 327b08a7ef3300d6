//! `freeside serve`: run the roles of this process until a signal stops them.

use clap::Args;

use super::console::Console;
use super::{Exit, block_on, faults, log};
use crate::config::{Roles, Source, development};

/// Its arguments.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to run: all, or a list of gateway, finn, worker and bots. Goes before `FREESIDE_ROLE`.
    #[arg(long, value_name = "ROLES")]
    role: Option<Roles>,
}

pub(super) fn run(
    arguments: Arguments,
    mut source: Source,
    console: &mut Console<'_>,
) -> anyhow::Result<Exit> {
    if let Some(roles) = arguments.role {
        source.set("FREESIDE_ROLE", roles.to_string());
    }
    let Some(mut settings) = faults::settings(&source, console)? else { return Ok(Exit::Misconfigured) };
    log::start(&settings.log)?;
    development::complete(&mut settings)?;
    let roles = settings.roles.clone();
    block_on(crate::serve::run(settings, roles))??;
    Ok(Exit::Done)
}
