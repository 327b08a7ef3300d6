//! The claims of a token whose signature was verified.

use std::borrow::Cow;

use serde::Deserialize;
use types::{Pool, Tier, s2s};

use super::compact::{Members, members};
use super::{LEEWAY_SECONDS, MAX_AHEAD_SECONDS, Refusal};

/// A `jti` is a UUID; others are accepted up to this.
const MAX_JTI_BYTES: usize = 128;
/// Ids that travel on in headers and message ids.
const MAX_ID_BYTES: usize = 256;

/// What a good token says about the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's own id.
    pub jti: String,
    /// Unix seconds.
    pub expires_at: i64,
    /// `{collection slug}:{token id}`, or empty without an agent.
    pub nft_id: String,
    /// The asker's tier; the lowest when the token names none.
    pub tier: Tier,
    /// The hold that pays, as freeside wrote it.
    pub budget_reservation_id: String,
    /// The community whose budget pays.
    pub community_id: String,
    /// Who pays, opaque; empty when the token does not say, and then the community counts as one payer.
    pub payer: String,
    /// Pools that may answer, cheapest first: those of the token that the tier reaches too.
    pub allowed_pools: Vec<Pool>,
}

/// Reads and judges the payload at `now` (Unix seconds).
pub(super) fn read(payload: &[u8], now: i64) -> Result<Caller, Refusal> {
    let claims = members(payload).map_err(|_| Refusal::Claims)?;
    if required(&claims, "iss")? != s2s::ISSUER {
        return Err(Refusal::Issuer);
    }
    // A list of audiences is legal JWT, but not the contract: such a token is good elsewhere too.
    if required(&claims, "aud")? != s2s::AUDIENCE {
        return Err(Refusal::Audience);
    }
    let expires_at = claims.integer("exp").ok_or(Refusal::Claims)?;
    let issued_at = claims.integer("iat").ok_or(Refusal::Claims)?;
    if expires_at.saturating_add(LEEWAY_SECONDS) <= now {
        return Err(Refusal::Expired);
    }
    if issued_at > now.saturating_add(MAX_AHEAD_SECONDS) {
        return Err(Refusal::Future);
    }
    if claims.get("nbf").is_some() {
        let not_before = claims.integer("nbf").ok_or(Refusal::Claims)?;
        if not_before > now.saturating_add(MAX_AHEAD_SECONDS) {
            return Err(Refusal::Future);
        }
    }
    let life = expires_at.saturating_sub(issued_at);
    if !(0..=s2s::TOKEN_LIFE_SECONDS + LEEWAY_SECONDS).contains(&life) {
        return Err(Refusal::Lifetime);
    }
    let jti = required(&claims, "jti")?;
    if jti.is_empty() || jti.len() > MAX_JTI_BYTES {
        return Err(Refusal::Claims);
    }
    let tier = tier(&claims)?;
    Ok(Caller {
        expires_at,
        nft_id: optional(&claims, "nft_id")?,
        tier,
        budget_reservation_id: optional(&claims, "budget_reservation_id")?,
        community_id: optional(&claims, "community_id")?,
        payer: optional(&claims, "payer")?,
        allowed_pools: allowed_pools(&claims, tier)?,
        jti: jti.into_owned(),
    })
}

fn required<'a>(claims: &Members<'a>, name: &str) -> Result<Cow<'a, str>, Refusal> {
    claims.text(name).ok_or(Refusal::Claims)
}

/// A text that may be absent; it goes into headers, so it holds visible ASCII only.
fn optional(claims: &Members<'_>, name: &str) -> Result<String, Refusal> {
    if claims.get(name).is_none() {
        return Ok(String::new());
    }
    let text = required(claims, name)?;
    if text.len() > MAX_ID_BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::Claims);
    }
    Ok(text.into_owned())
}

/// `"1"` … `"9"`; absent or empty means the lowest, anything else is no token of ours.
fn tier(claims: &Members<'_>) -> Result<Tier, Refusal> {
    let text = optional(claims, "tier")?;
    if text.is_empty() {
        return Ok(Tier::SANDBOX);
    }
    let [digit @ b'1'..=b'9'] = text.as_bytes() else { return Err(Refusal::Claims) };
    Tier::new(digit - b'0').ok_or(Refusal::Claims)
}

/// The token's pools that the tier reaches too. Unknown names are ignored: a later version may have more pools.
fn allowed_pools(claims: &Members<'_>, tier: Tier) -> Result<Vec<Pool>, Refusal> {
    let Some(raw) = claims.get("allowed_pools") else { return Ok(tier.allowed_pools().to_vec()) };
    let names = Vec::<&str>::deserialize(&mut serde_json::Deserializer::from_str(raw.get()))
        .map_err(|_| Refusal::Claims)?;
    let named = |pool: &Pool| names.contains(&pool.as_str());
    Ok(tier.allowed_pools().iter().copied().filter(named).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(change: &str) -> String {
        format!(
            r#"{{"iss":"loa-freeside","aud":"loa-finn","iat":1000,"exp":1060,"jti":"j","tier":"4"{change}}}"#
        )
    }

    #[test]
    fn times_are_judged_at_their_edges() {
        let at = |now| read(payload("").as_bytes(), now).map(|_| ());
        assert_eq!(at(1000), Ok(()));
        assert_eq!(at(1064), Ok(()), "inside the leeway");
        assert_eq!(at(1065), Err(Refusal::Expired));
        assert_eq!(at(970), Ok(()), "30 s ahead");
        assert_eq!(at(969), Err(Refusal::Future));
        let long = payload("").replace("1060", "1066");
        assert_eq!(read(long.as_bytes(), 1000), Err(Refusal::Lifetime));
        let backwards = payload("").replace("1060", "999");
        assert_eq!(read(backwards.as_bytes(), 1000), Err(Refusal::Lifetime));
        assert_eq!(read(payload(r#","nbf":1031"#).as_bytes(), 1000), Err(Refusal::Future));
        let float = payload("").replace("1060", "1060.0");
        assert_eq!(read(float.as_bytes(), 1000), Err(Refusal::Claims));
    }

    #[test]
    fn pools_are_the_token_s_and_the_tier_s() {
        let pools = |change: &str| read(payload(change).as_bytes(), 1000).map(|caller| caller.allowed_pools);
        assert_eq!(pools("").as_deref(), Ok(&[Pool::Cheap, Pool::Standard, Pool::Reasoning][..]));
        assert_eq!(pools(r#","allowed_pools":["flagship","cheap","later"]"#), Ok(vec![Pool::Cheap]));
        assert_eq!(pools(r#","allowed_pools":[]"#), Ok(vec![]));
        assert_eq!(pools(r#","allowed_pools":"cheap""#), Err(Refusal::Claims));
    }

    #[test]
    fn ids_can_stand_in_a_header() {
        let nft =
            |id: &str| read(payload(&format!(r#","nft_id":"{id}""#)).as_bytes(), 1000).map(|c| c.nft_id);
        assert_eq!(nft("demo:7"), Ok("demo:7".to_owned()));
        assert_eq!(nft("a\\r\\nx-evil: 1"), Err(Refusal::Claims));
        assert_eq!(
            read(payload(r#","tier":"5""#).as_bytes(), 1000),
            Err(Refusal::Claims),
            "a repeated claim"
        );
    }
}
