//! Signing keys: files, tokens, the published set; checked with another implementation of the curve (`p256`).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use identity::service_keys::{KEY_LIFE, METADATA_FILE, WARN_BEFORE};
use identity::{ServiceKeyError, ServiceKeys};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use time::Duration;
use time::macros::datetime;
use types::{Clock, CommunityId, Pool, ReservationId, Tier, s2s};

struct House {
    folder: TempDir,
    clock: Clock,
    keys: ServiceKeys,
}

fn bootstrap() -> House {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::fixed(datetime!(2026-03-01 12:00 UTC));
    let keys = ServiceKeys::bootstrap(folder.path(), clock.clone()).expect("a first key");
    House { folder, clock, keys }
}

impl House {
    fn private_file(&self) -> PathBuf {
        self.folder.path().join(format!("{}.pem", self.keys.active_kid()))
    }

    fn reload(&self) -> Result<ServiceKeys, ServiceKeyError> {
        ServiceKeys::load(self.folder.path(), self.clock.clone())
    }

    fn claims(&self) -> s2s::Claims {
        let hold = ReservationId(self.clock.uuid_v7());
        self.keys.mint_claims(hold, CommunityId(5), Tier::LIVE, "", &[Pool::Cheap, Pool::Standard])
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url without padding")
}

fn published(keys: &ServiceKeys) -> Vec<Value> {
    let document: Value = serde_json::from_str(&keys.jwks().json).expect("JSON");
    document["keys"].as_array().expect("a list").clone()
}

fn verifying_key(jwk: &Value) -> VerifyingKey {
    let part = |name: &str| decode(jwk[name].as_str().expect("a string"));
    let point = [vec![4], part("x"), part("y")].concat();
    VerifyingKey::from_sec1_bytes(&point).expect("a point of the curve")
}

/// RFC 7638 from its text: the required members, sorted by name, no white space, SHA-256.
fn thumbprint(jwk: &Value) -> String {
    let members: BTreeMap<&str, &Value> =
        ["kty", "crv", "x", "y"].into_iter().map(|name| (name, &jwk[name])).collect();
    let text = serde_json::to_string(&members).expect("JSON");
    URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()))
}

#[test]
fn a_token_of_ours_verifies_with_the_published_key() {
    let house = bootstrap();
    let claims = house.claims();
    let token = house.keys.sign(&claims);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts: {token}") };
    let header: Value = serde_json::from_slice(&decode(header)).expect("JSON");
    assert_eq!(header, json!({"alg": "ES256", "typ": "JWT", "kid": house.keys.active_kid()}));
    assert_eq!(serde_json::from_slice::<s2s::Claims>(&decode(payload)).expect("claims"), claims);

    let key = verifying_key(&published(&house.keys)[0]);
    let signature = Signature::from_slice(&decode(signature)).expect("r and s of 32 bytes each");
    let signed = &token[..token.rfind('.').expect("a dot")];
    key.verify(signed.as_bytes(), &signature).expect("our signature");
    let tampered = signed.replace('e', "f");
    assert!(key.verify(tampered.as_bytes(), &signature).is_err());
}

#[test]
fn claims_follow_the_contract() {
    let house = bootstrap();
    let (first, second) = (house.claims(), house.claims());
    assert_eq!((first.iss.as_str(), first.aud.as_str()), ("loa-freeside", "loa-finn"));
    assert_eq!((first.iat, first.exp), (house.clock.now().unix_timestamp(), first.iat + 60));
    assert_eq!((first.tier.as_str(), first.community_id.as_str(), first.nft_id.as_str()), ("4", "5", ""));
    assert_ne!(first.jti, second.jti);
}

#[test]
fn the_published_set_has_public_members_only_and_a_steady_tag() {
    let house = bootstrap();
    let keys = published(&house.keys);
    assert_eq!(keys.len(), 1);
    let members: Vec<&str> = keys[0].as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert_eq!(keys[0]["kid"].as_str(), Some(house.keys.active_kid()));
    assert_eq!(thumbprint(&keys[0]), house.keys.active_kid());
    let again = house.reload().expect("the same keys").jwks();
    assert_eq!(again, house.keys.jwks());
    assert!(
        again.etag.starts_with('"') && again.etag.ends_with('"') && again.etag.len() == 24,
        "{}",
        again.etag
    );
    assert_ne!(bootstrap().keys.jwks().etag, again.etag);
}

