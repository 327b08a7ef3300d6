//! Names that look like ours and are not: a misspelt variable would otherwise be ignored in silence.

use std::collections::BTreeSet;

use super::finding::Finding;
use super::source::Source;
use super::table;

/// A name that begins like this is meant for us: unknown is wrong.
const OURS: [&str; 11] = [
    "FREESIDE_",
    "FINN_",
    "LOA_",
    "S2S_",
    "FEATURE_",
    "API_KEY_PEPPER_",
    "NOWPAYMENTS_",
    "DISCORD_",
    "TELEGRAM_",
    "SIWE_",
    "EVM_RPC_URL_",
];

/// Names that other programs share: unknown is worth a word, and no more.
const SHARED: [&str; 2] = ["OPENAI_", "ANTHROPIC_"];

/// Names that people try first.
const ALIASES: [(&str, &str); 18] = [
    ("API_KEY_PEPPER", "API_KEY_PEPPER_V1"),
    ("DISCORD_BOT_TOKEN", "DISCORD_TOKEN"),
    ("EVM_RPC_URL", "EVM_RPC_URL_<chain id>"),
    ("FINN_URL", "LOA_FINN_URL"),
    ("FREESIDE_BASE_URL", "FREESIDE_PUBLIC_URL"),
    ("FREESIDE_BIND", "FREESIDE_LISTEN"),
    ("FREESIDE_DATA", "FREESIDE_DATA_DIR"),
    ("FREESIDE_FINN_LISTEN", "FINN_LISTEN"),
    ("FREESIDE_FINN_URL", "LOA_FINN_URL"),
    ("FREESIDE_HOST", "FREESIDE_LISTEN"),
    ("FREESIDE_LOG_LEVEL", "FREESIDE_LOG"),
    ("FREESIDE_PORT", "FREESIDE_LISTEN"),
    ("FREESIDE_URL", "FREESIDE_PUBLIC_URL"),
    ("LOA_JWKS_URL", "FREESIDE_JWKS_URL"),
    ("S2S_KEY_FILE", "S2S_PRIVATE_KEY_FILE"),
    ("S2S_PRIVATE_KEY", "S2S_PRIVATE_KEY_FILE"),
    ("S2S_PRIVATE_KEY_PATH", "S2S_PRIVATE_KEY_FILE"),
    ("TELEGRAM_TOKEN", "TELEGRAM_BOT_TOKEN"),
];

/// Known, though no setting of this process: the build's and the repository's own tools read them, and programs that
/// those start inherit them.
const OF_TOOLS: [&str; 2] = ["FREESIDE_BUILD_REV", "FREESIDE_ADVISORY_SNAPSHOT"];

/// As above, a whole family: what tests tell each other.
const OF_TESTS: &str = "FREESIDE_TEST_";

/// Strikes only in a debug build (`types::failpoint`); elsewhere it is unknown, and refused like any such name.
const FAILPOINTS: &str = "FREESIDE_FAILPOINTS";

/// The unknown names, as faults and as warnings. `of_catalog` are the names that the catalog gives to its providers.
pub(super) fn look(source: &Source, of_catalog: &BTreeSet<String>) -> (Vec<Finding>, Vec<Finding>) {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    for (name, value) in source.names() {
        if is_known(name, of_catalog) || is_made_by_kubernetes(name, value) {
            continue;
        }
        let meant = suggestion(name, of_catalog);
        let shared = SHARED.iter().any(|prefix| name.starts_with(prefix))
            || meant.as_ref().is_some_and(|meant| SHARED.iter().any(|prefix| meant.starts_with(prefix)));
        if meant.is_none() && !shared && !OURS.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let fix = match (&meant, name.strip_suffix("_FILE").and_then(table::find)) {
            (_, Some(variable)) if !variable.secret => {
                format!("Only secrets are read from files; set {} itself.", variable.name)
            }
            (Some(meant), _) => format!("Did you mean {meant}?"),
            (None, _) => "Take it away, or look it up in `freeside config env-template`.".into(),
        };
        if shared {
            warnings.push(Finding::new(name, "is not used by Freeside", fix));
        } else {
            faults.push(Finding::new(name, "is no variable of Freeside", fix));
        }
    }
    (faults, warnings)
}

fn is_known(name: &str, of_catalog: &BTreeSet<String>) -> bool {
    let of_tools = OF_TOOLS.contains(&name)
        || name.starts_with(OF_TESTS)
        || cfg!(debug_assertions) && name == FAILPOINTS;
    if of_tools || table::find(name).is_some() || of_catalog.contains(name) {
        return true;
    }
    let Some(stem) = name.strip_suffix("_FILE") else { return false };
    table::find(stem).is_some_and(|variable| variable.secret) || of_catalog.contains(stem)
}

