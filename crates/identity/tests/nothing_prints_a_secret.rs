//! Formats every public type and looks for what must not be there.

use std::collections::BTreeMap;

use identity::{
    KeyError, KeyKind, KeyLimits, KeyRefusal, KeyRequest, KeyRing, Limits, PepperFault, Peppers, Scopes,
    Secret, ServiceKeys,
};
use testing::postgres::TestDatabase;
use types::{AccountId, Clock, CommunityId};

const PEPPER: &str = "a pepper that nobody may see";

#[tokio::test]
async fn no_debug_and_no_display_shows_a_secret() {
    let database = TestDatabase::new().await;
    let clock = Clock::system();
    let secret = Secret::new(PEPPER);
    let peppers = Peppers::new(BTreeMap::from([(1, secret.clone())])).expect("long enough");
    let ring = KeyRing::new(database.pool.clone(), peppers.clone(), clock.clone());
    let request = KeyRequest {
        community: CommunityId(1),
        account: AccountId(1),
        name: "n".into(),
        kind: KeyKind::Live,
        scopes: Scopes::developer(),
        limits: KeyLimits::default_for(KeyKind::Live),
    };
    let made = ring.create(request.clone()).await.expect("a key");
    let ip = "192.0.2.1".parse().expect("an address");
    let key = ring.authenticate(made.secret.reveal(), ip).await.expect("our key");
    let rows = ring.list(AccountId(1)).await.expect("a list");
    let limits = Limits::new(clock.clone());
    let counted = limits.count(&key).expect("the first");
    let admission = limits.reserve(&key, counted, 1).expect("fits");
    let limited = limits.reserve(&key, counted, u64::MAX).expect_err("never fits");

    let folder = tempfile::tempdir().expect("a folder");
    let service = ServiceKeys::bootstrap(folder.path(), clock).expect("a key");
    let exists = ServiceKeys::bootstrap(folder.path(), Clock::system()).expect_err("there is one");
    let pem =
        std::fs::read_to_string(folder.path().join(format!("{}.pem", service.active_kid()))).expect("PEM");

    database.pool.close().await;
    let key_error = ring.revoke(AccountId(1), &made.key.public_id, |_| true).await.expect_err("closed");
    let other = KeyRing::new(database.pool.clone(), peppers.clone(), Clock::system());
    let refusal = other.authenticate(made.secret.reveal(), ip).await.expect_err("closed");
    assert!(matches!((&key_error, &refusal), (KeyError::Unexpected(_), KeyRefusal::Unexpected(_))));

    let printed = [
        format!("{secret:?} {secret} {peppers:?} {:?} {}", PepperFault::TooShort(1), PepperFault::None),
        format!(
            "{ring:?} {request:?} {made:?} {key:?} {rows:?} {key_error:?} {key_error} {refusal:?} {refusal}"
        ),
        format!("{limits:?} {admission:?} {limited:?}"),
        format!("{service:?} {:?} {:?} {exists:?} {exists}", service.status(), service.jwks()),
    ]
    .join("\n");
    let key_secret = &made.secret.reveal()[21..];
    assert!(!printed.contains(PEPPER) && !printed.contains(&key_secret[..8]), "{printed}");
    // In the PEM file, base64 from character 44 on is the private number; the published half comes last.
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(
        !body.as_bytes()[..100]
            .windows(8)
            .any(|piece| printed.contains(std::str::from_utf8(piece).expect("ASCII")))
    );
    assert!(printed.contains("[secret]") && printed.contains(&made.key.public_id), "{printed}");
}
