//! What must hold of a configuration as a whole.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::table::TABLE;
use super::*;

/// A folder of its own that goes away with the test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("freeside-config-{}", types::Clock::system().uuid_v7()));
        fs::create_dir_all(&path).expect("a folder for this test");
        Self(path)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).expect("a file for this test");
        path.display().to_string()
    }

    fn read(&self, pairs: &[(&str, &str)]) -> Result<Settings, Faults> {
        Settings::read(&self.source(pairs))
    }

    fn source(&self, pairs: &[(&str, &str)]) -> Source {
        let values = pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Source::new(values, &self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder left behind in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(faults: &Faults) -> Vec<&str> {
    faults.0.iter().map(|fault| fault.variable.as_str()).collect()
}

const LONG: &str = "planted-0123456789-0123456789-0123456789";

#[test]
fn an_empty_environment_is_a_development_of_everything() {
    let folder = Folder::new();
    let settings = folder.read(&[("OPENAI_API_KEY", ""), ("PATH", "/bin")]).expect("nothing is needed");
    assert_eq!(settings.environment, Environment::Development);
    assert_eq!(settings.roles, Roles::all());
    assert_eq!(settings.listen.to_string(), "127.0.0.1:3000");
    assert_eq!(settings.public_url_at(settings.listen), "http://127.0.0.1:3000");
    assert_eq!(settings.finn_url_at(settings.finn_listen), "http://127.0.0.1:3001");
    assert_eq!(settings.jwks_url_at(settings.listen), "http://127.0.0.1:3000/.well-known/jwks.json");
    assert_eq!(settings.data_dir, folder.0.join("data"));
    assert_eq!(settings.signing_keys, SigningKeys::Folder(folder.0.join("data/keys")));
    assert!(settings.features.api_keys && settings.warnings.is_empty() && !settings.has_real_provider());
    let off: Vec<_> = settings.switched_off().iter().map(|off| off.variable).collect();
    let all = ["DATABASE_URL", "REDIS_URL", "EVM_RPC_URL_<chain id>", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"];
    assert_eq!(off, [&all[..], &["NOWPAYMENTS_API_KEY"]].concat());
}

#[test]
fn each_chain_has_a_node_of_its_own() {
    let folder = Folder::new();
    let nodes = [("EVM_RPC_URL_1", "https://one.example/planted"), ("EVM_RPC_URL_137", "http://127.0.0.1:1")];
    let settings = folder.read(&nodes).expect("sound");
    assert!(settings.warnings.is_empty(), "they have an effect");
    assert_eq!(settings.rpc_urls.keys().copied().collect::<Vec<_>>(), [1, 137]);
    assert!(settings.switched_off().iter().all(|off| off.variable != "EVM_RPC_URL_<chain id>"));
    assert!(!format!("{settings:?}").contains("planted"));
}

#[test]
fn development_sells_through_a_simulator_and_production_sells_nothing_until_told() {
    let folder = Folder::new();
    let settings = folder.read(&[]).expect("nothing is needed");
    assert!(settings.features.crypto_payments);
    match settings.payments {
        Payments::Simulator { listen } => assert!(listen.ip().is_loopback()),
        other => panic!("{other:?}"),
    }
    let worker = folder.read(&[("FREESIDE_ROLE", "worker")]).expect("sound");
    assert!(matches!(worker.payments, Payments::Off), "a simulator needs doors beside it");
    let account = [("NOWPAYMENTS_API_KEY", LONG), ("NOWPAYMENTS_IPN_SECRET", LONG)];
    let vendor = folder.read(&account).expect("a merchant's account");
    match &vendor.payments {
        Payments::Vendor { api_url, .. } => assert_eq!(api_url.as_str(), "https://api.nowpayments.io"),
        other => panic!("{other:?}"),
    }
    assert!(!format!("{vendor:?}").contains("planted"));
    for (half, missing) in [(0, "NOWPAYMENTS_IPN_SECRET"), (1, "NOWPAYMENTS_API_KEY")] {
        let faults = folder.read(&[account[half]]).expect_err("half an account is none");
        assert_eq!(names(&faults), [missing]);
    }
    let faults =
        folder.read(&[("FREESIDE_SIMULATOR_LISTEN", "0.0.0.0:3002")]).expect_err("the network could pay");
    assert_eq!(names(&faults), ["FREESIDE_SIMULATOR_LISTEN"]);
    let plain = [account[0], account[1], ("NOWPAYMENTS_API_URL", "http://pay.example.org")];
    let warned = folder.read(&plain).expect("sound").warnings;
    assert_eq!(
        warned.iter().map(|warning| warning.variable.as_str()).collect::<Vec<_>>(),
        ["NOWPAYMENTS_API_URL"]
    );
    let alone = folder.read(&[("NOWPAYMENTS_API_URL", "https://pay.example.org")]).expect("sound").warnings;
    assert_eq!(alone.len(), 1);
}

#[test]
fn every_fault_is_named_at_once() {
    let folder = Folder::new();
    let catalog = types::catalog::DEFAULT_TOML.replace("provider = \"scripted\"", "provider = \"nobody\"");
    let catalog = folder.file("mine.toml", &catalog);
    let faults = folder
        .read(&[
            ("FREESIDE_CONFIG", &catalog),
            ("FREESIDE_ENV", "production"),
            ("FREESIDE_LISTEN", "localhost:3000"),
            ("FREESIDE_LISTN", "127.0.0.1:3000"),
            ("FREESIDE_LOG", "inof"),
            ("FREESIDE_PUBLIC_URL", "agents.example.org"),
            ("FREESIDE_ROLE", "gateway,fin"),
            ("FREESIDE_SCRIPTED_PACE_MS", "soon"),
            ("FREESIDE_TRUSTED_PROXIES", "proxy"),
            ("DATABASE_URL", "mysql://freeside:planted@db/freeside"),
            ("API_KEY_PEPPER_V1", "planted"),
            ("API_KEY_PEPPER_V99999", LONG),
            ("FREESIDE_OPERATOR_TOKEN_FILE", "nowhere/planted"),
            ("FEATURE_API_KEYS_ENABLED", "perhaps"),
        ])
        .expect_err("nearly everything is wrong");
    let mut found = names(&faults);
    found.sort_unstable();
    let mut expected = vec!["FREESIDE_CONFIG"; 5];
    expected.extend([
        "API_KEY_PEPPER_V1",
        "API_KEY_PEPPER_V99999",
        "DATABASE_URL",
        "FEATURE_API_KEYS_ENABLED",
        "FREESIDE_LISTEN",
        "FREESIDE_LISTN",
        "FREESIDE_LOG",
        "FREESIDE_OPERATOR_TOKEN_FILE",
        "FREESIDE_PUBLIC_URL",
        "FREESIDE_ROLE",
        "FREESIDE_SCRIPTED_PACE_MS",
        "FREESIDE_TRUSTED_PROXIES",
        "OPENAI_API_KEY",
        "S2S_PRIVATE_KEY_FILE",
        "SIWE_SESSION_SECRET",
    ]);
    expected.sort_unstable();
    assert_eq!(found, expected, "{faults}");
    assert!(faults.to_string().contains("Did you mean FREESIDE_LISTEN?"));
    let secrets = faults.to_string().replace("nowhere/planted", "");
    assert!(!secrets.contains("planted"), "{secrets}");
}

#[test]
fn production_demands_what_development_makes() {
    let folder = Folder::new();
    let production = ("FREESIDE_ENV", "production");
    let faults = folder.read(&[production]).expect_err("an empty production");
    assert_eq!(
        names(&faults),
        [
            "DATABASE_URL",
            "FREESIDE_OPERATOR_TOKEN",
            "SIWE_SESSION_SECRET",
            "API_KEY_PEPPER_V1",
            "S2S_PRIVATE_KEY_FILE",
            "OPENAI_API_KEY"
        ]
    );
    let preparing = Settings::read_for_preparation(&folder.source(&[production]));
    assert!(preparing.is_ok(), "the first key must be made before a service can have it");
    let faults =
        folder.read(&[production, ("FREESIDE_ROLE", "finn")]).expect_err("an engine without a gateway");
    assert_eq!(names(&faults), ["FREESIDE_JWKS_URL", "OPENAI_API_KEY"]);
    let complete = [
        production,
        ("FREESIDE_ROLE", "gateway,worker"),
        ("DATABASE_URL", "postgres://freeside:p@db/freeside"),
        ("FREESIDE_OPERATOR_TOKEN", LONG),
        ("SIWE_SESSION_SECRET", LONG),
        ("API_KEY_PEPPER_V2", LONG),
        ("FREESIDE_KEYS_DIR", "/run/keys"),
        ("FREESIDE_PUBLIC_URL", "https://agents.example.org/"),
    ];
    assert_eq!(names(&folder.read(&complete).expect_err("no engine")), ["LOA_FINN_URL"]);
    let mut complete = complete.to_vec();
    complete.push(("LOA_FINN_URL", "http://finn.internal:3001"));
    let mut settings = folder.read(&complete).expect("complete");
    assert_eq!(settings.public_url_at(settings.listen), "https://agents.example.org");
    assert!(!settings.features.api_keys, "switches are off in production until they are turned on");
    development::complete(&mut settings).expect("nothing to do");
    assert!(!settings.data_dir.exists(), "production makes no secrets");
}

#[test]
fn production_refuses_the_text_of_the_template() {
    let folder = Folder::new();
    let pairs = [("FREESIDE_ENV", "production"), ("API_KEY_PEPPER_V1", super::table::PLACEHOLDER)];
    let faults = folder.read(&pairs).expect_err("everybody can read it").to_string();
    assert!(faults.contains("API_KEY_PEPPER_V1 still holds the text of the template"), "{faults}");
    assert!(!faults.contains(super::table::PLACEHOLDER));
    assert!(folder.read(&pairs[1..]).is_ok(), "in development it harms nobody");
}

#[test]
fn a_secret_comes_from_a_file_without_its_last_newline() {
    let folder = Folder::new();
    let token = folder.file("token", &format!("{LONG}\n"));
    folder.file("pepper", &format!("{LONG}\r\n"));
    let settings = folder
        .read(&[("FREESIDE_OPERATOR_TOKEN_FILE", &token), ("API_KEY_PEPPER_V3_FILE", "pepper")])
        .expect("two readable files");
    assert_eq!(settings.operator_token, Some(Secret::new(LONG)));
    assert_eq!(settings.peppers, BTreeMap::from([(3, Secret::new(LONG))]));
}

#[test]
fn a_secret_given_twice_or_in_an_unreadable_file_is_a_fault() {
    let folder = Folder::new();
    let token = folder.file("token", LONG);
    let empty = folder.file("empty", "\n");
    let short = folder.file("short", "planted");
    let faults = folder
        .read(&[
            ("FREESIDE_OPERATOR_TOKEN", LONG),
            ("FREESIDE_OPERATOR_TOKEN_FILE", &token),
            ("OPENAI_API_KEY_FILE", &empty),
            ("ANTHROPIC_API_KEY_FILE", "missing"),
            ("API_KEY_PEPPER_V1_FILE", &short),
            ("REDIS_URL_FILE", "."),
            ("S2S_PRIVATE_KEY_FILE", "missing"),
            ("FREESIDE_LISTEN_FILE", &token),
        ])
        .expect_err("each is wrong");
    assert_eq!(
        names(&faults),
        [
            "REDIS_URL_FILE",
            "FREESIDE_OPERATOR_TOKEN",
            "API_KEY_PEPPER_V1_FILE",
            "OPENAI_API_KEY_FILE",
            "ANTHROPIC_API_KEY_FILE",
            "FREESIDE_LISTEN_FILE",
            "S2S_PRIVATE_KEY_FILE"
        ]
    );
    assert!(!faults.to_string().contains("planted"));
    assert!(faults.to_string().contains("Only secrets are read from files; set FREESIDE_LISTEN itself."));
}

#[test]
fn unknown_names_of_other_programs_are_left_alone_and_shared_prefixes_warn() {
    let folder = Folder::new();
    let settings = folder
        .read(&[
            ("OPENAI_ORG_ID", "org"),
            ("OPENAI_APIKEY", "planted"),
            ("ANTROPIC_API_KEY", "planted"),
            ("FREESIDE_BUILD_REV", "abc"),
            ("FREESIDE_TEST_LONG", "1"),
            ("FREESIDE_SERVICE_HOST", "10.0.0.1"),
            ("FREESIDE_PORT", "tcp://10.0.0.1:3000"),
            ("FINN_PORT_3001_TCP_ADDR", "10.0.0.1"),
            ("API_URL", "https://example.org"),
            ("LANG", "C"),
        ])
        .expect("nothing is ours");
    let warned: Vec<_> = settings.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warned,
        [
            "ANTROPIC_API_KEY is not used by Freeside. Did you mean ANTHROPIC_API_KEY?",
            "OPENAI_APIKEY is not used by Freeside. Did you mean OPENAI_API_KEY?",
            "OPENAI_ORG_ID is not used by Freeside. Take it away, or look it up in `freeside config env-template`.",
        ]
    );
}

#[test]
fn a_named_catalog_must_exist_and_may_bring_variables_of_its_own() {
    let folder = Folder::new();
    assert_eq!(
        names(&folder.read(&[("FREESIDE_CONFIG", "none.toml")]).expect_err("missing")),
        ["FREESIDE_CONFIG"]
    );
    let own = "\n[providers.vllm]\nkind = \"openai\"\nbase_url_env = \"VLLM_BASE_URL\"\napi_key_env = \"VLLM_API_KEY\"\n";
    folder.file("freeside.toml", &(types::catalog::DEFAULT_TOML.to_owned() + own));
    folder.file("key", LONG);
    let off = folder.read(&[]).expect("the default file is read");
    assert!(!off.providers["vllm"].is_on && off.catalog_file.is_some());
    let on = [("VLLM_BASE_URL", "http://10.0.0.9:8000/v1"), ("VLLM_API_KEY_FILE", "key")];
    let settings = folder.read(&on).expect("both are known through the catalog");
    assert!(settings.providers["vllm"].is_on && settings.has_real_provider());
    assert_eq!(settings.providers["vllm"].api_key, Some(Secret::new(LONG)));
    assert!(!format!("{settings:?}").contains("planted"));
    assert_eq!(
        names(&folder.read(&[("VLLM_BASE_URL", "10.0.0.9")]).expect_err("no scheme")),
        ["VLLM_BASE_URL"]
    );
}

#[test]
fn plain_http_off_this_machine_and_reserved_variables_are_worth_a_word() {
    let folder = Folder::new();
    let settings = folder
        .read(&[("FREESIDE_PUBLIC_URL", "http://agents.example.org"), ("DISCORD_TOKEN", "planted")])
        .expect("both are allowed");
    let warned: Vec<_> = settings.warnings.iter().map(|warning| warning.variable.as_str()).collect();
    assert_eq!(warned, ["DISCORD_TOKEN", "FREESIDE_PUBLIC_URL"]);
    assert!(settings.warnings[0].to_string().contains("this version has no Discord bot yet"));
}

#[test]
fn no_planted_secret_is_ever_printed() {
    let folder = Folder::new();
    let mut pairs = Vec::new();
    for variable in TABLE.iter().filter(|variable| variable.secret) {
        let name = variable.name.replace("<n>", "7").replace("<chain id>", "8453");
        let planted = match variable.kind {
            Kind::PostgresUrl => "postgres://me:planted@db.internal/freeside".to_owned(),
            Kind::RedisUrl => "redis://:planted@cache".to_owned(),
            Kind::NatsUrl => "nats://me:planted@bus".to_owned(),
            Kind::RpcUrl => "https://rpc.example.org/planted".to_owned(),
            _ => LONG.to_owned(),
        };
        pairs.push((name, planted));
    }
    let secrets = pairs.len();
    let settings =
        Settings::read(&Source::new(pairs.into_iter().collect(), &folder.0)).expect("all are right");
    let printed = format!("{settings:?} {settings:#?}");
    assert!(!printed.contains("planted"), "{printed}");
    assert_eq!(settings.given.values().filter(|(_, text)| text.is_none()).count(), secrets);
}

#[test]
fn development_keeps_its_secrets_through_a_restart() {
    let folder = Folder::new();
    let started = |pairs: &[(&str, &str)]| {
        let mut settings = folder.read(pairs).expect("development");
        development::complete(&mut settings).expect("a writable folder");
        settings
    };
    let first = started(&[]);
    let path = first.data_dir.join(development::FILE_NAME);
    assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o600);
    let again = started(&[]);
    assert_eq!((&first.peppers, &first.operator_token), (&again.peppers, &again.operator_token));
    assert!(first.session_secret.is_some() && first.session_secret == again.session_secret);
    assert!(first.peppers[&1].reveal().len() >= 43);
    assert_eq!(fs::read_dir(&first.data_dir).expect("the folder").count(), 1, "no draft is left behind");

    let own = started(&[("API_KEY_PEPPER_V2", LONG), ("FREESIDE_OPERATOR_TOKEN", LONG)]);
    assert_eq!(own.peppers[&1], first.peppers[&1], "keys made before go on");
    assert_eq!((own.peppers[&2].reveal(), own.operator_token), (LONG, Some(Secret::new(LONG))));

    fs::write(&path, format!("API_KEY_PEPPER_V1={}\n", first.peppers[&1].reveal()))
        .expect("a line is taken out");
    let mended = started(&[]);
    assert_eq!(mended.peppers, first.peppers);
    assert_ne!(mended.operator_token, first.operator_token);
}

#[test]
fn processes_that_start_together_share_one_set_of_secrets() {
    let folder = Folder::new();
    let start = || {
        let mut settings = folder.read(&[]).expect("development");
        development::complete(&mut settings).expect("a writable folder");
        (settings.peppers[&1].clone(), settings.operator_token)
    };
    let started: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it started")).collect()
    });
    assert!(started.iter().all(|one| *one == started[0]));
}

