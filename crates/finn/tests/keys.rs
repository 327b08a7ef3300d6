//! The key cache: revalidation, the cool-down, the limit of staleness, and hostile answers.

use std::sync::Arc;

use client::Client;
use finn::jwks::{COOL_DOWN_SECONDS, FetchError, JwksCache, NoKey, STALE_SECONDS};
use serde_json::json;
use time::Duration;
use time::macros::datetime;
use types::Clock;

use crate::fake_keys::{KeyServer, Keys, Signer};

fn set(etag: &str, signers: &[&Signer]) -> Keys {
    Keys::Set { etag: etag.to_owned(), keys: signers.iter().map(|signer| signer.jwk()).collect() }
}

async fn cache(keys: Keys) -> (KeyServer, Arc<JwksCache>, Clock) {
    let server = KeyServer::start(keys).await;
    let clock = Clock::fixed(datetime!(2026-01-01 0:00 UTC));
    let cache = JwksCache::new(&server.url(), Client::new(), clock.clone()).unwrap();
    (server, Arc::new(cache), clock)
}

#[tokio::test]
async fn an_unchanged_set_is_confirmed_by_its_etag() {
    let key = Signer::new("a");
    let (server, cache, clock) = cache(set("\"1\"", &[&key])).await;
    cache.revalidate().await.unwrap();
    clock.advance(Duration::seconds(60));
    assert_eq!(cache.age_seconds(), Some(60));
    cache.revalidate().await.unwrap();
    assert_eq!(cache.age_seconds(), Some(0), "a 304 is a good answer");
    assert_eq!(server.answered(), [200, 304]);
    assert_eq!(cache.key("a").await.unwrap()[..], *key.point());
}

#[tokio::test]
async fn a_changed_set_is_in_force_after_one_revalidation() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let (server, cache, _) = cache(set("\"1\"", &[&old])).await;
    cache.revalidate().await.unwrap();
    server.set(set("\"2\"", &[&new]));
    cache.revalidate().await.unwrap();
    assert!(cache.key("new").await.is_ok());
    assert_eq!(cache.key("old").await, Err(NoKey::Unknown), "a revoked key is gone");
}

#[tokio::test]
async fn an_unknown_key_id_asks_once_per_cool_down_whoever_asks() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let (server, cache, clock) = cache(set("\"1\"", &[&a])).await;
    cache.revalidate().await.unwrap();
    let misses = (0..50).map(|_| cache.key("b"));
    let answers = futures_util::future::join_all(misses).await;
    assert!(answers.iter().all(|answer| *answer == Err(NoKey::Unknown)));
    assert_eq!(server.answered().len(), 2, "fifty misses, one fetch");

    server.set(set("\"2\"", &[&a, &b]));
    clock.advance(Duration::seconds(COOL_DOWN_SECONDS - 1));
    assert_eq!(cache.key("b").await, Err(NoKey::Unknown), "cooling down");
    assert!(cache.key("a").await.is_ok(), "a miss evicts nothing");
    clock.advance(Duration::seconds(1));
    assert!(cache.key("b").await.is_ok());
    assert_eq!(server.answered().len(), 3);
}

#[tokio::test]
async fn stale_keys_serve_four_minutes_and_no_longer() {
    let key = Signer::new("a");
    let (server, cache, clock) = cache(set("\"1\"", &[&key])).await;
    cache.revalidate().await.unwrap();
    server.set(Keys::Status(503));
    assert!(matches!(cache.revalidate().await, Err(FetchError::Status(503))));
    clock.advance(Duration::seconds(STALE_SECONDS));
    assert!(cache.key("a").await.is_ok());
    clock.advance(Duration::seconds(1));
    assert_eq!(cache.key("a").await, Err(NoKey::Stale));
    server.set(set("\"1\"", &[&key]));
    clock.advance(Duration::seconds(COOL_DOWN_SECONDS));
    assert!(cache.key("a").await.is_ok(), "it recovers by itself");
}

#[tokio::test]
async fn hostile_answers_change_nothing() {
    let key = Signer::new("a");
    let (server, cache, _) = cache(set("\"1\"", &[&key])).await;
    cache.revalidate().await.unwrap();
    let twice = json!({"keys": [key.jwk(), key.jwk()]}).to_string().into_bytes();
    let deep = format!("{{\"keys\":[{}1{}]}}", "[".repeat(10_000), "]".repeat(10_000)).into_bytes();
    for body in [
        b"<html>".to_vec(),
        b"{}".to_vec(),
        b"null".to_vec(),
        vec![0xff; 100],
        vec![b' '; 70_000],
        twice,
        deep,
    ] {
        server.set(Keys::Raw(body));
        assert!(cache.revalidate().await.is_err());
        assert!(cache.key("a").await.is_ok());
    }
    server.set(Keys::Status(304));
    cache.revalidate().await.unwrap();
    assert!(cache.key("a").await.is_ok());
}

#[tokio::test]
async fn without_a_first_answer_nothing_is_known() {
    let (server, cache, clock) = cache(Keys::Status(304)).await;
    assert!(cache.revalidate().await.is_err(), "not modified, compared with what?");
    assert_eq!(cache.key("a").await, Err(NoKey::Stale));
    let key = Signer::new("a");
    server.set(set("\"1\"", &[&key]));
    clock.advance(Duration::seconds(COOL_DOWN_SECONDS));
    assert!(cache.key("a").await.is_ok());
    assert!(JwksCache::new("file:///etc/passwd", Client::new(), clock).is_err());
}
