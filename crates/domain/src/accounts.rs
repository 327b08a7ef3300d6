//! Sign-up and upgrade of developers, and what a caller may do about its own account.

use std::net::IpAddr;

use identity::{ApiKey, ApiKeyRow, KeyError, KeyKind, KeyLimits, KeyRequest, NewKey, Scope, Scopes};
use ledger::{AccountKey, Source};
use time::{Duration, OffsetDateTime};
use types::{AccountId, CommunityId, WalletId, network_of};

use crate::Ctx;
use crate::admin::{self, Deed};
use crate::community::{self, Deputy};
use crate::flags::Flag;
use crate::key_rights::{self, Act, Forbidden, Target};
use crate::reports::account_of;

/// Sign-ups from one address, or one /64 of IPv6, in an hour (SPEC §6): enough for a workshop table, too few for a farm of sandboxes.
pub const SIGNUPS_PER_HOUR: i64 = 3;
/// A name is a label.
pub const NAME_CHARACTERS_AT_MOST: usize = 80;

/// A developer who just signed up.
#[derive(Debug)]
pub struct Registered {
    /// The developer.
    pub developer_id: i64,
    /// The developer's own community.
    pub community: CommunityId,
    /// The account that pays.
    pub account: AccountId,
    /// The sandbox key, shown once.
    pub key: NewKey,
}

/// Why a sign-up was refused.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Empty, too long, or with control characters.
    #[error("a name has 1 to {NAME_CHARACTERS_AT_MOST} characters and no control characters")]
    BadName,
    /// Three in this hour from this address.
    #[error("{SIGNUPS_PER_HOUR} sign-ups an hour from one address")]
    TooMany {
        /// Seconds until the oldest of them is an hour old.
        retry_after_s: u32,
    },
    /// Sign-up is switched off here.
    #[error("sign-up is switched off")]
    Off,
    /// This wallet has signed up before.
    #[error("this wallet has signed up before")]
    SignedUp,
    /// A surprise.
    #[error("unexpected")]
    Unexpected(#[from] anyhow::Error),
}

impl From<sqlx::Error> for RegisterError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unexpected(error.into())
    }
}

/// Signs a developer up: a community of their own, an account, a sandbox key. All of it or nothing. With a wallet, its
/// sessions stand for the account from now on.
pub async fn register(
    ctx: &Ctx,
    name: &str,
    address: IpAddr,
    wallet: Option<WalletId>,
) -> Result<Registered, RegisterError> {
    if !ctx.flags.is_on(Flag::ApiKeys) {
        return Err(RegisterError::Off);
    }
    let name = name.trim();
    if name.is_empty()
        || name.chars().count() > NAME_CHARACTERS_AT_MOST
        || name.chars().any(types::text::is_control)
    {
        return Err(RegisterError::BadName);
    }
    let now = ctx.clock.now();
    let mut tx = ctx.db.begin().await?;
    count_signup(&mut tx, address, now).await?;
    let community = CommunityId(ctx.clock.big_id());
    let account = AccountId(ctx.clock.big_id());
    let developer_id = ctx.clock.big_id();
    sqlx::query!(
        "insert into community (id, slug, name, created_at) values ($1, $2, $3, $4)",
        community.0,
        format!("dev-{community}"),
        name,
        now
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "insert into developer (id, name, community_id, account_id, created_at) values ($1, $2, $3, $4, $5)",
        developer_id,
        name,
        community.0,
        account.0,
        now
    )
    .execute(&mut *tx)
    .await?;
    if let Some(wallet) = wallet {
        own(&mut tx, developer_id, wallet).await?;
        // Who else would look after a community that a sign-up made?
        let by = Deputy { who: "sign-up", reason: "the wallet signed its own community up" };
        community::add_admin(&mut tx, &ctx.clock, community, wallet, by).await?;
    }
    ledger::open_account(&mut tx, &ctx.clock, AccountKey { community, account }, None).await?;
    let mut request = key_request(community, account, "sandbox", KeyKind::Sandbox);
    if wallet.is_some() {
        request.scopes = sandbox_scopes();
    }
    let key = ctx.keys.create_in(&mut tx, request).await.map_err(anyhow::Error::from)?;
    tx.commit().await?;
    Ok(Registered { developer_id, community, account, key })
}

