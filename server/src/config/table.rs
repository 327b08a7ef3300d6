//! Every environment variable, in one table. Parsing, `config check`, `config env-template`, the list of what is off
//! and the look for misspelt names all read this table; a variable that does not stand here is refused.

use super::kind::Kind;

/// One variable.
#[derive(Debug)]
pub struct Variable {
    /// Its name. `<n>` and `<chain id>` stand for a number: `API_KEY_PEPPER_V<n>`.
    pub name: &'static str,
    /// Where it stands in the template.
    pub group: Group,
    /// What its text may be.
    pub kind: Kind,
    /// What holds when it is not set.
    pub default: Unset,
    /// A secret is never shown, and may also come from the file that `<NAME>_FILE` names.
    pub secret: bool,
    /// What it is for, in whole sentences.
    pub about: &'static str,
    /// What setting it turns on.
    pub turns_on: Option<Feature>,
    /// A text that passes the check.
    pub example: &'static str,
    /// Set for a variable that this version checks and does not use yet: what will use it.
    pub reserved_for: Option<&'static str>,
}

/// What holds for a variable that is not set.
#[derive(Clone, Copy, Debug)]
pub enum Unset {
    /// This text.
    Is(&'static str),
    /// Something that follows from other settings, in words.
    Follows(&'static str),
    /// Nothing.
    Nothing,
}

/// What a variable turns on, and what happens without it.
#[derive(Clone, Copy, Debug)]
pub struct Feature {
    /// Its name, as the operator knows it.
    pub name: &'static str,
    /// What happens instead, as the end of "until then …".
    pub instead: &'static str,
}

/// The parts of the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The process itself.
    Service,
    /// Where things are kept.
    Storage,
    /// Secrets of our own.
    Keys,
    /// finn and how freeside reaches it.
    Engine,
    /// Vendors of models.
    Providers,
    /// How credits are bought.
    Payments,
    /// First values of the switches.
    Features,
    /// Checked, not used yet.
    Reserved,
}

impl Group {
    /// All groups, in the order of the template.
    pub const ALL: [Self; 8] = [
        Self::Service,
        Self::Storage,
        Self::Keys,
        Self::Engine,
        Self::Providers,
        Self::Payments,
        Self::Features,
        Self::Reserved,
    ];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Service => "The service",
            Self::Storage => "Storage",
            Self::Keys => "Keys of our own (development makes them in the data folder)",
            Self::Engine => "The inference engine",
            Self::Providers => "Model providers",
            Self::Payments => "Payments (development sells through a local simulator)",
            Self::Features => {
                "Switches: first values; `freeside flags set` goes before them and needs no restart"
            }
            Self::Reserved => "Reserved: checked, and without effect in this version",
        }
    }
}

