//! Nonces, sessions and hand-offs against a real database, through the application's own role.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use identity::handoff::{self, Client};
use identity::sessions::{BELIEVED_FOR, LIFE, MAX_ACTIVE_SESSIONS, REFRESH_EVERY};
use identity::{
    HandoffFault, Handoffs, NewSession, NonceFault, Nonces, Secret, Session, SessionId, SessionRefusal,
    SessionSecrets, Sessions, nonces,
};
use sqlx::PgPool;
use testing::postgres::TestDatabase;
use time::Duration;
use time::macros::datetime;
use types::{Clock, WalletId};

const ORIGIN: &str = "https://agents.example.org";
const ADA: WalletId = WalletId::by_key(types::Wallet([0xad; 20]));
const BOB: WalletId = WalletId::by_key(types::Wallet([0xb0; 20]));
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn secret(number: u8) -> Secret {
    Secret::new(vec![number; 32])
}

fn secrets(current: u8, previous: Option<u8>) -> SessionSecrets {
    SessionSecrets::new(&secret(current), previous.map(secret).as_ref()).expect("long enough")
}

struct House {
    database: TestDatabase,
    clock: Clock,
    sessions: Sessions,
}

impl House {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let clock = Clock::fixed(datetime!(2026-03-01 12:00 UTC));
        let sessions = Sessions::new(database.pool.clone(), secrets(1, None), clock.clone());
        Self { database, clock, sessions }
    }

    /// What another process would have: its own memory, the same database.
    fn other_process(&self, secrets: SessionSecrets) -> Sessions {
        Sessions::new(self.database.pool.clone(), secrets, self.clock.clone())
    }

    async fn open(&self, wallet: WalletId) -> NewSession {
        self.sessions.open(wallet, ORIGIN, "Firefox on Linux").await.expect("a session")
    }

    fn nonces(&self) -> Nonces {
        Nonces::new(self.database.pool.clone(), self.clock.clone())
    }

    fn handoffs(&self) -> Handoffs {
        Handoffs::new(self.database.pool.clone(), self.sessions.clone(), self.clock.clone())
    }
}

async fn closed_pool() -> PgPool {
    let pool = PgPool::connect_lazy("postgres://nobody@127.0.0.1:1/nothing").expect("a URL");
    pool.close().await;
    pool
}

fn is_ended(answer: &Result<Arc<Session>, SessionRefusal>) -> bool {
    matches!(answer, Err(SessionRefusal::Ended))
}

/// The same address by key, and as a contract on two chains: three wallets, of which none sees another's sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contracts_sessions_are_its_own_on_each_chain() {
    let house = House::new().await;
    let all = [ADA, WalletId::by_contract(ADA.address, 1), WalletId::by_contract(ADA.address, 8_453)];
    let mut opened = Vec::new();
    for wallet in all {
        opened.push(house.open(wallet).await);
    }
    let elsewhere = house.other_process(secrets(1, None));
    for (wallet, new) in all.into_iter().zip(&opened) {
        let known = elsewhere.check(new.token.reveal()).await.expect("read from its row");
        assert_eq!(known.wallet, wallet);
        let ids: Vec<SessionId> =
            house.sessions.list(wallet).await.expect("listed").iter().map(|row| row.id).collect();
        assert_eq!(ids, [new.session.id]);
        for other in all.into_iter().filter(|other| *other != wallet) {
            assert!(!house.sessions.revoke(other, new.session.id).await.expect("asked"), "{other} {wallet}");
        }
    }
    house.sessions.revoke_all(all[2]).await.expect("ended");
    let living = |wallet| house.sessions.list(wallet);
    assert_eq!(living(all[0]).await.expect("listed").len(), 1);
    assert_eq!(living(all[1]).await.expect("listed").len(), 1);
    assert_eq!(living(all[2]).await.expect("listed").len(), 0);
}

#[tokio::test]
async fn a_token_is_recognised_once_by_the_database_and_then_from_memory() {
    let house = House::new().await;
    let opened = house.open(ADA).await;
    let first = house.sessions.check(opened.token.reveal()).await.expect("ours");
    assert_eq!(first, opened.session);
    assert_eq!((first.wallet, first.origin.as_str()), (ADA, ORIGIN));
    house.database.pool.close().await;
    let again = house.sessions.check(opened.token.reveal()).await.expect("from memory");
    assert!(Arc::ptr_eq(&first, &again));
    assert!(house.sessions.is_alive(first.id).await);
    assert!(
        !house.sessions.is_alive(SessionId(house.clock.uuid_v7())).await,
        "what cannot be checked may not go on"
    );
}

