//! API keys against a real database, through the application's own role.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use identity::keys::{BELIEVED_FOR, DEFAULT_OVERLAP, MAX_ACTIVE_KEYS, REFRESH_EVERY};
use identity::{
    ApiKey, ApiKeyRow, KeyError, KeyKind, KeyLimits, KeyRefusal, KeyRequest, KeyRing, NewKey, Peppers, Scope,
    Scopes, Secret,
};
use sqlx::PgPool;
use testing::postgres::TestDatabase;
use time::Duration;
use time::macros::datetime;
use types::{AccountId, Clock, CommunityId};

const ACCOUNT: AccountId = AccountId(7);
const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn peppers(versions: &[i16]) -> Peppers {
    let secrets =
        versions.iter().map(|version| (*version, Secret::new(format!("pepper number {version:08}"))));
    Peppers::new(secrets.collect::<BTreeMap<_, _>>()).expect("long enough")
}

fn request() -> KeyRequest {
    KeyRequest {
        community: CommunityId(3),
        account: ACCOUNT,
        name: "laptop".into(),
        kind: KeyKind::Sandbox,
        scopes: Scopes::developer(),
        limits: KeyLimits::default_for(KeyKind::Sandbox),
    }
}

/// Who may do what is `domain`'s to say.
fn anyone(_: &ApiKeyRow) -> bool {
    true
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
        let ring = KeyRing::new(database.pool.clone(), peppers(&[1]), clock.clone());
        Self { database, clock, ring }
    }

    /// What another process would have: its own memory, the same database.
    fn other_process(&self) -> KeyRing {
        KeyRing::new(self.database.pool.clone(), peppers(&[1]), self.clock.clone())
    }

    async fn key(&self) -> NewKey {
        self.ring.create(request()).await.expect("room for a key")
    }
}

async fn recognise(ring: &KeyRing, key: &NewKey) -> Result<Arc<ApiKey>, KeyRefusal> {
    ring.authenticate(key.secret.reveal(), HERE).await
}

fn is_refused(answer: &Result<Arc<ApiKey>, KeyRefusal>) -> bool {
    matches!(answer, Err(KeyRefusal::Refused))
}

/// A pool without a database: whatever asks it fails.
async fn closed_pool() -> PgPool {
    let pool = PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/nothing").expect("a URL");
    pool.close().await;
    pool
}

/// `text` with the checksum that its first 53 characters deserve, from the definition of CRC-32.
fn with_checksum(body: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut crc = !body.bytes().fold(u32::MAX, |crc, byte| {
        (0..8).fold(
            crc ^ u32::from(byte),
            |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 },
        )
    });
    let mut checksum = [0; 6];
    for digit in checksum.iter_mut().rev() {
        *digit = DIGITS[(crc % 62) as usize];
        crc /= 62;
    }
    body.to_owned() + std::str::from_utf8(&checksum).expect("ASCII")
}

#[tokio::test]
async fn a_key_is_recognised_once_by_the_database_and_then_from_memory() {
    let house = House::new().await;
    let made = house.key().await;
    assert!(made.secret.reveal().starts_with("lf_test_"));
    let first = recognise(&house.ring, &made).await.expect("our key");
    assert_eq!(
        (first.public_id.as_str(), first.account, first.community),
        (made.key.public_id.as_str(), ACCOUNT, CommunityId(3))
    );
    assert_eq!((first.requests_per_minute, first.tokens_per_day, first.tier().number()), (10, 10_000, 1));
    assert!(first.scopes.contains(Scope::Chat) && !first.scopes.contains(Scope::Admin));
    house.database.pool.close().await;
    let again = recognise(&house.ring, &made).await.expect("from memory");
    assert!(Arc::ptr_eq(&first, &again));
}

#[tokio::test]
async fn a_live_key_acts_as_tier_four() {
    let house = House::new().await;
    let live = KeyKind::Live;
    let new = KeyRequest { kind: live, limits: KeyLimits::default_for(live), ..request() };
    let made = house.ring.create(new).await.expect("room");
    assert!(made.secret.reveal().starts_with("lf_live_"));
    let key = recognise(&house.ring, &made).await.expect("our key");
    assert_eq!((key.tier().number(), key.requests_per_minute, key.tokens_per_day), (4, 60, 100_000));
}

