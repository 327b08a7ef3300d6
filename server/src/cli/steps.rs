//! `freeside migrate` and `freeside seed`: steps that run once and end.

use super::console::Console;
use super::{Exit, block_on, faults, log};
use crate::config::{Environment, Faults, Finding, Source, development};

/// Brings the database to this version's schema. It signs nothing, so no secret is made for it.
pub(super) fn migrate(source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(settings) = faults::settings_for_preparation(source, console)? else {
        return Ok(Exit::Misconfigured);
    };
    if settings.environment == Environment::Production && settings.database.for_migrations().is_none() {
        let fix = "Set the address of your PostgreSQL; the embedded cluster is for development.";
        let fault = Finding::new(
            "DATABASE_DIRECT_URL",
            "and DATABASE_URL are missing, and production needs one",
            fix,
        );
        faults::print(&Faults(vec![fault]), console)?;
        return Ok(Exit::Misconfigured);
    }
    log::start(&settings.log)?;
    block_on(crate::serve::migrate(settings))??;
    Ok(Exit::Done)
}

/// Fills a development database with a demo community.
pub(super) fn seed(source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(mut settings) = faults::settings(source, console)? else { return Ok(Exit::Misconfigured) };
    log::start(&settings.log)?;
    development::complete(&mut settings)?;
    block_on(crate::serve::seed(settings))??;
    Ok(Exit::Done)
}