#[test]
fn the_committed_template_is_up_to_date() {
    let committed = fs::read_to_string(testing::repository().join(".env.example")).unwrap_or_default();
    assert!(committed == env_template(), "write it anew: freeside config env-template > .env.example");
}

#[test]
fn the_template_parses_as_printed_and_with_every_line_taken_in() {
    let folder = Folder::new();
    folder.file("freeside.toml", types::catalog::DEFAULT_TOML);
    let key = folder.file("key.pem", LONG);
    let template = env_template();
    assert!(template.lines().all(|line| line.is_empty() || line.starts_with('#')));
    let examples: Vec<_> = template
        .lines()
        .filter(|line| !line.starts_with("# "))
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .map(|(name, text)| (name, text.trim_matches('\'')))
        // The one example that must exist on the machine.
        .map(|(name, text)| if name == "S2S_PRIVATE_KEY_FILE" { (name, key.as_str()) } else { (name, text) })
        .collect();
    assert_eq!(examples.len(), TABLE.len());
    let settings = folder.read(&examples).expect("every example is right");
    assert_eq!(settings.given.len(), TABLE.len());
}

/// An engine of production on its own, which needs nothing but models.
const ENGINE: [(&str, &str); 3] = [
    ("FREESIDE_ENV", "production"),
    ("FREESIDE_ROLE", "finn"),
    ("FREESIDE_JWKS_URL", "http://gateway.internal:3000/.well-known/jwks.json"),
];