#[test]
fn the_thumbprint_of_a_known_key_is_the_known_one() {
    // The key of RFC 7515, appendix A.3, and its thumbprint by RFC 7638.
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
    let expected = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U";
    assert_eq!(thumbprint(&jwk), expected);
    // Our own reader recomputes it for every entry, so a list with this entry loads, and with another kid it does not.
    let house = bootstrap();
    let entry = json!({"kid": expected, "x": jwk["x"], "y": jwk["y"], "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-04-01T00:00:00Z"});
    list_also(house.folder.path(), entry.clone());
    assert_eq!(published(&house.reload().expect("two keys")).len(), 2);
    let house = bootstrap();
    let mut wrong = entry;
    wrong["kid"] = json!("NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    list_also(house.folder.path(), wrong);
    assert!(matches!(house.reload(), Err(ServiceKeyError::Unusable { .. })));
}

fn list_also(folder: &Path, entry: Value) {
    let path = folder.join(METADATA_FILE);
    let mut metadata: Value = serde_json::from_slice(&fs::read(&path).expect("keys.json")).expect("JSON");
    metadata["keys"].as_array_mut().expect("a list").push(entry);
    fs::write(path, metadata.to_string()).expect("written");
}

fn listed(folder: &Path) -> Value {
    let metadata: Value =
        serde_json::from_slice(&fs::read(folder.join(METADATA_FILE)).expect("keys.json")).expect("JSON");
    metadata["keys"][0].clone()
}

#[test]
fn ended_keys_leave_the_set_but_the_active_one_never_does() {
    let house = bootstrap();
    let older = bootstrap();
    list_also(house.folder.path(), listed(older.folder.path()));
    let keys = house.reload().expect("two keys");
    assert_eq!(published(&keys).len(), 2);
    let before = keys.jwks();
    house.clock.advance(KEY_LIFE - Duration::seconds(1));
    assert_eq!(keys.jwks(), before);
    house.clock.advance(Duration::seconds(1));
    let left = published(&keys);
    assert_eq!(left.iter().map(|key| key["kid"].as_str()).collect::<Vec<_>>(), [Some(keys.active_kid())]);
    assert_ne!(keys.jwks().etag, before.etag);
    let kids: Vec<_> =
        published(&house.reload().expect("two keys")).into_iter().map(|key| thumbprint(&key)).collect();
    assert_eq!(kids, [house.keys.active_kid()]);
}

#[test]
fn the_status_warns_fourteen_days_before_the_end_and_after_it() {
    let house = bootstrap();
    let status = house.keys.status().remove(0);
    assert!(status.active && status.warning.is_none());
    assert_eq!((status.age, status.left), (Duration::ZERO, Duration::days(90)));
    house.clock.advance(KEY_LIFE - WARN_BEFORE);
    assert_eq!(house.keys.status()[0].warning.as_deref(), Some("the signing key ends in 14 days: rotate it"));
    house.clock.advance(WARN_BEFORE);
    assert!(house.keys.status()[0].warning.as_deref().is_some_and(|text| text.contains("rotate it now")));
}

#[test]
fn the_key_file_is_ours_alone_standard_and_never_overwritten() {
    let house = bootstrap();
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&house.private_file()), 0o600);
    let pem = fs::read_to_string(house.private_file()).expect("a PEM file");
    let signing = SigningKey::from_pkcs8_pem(&pem).expect("another implementation reads it");
    assert_eq!(*signing.verifying_key(), verifying_key(&published(&house.keys)[0]));

    let again = ServiceKeys::bootstrap(house.folder.path(), house.clock.clone());
    assert!(matches!(again, Err(ServiceKeyError::AlreadyThere(_))));
    assert_eq!(fs::read_to_string(house.private_file()).expect("untouched"), pem);
    let mut names: Vec<_> = fs::read_dir(house.folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    let mut expected = vec![format!("{}.pem", house.keys.active_kid()), METADATA_FILE.to_owned()];
    expected.sort();
    assert_eq!(names, expected, "nothing unfinished stays");
    fs::set_permissions(house.private_file(), fs::Permissions::from_mode(0o644)).expect("changed");
    let warned = house.reload().expect("still usable").status().remove(0).warning;
    assert!(warned.is_some_and(|text| text.contains("chmod 600")));
}

#[test]
fn of_many_bootstraps_at_once_one_wins_and_all_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/inside");
    let kids: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| match ServiceKeys::bootstrap(&path, Clock::system()) {
                    Ok(keys) => Some(keys.active_kid().to_owned()),
                    Err(ServiceKeyError::AlreadyThere(_)) => None,
                    Err(error) => panic!("{error}"),
                })
            })
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(kids.len(), 1);
    assert_eq!(ServiceKeys::load(&path, Clock::system()).expect("the winner's").active_kid(), kids[0]);
    assert_eq!(fs::read_dir(&path).expect("a folder").count(), 2, "the losers cleaned up");
}

