//! Making, listing, rotating and revoking keys. Each runs in one transaction and tells the other processes by a row in
//! `changes` of that same transaction.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use types::{AccountId, KeyId};

use super::store::{self, Proof, Row};
use super::{
    ApiKeyRow, KEPT_AFTER_END, KeyError, KeyLimits, KeyRequest, KeyRing, LISTED_AFTER_END, MADE_WITHIN,
    MAX_ACTIVE_KEYS, MAX_MADE_A_DAY, MAX_NAME_CHARACTERS, MAX_OVERLAP, NewKey,
};
use crate::ShownOnce;
use crate::changes;
use crate::key_text::{self, KeyText, PublicId};

/// Ids are drawn from 60 random bits and from the clock; two clashes in a row are not chance.
const MAX_DRAWS: u32 = 4;

impl KeyRing {
    /// Makes a key. Its text is in the answer and nowhere else.
    pub async fn create(&self, new: KeyRequest) -> Result<NewKey, KeyError> {
        let mut tx = self.0.db.begin().await?;
        let made = self.create_in(&mut tx, new).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Makes a key within the caller's transaction (READ COMMITTED, the default), so that an account and its first key
    /// appear together. The key works once the transaction has committed.
    pub async fn create_in(&self, tx: &mut PgConnection, new: KeyRequest) -> Result<NewKey, KeyError> {
        let new = checked(new)?;
        let now = self.0.clock.now();
        store::lock_account(tx, new.account).await?;
        if store::count_active(tx, new.account, None, now).await? >= MAX_ACTIVE_KEYS {
            return Err(KeyError::TooMany);
        }
        self.insert(tx, &new, now).await
    }

    /// The account's keys, newest first, with those that ended in the last [`LISTED_AFTER_END`].
    pub async fn list(&self, account: AccountId) -> Result<Vec<ApiKeyRow>, KeyError> {
        let ended_after = self.0.clock.now() - LISTED_AFTER_END;
        Ok(store::list(&self.0.db, account, ended_after).await?)
    }

    /// Makes a key that takes the place of another, with its name, scopes and limits; the old one works until `overlap`
    /// has passed (0…7 days, see [`super::DEFAULT_OVERLAP`]). Whoever rotates sees the new key: `permit` says whether they
    /// may.
    pub async fn rotate(
        &self,
        account: AccountId,
        public_id: &str,
        overlap: Duration,
        permit: impl FnOnce(&ApiKeyRow) -> bool,
    ) -> Result<NewKey, KeyError> {
        if overlap.is_negative() || overlap > MAX_OVERLAP {
            return Err(KeyError::BadOverlap);
        }
        let id = PublicId::parse(public_id).ok_or(KeyError::NotFound)?;
        let mut tx = self.0.db.begin().await?;
        store::lock_account(&mut tx, account).await?;
        let now = self.0.clock.now();
        let old = store::lock_key(&mut tx, account, id)
            .await?
            .filter(|old| old.is_active(now))
            .ok_or(KeyError::NotFound)?;
        if !permit(&old) {
            return Err(KeyError::Beyond);
        }
        if old.replaced_by.is_some() {
            return Err(KeyError::AlreadyReplaced);
        }
        // Without an overlap the old key is over at once and needs no room beside the new one.
        let leaving = overlap.is_zero().then_some(old.id);
        if store::count_active(&mut tx, account, leaving, now).await? >= MAX_ACTIVE_KEYS {
            return Err(KeyError::TooMany);
        }
        let end = now + overlap;
        let new = KeyRequest {
            community: old.community,
            account,
            name: old.name,
            kind: old.kind,
            scopes: old.scopes,
            limits: KeyLimits {
                requests_per_minute: old.requests_per_minute,
                tokens_per_day: old.tokens_per_day,
            },
        };
        let made = self.insert(&mut tx, &new, now).await?;
        store::replace(&mut tx, old.id, made.key.id, end).await?;
        changes::announce(&mut tx, changes::API_KEY, id.as_str(), now).await?;
        tx.commit().await?;
        self.0.cache.end_at(id, end, now);
        Ok(made)
    }

    /// Ends a key that `permit` allows to be ended: at once here, within the next poll in other processes. Revoking twice is
    /// a quiet success.
    pub async fn revoke(
        &self,
        account: AccountId,
        public_id: &str,
        permit: impl FnOnce(&ApiKeyRow) -> bool,
    ) -> Result<(), KeyError> {
        let id = PublicId::parse(public_id).ok_or(KeyError::NotFound)?;
        let mut tx = self.0.db.begin().await?;
        let now = self.0.clock.now();
        let key = store::lock_key(&mut tx, account, id).await?.ok_or(KeyError::NotFound)?;
        if !permit(&key) {
            return Err(KeyError::Beyond);
        }
        if key.revoked_at.is_none() {
            store::revoke(&mut tx, key.id, now).await?;
            changes::announce(&mut tx, changes::API_KEY, id.as_str(), now).await?;
        }
        tx.commit().await?;
        self.0.cache.end(id, now);
        Ok(())
    }

    /// Writes a new key of an account that is locked, when it has not made too many today.
    async fn insert(
        &self,
        tx: &mut PgConnection,
        new: &KeyRequest,
        now: OffsetDateTime,
    ) -> Result<NewKey, KeyError> {
        store::forget_ended(tx, new.account, now - KEPT_AFTER_END).await?;
        // Of the newest twenty the oldest is in the way for as long as it is not a day old.
        if let Some(oldest) = store::made_before(tx, new.account, MAX_MADE_A_DAY - 1).await?
            && oldest > now - MADE_WITHIN
        {
            let until = oldest + MADE_WITHIN;
            let left = ((until - now).whole_milliseconds() + 999) / 1_000;
            return Err(KeyError::TooManyToday { until, retry_after_s: u32::try_from(left).unwrap_or(1) });
        }
        for _ in 0..MAX_DRAWS {
            let (secret, row) = self.draw(new, now).map_err(|_| no_randomness())?;
            if store::insert(tx, &row).await? {
                return Ok(NewKey { key: row.view, secret });
            }
        }
        Err(KeyError::Unexpected(anyhow::anyhow!("{MAX_DRAWS} key ids in a row were taken")))
    }

    fn draw(
        &self,
        new: &KeyRequest,
        now: OffsetDateTime,
    ) -> Result<(ShownOnce, Row), ring::error::Unspecified> {
        let random = &self.0.random;
        let (public_id, text) = key_text::make(new.kind, random)?;
        let secret = ShownOnce::new(text);
        let parsed = KeyText::parse(secret.reveal()).expect("`make` writes what `parse` reads");
        let proof = Proof::make(&self.0.peppers, random, parsed.secret)?;
        let view = ApiKeyRow {
            id: KeyId(self.0.clock.big_id()),
            public_id: public_id.as_str().to_owned(),
            community: new.community,
            account: new.account,
            name: new.name.clone(),
            kind: new.kind,
            scopes: new.scopes,
            requests_per_minute: new.limits.requests_per_minute,
            tokens_per_day: new.limits.tokens_per_day,
            created_at: now,
            last_used_at: None,
            expires_at: None,
            revoked_at: None,
            replaced_by: None,
        };
        Ok((secret, Row { view, proof }))
    }
}

fn checked(mut new: KeyRequest) -> Result<KeyRequest, KeyError> {
    new.name = new.name.trim().to_owned();
    let characters = new.name.chars().count();
    if !(1..=MAX_NAME_CHARACTERS).contains(&characters) || new.name.chars().any(types::text::is_control) {
        return Err(KeyError::BadName);
    }
    let KeyLimits { requests_per_minute, tokens_per_day } = new.limits;
    if requests_per_minute == 0
        || tokens_per_day == 0
        || i32::try_from(requests_per_minute).is_err()
        || i64::try_from(tokens_per_day).is_err()
    {
        return Err(KeyError::BadLimits);
    }
    Ok(new)
}

fn no_randomness() -> KeyError {
    KeyError::Unexpected(anyhow::anyhow!("the system gave no random bytes"))
}