#[test]
fn production_answers_with_real_models_or_says_that_it_does_not() {
    let folder = Folder::new();
    let with = |more: &[(&str, &str)]| folder.read(&[ENGINE.as_slice(), more].concat());
    let faults = with(&[]).expect_err("nobody would answer");
    assert_eq!(names(&faults), ["OPENAI_API_KEY"]);
    assert!(faults.to_string().contains("FREESIDE_ALLOW_SCRIPTED=true"), "{faults}");

    let allowed = with(&[("FREESIDE_ALLOW_SCRIPTED", "true")]).expect("said twice");
    assert_eq!(allowed.scripted, ScriptedText::Allowed, "its commands are text all the same");
    assert_eq!(allowed.warnings.len(), 1, "{:?}", allowed.warnings);

    let faults =
        with(&[("OPENAI_API_KEY", LONG)]).expect_err("two pools have models of the other vendor alone");
    assert_eq!(names(&faults), ["FREESIDE_CONFIG", "FREESIDE_CONFIG"]);
    for part in ["pools.architect: no model of it is on (claude-sonnet", "Set ANTHROPIC_API_KEY"] {
        assert!(faults.to_string().contains(part), "{part}: {faults}");
    }
    let both =
        with(&[("OPENAI_API_KEY", LONG), ("ANTHROPIC_API_KEY", LONG)]).expect("every pool has a model");
    assert_eq!(both.scripted, ScriptedText::Off);
    assert!(!both.providers["scripted"].is_on, "scripted text is never sold beside a model");

    let gateway =
        folder.read(&[("FREESIDE_ENV", "development"), ("FREESIDE_ROLE", "gateway")]).expect("sound");
    assert!(gateway.warnings.is_empty(), "providers are the engine's concern");
}

