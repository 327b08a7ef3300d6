//! Secrets that development makes by itself, kept in the data folder so that a restart keeps every key valid.
//!
//! The file `dev-secrets` (mode 0600) holds `NAME=value` lines. It is written whole and then moved into place, so no
//! process ever reads half of it; of two processes that start together the first one's file holds for both.
//! Production never reads or writes it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};

use super::secret::Secret;
use super::settings::{Environment, Settings};

/// The file's name in the data folder.
pub const FILE_NAME: &str = "dev-secrets";
/// 32 random bytes, as every secret of this size: nobody guesses 256 bits.
const RANDOM_BYTES: usize = 32;
const PEPPER: &str = "API_KEY_PEPPER_V1";
const OPERATOR_TOKEN: &str = "FREESIDE_OPERATOR_TOKEN";
const SESSION_SECRET: &str = "SIWE_SESSION_SECRET";
const HEAD: &str =
    "# Secrets that Freeside made for development. Without this file, API keys made here end.\n";

/// The secrets could not be read or made.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", .path.display())]
pub struct DevelopmentError {
    path: PathBuf,
    problem: String,
}

/// Fills what the environment left open: from the file, or newly made and then kept. Does nothing in production.
pub fn complete(settings: &mut Settings) -> Result<(), DevelopmentError> {
    if settings.environment == Environment::Production || !settings.roles.keep_books() {
        return Ok(());
    }
    let path = settings.data_dir.join(FILE_NAME);
    let failed = |error: io::Error| DevelopmentError { path: path.clone(), problem: error.to_string() };
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&settings.data_dir).map_err(failed)?;

    let mut kept = read(&path).map_err(failed)?;
    let had = kept.len();
    // Own peppers may stand beside the kept one: keys that it signed go on. Only without any is one made.
    for (name, is_missing) in [
        (PEPPER, settings.peppers.is_empty()),
        (OPERATOR_TOKEN, settings.operator_token.is_none()),
        (SESSION_SECRET, settings.session_secret.is_none()),
    ] {
        if is_missing && !kept.contains_key(name) {
            kept.insert(name.to_owned(), random().map_err(failed)?);
        }
    }
    if kept.len() > had {
        kept = write(&path, &kept, had == 0).map_err(failed)?;
    }
    if let Some(pepper) = kept.remove(PEPPER) {
        settings.peppers.entry(1).or_insert_with(|| Secret::new(pepper));
    }
    if settings.operator_token.is_none() {
        settings.operator_token = kept.remove(OPERATOR_TOKEN).map(Secret::new);
    }
    if settings.session_secret.is_none() {
        settings.session_secret = kept.remove(SESSION_SECRET).map(Secret::new);
    }
    let is_complete = settings.operator_token.is_some() && settings.session_secret.is_some();
    if settings.peppers.is_empty() || !is_complete {
        let problem = "is incomplete; put the missing line back or move the file away".to_owned();
        return Err(DevelopmentError { path, problem });
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text?,
    };
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    Ok(lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn random() -> io::Result<String> {
    let mut bytes = [0; RANDOM_BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| io::Error::other("the system gave no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Writes the file and returns what now stands in it. A file that is new here may have been made by another process in
/// the meantime: then that one holds.
fn write(
    path: &Path,
    secrets: &BTreeMap<String, String>,
    is_new: bool,
) -> io::Result<BTreeMap<String, String>> {
    // Containers share process numbers, so the draft's name is random.
    let draft = path.with_extension(random()? + ".draft");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(HEAD.as_bytes())?;
    for (name, value) in secrets {
        writeln!(file, "{name}={value}")?;
    }
    file.sync_all()?;
    if !is_new {
        fs::rename(&draft, path)?;
        return Ok(secrets.clone());
    }
    let placed = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match placed {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read(path),
        placed => placed.map(|()| secrets.clone()),
    }
}