/// Ties a developer to a wallet; one wallet is one developer.
async fn own(tx: &mut sqlx::PgConnection, developer_id: i64, wallet: WalletId) -> Result<(), RegisterError> {
    let done = sqlx::query("update developer set wallet = $2 where id = $1")
        .bind(developer_id)
        .bind(wallet.to_bytes())
        .execute(tx)
        .await;
    match done {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.constraint() == Some("developer_wallet_key") => {
            Err(RegisterError::SignedUp)
        }
        Err(error) => Err(error.into()),
    }
}

/// What a caller may do about an account: by a key of it, or as the wallet that signed it up.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The account.
    pub account: AccountKey,
    /// Which keys it may make: a live one makes both.
    pub kind: KeyKind,
    /// What its keys may be allowed.
    pub scopes: Scopes,
    /// The most that its keys may be given.
    pub limits: KeyLimits,
    /// Who it is.
    pub by: By,
}

impl Standing {
    /// Whose share of what is shared the caller's requests take.
    #[must_use]
    pub fn client(&self) -> limits::Client {
        limits::Client::Account(self.account.community, self.account.account)
    }
}

/// Who acts on an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// A key of the account.
    Key {
        /// Its public part.
        public_id: String,
    },
    /// The wallet that signed the account up.
    Wallet {
        /// Whether it administers the account's community.
        is_admin: bool,
    },
}

impl From<&ApiKey> for Standing {
    fn from(key: &ApiKey) -> Self {
        let limits =
            KeyLimits { requests_per_minute: key.requests_per_minute, tokens_per_day: key.tokens_per_day };
        let by = By::Key { public_id: key.public_id.clone() };
        Self { account: account_of(key), kind: key.kind, scopes: key.scopes, limits, by }
    }
}

/// What a developer's wallet may do: what the best key of its account could. `None`: it has not signed up.
pub async fn standing_of(ctx: &Ctx, wallet: WalletId) -> anyhow::Result<Option<Standing>> {
    let found: Option<(i64, i64)> =
        sqlx::query_as("select community_id, account_id from developer where wallet = $1")
            .bind(wallet.to_bytes())
            .fetch_optional(&ctx.db)
            .await?;
    let Some((community, account)) = found else { return Ok(None) };
    let account = AccountKey { community: CommunityId(community), account: AccountId(account) };
    let kind = if has_paid(ctx, account).await? { KeyKind::Live } else { KeyKind::Sandbox };
    let is_admin = community::is_admin(ctx, account.community, wallet).await?;
    Ok(Some(Standing {
        account,
        kind,
        scopes: Scopes::developer(),
        limits: KeyLimits::default_for(kind),
        by: By::Wallet { is_admin },
    }))
}

/// Whether the account may have live keys: it was once given credits that somebody paid for or vouched for.
pub async fn has_paid(ctx: &Ctx, account: AccountKey) -> anyhow::Result<bool> {
    let paid = [Source::Purchase, Source::Grant, Source::X402, Source::Overpay];
    let mut connection = ctx.db.acquire().await?;
    Ok(ledger::report::has_lot(&mut connection, account, &paid).await?)
}