#[test]
fn a_development_pool_without_a_model_is_worth_a_word() {
    let folder = Folder::new();
    let models = "models = [\"claude-sonnet\", \"scripted-architect\"]";
    let catalog = types::catalog::DEFAULT_TOML.replace(models, "models = [\"claude-sonnet\"]");
    folder.file("freeside.toml", &catalog);
    let settings = folder.read(&[]).expect("it starts");
    assert_eq!(settings.pools_without_a_model(), [types::Pool::Architect]);
    assert_eq!(settings.warnings.len(), 1, "{:?}", settings.warnings);
    assert!(settings.warnings[0].to_string().contains("pools.architect"));
}

#[test]
fn development_stays_on_this_machine_unless_that_is_said_twice() {
    let folder = Folder::new();
    for (name, role) in [("FREESIDE_LISTEN", "gateway"), ("FINN_LISTEN", "finn")] {
        for address in ["0.0.0.0:4000", "[::]:4000", "192.168.1.7:4000"] {
            let faults = folder.read(&[(name, address)]).expect_err("on the network");
            assert_eq!(names(&faults), [name], "{address}");
            assert!(faults.to_string().contains("FREESIDE_DEVELOPMENT_ON_NETWORK=yes"), "{faults}");
            let both = [(name, address), ("FREESIDE_DEVELOPMENT_ON_NETWORK", "yes")];
            assert!(folder.read(&both).is_ok(), "{address}");
        }
        assert!(folder.read(&[(name, "[::1]:4000")]).is_ok());
        let other = if role == "finn" { "gateway" } else { "finn" };
        assert!(
            folder.read(&[(name, "0.0.0.0:4000"), ("FREESIDE_ROLE", other)]).is_ok(),
            "it does not listen"
        );
    }
}

#[test]
fn an_engine_on_the_network_is_worth_a_word_in_every_mode() {
    let folder = Folder::new();
    let on_network = ("FINN_LISTEN", "10.0.0.4:3001");
    let development = [on_network, ("FREESIDE_DEVELOPMENT_ON_NETWORK", "yes")];
    let keys = [("OPENAI_API_KEY", LONG), ("ANTHROPIC_API_KEY", LONG), on_network];
    for pairs in [development.to_vec(), [ENGINE.as_slice(), &keys].concat()] {
        let warnings = folder.read(&pairs).expect("it starts").warnings;
        let warned: Vec<_> = warnings.iter().map(|warning| warning.variable.as_str()).collect();
        assert_eq!(warned, ["FINN_LISTEN"]);
    }
}
