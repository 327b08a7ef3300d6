//! What a caller may do to an API key: one rule, which every door and every page asks.
//!
//! What always holds: no key gives its holder more than it has itself, by any way. Whatever a key creates, upgrades to,
//! rotates or revokes lies within its own kind, scopes and limits; a sandbox key touches no live key; no key but itself
//! touches a key with the scope `admin`, which the operator makes. The one exception: a key may always revoke itself.
//! Deliberately absent: how many keys an account may have (`identity`), and whether new keys are switched on.

use identity::{ApiKeyRow, KeyKind, KeyLimits, KeyRequest, Scope, Scopes};

use crate::accounts::{By, Standing};

/// What is done to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A further key is made.
    Create,
    /// The account's live key is made.
    Upgrade,
    /// A new key takes the place of this one; whoever rotates sees its secret.
    Rotate,
    /// The key stops working.
    Revoke,
}

/// The key that it is done to, or that will be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The key's public part; `None`: it is still to be made.
    pub id: Option<&'a str>,
    /// Sandbox or live.
    pub kind: KeyKind,
    /// What it may do.
    pub scopes: Scopes,
    /// How much.
    pub limits: KeyLimits,
}

impl<'a> From<&'a ApiKeyRow> for Target<'a> {
    fn from(key: &'a ApiKeyRow) -> Self {
        let limits =
            KeyLimits { requests_per_minute: key.requests_per_minute, tokens_per_day: key.tokens_per_day };
        Self { id: Some(&key.public_id), kind: key.kind, scopes: key.scopes, limits }
    }
}

impl From<&KeyRequest> for Target<'_> {
    fn from(request: &KeyRequest) -> Self {
        Self { id: None, kind: request.kind, scopes: request.scopes, limits: request.limits }
    }
}

/// Why the caller may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The caller's key lacks the scope `keys`.
    #[error("the key lacks the scope `keys`")]
    NoScope,
    /// Only the operator makes and replaces keys of the admin API; an administrator's wallet may revoke them.
    #[error(
        "a key with the scope `admin` is made by the operator, and revoked by itself or by an administrator's wallet"
    )]
    Admin,
    /// The target is live and the caller is not.
    #[error("a sandbox key makes, replaces and revokes sandbox keys only")]
    Kind,
    /// The target may do something that the caller may not.
    #[error("the other key has scopes that the caller has not")]
    Scopes,
    /// The target may be asked more often than the caller.
    #[error("the other key allows more requests a minute than the caller's")]
    RequestsPerMinute,
    /// The target has more tokens a day than the caller.
    #[error("the other key allows more tokens a day than the caller's")]
    TokensPerDay,
}

/// Whether `caller` may do `act` to `target`, a key of the caller's own account.
pub fn may(caller: &Standing, act: Act, target: &Target<'_>) -> Result<(), Forbidden> {
    let is_admin_key = target.scopes.contains(Scope::Admin);
    match &caller.by {
        By::Key { public_id } => {
            if act == Act::Revoke && target.id == Some(public_id) {
                return Ok(());
            }
            if !caller.scopes.contains(Scope::Keys) {
                return Err(Forbidden::NoScope);
            }
            if is_admin_key { Err(Forbidden::Admin) } else { within(caller, target) }
        }
        // Whoever owns the account may end each of its keys, however it came to be.
        By::Wallet { is_admin } => match act {
            Act::Revoke if is_admin_key && !is_admin => Err(Forbidden::Admin),
            Act::Revoke => Ok(()),
            Act::Create | Act::Upgrade | Act::Rotate if is_admin_key => Err(Forbidden::Admin),
            Act::Create | Act::Upgrade | Act::Rotate => within(caller, target),
        },
    }
}

/// Whether the target's kind, scopes and limits lie within the caller's.
fn within(caller: &Standing, target: &Target<'_>) -> Result<(), Forbidden> {
    if target.kind == KeyKind::Live && caller.kind == KeyKind::Sandbox {
        return Err(Forbidden::Kind);
    }
    if !caller.scopes.covers(target.scopes) {
        return Err(Forbidden::Scopes);
    }
    if target.limits.requests_per_minute > caller.limits.requests_per_minute {
        return Err(Forbidden::RequestsPerMinute);
    }
    if target.limits.tokens_per_day > caller.limits.tokens_per_day {
        return Err(Forbidden::TokensPerDay);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