/// Counts a sign-up against the network that it comes from; the lock makes simultaneous ones wait for each other.
async fn count_signup(
    tx: &mut sqlx::PgConnection,
    address: IpAddr,
    now: OffsetDateTime,
) -> Result<(), RegisterError> {
    let hour_ago = now - Duration::hours(1);
    let address = network_of(address).to_string();
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('signup ' || $1, 0))", address)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("delete from signup where at <= $1", hour_ago).execute(&mut *tx).await?;
    let earlier =
        sqlx::query_scalar!("select at from signup where address = $1::text::inet order by at", address)
            .fetch_all(&mut *tx)
            .await?;
    if i64::try_from(earlier.len()).unwrap_or(i64::MAX) >= SIGNUPS_PER_HOUR {
        let oldest = earlier.first().copied().unwrap_or(now);
        let wait = (oldest - hour_ago).whole_seconds().clamp(1, 3_600);
        return Err(RegisterError::TooMany { retry_after_s: u32::try_from(wait).unwrap_or(3_600) });
    }
    sqlx::query!("insert into signup (address, at) values ($1::text::inet, $2)", address, now)
        .execute(&mut *tx)
        .await?;
    Ok(())
}

/// Whether nobody has signed up yet: a fresh installation shows its owner around.
pub async fn nobody_yet(ctx: &Ctx) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select not exists (select from developer) as "nobody!""#).fetch_one(&ctx.db).await
}

/// Why there is no live key.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    /// Nothing was bought or granted yet.
    #[error("a live key needs credits that were bought or granted")]
    NeedsCredit,
    /// The caller may not.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// New keys are switched off here.
    #[error("new keys are switched off")]
    Off,
    /// Ten keys are active.
    #[error(transparent)]
    Key(KeyError),
    /// A surprise.
    #[error("unexpected")]
    Unexpected(#[from] anyhow::Error),
}

/// A live key for an account that has bought, or been granted, credits: the usual live key, as far as the caller's scopes
/// and limits go. The sandbox key keeps working.
pub async fn upgrade(ctx: &Ctx, caller: &Standing) -> Result<NewKey, UpgradeError> {
    let account = caller.account;
    if !ctx.flags.is_on(Flag::ApiKeys) {
        return Err(UpgradeError::Off);
    }
    let has_paid = has_paid(ctx, account).await?;
    if matches!(caller.by, By::Wallet { .. }) && !has_paid {
        return Err(UpgradeError::NeedsCredit);
    }
    let caller = for_its_owner(ctx, caller).await?;
    let mut request = key_request(account.community, account.account, "live", KeyKind::Live);
    request.scopes = request.scopes.common(caller.scopes);
    request.limits = request.limits.at_most(caller.limits);
    key_rights::may(&caller, Act::Upgrade, &Target::from(&request))?;
    if !has_paid {
        return Err(UpgradeError::NeedsCredit);
    }
    ctx.keys.create(request).await.map_err(UpgradeError::Key)
}

/// The caller of an upgrade. An account that no wallet owns has nobody but its keys: there, a sandbox key that nobody has
/// narrowed is its owner's, and may open the live key. Where a wallet owns the account, that wallet does.
async fn for_its_owner(ctx: &Ctx, caller: &Standing) -> anyhow::Result<Standing> {
    let is_whole = caller.scopes.covers(Scopes::developer())
        && caller.limits.at_most(KeyLimits::default_for(KeyKind::Sandbox))
            == KeyLimits::default_for(KeyKind::Sandbox);
    if caller.kind == KeyKind::Live || !is_whole || has_wallet(ctx, caller.account).await? {
        return Ok(caller.clone());
    }
    Ok(Standing { kind: KeyKind::Live, limits: KeyLimits::default_for(KeyKind::Live), ..caller.clone() })
}

/// Whether a wallet signed the account up, or has it as a member.
async fn has_wallet(ctx: &Ctx, account: AccountKey) -> anyhow::Result<bool> {
    let AccountKey { community, account } = account;
    Ok(sqlx::query_scalar!(
        r#"select exists (select from developer where community_id = $1 and account_id = $2 and wallet is not null)
               or exists (select from member where community_id = $1 and account_id = $2) as "has_wallet!""#,
        community.0,
        account.0
    )
    .fetch_one(&ctx.db)
    .await?)
}