#[tokio::test]
async fn no_typo_reaches_the_database() {
    let house = House::new().await;
    let made = house.key().await;
    let blind = KeyRing::new(closed_pool().await, peppers(&[1]), house.clock.clone());
    let whole = recognise(&blind, &made).await;
    assert!(matches!(whole, Err(KeyRefusal::Unexpected(_))), "a whole key does ask: {whole:?}");
    let text = made.secret.reveal();
    for position in 0..text.len() {
        for wrong in "0aZ_7-".bytes().filter(|wrong| *wrong != text.as_bytes()[position]) {
            let mut typo = text.as_bytes().to_vec();
            typo[position] = wrong;
            let typo = String::from_utf8(typo).expect("ASCII");
            let answer = blind.authenticate(&typo, HERE).await;
            assert!(matches!(answer, Err(KeyRefusal::Malformed)), "character {position}: {answer:?}");
            house.clock.advance(Duration::seconds(4)); // below the limit of failures
        }
    }
}

#[tokio::test]
async fn unknown_wrong_revoked_and_expired_keys_get_one_answer() {
    let house = House::new().await;
    let [good, other, revoked, rotated] =
        [house.key().await, house.key().await, house.key().await, house.key().await];
    house.ring.revoke(ACCOUNT, &revoked.key.public_id, anyone).await.expect("revoked");
    house.ring.rotate(ACCOUNT, &rotated.key.public_id, Duration::ZERO, anyone).await.expect("rotated");
    let (good, other) = (good.secret.reveal(), other.secret.reveal());
    let unknown = with_checksum(&format!("lf_test_aaaaaaaaaaaa{}", &good[20..53]));
    let wrong = with_checksum(&format!("{}{}", &good[..21], &other[21..53]));
    let wrong_kind = with_checksum(&format!("lf_live_{}", &good[8..53]));
    let presented = [&unknown, &wrong, &wrong_kind, revoked.secret.reveal(), rotated.secret.reveal()];
    let mut answers = Vec::new();
    for ring in [&house.ring, &house.other_process(), &house.ring] {
        for key in presented {
            answers.push(format!("{:?}", ring.authenticate(key, HERE).await.expect_err("not a key")));
            house.clock.advance(Duration::seconds(4));
        }
    }
    assert_eq!(answers, vec!["Refused"; 15]);
    assert!(house.ring.authenticate(good, HERE).await.is_ok());
}

#[tokio::test]
async fn a_refusal_is_remembered_for_a_short_while() {
    let house = House::new().await;
    let unknown = with_checksum(&format!("lf_test_bbbbbbbbbbbb_{}", "x".repeat(32)));
    assert!(is_refused(&house.ring.authenticate(&unknown, HERE).await));
    house.database.pool.close().await;
    assert!(is_refused(&house.ring.authenticate(&unknown, HERE).await));
    house.clock.advance(Duration::seconds(31));
    let later = house.ring.authenticate(&unknown, HERE).await;
    assert!(matches!(later, Err(KeyRefusal::Unexpected(_))), "asks the database again: {later:?}");
}

#[tokio::test]
async fn twenty_failed_keys_a_minute_block_strangers_but_not_working_clients() {
    let house = House::new().await;
    let (cached, fresh) = (house.key().await, house.key().await);
    recognise(&house.ring, &cached).await.expect("our key");
    for _ in 0..20 {
        let answer = house.ring.authenticate("lf_test_nonsense", HERE).await;
        assert!(matches!(answer, Err(KeyRefusal::Malformed)));
    }
    for presented in ["lf_test_nonsense", fresh.secret.reveal()] {
        let answer = house.ring.authenticate(presented, HERE).await;
        assert!(matches!(answer, Err(KeyRefusal::TooManyFailures { retry_after_s: 60 })), "{answer:?}");
    }
    recognise(&house.ring, &cached).await.expect("a working client goes on");
    let elsewhere = "198.51.100.1".parse().expect("an address");
    house.ring.authenticate(fresh.secret.reveal(), elsewhere).await.expect("another address");
    house.clock.advance(Duration::seconds(60));
    assert!(matches!(house.ring.authenticate("lf_test_nonsense", HERE).await, Err(KeyRefusal::Malformed)));
}

