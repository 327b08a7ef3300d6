//! From texts to settings: all faults at once, or none.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use types::catalog::{Catalog, DEFAULT_TOML, Provider, ProviderKind};

use super::finding::{Faults, Finding};
use super::kind::{Flag, Kind};
use super::role::{Role, Roles};
use super::secret::Secret;
use super::settings::{
    Database, Environment, Features, Log, LogFormat, Payments, ProviderAccess, ScriptedText, Settings,
    SigningKeys,
};
use super::source::{Source, Values};
use super::url::HttpUrl;
use super::{answers, listeners, table, unknown};

impl Settings {
    /// Reads the settings of a service. Reads files (secrets, the catalog) and writes none.
    pub fn read(source: &Source) -> Result<Self, Faults> {
        Self::read_with(source, demand_what_production_needs, |settings| {
            listeners::faults(settings).into_iter().chain(answers::faults(settings)).collect()
        })
    }

    /// Reads the settings of a step that prepares a service (`keys bootstrap`, `migrate`): what production demands of a
    /// service need not be there yet.
    pub fn read_for_preparation(source: &Source) -> Result<Self, Faults> {
        Self::read_with(source, |_, _| (), |_| Vec::new())
    }

    fn read_with(
        source: &Source,
        demand: fn(&mut Values<'_>, &Roles),
        judge: fn(&Self) -> Vec<Finding>,
    ) -> Result<Self, Faults> {
        let mut values = Values::read(source);
        let (catalog, catalog_file) = catalog(&mut values);
        let of_catalog = read_catalog_variables(&mut values, &catalog);
        let (misspelt, mut warnings) = unknown::look(source, &of_catalog);
        values.faults.extend(misspelt);

        let is_production = values.required::<String>("FREESIDE_ENV") == "production";
        let environment = if is_production { Environment::Production } else { Environment::Development };
        let roles: Roles = values.required("FREESIDE_ROLE");
        let peppers = peppers(&mut values);
        if is_production {
            demand(&mut values, &roles);
            refuse_placeholders(&mut values);
        }
        let is_set = |name: &str| values.required::<Flag>(name).0;
        let scripted = ScriptedText::of(environment, is_set("FREESIDE_ALLOW_SCRIPTED"));
        let development_on_network = is_set("FREESIDE_DEVELOPMENT_ON_NETWORK");
        let providers = providers(&values, &catalog, scripted);
        let rpc_urls =
            values.numbered("EVM_RPC_URL_").map(|(chain, url)| (chain, Secret::new(url))).collect();
        let data_dir = source.path(values.required::<PathBuf>("FREESIDE_DATA_DIR"));
        let signing_keys = signing_keys(&mut values, &data_dir);
        let payments = payments(&mut values, environment, &roles);
        let secret = |name: &str| values.text(name).map(Secret::new);
        let settings = Self {
            environment,
            listen: values.required("FREESIDE_LISTEN"),
            finn_listen: values.required("FINN_LISTEN"),
            public_url: values.optional("FREESIDE_PUBLIC_URL"),
            finn_url: values.optional("LOA_FINN_URL"),
            jwks_url: values.optional("FREESIDE_JWKS_URL"),
            trusted_proxies: values.optional("FREESIDE_TRUSTED_PROXIES").unwrap_or_default(),
            signing_keys,
            data_dir,
            database: Database {
                url: secret("DATABASE_URL"),
                direct_url: secret("DATABASE_DIRECT_URL"),
                finn_url: secret("FINN_DATABASE_URL"),
                postgres_bin: values.text("FREESIDE_POSTGRES_BIN").map(|path| source.path(path)),
            },
            lease: Duration::from_secs(values.required("FREESIDE_LEASE_SECONDS")),
            redis_url: secret("REDIS_URL"),
            nats_url: secret("NATS_URL"),
            log: Log {
                filter: values.required("FREESIDE_LOG"),
                format: match values.required::<String>("FREESIDE_LOG_FORMAT").as_str() {
                    "json" => LogFormat::Json,
                    _ => LogFormat::Text,
                },
            },
            operator_token: secret("FREESIDE_OPERATOR_TOKEN"),
            session_secret: secret("SIWE_SESSION_SECRET"),
            session_secret_previous: secret("SIWE_SESSION_SECRET_PREVIOUS"),
            peppers,
            rpc_urls,
            catalog: Arc::new(catalog),
            catalog_file,
            providers,
            scripted,
            development_on_network,
            scripted_pace: Duration::from_millis(values.required("FREESIDE_SCRIPTED_PACE_MS")),
            payments,
            features: Features {
                crypto_payments: values
                    .optional("FEATURE_CRYPTO_PAYMENTS_ENABLED")
                    .map_or(!is_production, |Flag(on)| on),
                api_keys: values.optional("FEATURE_API_KEYS_ENABLED").map_or(!is_production, |Flag(on)| on),
                web_chat: values.optional("FEATURE_WEB_CHAT_ENABLED").map_or(!is_production, |Flag(on)| on),
            },
            warnings: Vec::new(),
            given: values.overview(),
            roles,
        };
        values.faults.extend(judge(&settings));
        if !values.faults.is_empty() {
            return Err(Faults(values.faults));
        }
        warnings.extend(worth_a_look(&settings));
        Ok(Self { warnings, ..settings })
    }
}

/// The catalog and its file. After a fault the built-in catalog stands in, so that the other faults are found too.
fn catalog(values: &mut Values<'_>) -> (Catalog, Option<PathBuf>) {
    const VARIABLE: &str = "FREESIDE_CONFIG";
    let built_in = || Catalog::parse(DEFAULT_TOML).expect("the built-in catalog is checked by a test");
    let is_named = values.text(VARIABLE).is_some();
    let path = values.source.path(values.required::<PathBuf>(VARIABLE));
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => return (built_in(), None),
        Err(error) => {
            let problem = format!("names {}, which cannot be read: {}", path.display(), error.kind());
            values.fault(
                VARIABLE,
                problem,
                "Name a file that this user may read, or take the variable away.",
            );
            return (built_in(), None);
        }
    };
    match Catalog::parse(&text) {
        Ok(catalog) => (catalog, Some(path)),
        Err(faults) => {
            for fault in faults.0 {
                let problem = format!("({}): {}", path.display(), fault.trim());
                values.fault(VARIABLE, problem, "Correct the file.");
            }
            (built_in(), None)
        }
    }
}