/// Kubernetes describes every service to every container: a service named `freeside` makes `FREESIDE_PORT=tcp://…`.
fn is_made_by_kubernetes(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_PORT_") && (name.contains("_TCP") || name.contains("_UDP"))
        || name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://"))
}

/// The name that was probably meant.
fn suggestion(name: &str, of_catalog: &BTreeSet<String>) -> Option<String> {
    let upper = name.to_ascii_uppercase().replace('-', "_");
    if let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| *alias == upper) {
        return Some((*meant).to_owned());
    }
    // FREESIDE_DATABASE_URL, FREESIDE_REDIS_URL, …: the name is right, the prefix too much.
    let bare = OURS.iter().find_map(|prefix| upper.strip_prefix(prefix));
    if let Some(bare) = bare.filter(|bare| table::find(bare).is_some()) {
        return Some(bare.to_owned());
    }
    let mut candidates: Vec<String> =
        table::TABLE.iter().flat_map(|variable| written(variable, &upper)).collect();
    candidates.extend(of_catalog.iter().cloned());
    candidates
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(&upper, &known), known))
        .filter(|(letters, known)| *letters <= allowed_letters(&upper, known))
        .min()
        .map(|(_, known)| known)
}

/// How the variable may be written: with `_FILE` when it is secret, with the number that was typed when it has one.
fn written(variable: &table::Variable, typed: &str) -> Vec<String> {
    let mut name = variable.name.to_owned();
    if let Some((prefix, _)) = variable.name.split_once('<') {
        let stem = typed.strip_suffix("_FILE").unwrap_or(typed);
        let digits = stem.rsplit(|character: char| !character.is_ascii_digit()).next().unwrap_or_default();
        let Some(number) = table::number(digits.trim_start_matches('0')) else { return Vec::new() };
        name = format!("{prefix}{number}");
    }
    if variable.secret { vec![format!("{name}_FILE"), name] } else { vec![name] }
}

/// Under one of our prefixes any name is meant for us, so a farther guess is welcome; elsewhere a guess must be nearly
/// sure, because the name may belong to another program.
fn allowed_letters(typed: &str, known: &str) -> usize {
    let ours = OURS.iter().chain(&SHARED).any(|prefix| typed.starts_with(prefix));
    match (known.len(), ours) {
        (..8, false) => 0,
        (8..12, false) => 1,
        (12.., false) | (..12, true) => 2,
        (12.., true) => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(name: &str) -> Option<String> {
        suggestion(name, &BTreeSet::from(["VLLM_API_KEY".to_owned()]))
    }

    #[test]
    fn a_plausible_typo_meets_the_name_that_was_meant() {
        for (typed, meant) in [
            ("FREESIDE_LISTN", "FREESIDE_LISTEN"),
            ("FRESIDE_PUBLIC_URL", "FREESIDE_PUBLIC_URL"),
            ("FREESIDE_PORT", "FREESIDE_LISTEN"),
            ("DATABSE_URL", "DATABASE_URL"),
            ("FREESIDE_DATABASE_URL", "DATABASE_URL"),
            ("REDIS_URI", "REDIS_URL"),
            ("NAT_URL", "NATS_URL"),
            ("LOA_FIN_URL", "LOA_FINN_URL"),
            ("S2S_PRIVATE_KEYFILE", "S2S_PRIVATE_KEY_FILE"),
            ("S2S_PRIVAT_KEY_FILE", "S2S_PRIVATE_KEY_FILE"),
            ("API_KEY_PEPPER_1", "API_KEY_PEPPER_V1"),
            ("API_KEY_PEPER_V2", "API_KEY_PEPPER_V2"),
            ("EVM_RPC_URL_08453", "EVM_RPC_URL_8453"),
            ("FEATURE_API_KEY_ENABLED", "FEATURE_API_KEYS_ENABLED"),
            ("OPENAI_APIKEY", "OPENAI_API_KEY"),
            ("ANTROPIC_API_KEY", "ANTHROPIC_API_KEY"),
            ("freeside_listen", "FREESIDE_LISTEN"),
            ("DISCORD_BOT_TOKEN", "DISCORD_TOKEN"),
            ("VLLM_APIKEY", "VLLM_API_KEY"),
        ] {
            assert_eq!(guess(typed).as_deref(), Some(meant), "{typed}");
        }
    }

    #[test]
    fn names_of_other_programs_are_left_alone() {
        for name in [
            "PATH",
            "HOME",
            "API_URL",
            "BASE_URL",
            "XAI_API_KEY",
            "RUST_LOG",
            "DATABASE_HOST",
            "PGHOST",
            "NO_COLOR",
        ] {
            assert_eq!(guess(name), None, "{name}");
        }
    }
}