/// What a sandbox key of an account that a wallet owns may do, unless its owner says otherwise. It ends up in notebooks and
/// build servers; keys are made and revoked by the wallet.
#[must_use]
pub fn sandbox_scopes() -> Scopes {
    [Scope::Chat, Scope::Models, Scope::Usage].into_iter().collect()
}

/// The scopes of a key of this kind when the caller names none: all that the caller has, but no `keys` for the sandbox
/// key of a wallet.
#[must_use]
pub fn usual_scopes(caller: &Standing, kind: KeyKind) -> Scopes {
    match (&caller.by, kind) {
        (By::Wallet { .. }, KeyKind::Sandbox) => sandbox_scopes(),
        (By::Wallet { .. }, KeyKind::Live) | (By::Key { .. }, _) => caller.scopes,
    }
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateKeyError {
    /// New keys are switched off here.
    #[error("new keys are switched off")]
    Off,
    /// The caller may not.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The request cannot be fulfilled.
    #[error(transparent)]
    Key(KeyError),
}

/// A further key of the caller's account. A rotation is none of these: it keeps the number of keys, and works with the
/// switch off.
pub async fn create_key(ctx: &Ctx, caller: &Standing, request: KeyRequest) -> Result<NewKey, CreateKeyError> {
    if !ctx.flags.is_on(Flag::ApiKeys) {
        return Err(CreateKeyError::Off);
    }
    let request =
        KeyRequest { community: caller.account.community, account: caller.account.account, ..request };
    key_rights::may(caller, Act::Create, &Target::from(&request))?;
    ctx.keys.create(request).await.map_err(CreateKeyError::Key)
}

/// Makes a key that takes the place of another one of the caller's account; the old one works until `overlap` has passed.
pub async fn rotate_key(
    ctx: &Ctx,
    caller: &Standing,
    public_id: &str,
    overlap: Duration,
) -> Result<NewKey, KeyError> {
    let permit = |key: &ApiKeyRow| key_rights::may(caller, Act::Rotate, &Target::from(key)).is_ok();
    ctx.keys.rotate(caller.account.account, public_id, overlap, permit).await
}

/// Revokes a key of the caller's account, which may be the caller itself.
pub async fn revoke_key(ctx: &Ctx, caller: &Standing, public_id: &str) -> Result<(), KeyError> {
    let permit = |key: &ApiKeyRow| key_rights::may(caller, Act::Revoke, &Target::from(key)).is_ok();
    ctx.keys.revoke(caller.account.account, public_id, permit).await
}

/// A key for the admin API of the account's community, made by the operator. It asks no model and makes no keys.
pub async fn admin_key(ctx: &Ctx, account: AccountKey, who: &str, reason: &str) -> Result<NewKey, KeyError> {
    let unexpected = |error: sqlx::Error| KeyError::Unexpected(error.into());
    let scopes = [Scope::Admin, Scope::Usage].into_iter().collect();
    let wish = key_request(account.community, account.account, "admin", KeyKind::Live);
    let mut tx = ctx.db.begin().await.map_err(unexpected)?;
    let made = ctx.keys.create_in(&mut tx, KeyRequest { scopes, ..wish }).await?;
    let target = format!("key:{} of account {}", made.key.public_id, account.account);
    let community = Some(account.community);
    let deed = Deed { who, what: "key.admin", target: &target, reason, community };
    admin::record(&mut tx, &ctx.clock, deed).await.map_err(unexpected)?;
    tx.commit().await.map_err(unexpected)?;
    Ok(made)
}

fn key_request(community: CommunityId, account: AccountId, name: &str, kind: KeyKind) -> KeyRequest {
    KeyRequest {
        community,
        account,
        name: name.to_owned(),
        kind,
        scopes: Scopes::developer(),
        limits: KeyLimits::default_for(kind),
    }
}