/// The catalog may give its providers variables of their own (`VLLM_API_KEY`): reads them, and returns their names.
fn read_catalog_variables(values: &mut Values<'_>, catalog: &Catalog) -> BTreeSet<String> {
    let addresses = catalog.providers.values().filter_map(|provider| provider.base_url_env.as_ref());
    let keys = catalog.providers.values().filter_map(|provider| provider.api_key_env.as_ref());
    let new = |name: &&String| table::find(name).is_none();
    let addresses: BTreeSet<String> = addresses.filter(new).cloned().collect();
    let keys: BTreeSet<String> = keys.filter(new).cloned().collect();
    for name in &addresses {
        values.read_one(name, Kind::HttpUrl, false);
    }
    for name in &keys {
        values.read_one(name, Kind::Text { min_chars: 1 }, true);
    }
    for (name, provider) in &catalog.providers {
        if let Some(Err(bad)) = provider.base_url.as_deref().map(str::parse::<HttpUrl>) {
            values.fault("FREESIDE_CONFIG", format!("providers.{name}.base_url {bad}"), "Correct the file.");
        }
    }
    addresses.into_iter().chain(keys).collect()
}

fn providers(
    values: &Values<'_>,
    catalog: &Catalog,
    scripted: ScriptedText,
) -> BTreeMap<String, ProviderAccess> {
    let access = |provider: &Provider| {
        let from_env = provider.base_url_env.as_deref().and_then(|name| values.optional(name));
        let base_url =
            from_env.or_else(|| provider.base_url.as_deref().and_then(|url| url.parse::<HttpUrl>().ok()));
        let api_key = provider.api_key_env.as_deref().and_then(|name| values.text(name)).map(Secret::new);
        let is_on = match provider.kind {
            ProviderKind::Scripted => scripted != ScriptedText::Off,
            ProviderKind::Openai | ProviderKind::Anthropic => {
                base_url.is_some() && (provider.api_key_env.is_none() || api_key.is_some())
            }
        };
        ProviderAccess { base_url, api_key, is_on }
    };
    catalog.providers.iter().map(|(name, provider)| (name.clone(), access(provider))).collect()
}

fn peppers(values: &mut Values<'_>) -> BTreeMap<i16, Secret> {
    let given: Vec<_> =
        values.numbered("API_KEY_PEPPER_V").map(|(number, text)| (number, Secret::new(text))).collect();
    let mut peppers = BTreeMap::new();
    for (number, pepper) in given {
        if let Ok(version) = i16::try_from(number) {
            peppers.insert(version, pepper);
        } else {
            let name = format!("API_KEY_PEPPER_V{number}");
            values.fault(
                &name,
                "has too large a number",
                format!("Count on from V1; {} is the last.", i16::MAX),
            );
        }
    }
    peppers
}

fn signing_keys(values: &mut Values<'_>, data_dir: &Path) -> SigningKeys {
    const FILE: &str = "S2S_PRIVATE_KEY_FILE";
    if let Some(path) = values.text(FILE).map(|path| values.source.path(path)) {
        if let Err(error) = std::fs::File::open(&path) {
            let problem = format!("names {}, which cannot be read: {}", path.display(), error.kind());
            values.fault(FILE, problem, "Name a file that this user may read.");
        }
        return SigningKeys::File(path);
    }
    let folder = values.text("FREESIDE_KEYS_DIR").map(|path| values.source.path(path));
    SigningKeys::Folder(folder.unwrap_or_else(|| data_dir.join("keys")))
}

