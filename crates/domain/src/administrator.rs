//! Who administers, and what becomes of their request for a repair: it is confirmed by whoever asked, approved by a second
//! administrator, or by the operator.
//!
//! What always holds: a key with the scope `admin` asks and never confirms; a wallet confirms with a signature of the last
//! [`CONFIRM_WITHIN`]; where a community has two administrators, asking and confirming are two persons' work. Deliberately
//! absent: how a caller proves who it is (the doors and `identity`), and the repairs themselves.

use std::sync::Arc;

use identity::ApiKey;
use time::OffsetDateTime;
use types::{CommunityId, WalletId};
use uuid::Uuid;

use crate::Ctx;
use crate::admin::{self, By, CONFIRM_WITHIN, Confirmation, Deed};
use crate::community;

/// Who administers.
#[derive(Clone, Debug)]
pub enum Administrator {
    /// Whoever holds the operator's token: everything.
    Operator,
    /// A key with the scope `admin`: its own community.
    OfCommunity(Arc<ApiKey>),
    /// A wallet that is signed in and stands among the community's administrators: that community, for this request.
    OfWallet {
        /// Who.
        wallet: WalletId,
        /// The one community that was looked up.
        community: CommunityId,
        /// When the wallet signed: a repair of money wants a fresh signature.
        signed_at: OffsetDateTime,
    },
}

impl Administrator {
    /// How the record of deeds names them.
    #[must_use]
    pub fn who(&self) -> String {
        match self {
            Self::Operator => "operator".to_owned(),
            Self::OfCommunity(key) => format!("key:{}", key.public_id),
            Self::OfWallet { wallet, .. } => format!("wallet:{wallet}"),
        }
    }

    /// Whether something of this community, or (`None`) of none, is theirs to administer.
    #[must_use]
    pub fn administers(&self, of: Option<CommunityId>) -> bool {
        match self {
            Self::Operator => true,
            Self::OfCommunity(key) => of == Some(key.community),
            Self::OfWallet { community, .. } => of == Some(*community),
        }
    }

    /// Whether they proved themselves just now. A key and the operator's token are shown with each request.
    pub(crate) fn is_fresh(&self, now: OffsetDateTime) -> bool {
        match self {
            Self::Operator | Self::OfCommunity(_) => true,
            Self::OfWallet { signed_at, .. } => *signed_at + CONFIRM_WITHIN > now,
        }
    }
}

/// What a request for a repair came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requested {
    /// It was asked for the first time: who has to send what.
    First(Confirmation, By),
    /// It was confirmed: do it, in the name of these.
    Confirmed(String),
    /// It came with a token that does not serve.
    NotConfirmed,
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The wallet signed too long ago.
    #[error("the wallet has to sign in again")]
    NotFresh,
    /// The database failed.
    #[error(transparent)]
    Unexpected(#[from] sqlx::Error),
}

/// Asks for a deed that moves no money that a vendor has not confirmed, or confirms it with the token of the first request.
pub async fn request(
    ctx: &Ctx,
    who: &Administrator,
    token: Option<Uuid>,
    deed: Deed<'_>,
) -> Result<Requested, RequestError> {
    let clock = &ctx.clock;
    if !who.is_fresh(clock.now()) {
        return Err(RequestError::NotFresh);
    }
    let by = match who {
        Administrator::Operator => By::Oneself,
        Administrator::OfCommunity(_) => By::Another,
        Administrator::OfWallet { community, .. } => {
            let admins = community::admins(ctx, *community).await?;
            if admins.len() > 1 { By::Another } else { By::Oneself }
        }
    };
    let mut tx = ctx.db.begin().await?;
    let Some(token) = token else {
        let confirmation = admin::ask_twice(&mut tx, clock, deed, by).await?;
        tx.commit().await?;
        return Ok(Requested::First(confirmation, by));
    };
    let requested = match admin::confirm(&mut tx, clock, token, deed).await? {
        None => Requested::NotConfirmed,
        Some(first) if first == deed.who => Requested::Confirmed(first),
        // Whoever confirms what a key asked for may hold that key: where there are two administrators, the other one
        // approves as well.
        Some(first) if admin::is_key(&first) && by == By::Another => {
            Requested::First(admin::ask_twice(&mut tx, clock, deed, by).await?, by)
        }
        Some(first) => Requested::Confirmed(format!("{first}, approved by {}", deed.who)),
    };
    tx.commit().await?;
    Ok(requested)
}