#[tokio::test]
async fn a_revocation_cuts_open_streams_here_at_once_and_elsewhere_with_the_next_poll() {
    let house = House::new().await;
    let made = house.key().await;
    let other = house.other_process();
    let (ours, theirs) =
        (recognise(&house.ring, &made).await.expect("ours"), recognise(&other, &made).await.expect("theirs"));
    other.poll_changes().await.expect("nothing yet");
    house.ring.revoke(ACCOUNT, &made.key.public_id, anyone).await.expect("revoked");
    ours.revoked.cancelled().await;
    assert!(is_refused(&recognise(&house.ring, &made).await));
    assert!(!theirs.revoked.is_revoked());
    let stream = tokio::spawn(async move { theirs.revoked.cancelled().await });
    other.poll_changes().await.expect("the change");
    stream.await.expect("cut");
    assert!(is_refused(&recognise(&other, &made).await));
    house
        .ring
        .revoke(ACCOUNT, &made.key.public_id, anyone)
        .await
        .expect("the second time is a quiet success");
}

#[tokio::test]
async fn a_change_that_commits_after_a_later_one_is_still_seen() {
    let house = House::new().await;
    let (slow, quick) = (house.key().await, house.key().await);
    let other = house.other_process();
    let held = recognise(&other, &slow).await.expect("a key");
    other.poll_changes().await.expect("nothing yet");

    // One revocation before it, so that the reader stands on a number and sees the gap behind it.
    let first = house.key().await;
    house.ring.revoke(ACCOUNT, &first.key.public_id, anyone).await.expect("revoked");
    other.poll_changes().await.expect("the first");
    let mut tx = house.database.pool.begin().await.expect("a transaction");
    sqlx::query("update api_key set revoked_at = $2 where public_id = $1")
        .bind(&slow.key.public_id)
        .bind(house.clock.now())
        .execute(&mut *tx)
        .await
        .expect("allowed");
    sqlx::query("insert into changes (topic, subject, at) values ('api_key', $1, $2)")
        .bind(&slow.key.public_id)
        .bind(house.clock.now())
        .execute(&mut *tx)
        .await
        .expect("allowed");
    house.ring.revoke(ACCOUNT, &quick.key.public_id, anyone).await.expect("revoked");
    other.poll_changes().await.expect("only the later one");
    assert!(!held.revoked.is_revoked());
    tx.commit().await.expect("committed at last");
    other.poll_changes().await.expect("the earlier one");
    assert!(held.revoked.is_revoked());
}

#[tokio::test]
async fn a_key_revoked_while_it_is_looked_up_never_stays_recognised() {
    let house = House::new().await;
    for round in 0..25 {
        let account = AccountId(1_000 + round);
        let made = house.ring.create(KeyRequest { account, ..request() }).await.expect("room");
        let ring = house.other_process();
        let text = made.secret.reveal();
        let look_ups = async {
            tokio::join!(
                ring.authenticate(text, HERE),
                ring.authenticate(text, HERE),
                ring.authenticate(text, HERE)
            )
        };
        let (seen, revoked) = tokio::join!(look_ups, ring.revoke(account, &made.key.public_id, anyone));
        revoked.expect("revoked");
        for key in [seen.0, seen.1, seen.2].into_iter().flatten() {
            assert!(key.revoked.is_revoked(), "whoever got it before is cut");
        }
        assert!(is_refused(&ring.authenticate(text, HERE).await));
        house.clock.advance(Duration::minutes(1));
    }
}

