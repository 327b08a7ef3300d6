//! Decisions about review items: which a person takes, which the operator has to approve, and the approvals.
//!
//! What always holds: money that no vendor confirmed is credited by the operator, or asked for by an administrator and
//! approved by the operator, never by an administrator alone; and nobody decides about an order of their own. Approving,
//! the credit and the record are one commit; two approvals credit once. Deliberately absent: the books' own rules
//! ([`mod@super::review`]), and what administrators may do without the operator ([`crate::administrator`]).

use ledger::AccountKey;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgPool, Row};
use time::OffsetDateTime;
use types::{AccountId, Clock, CommunityId, Wallet, WalletId};
use uuid::Uuid;

use super::apply;
use super::review::{self, ByPerson, Resolution, ResolveError, Resolved, ReviewItem, ReviewState};
use super::rule::Review;
use super::store;
use crate::Ctx;
use crate::admin::{self, By, Confirmation, Deed};
use crate::administrator::{self, Administrator, RequestError, Requested};

/// Requests about one item: who was declined so often takes it up with the operator in person.
pub const ASKS_PER_ITEM: i64 = 3;

/// A decision that waits for the operator, or has waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRequest {
    /// Its id; later ones are larger.
    pub id: Uuid,
    /// Whose item.
    pub community: CommunityId,
    /// The review item.
    pub item: i64,
    /// What it is about.
    pub kind: Review,
    /// The vendor's payment.
    pub payment_id: String,
    /// What is asked for.
    pub resolution: Resolution,
    /// Who asked, as [`Deed::who`] says it.
    pub who: String,
    /// Why.
    pub note: String,
    /// When.
    pub asked_at: OffsetDateTime,
    /// How it stands.
    pub state: ApprovalState,
}

/// How a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalState {
    /// It waits for the operator.
    Waiting,
    /// The operator approved it, and it was done in the same commit.
    Approved(ByPerson),
    /// The operator declined it: nothing was done.
    Declined(ByPerson),
    /// The item was closed meanwhile, by what the vendor said or by another decision: nothing is left to approve.
    Overtaken,
}

impl sqlx::FromRow<'_, PgRow> for ApprovalRequest {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let later =
            |what: &str| sqlx::Error::Decode(format!("approval_request.{what} is of a later version").into());
        let by = || -> Result<ByPerson, sqlx::Error> {
            Ok(ByPerson {
                at: row.try_get("decided_at")?,
                who: row.try_get("decided_by")?,
                note: row.try_get("decided_note")?,
            })
        };
        let is_open = row.try_get::<i16, _>("item_state")? == 0;
        let state = match row.try_get::<i16, _>("state")? {
            0 if is_open => ApprovalState::Waiting,
            0 => ApprovalState::Overtaken,
            1 => ApprovalState::Approved(by()?),
            2 => ApprovalState::Declined(by()?),
            _ => return Err(later("state")),
        };
        Ok(Self {
            id: row.try_get("id")?,
            community: CommunityId(row.try_get("community_id")?),
            item: row.try_get("item_id")?,
            kind: Review::from_db(row.try_get("kind")?).ok_or_else(|| later("kind"))?,
            payment_id: row.try_get("payment_id")?,
            resolution: Resolution::from_db(row.try_get("resolution")?).ok_or_else(|| later("resolution"))?,
            who: row.try_get("who")?,
            note: row.try_get("note")?,
            asked_at: row.try_get("asked_at")?,
            state,
        })
    }
}

/// Which requests to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichApprovals {
    /// Those that wait for the operator.
    Waiting,
    /// All that there ever were.
    All,
}

