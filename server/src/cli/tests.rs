//! Commands as a terminal sees them.

use std::collections::BTreeMap;

use clap::{CommandFactory, Parser};

use super::console::Console;
use super::{Cli, Exit, run};
use crate::config::Source;

struct Seen {
    exit: Result<Exit, String>,
    out: String,
    err: String,
}

impl Seen {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).expect("JSON on stdout")
    }
}

fn folder() -> std::path::PathBuf {
    std::env::temp_dir().join(format!("freeside-cli-{}", types::Clock::system().uuid_v7()))
}

fn freeside(line: &str, pairs: &[(&str, &str)]) -> Seen {
    let cli = Cli::try_parse_from(std::iter::once("freeside").chain(line.split_whitespace())).expect(line);
    let values: BTreeMap<_, _> =
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console::plain(&mut out, &mut err);
    let exit = run(cli, Source::new(values, folder()), &mut console).map_err(|error| format!("{error:#}"));
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Seen { exit, out: text(out), err: text(err) }
}

const LONG: &str = "planted-0123456789-0123456789-0123456789";
/// Nothing listens on port 1, and nobody waits for it.
const SECRETS: [(&str, &str); 8] = [
    ("DATABASE_URL", "postgres://me:planted@127.0.0.1:1/freeside"),
    ("REDIS_URL", "redis://:planted@127.0.0.1:1/0"),
    ("NATS_URL", "nats://me:planted@127.0.0.1:1"),
    ("FREESIDE_OPERATOR_TOKEN", LONG),
    ("API_KEY_PEPPER_V1", LONG),
    ("OPENAI_API_KEY", LONG),
    ("DISCORD_TOKEN", LONG),
    ("EVM_RPC_URL_8453", "https://rpc.example.org/planted"),
];

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
    for line in [
        "serve --role gateway,fin",
        "grant --account 5",
        "grant --account 5 --usd 1 --micro 1",
        "grant --account x --usd 1",
        "grant --account 5 --usd 0.0000001",
        "config",
        "keys",
        "flags",
        "flags set crypto on",
        "flags set crypto_payments maybe",
        "admin-key",
        "reviews",
        "reviews approve 5 --reason seen",
        "reviews approve 0198c0de-0000-7000-8000-000000000000",
        "admins add demo eip155:0:0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    ] {
        assert!(Cli::try_parse_from(std::iter::once("freeside").chain(line.split(' '))).is_err(), "{line}");
    }
    for line in [
        "serve",
        "serve --role finn",
        "migrate",
        "seed",
        "doctor --json",
        "grant --account 5 --micro 1",
        "grant --account 5 --usd 1 --reason thanks",
        "flags list --json",
        "flags set FEATURE_CRYPTO_PAYMENTS_ENABLED off --reason drill",
        "admin-key --account 5",
        "reviews list --json",
        "reviews list --state all",
        "reviews approve 0198c0de-0000-7000-8000-000000000000 --reason seen",
        "reviews decline 0198c0de-0000-7000-8000-000000000000 --reason unseen",
        "admins add demo eip155:8453:0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    ] {
        assert!(Cli::try_parse_from(std::iter::once("freeside").chain(line.split(' '))).is_ok(), "{line}");
    }
}

#[test]
fn a_bad_configuration_ends_every_command_with_2_and_all_faults() {
    let wrong = [("FREESIDE_LISTEN", "here"), ("FREESIDE_LGO", "info")];
    for line in [
        "serve",
        "migrate",
        "seed",
        "grant --account 5 --usd 1",
        "admin-key --account 5",
        "flags list",
        "flags set api_keys off",
        "config check",
    ] {
        let seen = freeside(line, &wrong);
        assert_eq!(seen.exit, Ok(Exit::Misconfigured), "{line}");
        assert!(seen.out.is_empty(), "{line}: {}", seen.out);
        for part in ["2 faults", "FREESIDE_LISTEN is \"here\"", "Did you mean FREESIDE_LOG?"] {
            assert!(seen.err.contains(part), "{line}: {}", seen.err);
        }
    }
}

