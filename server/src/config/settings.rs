//! The typed settings of a process: what every other part reads instead of the environment.
//!
//! What always holds: every address, number and role here has been checked, and `Debug` prints no secret.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use types::catalog::Catalog;

use super::finding::Finding;
use super::network::Networks;
use super::role::Roles;
use super::secret::Secret;
use super::source::Origin;
use super::table::{self, Feature};
use super::url::{self, HttpUrl};

/// Everything that the environment says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Development fills gaps, production refuses them.
    pub environment: Environment,
    /// What this process runs.
    pub roles: Roles,
    /// Where the public server listens.
    pub listen: SocketAddr,
    /// Where the engine listens.
    pub finn_listen: SocketAddr,
    /// The address that users type, when it is not simply the listener's.
    pub public_url: Option<HttpUrl>,
    /// Where the gateway reaches the engine, when it is not the listener of this configuration.
    pub finn_url: Option<HttpUrl>,
    /// Where the engine reads public keys, when it is not the listener of this configuration.
    pub jwks_url: Option<HttpUrl>,
    /// Proxies whose word about a client's address is believed.
    pub trusted_proxies: Networks,
    /// The folder of everything that this process keeps.
    pub data_dir: PathBuf,
    /// Where the keys lie that sign tokens for the engine.
    pub signing_keys: SigningKeys,
    /// The database.
    pub database: Database,
    /// How long the holds of a process outlive its last heartbeat.
    pub lease: Duration,
    /// Redis, when there is one.
    pub redis_url: Option<Secret>,
    /// NATS servers, with commas, when there are any.
    pub nats_url: Option<Secret>,
    /// What is logged, and how.
    pub log: Log,
    /// The operator's token; development fills it (`development::complete`).
    pub operator_token: Option<Secret>,
    /// Peppers of API keys by version; development fills the first (`development::complete`).
    pub peppers: BTreeMap<i16, Secret>,
    /// Providers, models, prices and pools.
    pub catalog: Arc<Catalog>,
    /// Signs sessions of wallets; `None` only before development has made one.
    pub session_secret: Option<Secret>,
    /// The one before it, which still verifies.
    pub session_secret_previous: Option<Secret>,
    /// The node of each chain that can be asked, by chain id. An address may hold a key.
    pub rpc_urls: BTreeMap<u64, Secret>,
    /// The catalog's file; `None` for the built-in one.
    pub catalog_file: Option<PathBuf>,
    /// What the environment says about each provider of the catalog.
    pub providers: BTreeMap<String, ProviderAccess>,
    /// The pause between two pieces of a scripted answer.
    pub scripted_pace: Duration,
    /// What becomes of scripted models.
    pub scripted: ScriptedText,
    /// A development may listen beyond this machine.
    pub development_on_network: bool,
    /// How credits are bought.
    pub payments: Payments,
    /// First values of the switches; the table of flags goes before them.
    pub features: Features,
    /// Worth a look, and no reason to refuse.
    pub warnings: Vec<Finding>,
    /// The given variables: where each was found, and its text unless it is secret.
    pub given: BTreeMap<String, (Origin, Option<String>)>,
}

/// How strictly gaps are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Gaps are filled.
    Development,
    /// Gaps are faults.
    Production,
}

/// Where the keys lie that sign tokens for the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SigningKeys {
    /// A folder that `freeside keys` keeps.
    Folder(PathBuf),
    /// One private key, given by the operator.
    File(PathBuf),
}

impl SigningKeys {
    /// The folder or file, as `identity::ServiceKeys::load` takes it.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::File(path) => path,
        }
    }
}

/// Where the books are.
#[derive(Clone, Debug)]
pub struct Database {
    /// The server's address; `None` for the embedded cluster.
    pub url: Option<Secret>,
    /// Past the pooler, for migrations.
    pub direct_url: Option<Secret>,
    /// As the role that reads agents for the engine, when that is another than `url`.
    pub finn_url: Option<Secret>,
    /// The folder of `initdb` and `postgres` for the embedded cluster.
    pub postgres_bin: Option<PathBuf>,
}