/// Requests, newest first, at most `limit` before the id `before`; of one community, or (`None`) of all.
pub async fn approvals(
    connection: &mut PgConnection,
    community: Option<CommunityId>,
    which: WhichApprovals,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ApprovalRequest>, sqlx::Error> {
    sqlx::query_as(
        "select request.id, request.community_id, request.item_id, request.resolution, request.who, request.note,
                request.asked_at, request.state, request.decided_by, request.decided_note, request.decided_at,
                item.kind, item.payment_id, item.state as item_state
         from approval_request request join review_item item on item.id = request.item_id
         where ($1::bigint is null or request.community_id = $1) and ($2::uuid is null or request.id < $2)
           and ($3 or (request.state = 0 and item.state = 0))
         order by request.id desc limit $4",
    )
    .bind(community.map(|community| community.0))
    .bind(before)
    .bind(which == WhichApprovals::All)
    .bind(limit)
    .fetch_all(connection)
    .await
}

/// The request about an item that waits, if one does.
async fn waiting_for(
    connection: &mut PgConnection,
    community: CommunityId,
    item: i64,
) -> Result<Option<ApprovalRequest>, sqlx::Error> {
    sqlx::query_as(
        "select request.id, request.community_id, request.item_id, request.resolution, request.who, request.note,
                request.asked_at, request.state, request.decided_by, request.decided_note, request.decided_at,
                item.kind, item.payment_id, item.state as item_state
         from approval_request request join review_item item on item.id = request.item_id
         where request.community_id = $1 and request.item_id = $2 and request.state = 0 and item.state = 0",
    )
    .bind(community.0)
    .bind(item)
    .fetch_optional(connection)
    .await
}

/// What became of a decision.
#[derive(Clone, Debug)]
pub enum Decided {
    /// It is asked for twice: this is the first answer.
    First(Confirmation, By),
    /// It waits for the operator.
    Waiting(ApprovalRequest),
    /// It came with a confirmation that does not serve.
    NotConfirmed,
    /// It was done.
    Done(Resolved),
}

/// Why nothing was decided.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The wallet signed too long ago.
    #[error("the wallet has to sign in again")]
    NotFresh,
    /// The order was bought by whoever wants to confirm: it is for somebody else.
    #[error("the order is the confirming administrator's own")]
    OwnOrder,
    /// Another decision about the item waits for the operator.
    #[error("another decision about the item waits for the operator")]
    OtherWaits(Box<ApprovalRequest>),
    /// The operator has declined this [`ASKS_PER_ITEM`] times.
    #[error("the operator has declined {ASKS_PER_ITEM} requests about the item")]
    DeclinedTooOften,
    /// As of an item that is closed.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

impl From<sqlx::Error> for DecideError {
    fn from(error: sqlx::Error) -> Self {
        Self::Resolve(error.into())
    }
}

impl From<RequestError> for DecideError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NotFresh => Self::NotFresh,
            RequestError::Unexpected(error) => error.into(),
        }
    }
}

/// Takes a decision about an item, or asks for what it still needs: a confirmation, a second administrator, the operator.
pub async fn decide(
    ctx: &Ctx,
    who: &Administrator,
    id: i64,
    resolution: Resolution,
    note: &str,
    token: Option<Uuid>,
) -> Result<Decided, DecideError> {
    let mut connection = ctx.db.acquire().await?;
    let item = review::review(&mut connection, id).await?;
    let item = item.filter(|item| who.administers(item.community)).ok_or(ResolveError::NoItem)?;
    if item.state != ReviewState::Open {
        return Err(ResolveError::Closed(Box::new(item)).into());
    }
    if resolution == Resolution::Credit && item.kind != Review::Overpay {
        return Err(ResolveError::NotAnOverpayment.into());
    }
    let is_own = is_own(&mut connection, who, &item).await?;
    drop(connection);
    match approval(who, resolution, is_own) {
        Approval::Operators if token.is_some() && is_own => return Err(DecideError::OwnOrder),
        Approval::Operators => return ask_operator(ctx, who, &item, resolution, note).await,
        Approval::Administrators => {}
    }
    let (name, target) = (who.who(), id.to_string());
    let deed = Deed {
        who: &name,
        what: resolution.deed(),
        target: &target,
        reason: note,
        community: item.community,
    };
    match administrator::request(ctx, who, token, deed).await? {
        Requested::First(confirmation, by) => Ok(Decided::First(confirmation, by)),
        Requested::NotConfirmed => Ok(Decided::NotConfirmed),
        Requested::Confirmed(names) => {
            let done = review::resolve(&ctx.db, &ctx.clock, id, resolution, &names, note).await;
            if let (Err(ResolveError::Frozen | ResolveError::MintingStopped), Some(token)) = (&done, token) {
                // Nothing was decided and nothing may be for now: the confirmation serves on until it is too old.
                admin::give_back(&mut *ctx.db.acquire().await?, token).await?;
            }
            Ok(Decided::Done(done?))
        }
    }
}

/// Whose approval a decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Approval {
    /// The administrators', as each repair.
    Administrators,
    /// The operator's.
    Operators,
}

/// The rule of SPEC §14: money that no vendor confirmed is the operator's, and so is what concerns the asker's own order.
fn approval(who: &Administrator, resolution: Resolution, is_own: bool) -> Approval {
    match (who, resolution) {
        (Administrator::Operator, _) => Approval::Administrators,
        (Administrator::OfCommunity(_) | Administrator::OfWallet { .. }, Resolution::Credit) => {
            Approval::Operators
        }
        (Administrator::OfCommunity(_) | Administrator::OfWallet { .. }, Resolution::Dismiss) => {
            if is_own {
                Approval::Operators
            } else {
                Approval::Administrators
            }
        }
    }
}