#[tokio::test]
async fn a_rotation_keeps_the_old_key_for_the_overlap_and_not_longer() {
    let house = House::new().await;
    let old = house.key().await;
    let other = house.other_process();
    let held = recognise(&other, &old).await.expect("the old key");
    house.clock.advance(Duration::seconds(1)); // lists are sorted by the time of making
    let new = house.ring.rotate(ACCOUNT, &old.key.public_id, DEFAULT_OVERLAP, anyone).await.expect("rotated");
    assert_eq!((new.key.name.as_str(), new.key.scopes), ("laptop", Scopes::developer()));
    let twice = house.ring.rotate(ACCOUNT, &old.key.public_id, DEFAULT_OVERLAP, anyone).await;
    assert!(matches!(twice, Err(KeyError::AlreadyReplaced)));
    other.poll_changes().await.expect("the new end");
    house.clock.advance(DEFAULT_OVERLAP - Duration::seconds(1));
    other.poll_changes().await.expect("a refresh");
    recognise(&other, &old).await.expect("still");
    recognise(&other, &new).await.expect("the new one too");
    assert!(!held.revoked.is_revoked());
    house.clock.advance(Duration::seconds(1));
    assert!(is_refused(&recognise(&other, &old).await), "also before any poll");
    held.revoked.cancelled().await;
    other.poll_changes().await.expect("nothing new");
    assert!(is_refused(&recognise(&other, &old).await));
    let row = house.ring.list(ACCOUNT).await.expect("a list").pop().expect("the oldest");
    assert_eq!(row.replaced_by, Some(new.key.public_id));
    assert_eq!(row.expires_at, Some(house.clock.now()));
    assert!(!row.is_active(house.clock.now()));
}

#[tokio::test]
async fn an_overlap_of_nothing_cuts_at_once_and_bounds_are_kept() {
    let house = House::new().await;
    let old = house.key().await;
    let held = recognise(&house.ring, &old).await.expect("a key");
    for overlap in [Duration::seconds(-1), Duration::days(7) + Duration::seconds(1)] {
        let answer = house.ring.rotate(ACCOUNT, &old.key.public_id, overlap, anyone).await;
        assert!(matches!(answer, Err(KeyError::BadOverlap)));
    }
    house.ring.rotate(ACCOUNT, &old.key.public_id, Duration::ZERO, anyone).await.expect("rotated");
    assert!(held.revoked.is_revoked());
    let gone = house.ring.rotate(ACCOUNT, &old.key.public_id, Duration::ZERO, anyone).await;
    assert!(matches!(gone, Err(KeyError::NotFound)));
}

#[tokio::test]
async fn what_is_not_permitted_changes_nothing() {
    let house = House::new().await;
    let key = house.key().await;
    let id = &*key.key.public_id;
    for overlap in [Duration::ZERO, DEFAULT_OVERLAP] {
        let answer = house.ring.rotate(ACCOUNT, id, overlap, |_| false).await;
        assert!(matches!(answer, Err(KeyError::Beyond)), "{answer:?}");
    }
    let answer = house.ring.revoke(ACCOUNT, id, |_| false).await;
    assert!(matches!(answer, Err(KeyError::Beyond)), "{answer:?}");
    recognise(&house.ring, &key).await.expect("untouched");
    let seen = |key: &ApiKeyRow| key.public_id == id && key.kind == KeyKind::Sandbox;
    house.ring.rotate(ACCOUNT, id, Duration::ZERO, seen).await.expect("permitted");
}

#[tokio::test]
async fn of_fifty_creates_at_once_exactly_ten_win() {
    let house = House::new().await;
    let creates: Vec<_> = (0..50)
        .map(|_| {
            let ring = house.other_process();
            tokio::spawn(async move { ring.create(request()).await })
        })
        .collect();
    let mut made = Vec::new();
    for create in creates {
        match create.await.expect("no panic") {
            Ok(key) => made.push(key),
            Err(error) => assert!(matches!(error, KeyError::TooMany), "{error:?}"),
        }
    }
    assert_eq!(made.len(), usize::try_from(MAX_ACTIVE_KEYS).expect("ten"));
    house
        .ring
        .create(KeyRequest { account: AccountId(8), ..request() })
        .await
        .expect("another account's room");

    let first = &made[0].key.public_id;
    assert!(matches!(
        house.ring.rotate(ACCOUNT, first, DEFAULT_OVERLAP, anyone).await,
        Err(KeyError::TooMany)
    ));
    house.ring.rotate(ACCOUNT, first, Duration::ZERO, anyone).await.expect("no overlap needs no room");
    assert!(matches!(house.ring.create(request()).await, Err(KeyError::TooMany)));
    house.ring.revoke(ACCOUNT, &made[1].key.public_id, anyone).await.expect("revoked");
    house.ring.create(request()).await.expect("room again");
    assert_eq!(house.ring.list(ACCOUNT).await.expect("a list").len(), 12);
}

