//! The keys on disk: `keys.json` (public) and one `{kid}.pem` (PKCS#8, 0600) per private key in the same folder.
//!
//! `keys.json` is written last and linked into place, never over another: it is what makes a folder count as bootstrapped.
//! A crash before that leaves at most a stray key file that nobody refers to.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::jwk::PublicKey;
use super::{KEY_LIFE, METADATA_FILE, ServiceKeyError};
use crate::Secret;

/// A P-256 key takes 300 bytes, a `keys.json` 300 a key; anything of this size is another file.
const MAX_FILE_BYTES: u64 = 64 * 1024;
const PEM_LABEL: &str = "PRIVATE KEY";
/// The form of `keys.json`; a binary that does not know it says so instead of guessing.
const METADATA_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Metadata {
    version: u32,
    active_kid: String,
    keys: Vec<PublicKey>,
}

/// What was read.
pub(super) struct Loaded {
    pub(super) random: SystemRandom,
    pub(super) pair: EcdsaKeyPair,
    pub(super) active: PublicKey,
    pub(super) others: Vec<PublicKey>,
    pub(super) readable_by_others: bool,
}

pub(super) fn load(path: &Path) -> Result<Loaded, ServiceKeyError> {
    let found = fs::metadata(path).map_err(|error| io(path, error))?;
    if !found.is_dir() {
        let beside = path.with_file_name(METADATA_FILE);
        let metadata = match read_metadata(&beside) {
            Err(ServiceKeyError::Missing(_)) => None,
            other => Some(other?),
        };
        return assemble(path, metadata.map_or_else(Vec::new, |metadata| metadata.keys), None);
    }
    let metadata = read_metadata(&path.join(METADATA_FILE))?;
    let file = path.join(format!("{}.pem", metadata.active_kid));
    assemble(&file, metadata.keys, Some(&metadata.active_kid))
}

/// Joins a private key with its entry in `listed`; without one (a bare key file), the file's date is its beginning.
fn assemble(
    file: &Path,
    mut listed: Vec<PublicKey>,
    expected_kid: Option<&str>,
) -> Result<Loaded, ServiceKeyError> {
    let (bytes, found) = read_bounded(file)?;
    let random = SystemRandom::new();
    let pair = parse_private(&bytes, &random).map_err(|reason| unusable(file, reason))?;
    pair.sign(&random, b"trial")
        .map_err(|_| unusable(file, "it does not sign: the system gives no random bytes"))?;
    let modified = OffsetDateTime::from_unix_timestamp(found.mtime())
        .map_err(|_| unusable(file, "the file's date is out of range"))?;
    let derived = PublicKey::from_point(pair.public_key().as_ref(), modified, modified + KEY_LIFE);
    if expected_kid.is_some_and(|expected| expected != derived.kid) {
        return Err(unusable(file, "this is not the private key that its name and keys.json speak of"));
    }
    let active = match listed.iter().position(|key| key.kid == derived.kid) {
        Some(index) => listed.swap_remove(index),
        None => derived,
    };
    Ok(Loaded { random, pair, active, others: listed, readable_by_others: found.mode() & 0o077 != 0 })
}

fn read_metadata(path: &Path) -> Result<Metadata, ServiceKeyError> {
    let (bytes, _) = read_bounded(path)?;
    let metadata: Metadata = serde_json::from_slice(bytes.reveal())
        .map_err(|error| unusable(path, format!("not as expected: {error}")))?;
    if metadata.version != METADATA_VERSION {
        return Err(unusable(path, format!("version {} is not known to this binary", metadata.version)));
    }
    if let Some(broken) = metadata.keys.iter().find(|key| !key.is_sound()) {
        return Err(unusable(
            path,
            format!("the entry \"{}\" is not the thumbprint of its x and y", broken.kid),
        ));
    }
    let mut kids: Vec<&str> = metadata.keys.iter().map(|key| key.kid.as_str()).collect();
    kids.sort_unstable();
    if kids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(unusable(path, "a key is listed twice"));
    }
    if !kids.contains(&metadata.active_kid.as_str()) {
        return Err(unusable(path, "the active key is not in the list"));
    }
    Ok(metadata)
}

/// PKCS#8, as PEM or DER. ring recomputes the public half and refuses a file whose halves do not fit.
fn parse_private(bytes: &Secret, random: &SystemRandom) -> Result<EcdsaKeyPair, String> {
    let der = match bytes.reveal_str().filter(|text| text.contains("-----BEGIN ")) {
        Some(text) => from_pem(text)?,
        None => bytes.clone(),
    };
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.reveal(), random).map_err(|rejected| {
        match rejected.to_string().as_str() {
            "WrongAlgorithm" => "not an ECDSA key on the curve P-256, which ES256 needs".to_owned(),
            "InconsistentComponents" => "its public half does not belong to its private half".to_owned(),
            "PublicKeyIsMissing" => {
                "it lacks the public half; `openssl pkcs8 -topk8 -nocrypt` adds it".to_owned()
            }
            other => format!("not a whole PKCS#8 private key ({other})"),
        }
    })
}