#[test]
fn a_bare_key_file_works_as_pem_and_as_der() {
    let house = bootstrap();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let pem = fs::read_to_string(house.private_file()).expect("PEM");
    let pem_file = elsewhere.path().join("secret");
    fs::write(&pem_file, format!("a comment\r\n{}", pem.replace('\n', "\r\n"))).expect("written");
    let der_file = elsewhere.path().join("secret.der");
    fs::write(&der_file, STANDARD.decode(body(&pem)).expect("base64")).expect("written");
    for file in [pem_file, der_file, house.private_file()] {
        let keys = ServiceKeys::load(&file, house.clock.clone()).expect("a key");
        assert_eq!(keys.active_kid(), house.keys.active_kid());
        assert_eq!(keys.jwks(), house.keys.jwks());
    }
    let dated =
        ServiceKeys::load(&house.private_file(), house.clock.clone()).expect("a key").status().remove(0);
    assert_eq!(dated.created_at, house.clock.now(), "the dates beside a file count, not the file's own");
}

fn body(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

/// Every broken file is refused with a reason, and no reason quotes the file.
#[test]
fn broken_keys_are_refused_in_words_without_key_material() {
    let random = ring::rand::SystemRandom::new();
    let house = bootstrap();
    let pem = fs::read_to_string(house.private_file()).expect("PEM");
    let der = STANDARD.decode(body(&pem)).expect("base64");
    let p384 = ring::signature::EcdsaKeyPair::generate_pkcs8(
        &ring::signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        &random,
    )
    .expect("P-384");
    let ed25519 = ring::signature::Ed25519KeyPair::generate_pkcs8(&random).expect("Ed25519");
    let other = {
        let other = bootstrap();
        STANDARD.decode(body(&fs::read_to_string(other.private_file()).expect("PEM"))).expect("base64")
    };
    // The public half is the last 65 bytes.
    let mismatched = [&der[..der.len() - 65], &other[other.len() - 65..]].concat();
    let mut damaged = der.clone();
    damaged[40] ^= 1;
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("another curve", p384.as_ref().to_vec(), "P-256"),
        ("another algorithm", ed25519.as_ref().to_vec(), "P-256"),
        ("halves of two keys", mismatched, "public half does not belong"),
        ("a flipped bit", damaged, ""),
        ("cut DER", der[..100].to_vec(), "not a whole"),
        ("cut PEM", pem.as_bytes()[..150].to_vec(), "cut off"),
        ("an old form", pem.replace("PRIVATE KEY", "EC PRIVATE KEY").into_bytes(), "openssl pkcs8"),
        ("not base64", pem.replacen('M', "*", 1).into_bytes(), "not base64"),
        ("nothing", Vec::new(), "not a whole"),
        ("a film", vec![0; 70_000], "size of a key"),
    ];
    for (name, content, expected) in cases {
        let file = house.folder.path().join("broken");
        fs::write(&file, &content).expect("written");
        let error = ServiceKeys::load(&file, house.clock.clone()).expect_err(name);
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected), "{name}: {text}");
        let quoted = body(&pem)
            .as_bytes()
            .windows(6)
            .any(|piece| text.contains(std::str::from_utf8(piece).expect("ASCII")));
        assert!(!quoted, "{name}: {text}");
    }
}

#[test]
fn a_folder_whose_parts_do_not_fit_is_refused() {
    let missing = ServiceKeys::load(Path::new("/nonexistent/keys"), Clock::system());
    assert!(matches!(missing, Err(ServiceKeyError::Missing(_))));

    let (house, other) = (bootstrap(), bootstrap());
    fs::copy(other.private_file(), house.private_file()).expect("copied");
    let error = house.reload().expect_err("another key under this name").to_string();
    assert!(error.contains("keys.json"), "{error}");

    for (from, to) in [
        ("\"version\": 1", "\"version\": 2"),
        ("\"active_kid\": \"", "\"active_kid\": \"x"),
        ("\"keys\"", "\"kays\""),
    ] {
        let house = bootstrap();
        let path = house.folder.path().join(METADATA_FILE);
        let text = fs::read_to_string(&path).expect("keys.json");
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).expect("written");
        assert!(matches!(house.reload(), Err(ServiceKeyError::Unusable { .. })), "{to}");
    }
    let house = bootstrap();
    list_also(house.folder.path(), listed(house.folder.path()));
    assert!(house.reload().expect_err("twice").to_string().contains("twice"));
}
