//! Where this process listens, as far as that is dangerous: development opens its doors to whoever asks, and the engine
//! trusts whoever signs.

use std::net::SocketAddr;

use super::finding::Finding;
use super::role::{Role, Roles};
use super::settings::{Environment, Settings};

const ON_NETWORK: &str = "FREESIDE_DEVELOPMENT_ON_NETWORK";

/// The listeners of these roles.
fn listeners(
    roles: &Roles,
    listen: SocketAddr,
    finn_listen: SocketAddr,
) -> impl Iterator<Item = (&'static str, SocketAddr)> + '_ {
    [(Role::Gateway, "FREESIDE_LISTEN", listen), (Role::Finn, "FINN_LISTEN", finn_listen)]
        .into_iter()
        .filter(|(role, _, _)| roles.has(*role))
        .map(|(_, name, address)| (name, address))
}

/// Development signs anybody up and offers wallets for trying, one of which administers the demo: it stays on this machine
/// unless that was said twice.
pub(super) fn faults(settings: &Settings) -> Vec<Finding> {
    if settings.environment == Environment::Production || settings.development_on_network {
        return Vec::new();
    }
    listeners(&settings.roles, settings.listen, settings.finn_listen)
        .filter(|(_, address)| !address.ip().is_loopback())
        .map(|(name, _)| {
            Finding::new(
                name,
                "is not an address of this machine alone, and development signs anybody up",
                format!(
                    "Write 127.0.0.1 and a port, set FREESIDE_ENV=production, or write {ON_NETWORK}=yes if this network \
                     is yours."
                ),
            )
        })
        .collect()
}

/// The engine has no list of who may connect.
pub(super) fn warnings(settings: &Settings) -> Vec<Finding> {
    listeners(&settings.roles, settings.listen, settings.finn_listen)
        .filter(|(name, address)| *name == "FINN_LISTEN" && !address.ip().is_loopback())
        .map(|(name, _)| {
            Finding::new(
                name,
                "is an address of the network",
                "Let the gateway alone reach it: a private network, or a firewall.",
            )
        })
        .collect()
}