#[tokio::test]
async fn an_account_reaches_its_own_keys_only() {
    let house = House::new().await;
    let made = house.key().await;
    let stranger = AccountId(8);
    assert!(matches!(
        house.ring.revoke(stranger, &made.key.public_id, anyone).await,
        Err(KeyError::NotFound)
    ));
    let rotated = house.ring.rotate(stranger, &made.key.public_id, DEFAULT_OVERLAP, anyone).await;
    assert!(matches!(rotated, Err(KeyError::NotFound)));
    assert!(matches!(house.ring.revoke(ACCOUNT, "no such id", anyone).await, Err(KeyError::NotFound)));
    assert_eq!(house.ring.list(stranger).await.expect("a list"), []);
    recognise(&house.ring, &made).await.expect("untouched");
}

#[tokio::test]
async fn what_a_key_may_not_be_is_refused_before_the_database() {
    let ring = KeyRing::new(closed_pool().await, peppers(&[1]), Clock::system());
    // `create` opens its transaction first, so the checks are reached through a database that works.
    assert!(matches!(ring.create(request()).await, Err(KeyError::Unexpected(_))));
    let house = House::new().await;
    for name in [String::new(), "  ".into(), "x".repeat(81), "two\nlines".into()] {
        assert!(matches!(house.ring.create(KeyRequest { name, ..request() }).await, Err(KeyError::BadName)));
    }
    let longest = KeyRequest { name: "ü".repeat(80), ..request() };
    house.ring.create(longest).await.expect("80 characters fit the table's check as well");
    for (requests_per_minute, tokens_per_day) in [(0, 1), (1, 0), (u32::MAX, 1), (1, u64::MAX)] {
        let limits = KeyLimits { requests_per_minute, tokens_per_day };
        assert!(matches!(
            house.ring.create(KeyRequest { limits, ..request() }).await,
            Err(KeyError::BadLimits)
        ));
    }
}

#[tokio::test]
async fn a_key_made_in_a_transaction_works_when_that_commits() {
    let house = House::new().await;
    let mut tx = house.database.pool.begin().await.expect("a transaction");
    let lost = house.ring.create_in(&mut tx, request()).await.expect("made");
    tx.rollback().await.expect("undone");
    assert!(is_refused(&recognise(&house.ring, &lost).await));
    let mut tx = house.database.pool.begin().await.expect("a transaction");
    let kept = house.ring.create_in(&mut tx, request()).await.expect("made");
    tx.commit().await.expect("done");
    recognise(&house.ring, &kept).await.expect("our key");
}

#[tokio::test]
async fn a_missed_change_heals_within_a_minute_and_new_limits_arrive() {
    let house = House::new().await;
    let (gone, changed) = (house.key().await, house.key().await);
    let held = recognise(&house.ring, &gone).await.expect("a key");
    recognise(&house.ring, &changed).await.expect("a key");
    let owner = house.database.owner_pool();
    sqlx::query("update api_key set revoked_at = created_at where public_id = $1")
        .bind(&gone.key.public_id)
        .execute(&owner)
        .await
        .expect("owner");
    sqlx::query("update api_key set requests_per_minute = 99 where public_id = $1")
        .bind(&changed.key.public_id)
        .execute(&owner)
        .await
        .expect("owner");
    house.clock.advance(REFRESH_EVERY);
    house.ring.poll_changes().await.expect("a refresh");
    assert!(held.revoked.is_revoked());
    assert!(is_refused(&recognise(&house.ring, &gone).await));
    assert_eq!(recognise(&house.ring, &changed).await.expect("a key").requests_per_minute, 99);
}

