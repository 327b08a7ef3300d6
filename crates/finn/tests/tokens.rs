//! Every attack on the token is refused with the same 401, and none of them reaches a provider.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Signer as _;
use ring::hmac;
use serde_json::{Value, json};

use crate::fake_keys::{Signer, encode};
use crate::house::{House, read, send};

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut changed = claims.clone();
    changed[name] = value;
    changed
}

fn without(claims: &Value, name: &str) -> Value {
    let mut changed = claims.clone();
    changed.as_object_mut().unwrap().remove(name);
    changed
}

fn flip_last(text: &str) -> String {
    let mut flipped = text.to_owned();
    let last = flipped.pop().unwrap();
    flipped.push(if last == 'A' { 'B' } else { 'A' });
    flipped
}

#[tokio::test]
async fn every_attack_gets_the_same_401() {
    let house = House::open().await;
    let signer = &house.signer;
    let claims = house.claims();
    let now = claims["iat"].as_i64().unwrap();
    let good_header = signer.header().to_string();
    let payload = claims.to_string();
    let good = signer.token(&house.claims());
    let parts: Vec<&str> = good.split('.').collect();
    let header = |change: fn(&mut Value)| {
        let mut header = signer.header();
        change(&mut header);
        signer.seal(&header.to_string(), &payload)
    };
    let hs256 = {
        let signed = format!(
            "{}.{}",
            encode(json!({"alg":"HS256","kid":"key-1","typ":"JWT"}).to_string()),
            encode(&payload)
        );
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, signer.point()), signed.as_bytes());
        format!("{signed}.{}", encode(tag))
    };
    let stranger = Signer::new("key-1");
    let attacks: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("wrong audience", signer.token(&with(&claims, "aud", json!("loa-dixie")))),
        ("audience list", signer.token(&with(&claims, "aud", json!(["loa-finn"])))),
        ("wrong issuer", signer.token(&with(&claims, "iss", json!("loa-finn")))),
        ("expired", signer.token(&with(&with(&claims, "iat", json!(now - 66)), "exp", json!(now - 6)))),
        ("future iat", signer.token(&with(&with(&claims, "iat", json!(now + 31)), "exp", json!(now + 90)))),
        ("too long a life", signer.token(&with(&claims, "exp", json!(now + 3600)))),
        ("exp as text", signer.token(&with(&claims, "exp", json!((now + 60).to_string())))),
        ("unsigned", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{good}.x")),
        (
            "alg none",
            format!("{}.{}.", encode(json!({"alg":"none","kid":"key-1","typ":"JWT"}).to_string()), parts[1]),
        ),
        ("alg none, signed", header(|header| header["alg"] = json!("none"))),
        ("alg HS256 with the public key", hs256),
        ("alg ES384", header(|header| header["alg"] = json!("ES384"))),
        ("wrong kid", header(|header| header["kid"] = json!("key-2"))),
        ("no kid", header(|header| drop(header.as_object_mut().unwrap().remove("kid")))),
        ("no typ", header(|header| drop(header.as_object_mut().unwrap().remove("typ")))),
        ("crit", header(|header| header["crit"] = json!(["exp"]))),
        ("a stranger's key under our kid", stranger.token(&claims)),
        (
            "tampered payload",
            format!("{}.{}.{}", parts[0], encode(payload.replace("\"9\"", "\"1\"")), parts[2]),
        ),
        (
            "tampered signature",
            format!("{}.{}.{}", parts[0], parts[1], flip_last(&parts[2][..85]) + &parts[2][85..]),
        ),
        ("signature's spare bits", format!("{}.{}.{}", parts[0], parts[1], &parts[2][..85]) + "_"),
        ("padding", format!("{}.{}.{}==", parts[0], parts[1], parts[2])),
        ("standard base64", format!("{}.{}.{}", parts[0], parts[1], STANDARD.encode([255; 64]))),
        ("a space", format!("{} .{}.{}", parts[0], parts[1], parts[2])),
        ("duplicate claim", signer.seal(&good_header, &payload.replacen('{', r#"{"aud":"loa-dixie","#, 1))),
        (
            "duplicate header member",
            signer.seal(&good_header.replacen('{', r#"{"alg":"none","#, 1), &payload),
        ),
        ("payload no object", signer.seal(&good_header, "[]")),
        ("payload no JSON", signer.seal(&good_header, "claims")),
        ("no iss", signer.token(&without(&claims, "iss"))),
        ("no aud", signer.token(&without(&claims, "aud"))),
        ("no exp", signer.token(&without(&claims, "exp"))),
        ("no iat", signer.token(&without(&claims, "iat"))),
        ("no jti", signer.token(&without(&claims, "jti"))),
        ("empty jti", signer.token(&with(&claims, "jti", json!("")))),
        ("tier of another world", signer.token(&with(&claims, "tier", json!("10")))),
        ("tier as number", signer.token(&with(&claims, "tier", json!(4)))),
        ("huge", signer.token(&with(&claims, "jti", json!("x".repeat(5000))))),
        ("DER signature", format!("{}.{}.{}", parts[0], parts[1], encode([0x30; 70]))),
    ];
    let question = json!({"prompt": "hi", "stream": true});
    let mut bodies = std::collections::BTreeSet::new();
    for (name, token) in attacks {
        let answer = house.ask_with(&token, &question).await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.body);
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{name}");
        bodies.insert(answer.body);
    }
    assert_eq!(bodies.len(), 1, "a refusal tells nothing: {bodies:?}");
    assert!(house.first.seen().is_empty());
    assert_eq!(house.ask_with(&good, &question).await.status, 200, "no attack used the good token up");
}

#[tokio::test]
async fn a_token_passes_once() {
    let house = House::open().await;
    let token = house.token();
    let question = json!({"prompt": "hi", "stream": true, "requested_pool": "cheap"});
    assert_eq!(house.ask_with(&token, &question).await.status, 200);
    assert_eq!(house.ask_with(&token, &question).await.status, 401);
    let sixty_four = time::Duration::seconds(64);
    house.clock.advance(sixty_four);
    assert_eq!(house.ask_with(&token, &question).await.status, 401, "still within the leeway");
    assert_eq!(house.first.seen().len(), 1);
}

#[tokio::test]
async fn of_many_copies_at_once_one_passes() {
    let house = House::open().await;
    let (token, question) = (house.token(), json!({"prompt": "hi", "stream": true}));
    let asks = (0..20).map(|_| house.ask_with(&token, &question));
    let answers = futures_util::future::join_all(asks).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 401).count(), 19);
}

#[tokio::test]
async fn the_header_is_one_bearer_token() {
    let house = House::open().await;
    let question = json!({"prompt": "hi", "stream": true});
    for values in [
        vec![],
        vec!["Basic eDp5".to_owned()],
        vec!["Bearer".to_owned()],
        vec![format!("Bearer {}", house.token()), format!("Bearer {}", house.token())],
    ] {
        let mut request = House::request("x", &question);
        request.headers_mut().remove("authorization");
        for value in &values {
            request.headers_mut().append("authorization", value.parse().unwrap());
        }
        assert_eq!(read(send(house.addr, request).await).await.status, 401, "{values:?}");
    }
}

/// ring made the other tokens; here another library signs and ring verifies.
#[tokio::test]
async fn an_independent_signer_is_understood() {
    let house = House::open().await;
    let key = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = key.verifying_key().to_sec1_point(false);
    let jwk = json!({"kty":"EC","crv":"P-256","kid":"p256","x":encode(&point.as_bytes()[1..33]),"y":encode(&point.as_bytes()[33..])});
    house.keys.set(crate::fake_keys::Keys::Set { etag: "\"2\"".into(), keys: vec![jwk] });
    let header = json!({"typ":"JWT","alg":"ES256","kid":"p256","x5t":"ignored"}).to_string();
    let signed = format!("{}.{}", encode(header), encode(house.claims().to_string()));
    let signature: p256::ecdsa::Signature = key.sign(signed.as_bytes());
    let token = format!("{signed}.{}", encode(signature.to_bytes()));
    let answer = house.ask_with(&token, &json!({"prompt": "hi", "stream": true})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}