#[tokio::test]
async fn a_session_ends_after_its_hour() {
    let house = House::new().await;
    let opened = house.open(ADA).await;
    house.clock.advance(LIFE - Duration::SECOND);
    house.sessions.poll_changes().await.expect("read");
    assert!(house.sessions.check(opened.token.reveal()).await.is_ok());
    house.clock.advance(Duration::SECOND);
    let over = house.sessions.check(opened.token.reveal()).await;
    assert!(matches!(over, Err(SessionRefusal::Expired)), "{over:?}");
    assert!(!house.sessions.is_alive(opened.session.id).await);
    assert!(house.sessions.list(ADA).await.expect("a list").is_empty());
    house.clock.advance(Duration::days(2));
    house.sessions.poll_changes().await.expect("read");
    let rows: i64 = sqlx::query_scalar("select count(*) from wallet_session")
        .fetch_one(&house.database.pool)
        .await
        .expect("counted");
    assert_eq!(rows, 0, "a row that is over for a day is dropped");
}

#[tokio::test]
async fn no_changed_token_is_ours() {
    let house = House::new().await;
    let blind = Sessions::new(closed_pool().await, secrets(1, None), house.clock.clone());
    let token = house.open(ADA).await.token.reveal().to_owned();
    let whole = blind.check(&token).await;
    assert!(matches!(whole, Err(SessionRefusal::Unexpected(_))), "a whole one does ask: {whole:?}");
    for place in 0..token.len() {
        let mut wrong = token.clone().into_bytes();
        wrong[place] = if wrong[place] == b'A' { b'B' } else { b'A' };
        let answer = blind.check(std::str::from_utf8(&wrong).expect("ASCII")).await;
        // The last letter of a part may carry bits that say nothing; such a token is not canonical, and refused too.
        assert!(matches!(answer, Err(SessionRefusal::Malformed)), "character {place}: {answer:?}");
    }
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    for forged in [
        String::new(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        format!("{payload}.{header}.{signature}"),
        format!("{token}.{signature}"),
        format!(" {token}"),
        "a".repeat(100_000),
    ] {
        let answer = blind.check(&forged).await;
        assert!(matches!(answer, Err(SessionRefusal::Malformed)), "{forged}: {answer:?}");
    }
}

#[tokio::test]
async fn a_changed_secret_verifies_as_long_as_it_stands_as_the_previous_one() {
    let house = House::new().await;
    let old = house.open(ADA).await;
    let turned = house.other_process(secrets(2, Some(1)));
    assert!(turned.check(old.token.reveal()).await.is_ok());
    let new = turned.open(ADA, ORIGIN, "").await.expect("a session");
    let answer = house.sessions.check(new.token.reveal()).await;
    assert!(
        matches!(answer, Err(SessionRefusal::Malformed)),
        "the old process knows no new secret: {answer:?}"
    );
    let later = house.other_process(secrets(2, None));
    assert!(matches!(later.check(old.token.reveal()).await, Err(SessionRefusal::Malformed)));
    assert!(later.check(new.token.reveal()).await.is_ok());
}

#[tokio::test]
async fn an_end_holds_at_once_here_and_with_the_next_look_elsewhere() {
    let house = House::new().await;
    let other = house.other_process(secrets(1, None));
    other.poll_changes().await.expect("read");
    let (ended, kept) = (house.open(ADA).await, house.open(ADA).await);
    let token = ended.token.reveal();
    assert!(other.check(token).await.is_ok());
    assert!(!house.sessions.revoke(BOB, ended.session.id).await.expect("asked"), "it is not Bob's");
    assert!(house.sessions.check(token).await.is_ok());
    assert!(house.sessions.revoke(ADA, ended.session.id).await.expect("asked"));
    assert!(house.sessions.revoke(ADA, ended.session.id).await.expect("twice is a quiet success"));
    assert!(is_ended(&house.sessions.check(token).await));
    assert!(other.check(token).await.is_ok(), "not yet");
    other.poll_changes().await.expect("read");
    assert!(is_ended(&other.check(token).await));
    assert!(!other.is_alive(ended.session.id).await);
    assert!(other.check(kept.token.reveal()).await.is_ok());
    assert!(
        is_ended(&house.other_process(secrets(1, None)).check(token).await),
        "a fresh process reads the row"
    );
    let listed: Vec<_> =
        house.sessions.list(ADA).await.expect("a list").into_iter().map(|row| row.id).collect();
    assert_eq!(listed, [kept.session.id]);
}

#[tokio::test]
async fn a_change_that_was_missed_heals_and_a_silent_database_is_not_believed_for_ever() {
    let house = House::new().await;
    let opened = house.open(ADA).await;
    assert!(house.sessions.check(opened.token.reveal()).await.is_ok());
    sqlx::query("update wallet_session set revoked_at = now()")
        .execute(&house.database.pool)
        .await
        .expect("by hand");
    house.sessions.poll_changes().await.expect("read");
    assert!(house.sessions.check(opened.token.reveal()).await.is_ok(), "nobody announced it");
    house.clock.advance(REFRESH_EVERY);
    house.sessions.poll_changes().await.expect("read");
    assert!(is_ended(&house.sessions.check(opened.token.reveal()).await));

    let opened = house.open(BOB).await;
    assert!(house.sessions.check(opened.token.reveal()).await.is_ok());
    house.database.pool.close().await;
    house.clock.advance(BELIEVED_FOR - Duration::SECOND);
    assert!(house.sessions.check(opened.token.reveal()).await.is_ok());
    house.clock.advance(Duration::SECOND);
    assert!(matches!(house.sessions.check(opened.token.reveal()).await, Err(SessionRefusal::Unexpected(_))));
    assert!(!house.sessions.is_alive(opened.session.id).await);
}

#[tokio::test]
async fn one_session_too_many_ends_the_oldest() {
    let house = House::new().await;
    let mut opened = Vec::new();
    for _ in 0..=MAX_ACTIVE_SESSIONS {
        house.clock.advance(Duration::SECOND);
        opened.push(house.open(ADA).await);
    }
    let bobs = house.open(BOB).await;
    assert!(is_ended(&house.sessions.check(opened[0].token.reveal()).await));
    for living in &opened[1..] {
        assert!(house.sessions.check(living.token.reveal()).await.is_ok());
    }
    let listed = house.sessions.list(ADA).await.expect("a list");
    assert_eq!(listed.len(), opened.len() - 1);
    assert_eq!(listed[0].id, opened.last().expect("some").session.id, "newest first");
    house.sessions.revoke_all(ADA).await.expect("ended");
    assert!(house.sessions.list(ADA).await.expect("a list").is_empty());
    assert!(is_ended(&house.sessions.check(opened[5].token.reveal()).await));
    assert!(house.sessions.check(bobs.token.reveal()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_simultaneous_tries_one_gets_the_nonce() {
    let house = House::new().await;
    let nonces = house.nonces();
    let nonce = nonces.issue(ORIGIN, "browser", HERE).await.expect("a nonce");
    let tries: Vec<_> = (0..1_000_u32)
        .map(|number| {
            let (nonces, text) = (nonces.clone(), nonce.text.clone());
            let ip = Ipv4Addr::from_bits(number).into();
            tokio::spawn(async move { nonces.consume(&text, ORIGIN, "browser", ip).await })
        })
        .collect();
    let (mut taken, mut used) = (0, 0);
    for each in tries {
        match each.await.expect("no panic") {
            Ok(()) => taken += 1,
            Err(NonceFault::Used) => used += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((taken, used), (1, 999));
}

#[tokio::test]
async fn a_nonce_is_one_pages_in_one_browser_for_five_minutes_and_every_try_costs_it() {
    let house = House::new().await;
    let nonces = house.nonces();
    let issue = || async { nonces.issue(ORIGIN, "browser", HERE).await.expect("a nonce").text };
    let consume = |text: String, origin: &'static str, browser: &'static str| {
        let nonces = nonces.clone();
        async move { nonces.consume(&text, origin, browser, HERE).await }
    };
    let nonce = issue().await;
    assert!(nonce.len() >= 26 && nonce.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{nonce}: 128 bits");
    assert_ne!(nonce, issue().await);
    assert!(consume(nonce.clone(), ORIGIN, "browser").await.is_ok());
    assert!(matches!(consume(nonce, ORIGIN, "browser").await, Err(NonceFault::Used)));
    assert!(matches!(consume("abcdefgh23456789".into(), ORIGIN, "browser").await, Err(NonceFault::Unknown)));
    for (origin, browser) in
        [("https://evil.example", "browser"), ("", "browser"), (ORIGIN, "other"), (ORIGIN, "")]
    {
        let nonce = issue().await;
        let answer = consume(nonce.clone(), origin, browser).await;
        assert!(matches!(answer, Err(NonceFault::Foreign)), "{origin} {browser}: {answer:?}");
        assert!(matches!(consume(nonce, ORIGIN, "browser").await, Err(NonceFault::Used)), "it was used up");
    }
    let (early, late) = (issue().await, issue().await);
    house.clock.advance(nonces::LIFE - Duration::SECOND);
    assert!(consume(early, ORIGIN, "browser").await.is_ok());
    house.clock.advance(Duration::SECOND);
    assert!(matches!(consume(late.clone(), ORIGIN, "browser").await, Err(NonceFault::Expired)));
    nonces.prune().await.expect("pruned");
    assert!(
        matches!(consume(late.clone(), ORIGIN, "browser").await, Err(NonceFault::Used)),
        "still remembered"
    );
    house.clock.advance(Duration::hours(1));
    nonces.prune().await.expect("pruned");
    assert!(matches!(consume(late, ORIGIN, "browser").await, Err(NonceFault::Unknown)));
}

#[tokio::test]
async fn an_address_gets_only_so_many_nonces_and_tries() {
    let house = House::new().await;
    let nonces = house.nonces();
    for _ in 0..30 {
        nonces.issue(ORIGIN, "browser", HERE).await.expect("room");
    }
    let refused = nonces.issue(ORIGIN, "browser", HERE).await;
    assert!(matches!(refused, Err(NonceFault::TooMany { retry_after_s: 60 })), "{refused:?}");
    let neighbour: IpAddr = Ipv4Addr::new(192, 0, 2, 2).into();
    assert!(nonces.issue(ORIGIN, "browser", neighbour).await.is_ok());
    for _ in 0..60 {
        let answer = nonces.consume("abcdefgh23456789", ORIGIN, "browser", HERE).await;
        assert!(matches!(answer, Err(NonceFault::Unknown)));
    }
    let refused = nonces.consume("abcdefgh23456789", ORIGIN, "browser", HERE).await;
    assert!(matches!(refused, Err(NonceFault::TooMany { .. })), "{refused:?}");
    house.clock.advance(Duration::MINUTE);
    assert!(nonces.issue(ORIGIN, "browser", HERE).await.is_ok());
}

#[tokio::test]
async fn a_code_carries_a_session_once_to_one_origin_within_its_minute() {
    let house = House::new().await;
    let handoffs = house.handoffs();
    let first = house.open(ADA).await.session;
    let client = Client::new(HERE, "Firefox");
    let offer = || async { handoffs.offer(&first, ORIGIN).await.expect("a code").reveal().to_owned() };
    let code = offer().await;
    let taken = handoffs.take(&code, ORIGIN, &client, HERE).await.expect("ours");
    assert_eq!(taken, first);
    let again = handoffs.take(&code, ORIGIN, &client, HERE).await;
    assert!(matches!(again, Err(HandoffFault::Unknown)), "{again:?}");

    let code = offer().await;
    let foreign = handoffs.take(&code, "https://evil.example", &client, HERE).await;
    assert!(matches!(foreign, Err(HandoffFault::Foreign)), "{foreign:?}");
    assert!(matches!(handoffs.take(&code, ORIGIN, &client, HERE).await, Err(HandoffFault::Unknown)));

    let (in_time, late) = (offer().await, offer().await);
    house.clock.advance(handoff::LIFE - Duration::SECOND);
    assert!(handoffs.take(&in_time, ORIGIN, &client, HERE).await.is_ok());
    house.clock.advance(Duration::SECOND);
    assert!(matches!(handoffs.take(&late, ORIGIN, &client, HERE).await, Err(HandoffFault::Unknown)));

    let code = offer().await;
    house.sessions.revoke(ADA, first.id).await.expect("ended");
    let ended = handoffs.take(&code, ORIGIN, &client, HERE).await;
    assert!(matches!(ended, Err(HandoffFault::Unknown)), "what has ended hands nothing on: {ended:?}");
}

#[tokio::test]
async fn a_session_that_was_handed_on_ends_with_the_first() {
    let house = House::new().await;
    let first = house.open(ADA).await.session;
    house.clock.advance(Duration::minutes(50));
    let second = house.sessions.open_beside(&first, ORIGIN, "a frame").await.expect("opened").expect("alive");
    assert_eq!((second.session.wallet, second.session.expires_at), (ADA, first.expires_at));
    assert_eq!(second.session.created_at, first.created_at, "nobody has signed anew");
    let other = house.other_process(secrets(1, None));
    assert_eq!(other.check(second.token.reveal()).await.expect("elsewhere").created_at, first.created_at);
    assert_ne!(second.session.id, first.id);
    house.sessions.revoke(ADA, first.id).await.expect("ended");
    assert!(house.sessions.check(second.token.reveal()).await.is_ok(), "each is ended by itself");
}

#[tokio::test]
async fn what_has_ended_elsewhere_opens_no_session_beside_it() {
    let house = House::new().await;
    let other = house.other_process(secrets(1, None));
    let opened = house.open(ADA).await;
    let first = other.check(opened.token.reveal()).await.expect("known here");
    house.sessions.revoke_all(ADA).await.expect("ended");
    assert!(other.is_alive(first.id).await, "the other process has not looked yet");
    assert!(other.open_beside(&first, ORIGIN, "late").await.expect("asked").is_none());
    assert_eq!(house.sessions.list(ADA).await.expect("a list"), []);
    // All at once: whatever was opened before the end is ended by it, and nothing is opened after it.
    for _ in 0..20 {
        let first = house.open(ADA).await.session;
        let late = (0..4).map(|_| other.open_beside(&first, ORIGIN, "at once"));
        let (_, ended) = tokio::join!(futures_util::future::join_all(late), house.sessions.revoke_all(ADA));
        ended.expect("ended");
        assert_eq!(house.sessions.list(ADA).await.expect("a list"), []);
    }
}

#[tokio::test]
async fn a_frames_own_code_works_from_the_browser_that_signed_alone() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let house = House::new().await;
    let handoffs = house.handoffs();
    let first = house.open(ADA).await.session;
    let client = Client::new(HERE, "Firefox");
    let code = "a frame's own code of many characters";
    let challenge = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, code.as_bytes()));
    let waiting = handoffs.take(code, ORIGIN, &client, HERE).await;
    assert!(matches!(waiting, Err(HandoffFault::Unknown)), "nobody has signed yet: {waiting:?}");
    handoffs.lay_ready(&first, ORIGIN, &challenge, &client).await.expect("ready");
    let twice = handoffs.lay_ready(&first, ORIGIN, &challenge, &client).await;
    assert!(matches!(twice, Err(HandoffFault::BadChallenge)), "{twice:?}");
    assert_eq!(handoffs.take(code, ORIGIN, &client, HERE).await.expect("ours"), first);

    let elsewhere: IpAddr = Ipv4Addr::new(203, 0, 113, 9).into();
    for stranger in [Client::new(elsewhere, "Firefox"), Client::new(HERE, "curl")] {
        handoffs.lay_ready(&first, ORIGIN, &challenge, &client).await.expect("ready");
        let lured = handoffs.take(code, ORIGIN, &stranger, elsewhere).await;
        assert!(matches!(lured, Err(HandoffFault::Foreign)), "{lured:?}");
    }
    for bad in ["", "short", &challenge[1..], &format!("{challenge}="), "é"] {
        let refused = handoffs.lay_ready(&first, ORIGIN, bad, &client).await;
        assert!(matches!(refused, Err(HandoffFault::BadChallenge)), "{bad}: {refused:?}");
    }
    handoffs.lay_ready(&first, ORIGIN, &challenge, &client).await.expect("ready");
    house.clock.advance(Duration::hours(1));
    handoffs.prune().await.expect("pruned");
    let rows: i64 = sqlx::query_scalar("select count(*) from handoff")
        .fetch_one(&house.database.pool)
        .await
        .expect("counted");
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn no_debug_shows_a_token_or_a_secret() {
    let house = House::new().await;
    let opened = house.open(ADA).await;
    let code = house.handoffs().offer(&opened.session, ORIGIN).await.expect("a code");
    let printed = format!(
        "{:?} {:?} {opened:?} {code:?} {:?} {:?}",
        house.sessions,
        secrets(1, Some(2)),
        house.handoffs(),
        house.nonces(),
    );
    let (token, code) = (opened.token.reveal(), code.reveal());
    assert!(!printed.contains(&token[..20]) && !printed.contains(&token[token.len() - 20..]), "{printed}");
    assert!(!printed.contains(code) && printed.contains("[secret]"), "{printed}");
}