#[tokio::test]
async fn without_its_database_a_key_is_believed_for_five_minutes() {
    let house = House::new().await;
    let made = house.key().await;
    recognise(&house.ring, &made).await.expect("a key");
    house.clock.advance(Duration::minutes(4));
    house.ring.poll_changes().await.expect("confirmed");
    house.database.pool.close().await;
    house.clock.advance(BELIEVED_FOR - Duration::seconds(1));
    assert!(house.ring.poll_changes().await.is_err());
    recognise(&house.ring, &made).await.expect("a short outage is bridged");
    house.clock.advance(Duration::seconds(1));
    assert!(matches!(recognise(&house.ring, &made).await, Err(KeyRefusal::Unexpected(_))), "fails closed");
}

#[tokio::test]
async fn the_last_use_is_written_in_a_batch_and_never_moves_back() {
    let house = House::new().await;
    let made = house.key().await;
    let other = house.other_process();
    recognise(&other, &made).await.expect("a key");
    house.clock.advance(Duration::seconds(30));
    let used_at = house.clock.now();
    recognise(&house.ring, &made).await.expect("a key");
    house.ring.flush_last_used().await.expect("written");
    other.flush_last_used().await.expect("older: written by nobody");
    let row = house.ring.list(ACCOUNT).await.expect("a list").remove(0);
    assert_eq!(row.last_used_at, Some(used_at));
    house.database.pool.close().await;
    house.ring.flush_last_used().await.expect("nothing left to write");
}

#[tokio::test]
async fn old_peppers_verify_the_newest_signs_and_a_missing_one_is_named() {
    let house = House::new().await;
    let old = house.key().await;
    let both = KeyRing::new(house.database.pool.clone(), peppers(&[1, 2]), house.clock.clone());
    recognise(&both, &old).await.expect("made with the first pepper");
    let new = both.create(request()).await.expect("room");
    recognise(&both, &new).await.expect("made with the second");
    let only_new = KeyRing::new(house.database.pool.clone(), peppers(&[2]), house.clock.clone());
    recognise(&only_new, &new).await.expect("made with the second");
    let Err(KeyRefusal::Unexpected(error)) = recognise(&only_new, &old).await else {
        panic!("its pepper is missing")
    };
    assert!(error.to_string().contains("API_KEY_PEPPER_V1"), "{error}");
}

#[tokio::test]
async fn the_table_holds_no_secret_and_grants_no_more_than_is_needed() {
    let house = House::new().await;
    let made = house.key().await;
    let pool = &house.database.pool;
    let row: String =
        sqlx::query_scalar("select api_key::text from api_key").fetch_one(pool).await.expect("a row");
    let secret = &made.secret.reveal()[21..53];
    assert!(row.contains(&made.key.public_id) && !row.contains(secret));
    let as_hex: String = sqlx::query_scalar("select encode(convert_to($1, 'UTF8'), 'hex')")
        .bind(secret)
        .fetch_one(pool)
        .await
        .expect("hex");
    assert!(!row.contains(&as_hex), "nor as hex");
    let deleted = sqlx::query("delete from api_key").execute(pool).await.expect_err("it has not ended");
    assert!(deleted.to_string().contains("has not ended"), "{deleted}");
    for sql in [
        "update api_key set hash = hash",
        "update api_key set account_id = 1",
        "truncate api_key",
        "update changes set topic = ''",
    ] {
        let error = sqlx::query(sql).execute(pool).await.expect_err(sql);
        assert!(error.to_string().contains("permission denied"), "{sql}: {error}");
    }
    let finn = house.database.pool_for("loa_finn_ro");
    for sql in ["select 1 from api_key", "select 1 from changes"] {
        let error = sqlx::query(sql).execute(&finn).await.expect_err(sql);
        assert!(error.to_string().contains("permission denied"), "{sql}: {error}");
    }
}

#[tokio::test]
async fn old_notices_are_dropped() {
    let house = House::new().await;
    let made = house.key().await;
    house.ring.revoke(ACCOUNT, &made.key.public_id, anyone).await.expect("revoked");
    let count =
        || sqlx::query_scalar::<_, i64>("select count(*) from changes").fetch_one(&house.database.pool);
    house.clock.advance(Duration::hours(24));
    house.ring.poll_changes().await.expect("a refresh");
    assert_eq!(count().await.expect("a count"), 1);
    house.clock.advance(Duration::minutes(1));
    house.ring.poll_changes().await.expect("a refresh");
    assert_eq!(count().await.expect("a count"), 0);
}
