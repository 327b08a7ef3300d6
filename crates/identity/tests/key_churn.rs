//! How many keys an account makes, and when those that ended leave.

use std::collections::BTreeMap;

use identity::{KeyError, KeyKind, KeyLimits, KeyRequest, KeyRing, NewKey, Peppers, Scopes, Secret};
use testing::postgres::TestDatabase;
use time::Duration;
use time::macros::datetime;
use types::{AccountId, Clock, CommunityId};

const ACCOUNT: AccountId = AccountId(7);

fn request() -> KeyRequest {
    KeyRequest {
        community: CommunityId(1),
        account: ACCOUNT,
        name: "laptop".to_owned(),
        kind: KeyKind::Sandbox,
        scopes: Scopes::developer(),
        limits: KeyLimits::default_for(KeyKind::Sandbox),
    }
}

struct House {
    database: TestDatabase,
    clock: Clock,
    ring: KeyRing,
}

impl House {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let clock = Clock::fixed(datetime!(2026-03-01 12:00 UTC));
        let pepper = Secret::new("a pepper for tests that is quite long enough");
        let peppers = Peppers::new(BTreeMap::from([(1, pepper)])).expect("long enough");
        let ring = KeyRing::new(database.pool.clone(), peppers, clock.clone());
        Self { database, clock, ring }
    }

    async fn key(&self) -> NewKey {
        self.ring.create(request()).await.expect("room for a key")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_makes_twenty_keys_a_day_by_whatever_way() {
    let house = House::new().await;
    let mut kept = house.key().await;
    for number in 0..19 {
        if number % 2 == 0 {
            let id = house.key().await.key.public_id;
            house.ring.revoke(ACCOUNT, &id, |_| true).await.expect("revoked");
        } else {
            let rotated = house.ring.rotate(ACCOUNT, &kept.key.public_id, Duration::ZERO, |_| true).await;
            kept = rotated.expect("a rotation makes a key");
        }
        house.clock.advance(Duration::minutes(1));
    }
    let wait = |error: KeyError| match error {
        KeyError::TooManyToday { until, retry_after_s } => (until, retry_after_s),
        other => panic!("{other:?}"),
    };
    let (until, retry_after_s) = wait(house.ring.create(request()).await.expect_err("the 21st"));
    let now = house.clock.now();
    assert_eq!(i64::from(retry_after_s), (until - now).whole_seconds());
    assert_eq!(until - now, Duration::hours(24) - Duration::minutes(19));
    let rotated = house.ring.rotate(ACCOUNT, &kept.key.public_id, Duration::ZERO, |_| true).await;
    assert_eq!(wait(rotated.expect_err("a rotation is no way round")), (until, retry_after_s));
    assert!(house.ring.create(KeyRequest { account: AccountId(8), ..request() }).await.is_ok());
    house.clock.advance(until - now);
    house.key().await;
    house.key().await;
    assert!(house.ring.create(request()).await.is_err(), "two were made in the first minute");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_ended_leave_the_list_and_then_the_table() {
    let house = House::new().await;
    let (revoked, rotated) = (house.key().await, house.key().await);
    let successor = house.ring.rotate(ACCOUNT, &rotated.key.public_id, Duration::days(7), |_| true).await;
    let successor = successor.expect("rotated").key.public_id;
    house.ring.revoke(ACCOUNT, &revoked.key.public_id, |_| true).await.expect("revoked");
    house.ring.revoke(ACCOUNT, &successor, |_| true).await.expect("revoked");
    let kept = house.key().await;
    let listed = async || house.ring.list(ACCOUNT).await.expect("listed").len();
    let rows = async || -> i64 {
        let count = sqlx::query_scalar("select count(*) from api_key");
        count.fetch_one(&house.database.pool).await.expect("readable")
    };
    house.clock.advance(Duration::days(29));
    assert_eq!(listed().await, 4);
    house.clock.advance(Duration::days(2));
    assert_eq!(listed().await, 2, "the rotated one ended a week later");
    house.clock.advance(Duration::days(60));
    house.key().await;
    assert_eq!((listed().await, rows().await), (2, 4), "the successor stays with the key that names it");
    house.clock.advance(Duration::days(7));
    house.key().await;
    assert_eq!(rows().await, 3);
    let known = house.ring.authenticate(kept.secret.reveal(), [192, 0, 2, 1].into()).await;
    assert!(known.is_ok(), "an active key is never too old");
}