impl Database {
    /// What `migrate` connects to.
    pub fn for_migrations(&self) -> Option<&Secret> {
        self.direct_url.as_ref().or(self.url.as_ref())
    }
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct Log {
    /// A `tracing` filter.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How one provider of the catalog is reached.
#[derive(Clone, Debug)]
pub struct ProviderAccess {
    /// Its address; `None` for scripted text, and for a provider that lacks one.
    pub base_url: Option<HttpUrl>,
    /// Its key, when it has one.
    pub api_key: Option<Secret>,
    /// Does it answer? Not when its address is missing, or the key that the catalog names.
    pub is_on: bool,
}

/// What becomes of scripted models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptedText {
    /// They are off: production.
    Off,
    /// They answer where no real model does: production that was told so.
    Allowed,
    /// They answer, and obey the commands of a prompt: development.
    Commanded,
}

/// How credits are bought.
#[derive(Clone, Debug)]
pub enum Payments {
    /// Not at all: nobody has said how.
    Off,
    /// From a simulator in this process, clearly labelled: development without a merchant's key.
    Simulator {
        /// Where it should listen.
        listen: SocketAddr,
    },
    /// At NOWPayments, or at what speaks its dialect.
    Vendor {
        /// Its address, without the version folder.
        api_url: HttpUrl,
        /// The merchant's key.
        api_key: Secret,
        /// What notices are signed with.
        ipn_secret: Secret,
    },
}

/// First values of the switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Credits may be bought.
    pub crypto_payments: bool,
    /// Developers may sign up and make keys.
    pub api_keys: bool,
    /// People may chat on the web.
    pub web_chat: bool,
}

impl From<Features> for domain::flags::FirstValues {
    fn from(features: Features) -> Self {
        Self {
            crypto_payments: features.crypto_payments,
            api_keys: features.api_keys,
            web_chat: features.web_chat,
        }
    }
}

/// Something that is off, and the variable that turns it on.
#[derive(Clone, Copy, Debug)]
pub struct Off {
    /// The variable.
    pub variable: &'static str,
    /// What it would turn on, and what happens until then.
    pub feature: Feature,
}

impl Settings {
    /// The address that users type; `bound` is where the public server really listens (port 0 is chosen by the system).
    pub fn public_url_at(&self, bound: SocketAddr) -> String {
        self.public_url.as_ref().map_or_else(|| url::local_url(bound), |url| url.as_str().to_owned())
    }

    /// Where the gateway reaches the engine; `bound` is where an engine of this configuration listens.
    pub fn finn_url_at(&self, bound: SocketAddr) -> String {
        self.finn_url.as_ref().map_or_else(|| url::local_url(bound), |url| url.as_str().to_owned())
    }

    /// Where the engine reads public keys; `bound` is where a gateway of this configuration listens.
    pub fn jwks_url_at(&self, bound: SocketAddr) -> String {
        let own = || url::local_url(bound) + types::s2s::JWKS_PATH;
        self.jwks_url.as_ref().map_or_else(own, |url| url.as_str().to_owned())
    }

    /// What is off in this process, and the variable that turns it on, in the order of the table.
    pub fn switched_off(&self) -> Vec<Off> {
        table::TABLE
            .iter()
            .filter(|variable| !self.is_on(variable.name))
            .filter_map(|variable| Some(Off { variable: variable.name, feature: variable.turns_on? }))
            .collect()
    }

    fn is_on(&self, name: &str) -> bool {
        match name {
            "FEATURE_API_KEYS_ENABLED" => self.features.api_keys,
            "FEATURE_CRYPTO_PAYMENTS_ENABLED" => self.features.crypto_payments,
            "FEATURE_WEB_CHAT_ENABLED" => self.features.web_chat,
            "EVM_RPC_URL_<chain id>" => !self.rpc_urls.is_empty(),
            name => self.given.contains_key(name),
        }
    }

    /// Does any provider other than scripted text answer?
    pub fn has_real_provider(&self) -> bool {
        self.providers.values().any(|provider| provider.is_on && provider.base_url.is_some())
    }
}