impl Variable {
    const fn new(group: Group, name: &'static str, kind: Kind, default: Unset, about: &'static str) -> Self {
        let example = match default {
            Unset::Is(text) => text,
            Unset::Follows(_) | Unset::Nothing => "",
        };
        Self { name, group, kind, default, secret: false, about, turns_on: None, example, reserved_for: None }
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    const fn turns_on(mut self, name: &'static str, instead: &'static str) -> Self {
        self.turns_on = Some(Feature { name, instead });
        self
    }

    const fn reserved(name: &'static str, kind: Kind, user: &'static str, about: &'static str) -> Self {
        let mut variable = Self::new(Group::Reserved, name, kind, Unset::Nothing, about);
        variable.reserved_for = Some(user);
        variable
    }

    const fn switch(name: &'static str, about: &'static str) -> Self {
        let default = Unset::Follows("true in development, false in production");
        Self::new(Group::Features, name, Kind::Flag, default, about).example("true")
    }

    /// Is `name` this variable, or one of its numbered kin?
    pub fn is_named(&self, name: &str) -> bool {
        match self.name.split_once('<') {
            None => self.name == name,
            Some((prefix, _)) => name.strip_prefix(prefix).and_then(number).is_some(),
        }
    }
}

/// A number as it stands in a variable's name: digits without a leading zero, so that one number has one name.
pub(super) fn number(digits: &str) -> Option<u64> {
    let plain = !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// A pepper or token of 32 random characters cannot be guessed; shorter ones are refused.
const SECRET_CHARS: usize = 32;
/// The template's text where a secret belongs; production refuses it.
pub(super) const PLACEHOLDER: &str = "change-me-to-48-random-characters-of-your-own-making";
const ANY_TEXT: Kind = Kind::Text { min_chars: 1 };
const SECRET_TEXT: Kind = Kind::Text { min_chars: SECRET_CHARS };
/// A lease under two seconds ends between two late heartbeats; over an hour, a dead process locks money for as long.
const LEASE_SECONDS: Kind = Kind::Count { min: 2, max: 3_600 };
/// A minute between two words: slower than any reader, so more is a slip of the keyboard.
const PACE_MAX_MS: u64 = 60_000;

/// The table, in the order of the template.
pub const TABLE: &[Variable] = &[
    Variable::new(
        Group::Service,
        "FREESIDE_ENV",
        Kind::Choice(&["development", "production"]),
        Unset::Is("development"),
        "Development fills every gap by itself; production refuses to start with one.",
    ),
    Variable::new(
        Group::Service,
        "FREESIDE_ROLE",
        Kind::Roles,
        Unset::Is("all"),
        "What this process runs: all, or a list of gateway, finn, worker and bots. `--role` goes before it.",
    ),
    Variable::new(
        Group::Service,
        "FREESIDE_LISTEN",
        Kind::Listen,
        Unset::Is("127.0.0.1:3000"),
        "Where the public server listens.",
    ),
    Variable::new(
        Group::Service,
        "FREESIDE_DEVELOPMENT_ON_NETWORK",
        Kind::Flag,
        Unset::Is("no"),
        "yes lets a development listen beyond this machine. It signs anybody up and offers wallets for trying.",
    ),
    Variable::new(
        Group::Service,
        "FREESIDE_PUBLIC_URL",
        Kind::Origin,
        Unset::Follows("http:// and FREESIDE_LISTEN"),
        "The address that users type. Sign-in with a wallet needs https, except on this machine.",
    )
    .example("https://agents.example.org"),
    Variable::new(
        Group::Service,
        "FREESIDE_TRUSTED_PROXIES",
        Kind::Networks,
        Unset::Nothing,
        "Proxies whose X-Forwarded-For is believed; without one, a client's address is the connection's. With one, the operator's token is needed on this machine, too.",
    )
    .example("10.0.0.0/8"),
    Variable::new(
        Group::Service,
        "FREESIDE_CONFIG",
        Kind::Path,
        Unset::Is("freeside.toml"),
        "The file of providers, models, prices and pools. Without the default file the built-in catalog holds; a file named here must exist.",
    ),
    Variable::new(
        Group::Service,
        "FREESIDE_LOG",
        Kind::LogFilter,
        Unset::Is("info"),
        "What is logged: a level, or pairs such as info,ledger=debug.",
    ),
    Variable::new(
        Group::Service,
        "FREESIDE_LOG_FORMAT",
        Kind::Choice(&["text", "json"]),
        Unset::Is("text"),
        "How it is logged: lines for people, or JSON for a collector.",
    ),
    Variable::new(
        Group::Storage,
        "FREESIDE_DATA_DIR",
        Kind::Path,
        Unset::Is("./data"),
        "The folder of the embedded database, the signing keys and the secrets made in development.",
    ),
    Variable::new(
        Group::Storage,
        "DATABASE_URL",
        Kind::PostgresUrl,
        Unset::Nothing,
        "PostgreSQL, directly or through PgBouncer.",
    )
    .secret()
    .example("postgres://freeside:password@127.0.0.1:5432/freeside")
    .turns_on("your own PostgreSQL", "a private cluster runs in the data folder"),
    Variable::new(
        Group::Storage,
        "DATABASE_DIRECT_URL",
        Kind::PostgresUrl,
        Unset::Follows("DATABASE_URL"),
        "PostgreSQL past PgBouncer, as the owner of the tables: `freeside migrate` uses it.",
    )
    .secret()
    .example("postgres://freeside_owner:password@127.0.0.1:5432/freeside"),
    Variable::new(
        Group::Storage,
        "FINN_DATABASE_URL",
        Kind::PostgresUrl,
        Unset::Follows("DATABASE_URL"),
        "PostgreSQL as the role loa_finn_ro, with which the engine reads agents and can read nothing else.",
    )
    .secret()
    .example("postgres://loa_finn_ro:password@127.0.0.1:5432/freeside"),
    Variable::new(
        Group::Storage,
        "FREESIDE_POSTGRES_BIN",
        Kind::Path,
        Unset::Follows("searched on this machine"),
        "The folder of initdb and postgres for the embedded database.",
    )
    .example("/usr/lib/postgresql/15/bin"),
    Variable::new(
        Group::Storage,
        "FREESIDE_LEASE_SECONDS",
        LEASE_SECONDS,
        Unset::Is("300"),
        "How long the money that a dead process has set aside stays locked. All processes of one database take the same.",
    ),
    Variable::new(Group::Storage, "REDIS_URL", Kind::RedisUrl, Unset::Nothing, "Redis.")
        .secret()
        .example("redis://127.0.0.1:6379/0")
        .turns_on("replay protection across engines", "each process keeps its own"),
    Variable::new(
        Group::Keys,
        "FREESIDE_OPERATOR_TOKEN",
        SECRET_TEXT,
        Unset::Follows("made and kept in development"),
        "Whoever holds it may use the operator's routes.",
    )
    .secret()
    .example(PLACEHOLDER),
    Variable::new(
        Group::Keys,
        "API_KEY_PEPPER_V<n>",
        SECRET_TEXT,
        Unset::Follows("V1 made and kept in development"),
        "Peppers of API keys. The newest one signs and all verify; taking one away ends the keys that it signed.",
    )
    .secret()
    .example(PLACEHOLDER),
    Variable::new(
        Group::Keys,
        "SIWE_SESSION_SECRET",
        SECRET_TEXT,
        Unset::Follows("made and kept in development"),
        "Signs the sessions of wallets. Changing it signs everybody out, unless the old one stays as SIWE_SESSION_SECRET_PREVIOUS.",
    )
    .secret()
    .example(PLACEHOLDER),
    Variable::new(
        Group::Service,
        "EVM_RPC_URL_<chain id>",
        Kind::RpcUrl,
        Unset::Nothing,
        "A node of the chain, by JSON-RPC: asked whether a wallet that is a contract accepts a signature (ERC-1271). In production a test chain is not asked.",
    )
    .secret()
    .example("https://rpc.example.org/v2/key")
    .turns_on("wallets that are contracts", "only wallets with a key of their own sign in"),
    Variable::new(
        Group::Keys,
        "SIWE_SESSION_SECRET_PREVIOUS",
        SECRET_TEXT,
        Unset::Nothing,
        "The secret before: still verifies sessions. Take it away 24 hours after a change; a session lasts one.",
    )
    .secret()
    .example(PLACEHOLDER),
    Variable::new(
        Group::Keys,
        "S2S_PRIVATE_KEY_FILE",
        Kind::Path,
        Unset::Follows("the keys in FREESIDE_KEYS_DIR"),
        "The ES256 key that signs tokens for the engine, as a PKCS#8 file. Goes before FREESIDE_KEYS_DIR.",
    )
    .example("/run/secrets/s2s-private-key.pem"),
    Variable::new(
        Group::Keys,
        "FREESIDE_KEYS_DIR",
        Kind::Path,
        Unset::Follows("the folder keys in FREESIDE_DATA_DIR"),
        "The folder of the signing keys that `freeside keys` makes and reads.",
    )
    .example("/run/freeside/keys"),
    Variable::new(
        Group::Engine,
        "FINN_LISTEN",
        Kind::Listen,
        Unset::Is("127.0.0.1:3001"),
        "Where the engine listens. Keep it off the public network.",
    ),
    Variable::new(
        Group::Engine,
        "LOA_FINN_URL",
        Kind::HttpUrl,
        Unset::Follows("http:// and FINN_LISTEN"),
        "Where the gateway reaches the engine.",
    )
    .example("http://finn.internal:3001"),
    Variable::new(
        Group::Engine,
        "FREESIDE_JWKS_URL",
        Kind::HttpUrl,
        Unset::Follows("/.well-known/jwks.json at FREESIDE_LISTEN"),
        "Where the engine reads the gateway's public keys.",
    )
    .example("http://freeside.internal:3000/.well-known/jwks.json"),
    Variable::new(
        Group::Engine,
        "FREESIDE_SCRIPTED_PACE_MS",
        Kind::Count { min: 0, max: PACE_MAX_MS },
        Unset::Is("20"),
        "Milliseconds between two pieces of a scripted answer.",
    ),
    Variable::new(
        Group::Engine,
        "FREESIDE_ALLOW_SCRIPTED",
        Kind::Flag,
        Unset::Is("false"),
        "Production answers with scripted text, labelled as such, where a pool has no real model. Development always does.",
    ),
    Variable::new(Group::Providers, "OPENAI_API_KEY", ANY_TEXT, Unset::Nothing, "The key of OpenAI, or of a server that speaks its dialect.")
        .secret()
        .example("sk-…")
        .turns_on("OpenAI's models", "the next provider of each pool answers; in development scripted text at the last"),
    Variable::new(
        Group::Providers,
        "OPENAI_BASE_URL",
        Kind::HttpUrl,
        Unset::Follows("the catalog's address of the provider"),
        "Another server that speaks OpenAI's dialect: vLLM, llama.cpp, Ollama. With the version folder.",
    )
    .example("https://api.openai.com/v1"),
    Variable::new(Group::Providers, "ANTHROPIC_API_KEY", ANY_TEXT, Unset::Nothing, "The key of Anthropic.")
        .secret()
        .example("sk-ant-…")
        .turns_on("Anthropic's models", "the next provider of each pool answers; in development scripted text at the last"),
    Variable::new(
        Group::Providers,
        "ANTHROPIC_BASE_URL",
        Kind::HttpUrl,
        Unset::Follows("the catalog's address of the provider"),
        "Another server that speaks Anthropic's dialect. With the version folder.",
    )
    .example("https://api.anthropic.com/v1"),
    Variable::new(Group::Payments, "NOWPAYMENTS_API_KEY", ANY_TEXT, Unset::Nothing, "The merchant's key at NOWPayments. Needs NOWPAYMENTS_IPN_SECRET beside it.")
        .secret()
        .example("…")
        .turns_on("buying credits with crypto", "development sells through a simulator, production sells nothing"),
    Variable::new(Group::Payments, "NOWPAYMENTS_IPN_SECRET", ANY_TEXT, Unset::Nothing, "Verifies payment notices: the IPN secret of the merchant's account.")
        .secret()
        .example("…"),
    Variable::new(
        Group::Payments,
        "NOWPAYMENTS_API_URL",
        Kind::HttpUrl,
        Unset::Is("https://api.nowpayments.io"),
        "The vendor, its sandbox, or a simulator. Without the version folder.",
    )
    .example("https://api-sandbox.nowpayments.io"),
    Variable::new(
        Group::Payments,
        "FREESIDE_SIMULATOR_LISTEN",
        Kind::Listen,
        Unset::Is("127.0.0.1:3002"),
        "Where development's payment simulator listens. When that is taken, any free port of this machine.",
    ),
    Variable::switch(
        "FEATURE_CRYPTO_PAYMENTS_ENABLED",
        "Credits may be bought. Off: no new order; payments of old ones still credit, and credits still spend.",
    )
    .turns_on("new orders", "payments of old orders still credit"),
    Variable::switch("FEATURE_API_KEYS_ENABLED", "Developers may sign up and make keys. Off: no new key; old ones work on.")
        .turns_on("sign-up and new API keys", "existing keys work on"),
    Variable::switch("FEATURE_WEB_CHAT_ENABLED", "Widget, chat pages and sockets answer. Off: no new question; answers that run go on.")
        .turns_on("the web chat", "the API answers as ever"),
    Variable::reserved("NATS_URL", Kind::NatsUrl, "usage reports", "NATS with JetStream; several servers with commas.")
        .secret()
        .example("nats://127.0.0.1:4222"),
    Variable::reserved("FEATURE_PERSONALITY_ROUTING_ENABLED", Kind::Flag, "personalities", "An agent's personality chooses the pool.").example("true"),
    Variable::reserved("FEATURE_DISCORD_THREADS_ENABLED", Kind::Flag, "the Discord bot", "The bot opens threads.").example("true"),
    Variable::reserved("FEATURE_X402_ENABLED", Kind::Flag, "x402", "Requests may be paid one by one.").example("true"),
    Variable::reserved("FEATURE_REPUTATION_ROUTING_ENABLED", Kind::Flag, "reputation", "Reputation weighs in the choice of a pool.").example("true"),
    Variable::reserved("DISCORD_TOKEN", ANY_TEXT, "the Discord bot", "The bot's token.").secret().example("…"),
    Variable::reserved("DISCORD_API_URL", Kind::HttpUrl, "the Discord bot", "Discord, or a simulator.").example("https://discord.com"),
    Variable::reserved("TELEGRAM_BOT_TOKEN", ANY_TEXT, "the Telegram bot", "The bot's token.").secret().example("…"),
    Variable::reserved("TELEGRAM_API_URL", Kind::HttpUrl, "the Telegram bot", "Telegram, or a simulator.")
        .example("https://api.telegram.org"),
    Variable::reserved("POU_K", Kind::Count { min: 1, max: 99 }, "proof of usefulness", "Passed audits that finalize a receipt.").example("3"),
    Variable::reserved("POU_M", Kind::Count { min: 1, max: 99 }, "proof of usefulness", "Members of a committee.").example("5"),
    Variable::reserved("USEFULNESS_AGGREGATOR_ENABLED", Kind::Flag, "proof of usefulness", "The aggregator runs.").example("true"),
    Variable::reserved("USEFULNESS_AGGREGATOR_CRON", ANY_TEXT, "proof of usefulness", "When the aggregator runs.").example("0 * * * *"),
    Variable::reserved("USEFULNESS_REWARD_POOL_ENABLED", Kind::Flag, "proof of usefulness", "The reward pool pays out.").example("false"),
    Variable::reserved("USEFULNESS_REWARD_POOL_HOURLY", Kind::Count { min: 0, max: 1_000_000_000_000 }, "proof of usefulness", "Micro-USD that the pool pays out in an hour.").example("0"),
];

/// The row of `name`, which may be one of a numbered family.
pub fn find(name: &str) -> Option<&'static Variable> {
    TABLE.iter().find(|variable| variable.is_named(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_complete_and_passes_its_own_check() {
        for variable in TABLE {
            let name = variable.name;
            assert!(variable.about.ends_with('.'), "{name}: a whole sentence");
            assert!(variable.kind.check(variable.example).is_ok(), "{name}: its example fails its own check");
            if let Unset::Is(text) = variable.default {
                assert!(variable.kind.check(text).is_ok(), "{name}: its default fails its own check");
            }
            assert_eq!(variable.reserved_for.is_some(), variable.group == Group::Reserved, "{name}");
            assert_eq!(TABLE.iter().filter(|other| other.name == name).count(), 1, "{name} stands twice");
        }
    }

    #[test]
    fn numbered_names_take_plain_numbers_only() {
        assert!(find("API_KEY_PEPPER_V1").is_some() && find("EVM_RPC_URL_8453").is_some());
        for name in ["API_KEY_PEPPER_V", "API_KEY_PEPPER_V01", "API_KEY_PEPPER_V1X", "EVM_RPC_URL_base"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}