/// Half a merchant's account is a fault: without the key nothing is sold, without the secret nothing is credited.
fn payments(values: &mut Values<'_>, environment: Environment, roles: &Roles) -> Payments {
    const KEY: &str = "NOWPAYMENTS_API_KEY";
    const SECRET: &str = "NOWPAYMENTS_IPN_SECRET";
    let given = |values: &Values<'_>, name| values.text(name).map(Secret::new);
    match (given(values, KEY), given(values, SECRET)) {
        (Some(api_key), Some(ipn_secret)) => {
            Payments::Vendor { api_url: values.required("NOWPAYMENTS_API_URL"), api_key, ipn_secret }
        }
        (None, None) if environment == Environment::Development && roles.has(Role::Gateway) => {
            Payments::Simulator { listen: loopback(values, "FREESIDE_SIMULATOR_LISTEN") }
        }
        (None, None) => Payments::Off,
        (Some(_), None) => half(values, SECRET, KEY),
        (None, Some(_)) => half(values, KEY, SECRET),
    }
}

/// Whoever reaches the simulator can press "pay".
fn loopback(values: &mut Values<'_>, name: &str) -> SocketAddr {
    let listen: SocketAddr = values.required(name);
    if !listen.ip().is_loopback() {
        values.fault(name, "is not an address of this machine alone", "Write 127.0.0.1 and a port.");
    }
    listen
}

fn half(values: &mut Values<'_>, missing: &str, given: &str) -> Payments {
    if !values.was_given(missing) {
        let fix = format!("Set it too, or take {given} away.");
        values.fault(missing, format!("is missing beside {given}"), fix);
    }
    Payments::Off
}

const RANDOM: &str = "Set it to the output of `openssl rand -base64 48`.";

fn demand_what_production_needs(values: &mut Values<'_>, roles: &Roles) {
    let mut needs: Vec<(&str, &str)> = Vec::new();
    if roles.keep_books() {
        needs.push((
            "DATABASE_URL",
            "Set the address of your PostgreSQL; the embedded cluster is for development.",
        ));
        needs.push(("FREESIDE_OPERATOR_TOKEN", RANDOM));
        needs.push(("SIWE_SESSION_SECRET", RANDOM));
        if values.numbered("API_KEY_PEPPER_V").next().is_none() {
            needs.push(("API_KEY_PEPPER_V1", RANDOM));
        }
        if !values.was_given("FREESIDE_KEYS_DIR") {
            needs.push((
                "S2S_PRIVATE_KEY_FILE",
                "Name the key's file, or a folder of `freeside keys bootstrap` in FREESIDE_KEYS_DIR.",
            ));
        }
        if !roles.has(Role::Finn) {
            needs.push(("LOA_FINN_URL", "Set the address of the engine; this process does not run it."));
        }
    } else {
        needs.push((
            "FREESIDE_JWKS_URL",
            "Set the gateway's key address; this process does not run the gateway.",
        ));
    }
    for (name, fix) in needs {
        if !values.was_given(name) {
            values.fault(name, "is missing, and production needs it", fix);
        }
    }
}

/// A template filled in halfway would otherwise guard production with a secret that everybody can read.
fn refuse_placeholders(values: &mut Values<'_>) {
    for name in values.names_with_text(table::PLACEHOLDER) {
        values.fault(&name, "still holds the text of the template", RANDOM);
    }
}

fn worth_a_look(settings: &Settings) -> Vec<Finding> {
    let mut warnings = Vec::new();
    for (name, user) in
        settings.given.keys().filter_map(|name| Some((name, table::find(name)?.reserved_for?)))
    {
        warnings.push(Finding::new(
            name,
            format!("has no effect: this version has no {} yet", user.trim_start_matches("the ")),
            "You may leave it.",
        ));
    }
    match &settings.public_url {
        Some(url) if !url.is_secure_context() => warnings.push(Finding::new(
            "FREESIDE_PUBLIC_URL",
            "is plain http, and wallets sign in over https only",
            "Put a proxy with a certificate in front and write https://.",
        )),
        Some(url) if !url.is_loopback() && settings.environment == Environment::Development => {
            warnings.push(Finding::new(
                "FREESIDE_ENV",
                "is development, while the public address is on a network",
                "Set FREESIDE_ENV=production for a service that strangers reach.",
            ));
        }
        None if settings.environment == Environment::Production && settings.roles.has(Role::Gateway) => {
            warnings.push(Finding::new(
                "FREESIDE_PUBLIC_URL",
                "is not set, so links lead to the listener's own address",
                "Set the address that users type.",
            ));
        }
        _ => {}
    }
    match &settings.payments {
        Payments::Vendor { api_url, .. } if !api_url.is_secure_context() => warnings.push(Finding::new(
            "NOWPAYMENTS_API_URL",
            "is plain http, and the merchant's key crosses the network readable",
            "Write https://, except for a simulator on this machine.",
        )),
        Payments::Simulator { .. } | Payments::Off if settings.given.contains_key("NOWPAYMENTS_API_URL") => {
            warnings.push(Finding::new(
                "NOWPAYMENTS_API_URL",
                "has no effect without NOWPAYMENTS_API_KEY",
                "Set the key and NOWPAYMENTS_IPN_SECRET, or take it away.",
            ));
        }
        Payments::Vendor { .. } | Payments::Simulator { .. } | Payments::Off => {}
    }
    warnings.extend(answers::warnings(settings));
    warnings.extend(listeners::warnings(settings));
    warnings
}