/// Whether an item is about an order that the asker bought: with the same wallet, out of an account of theirs, or in a
/// community that a sign-up made and that nobody else administers.
///
/// Wallets are compared by address alone, however each was proved: here, the wider meaning is the safe one.
async fn is_own(
    connection: &mut PgConnection,
    who: &Administrator,
    item: &ReviewItem,
) -> Result<bool, sqlx::Error> {
    let named = item.order;
    let owner = store::order_of_payment(connection, &item.payment_id).await?;
    let mut buyers = Vec::new();
    for id in named.into_iter().chain(owner) {
        buyers.extend(store::order(connection, id).await?.map(|order| order.key));
    }
    let theirs = match who {
        Administrator::Operator => return Ok(false),
        Administrator::OfCommunity(key) => {
            let account = AccountKey { community: key.community, account: key.account };
            if buyers.contains(&account) {
                return Ok(true);
            }
            addresses_of(connection, account).await?
        }
        Administrator::OfWallet { wallet, community, .. } => {
            if is_alone_in_own_community(connection, *community, *wallet).await? {
                return Ok(true);
            }
            vec![wallet.address]
        }
    };
    for buyer in buyers {
        if addresses_of(connection, buyer).await?.iter().any(|address| theirs.contains(address)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The addresses of the wallets that an account belongs to: of its member, and of its developer.
async fn addresses_of(
    connection: &mut PgConnection,
    account: AccountKey,
) -> Result<Vec<Wallet>, sqlx::Error> {
    let AccountKey { community, account: AccountId(account) } = account;
    let members = sqlx::query_scalar!(
        "select wallet from member where community_id = $1 and account_id = $2",
        community.0,
        account
    )
    .fetch_all(&mut *connection)
    .await?;
    let developers = sqlx::query_scalar!(
        r#"select wallet as "wallet!" from developer
           where community_id = $1 and account_id = $2 and wallet is not null"#,
        community.0,
        account
    )
    .fetch_all(connection)
    .await?;
    let unreadable = || sqlx::Error::Decode("a wallet of an account cannot be read".into());
    let members = members.iter().map(|text| text.parse::<WalletId>().ok());
    let developers = developers.iter().map(|bytes| WalletId::from_bytes(bytes));
    members.chain(developers).map(|wallet| Ok(wallet.ok_or_else(unreadable)?.address)).collect()
}

/// Whether the community was made by a sign-up, and the wallet is its only administrator.
async fn is_alone_in_own_community(
    connection: &mut PgConnection,
    community: CommunityId,
    wallet: WalletId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from developer where community_id = $1)
             and not exists (select from community_admin where community_id = $1 and wallet <> $2) as "is_alone!""#,
        community.0,
        wallet.to_string()
    )
    .fetch_one(connection)
    .await
}

/// Writes down that somebody wants a decision that the operator approves. Asking twice is asking once.
async fn ask_operator(
    ctx: &Ctx,
    who: &Administrator,
    item: &ReviewItem,
    resolution: Resolution,
    note: &str,
) -> Result<Decided, DecideError> {
    let now = ctx.clock.now();
    if !who.is_fresh(now) {
        return Err(DecideError::NotFresh);
    }
    let community = item.community.ok_or(ResolveError::NoItem)?;
    let name = who.who();
    let mut tx = ctx.db.begin().await?;
    let asked = sqlx::query_scalar!(
        r#"select count(*) as "count!" from approval_request
           where community_id = $1 and item_id = $2 and state = 2"#,
        community.0,
        item.id
    )
    .fetch_one(&mut *tx)
    .await?;
    if asked >= ASKS_PER_ITEM {
        return Err(DecideError::DeclinedTooOften);
    }
    let done = sqlx::query!(
        "insert into approval_request (community_id, id, item_id, resolution, who, note, asked_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (community_id, item_id) where state = 0 do nothing",
        community.0,
        ctx.clock.uuid_v7(),
        item.id,
        resolution.as_db(),
        name,
        note,
        now
    )
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 1 {
        let (what, target) = (format!("{}.asked", resolution.deed()), item.id.to_string());
        let deed =
            Deed { who: &name, what: &what, target: &target, reason: note, community: Some(community) };
        admin::record(&mut tx, &ctx.clock, deed).await?;
    }
    let waiting = waiting_for(&mut tx, community, item.id).await?;
    tx.commit().await?;
    match waiting {
        Some(request) if request.resolution == resolution => Ok(Decided::Waiting(request)),
        Some(request) => Err(DecideError::OtherWaits(Box::new(request))),
        // It was closed, or decided, while we wrote.
        None => Err(ResolveError::Closed(Box::new(item.clone())).into()),
    }
}

/// What an approval did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    /// The request as it is now.
    pub request: ApprovalRequest,
    /// What was done now; `None`: it was approved before, and nothing was done again.
    pub done: Option<Resolved>,
}