#[test]
fn config_check_shows_values_and_hides_secrets() {
    let mut pairs = SECRETS.to_vec();
    pairs.extend([("FREESIDE_LISTEN", "0.0.0.0:8080"), ("FREESIDE_DEVELOPMENT_ON_NETWORK", "yes")]);
    let seen = freeside("config check", &pairs);
    assert_eq!(seen.exit, Ok(Exit::Done), "{}", seen.err);
    assert!(
        seen.out.contains("0.0.0.0:8080") && seen.out.contains("[secret, from the environment]"),
        "{}",
        seen.out
    );
    assert!(seen.out.contains("ANTHROPIC_API_KEY") && seen.out.contains("until then"));
    assert!(seen.err.contains("DISCORD_TOKEN has no effect"));
    assert!(!(seen.out + &seen.err).contains("planted"));

    let seen = freeside("config check --json", &pairs);
    assert!(!seen.out.contains("planted"));
    let json = seen.json();
    assert_eq!((&json["ok"], &json["faults"]), (&true.into(), &serde_json::json!([])));
    let row = |name: &str| {
        let rows = json["settings"].as_array().expect("rows");
        rows.iter().find(|row| row["variable"] == name).expect(name).clone()
    };
    assert_eq!(row("FREESIDE_LISTEN")["origin"], "environment");
    assert_eq!(row("FINN_LISTEN")["origin"], "default");
    assert_eq!(
        (&row("OPENAI_API_KEY")["value"], &row("OPENAI_API_KEY")["secret"]),
        (&serde_json::Value::Null, &true.into())
    );
}

#[test]
fn config_check_as_json_names_faults_too() {
    let seen = freeside("config check --json", &[("FREESIDE_ENV", "staging"), ("OPENAI_API_KEY", LONG)]);
    assert_eq!(seen.exit, Ok(Exit::Misconfigured));
    assert_eq!(seen.json()["faults"][0]["variable"], "FREESIDE_ENV");
    assert!(!seen.out.contains("planted"));
}

#[test]
fn doctor_names_what_is_missing_and_never_a_secret() {
    for line in ["doctor", "doctor --json"] {
        let mut pairs = SECRETS.to_vec();
        pairs.extend([("FREESIDE_LISTEN", "127.0.0.1:0"), ("FINN_LISTEN", "127.0.0.1:0")]);
        let seen = freeside(line, &pairs);
        assert_eq!(
            seen.exit,
            Ok(Exit::Misconfigured),
            "a database that is not there is a failure: {}",
            seen.out
        );
        for part in ["database", "not reachable", "Redis", "NATS", "Look at REDIS_URL"] {
            assert!(seen.out.contains(part), "{part}: {}", seen.out);
        }
        assert!(!(seen.out + &seen.err).contains("planted"));
    }
}

#[test]
fn doctor_reports_each_fault_of_the_configuration() {
    let seen = freeside("doctor --json", &[("FREESIDE_LISTEN", "here"), ("FREESIDE_LGO", "info")]);
    assert_eq!(seen.exit, Ok(Exit::Misconfigured));
    assert_eq!(seen.json()["checks"].as_array().map(Vec::len), Some(2));
}

#[test]
fn version_and_template_are_data() {
    assert_eq!(freeside("version --json", &[]).json()["contract"], "1.0.0");
    assert!(freeside("version", &[]).out.starts_with("freeside "));
    let openapi = freeside("openapi", &[]).json();
    assert!(openapi["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert_eq!(freeside("config env-template", &[]).out, crate::config::env_template());
}

#[test]
fn the_first_key_is_made_once_and_shown_without_its_secret() {
    let folder = folder();
    let pairs = [("FREESIDE_ENV", "production"), ("FREESIDE_KEYS_DIR", folder.to_str().expect("UTF-8"))];
    let missing = freeside("keys status", &pairs);
    assert!(missing.exit.is_err_and(|error| error.contains("freeside keys bootstrap")));
    let made = freeside("keys bootstrap --json", &pairs);
    assert_eq!(made.exit, Ok(Exit::Done));
    let kid = made.json()["keys"][0]["kid"].as_str().expect("a key id").to_owned();
    let again = freeside("keys bootstrap", &pairs);
    assert!(again.exit.is_err_and(|error| error.contains("left as they are")));
    let shown = freeside("keys status", &pairs);
    assert!(shown.out.contains(&kid) && shown.out.contains("89 days left"), "{}", shown.out);
    let pem = std::fs::read_to_string(folder.join(format!("{kid}.pem"))).expect("the private key");
    let secret = pem.lines().nth(1).expect("its first line");
    assert!(!(made.out + &shown.out).contains(secret));
    std::fs::remove_dir_all(folder).expect("it was made here");
}

#[test]
fn migrate_demands_only_the_database() {
    let seen = freeside("migrate", &[("FREESIDE_ENV", "production")]);
    assert_eq!(seen.exit, Ok(Exit::Misconfigured));
    assert!(seen.err.contains("DATABASE_DIRECT_URL and DATABASE_URL are missing"), "{}", seen.err);
}
