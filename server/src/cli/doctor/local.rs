//! What can be seen without leaving the process: the configuration, the keys, the providers, the clock.

use identity::{ServiceKeyError, ServiceKeys};
use types::Clock;

use super::Check;
use crate::config::{Environment, Settings, table};

/// A machine without a battery starts in 1970: then no certificate and no token is valid.
const EARLIEST_YEAR: i32 = 2026;

pub(super) fn configuration(settings: &Settings) -> Vec<Check> {
    let count = settings.given.len();
    let catalog =
        settings.catalog_file.as_ref().map_or("built in".to_owned(), |path| path.display().to_string());
    let seen = format!(
        "{count} of {} variables set, catalog {catalog}, role {}",
        table::TABLE.len(),
        settings.roles
    );
    let warned = settings.warnings.iter().map(|warning| {
        Check::warn("configuration", format!("{} {}", warning.variable, warning.problem), warning.fix.clone())
    });
    std::iter::once(Check::ok("configuration", seen)).chain(warned).collect()
}

pub(super) fn providers(settings: &Settings) -> Check {
    const NAME: &str = "model providers";
    let names = |wanted: bool| {
        let found = settings.providers.iter().filter(|(_, access)| access.is_on == wanted);
        found.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let silent: Vec<&str> = settings.pools_without_a_model().iter().map(|pool| pool.as_str()).collect();
    if !silent.is_empty() {
        let seen = format!("nobody answers in the pools {}", silent.join(", "));
        let next = "Set the key of a provider of these pools, or name models of others in the catalog.";
        return Check::warn(NAME, seen, next);
    }
    if settings.has_real_provider() {
        let off = names(false);
        let off = if off.is_empty() { off } else { format!("; off: {off}") };
        return Check::ok(NAME, format!("on: {}{off}", names(true)));
    }
    let variables: Vec<_> =
        settings.catalog.providers.values().filter_map(|provider| provider.api_key_env.as_deref()).collect();
    let next = format!("Set {} for answers of a real model.", variables.join(" or "));
    Check::warn(NAME, "no key is set: every answer is scripted text", next)
}

pub(super) fn clock(clock: &Clock) -> Check {
    const NAME: &str = "clock";
    let now = clock.now();
    let shown = format!("{} {:02}:{:02}:{:02} UTC", now.date(), now.hour(), now.minute(), now.second());
    if now.year() < EARLIEST_YEAR {
        return Check::fail(
            NAME,
            format!("stands at {shown}"),
            "Set the machine's clock, for example with chrony.",
        );
    }
    Check::ok(NAME, shown)
}

pub(super) fn keys(settings: &Settings, clock: &Clock) -> Check {
    const NAME: &str = "signing keys";
    let keys = match ServiceKeys::load(settings.signing_keys.path(), clock.clone()) {
        Ok(keys) => keys,
        Err(ServiceKeyError::Missing(path)) if settings.environment == Environment::Development => {
            return Check::ok(NAME, format!("none at {} yet; the first start makes one", path.display()));
        }
        Err(error) => return Check::fail(NAME, error.to_string(), "See `freeside keys --help`."),
    };
    let status = keys.status();
    let active = status.iter().find(|key| key.active).expect("a loaded set has an active key");
    let seen = format!("{} of them, the active one has {} days left", status.len(), active.left.whole_days());
    match &active.warning {
        None => Check::ok(NAME, seen),
        Some(warning) if active.left.is_positive() => Check::warn(NAME, seen, warning.clone()),
        Some(warning) => Check::fail(NAME, seen, warning.clone()),
    }
}