fn from_pem(text: &str) -> Result<Secret, String> {
    let begin = format!("-----BEGIN {PEM_LABEL}-----");
    let end = format!("-----END {PEM_LABEL}-----");
    let Some((_, rest)) = text.split_once(&begin) else {
        return Err("a PEM file, but not an unencrypted PKCS#8 key (`BEGIN PRIVATE KEY`); convert it with \
                    `openssl pkcs8 -topk8 -nocrypt`"
            .to_owned());
    };
    let Some((body, _)) = rest.split_once(&end) else {
        return Err("the PEM block has no end: the file was cut off".to_owned());
    };
    let body = Secret::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>());
    // The decoder's own message would quote a byte of the key.
    STANDARD.decode(body.reveal()).map(Secret::new).map_err(|_| "the PEM block is not base64".to_owned())
}

pub(super) fn bootstrap(folder: &Path, now: OffsetDateTime) -> Result<(), ServiceKeyError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| io(folder, error))?;
    let metadata_path = folder.join(METADATA_FILE);
    if metadata_path.try_exists().map_err(|error| io(&metadata_path, error))? {
        return Err(ServiceKeyError::AlreadyThere(folder.to_owned()));
    }
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
        .map_err(|_| unusable(folder, "no key was made: the system gives no random bytes"))?;
    let document = Secret::new(document.as_ref());
    let pair = parse_private(&document, &random).map_err(|reason| unusable(folder, reason))?;
    let key = PublicKey::from_point(pair.public_key().as_ref(), now, now + KEY_LIFE);
    let file = folder.join(format!("{}.pem", key.kid));
    let metadata = Metadata { version: METADATA_VERSION, active_kid: key.kid.clone(), keys: vec![key] };
    let json = serde_json::to_vec_pretty(&metadata).expect("strings and dates of four-digit years");

    // Two processes of the same number (containers) must not share an unfinished file: it bears the new key's id.
    let mark = metadata.active_kid;
    write_new(&file, &mark, to_pem(&document).reveal(), 0o600)?;
    match write_new(&metadata_path, &mark, &json, 0o644) {
        // Another process was quicker; its key is the one, ours was never used.
        Err(ServiceKeyError::AlreadyThere(_)) => {
            fs::remove_file(&file).map_err(|error| io(&file, error))?;
            Err(ServiceKeyError::AlreadyThere(folder.to_owned()))
        }
        other => other,
    }
}

fn to_pem(der: &Secret) -> Secret {
    let body = Secret::new(STANDARD.encode(der.reveal()));
    let mut pem = format!("-----BEGIN {PEM_LABEL}-----\n").into_bytes();
    for line in body.reveal().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(format!("-----END {PEM_LABEL}-----\n").as_bytes());
    Secret::new(pem)
}

/// Writes a file whole or not at all, and never over another: a hidden file is filled, synced, and linked to its name.
fn write_new(path: &Path, mark: &str, content: &[u8], mode: u32) -> Result<(), ServiceKeyError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let unfinished = folder.join(format!(".unfinished-{mark}"));
    let written = fill(&unfinished, content, mode).and_then(|()| fs::hard_link(&unfinished, path));
    let removed = fs::remove_file(&unfinished);
    match written {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(ServiceKeyError::AlreadyThere(path.to_owned()));
        }
        Err(error) => return Err(io(path, error)),
    }
    removed.and_then(|()| File::open(folder)?.sync_all()).map_err(|error| io(folder, error))
}

fn fill(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn read_bounded(path: &Path) -> Result<(Secret, fs::Metadata), ServiceKeyError> {
    let file = File::open(path).map_err(|error| io(path, error))?;
    let found = file.metadata().map_err(|error| io(path, error))?;
    if !found.is_file() || found.len() > MAX_FILE_BYTES {
        return Err(unusable(path, "not a file of the size of a key"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1);
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(|error| io(path, error))?;
    Ok((Secret::new(bytes), found))
}

fn unusable(path: &Path, reason: impl Into<String>) -> ServiceKeyError {
    ServiceKeyError::Unusable { path: path.to_owned(), reason: reason.into() }
}

fn io(path: &Path, source: std::io::Error) -> ServiceKeyError {
    let path: PathBuf = path.to_owned();
    if source.kind() == ErrorKind::NotFound {
        ServiceKeyError::Missing(path)
    } else {
        ServiceKeyError::Io { path, source }
    }
}