/// Why a request was not decided.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// There is none of that id.
    #[error("there is no such request")]
    NoRequest,
    /// It was decided otherwise before.
    #[error("the request was decided before")]
    Decided(Box<ApprovalRequest>),
    /// It could not be done; nothing was changed.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

impl From<sqlx::Error> for ApprovalError {
    fn from(error: sqlx::Error) -> Self {
        Self::Resolve(error.into())
    }
}

/// Approves a request: does what it asks for, in the same commit. Approving twice is a quiet success. Only the operator's
/// doors call this; `who` is how the record names them.
pub async fn approve(
    db: &PgPool,
    clock: &Clock,
    id: Uuid,
    who: &str,
    note: &str,
) -> Result<Approved, ApprovalError> {
    let mut tx = db.begin().await?;
    sqlx::query(apply::LOCK_WAIT).execute(&mut *tx).await?;
    let request = lock(&mut tx, id).await?;
    match request.state {
        ApprovalState::Waiting | ApprovalState::Overtaken => {}
        ApprovalState::Approved(_) => return Ok(Approved { request, done: None }),
        ApprovalState::Declined(_) => return Err(ApprovalError::Decided(Box::new(request))),
    }
    let names = format!("{}, approved by {who}", request.who);
    let done =
        review::resolve_in(&mut tx, clock, request.item, request.resolution, &names, &request.note).await?;
    close(&mut tx, clock, &request, 1, (who, note)).await?;
    types::failpoint::reach("approval.before_commit").await;
    let request = lock(&mut tx, id).await?;
    tx.commit().await?;
    Ok(Approved { request, done: Some(done) })
}

/// Declines a request: nothing is done, and the item stays open. Declining twice is a quiet success.
pub async fn decline(
    db: &PgPool,
    clock: &Clock,
    id: Uuid,
    who: &str,
    note: &str,
) -> Result<ApprovalRequest, ApprovalError> {
    let mut tx = db.begin().await?;
    sqlx::query(apply::LOCK_WAIT).execute(&mut *tx).await?;
    let request = lock(&mut tx, id).await?;
    match request.state {
        ApprovalState::Waiting | ApprovalState::Overtaken => {}
        ApprovalState::Declined(_) => return Ok(request),
        ApprovalState::Approved(_) => return Err(ApprovalError::Decided(Box::new(request))),
    }
    close(&mut tx, clock, &request, 2, (who, note)).await?;
    let (what, target) = (format!("{}.declined", request.resolution.deed()), request.item.to_string());
    let deed = Deed { who, what: &what, target: &target, reason: note, community: Some(request.community) };
    admin::record(&mut tx, clock, deed).await?;
    let request = lock(&mut tx, id).await?;
    tx.commit().await?;
    Ok(request)
}

/// A request, locked until the transaction ends: the second of two decisions waits here for the first one.
async fn lock(tx: &mut PgConnection, id: Uuid) -> Result<ApprovalRequest, ApprovalError> {
    let request: Option<ApprovalRequest> = sqlx::query_as(
        "select request.id, request.community_id, request.item_id, request.resolution, request.who, request.note,
                request.asked_at, request.state, request.decided_by, request.decided_note, request.decided_at,
                item.kind, item.payment_id, item.state as item_state
         from approval_request request join review_item item on item.id = request.item_id
         where request.id = $1 for update of request",
    )
    .bind(id)
    .fetch_optional(tx)
    .await?;
    request.ok_or(ApprovalError::NoRequest)
}

async fn close(
    tx: &mut PgConnection,
    clock: &Clock,
    request: &ApprovalRequest,
    state: i16,
    (who, note): (&str, &str),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update approval_request set state = $3, decided_by = $4, decided_note = $5, decided_at = $6
         where community_id = $1 and id = $2 and state = 0",
        request.community.0,
        request.id,
        state,
        who,
        note,
        clock.now()
    )
    .execute(tx)
    .await?;
    Ok(())
}
