//! A turn: hold → engine → stream → settle → last event. Owned by the domain, watched by a door.
//!
//! The turn runs in a task of its own, so a caller that vanishes at any moment loses neither a cent nor leaves one
//! held: its end is always a settle or a release. What always holds:
//! * nothing is asked of the engine before the hold is committed,
//! * the last event of an answer is handed out after the settle's commit (so "answered" implies "paid"),
//! * no token delivered, nothing charged; else the charge is the prompt and what finn metered up to the stop.

mod day;
mod named;
mod run;
mod words;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use identity::{Admission, ApiKey};
use ledger::{AccountKey, NewHold, Op, SubmitError};
use tokio::sync::{mpsc, oneshot};
use types::s2s::InferenceRequest;
use types::{MicroUsd, Pool, ReservationId, Tier};

use crate::Ctx;
use crate::engine::{Answering, EngineError, Passenger};
use crate::price::WorstCase;
use crate::{agent, price, reports, sandbox};

pub use named::Fallback;
pub use words::{Ask, Finished, Piece, Refusal, Started, Target, requested_pool};

/// Batches that wait for a slow reader. When they are full the turn waits, then finn, then the provider: a client
/// that never reads costs a bounded amount of memory.
const BATCHES_AHEAD: usize = 8;

/// The answer's stream. Dropping it means that the client left.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Vec<Piece>>);

impl Events {
    /// The next pieces; `None` after [`Piece::Done`] or [`Piece::Broken`].
    pub async fn next(&mut self) -> Option<Vec<Piece>> {
        self.0.recv().await
    }

    /// [`Self::next`] for a body that is polled.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Vec<Piece>>> {
        self.0.poll_recv(context)
    }
}

/// Turns that run in this process, for the look at leaked holds.
#[derive(Debug, Default)]
pub struct Live(Mutex<HashSet<ReservationId>>);

impl Live {
    /// Whether a turn with this hold runs here.
    pub fn contains(&self, id: ReservationId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
    }

    /// How many turns run here.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A turn's place in [`Live`], given up on drop.
struct Place(Arc<Ctx>, ReservationId);

impl Place {
    fn take(ctx: &Arc<Ctx>, id: ReservationId) -> Self {
        ctx.live.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        Self(Arc::clone(ctx), id)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.live.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// A turn before its answer begins: everything that the task needs.
struct Turn {
    ctx: Arc<Ctx>,
    account: AccountKey,
    api_key: Option<i64>,
    passenger: Passenger,
    pool: Pool,
    asked: String,
    worst: WorstCase,
    /// Completion tokens that the hold covers now.
    covered: u32,
    held: i64,
    body: Bytes,
    admission: Option<Admission>,
    stop: Option<Stopper>,
}

/// The end of the rope at which a noted turn is stopped.
type Stopper = oneshot::Receiver<&'static str>;

/// Resolves with the word that stops the turn; never for one that nobody can stop.
async fn pulled(stop: &mut Option<Stopper>) -> &'static str {
    if let Some(rope) = stop {
        if let Ok(code) = rope.await {
            return code;
        }
        *stop = None; // nobody holds it any more
    }
    std::future::pending().await
}

/// Who asks, and who pays for it: all that a turn has to know of its caller.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// The account that pays.
    pub account: AccountKey,
    /// Acts as.
    pub tier: Tier,
    /// The API key that asks: its limits count the turn, and a sandbox key brings its allowance. `None`: a person, whose
    /// door counts what they ask.
    pub key: Option<&'a Arc<ApiKey>>,
}

impl<'a> Asker<'a> {
    /// Whoever holds this key.
    #[must_use]
    pub fn of_key(key: &'a Arc<ApiKey>) -> Self {
        Self { account: reports::account_of(key), tier: key.tier(), key: Some(key) }
    }
}

/// A turn that somebody has written down before it begins, and may stop.
#[derive(Debug)]
pub struct Noted {
    /// The turn's id, which its hold will have: a UUIDv7 of this hour, so that the sweep finds it.
    pub id: ReservationId,
    /// Stops the turn: what was delivered is charged, and the last piece is [`Piece::Broken`] with the code that was
    /// sent. Before the first token it is a refusal, and nothing is charged. Dropping the other end stops nothing.
    pub stop: oneshot::Receiver<&'static str>,
}

/// Starts a turn and returns once a provider has answered and the hold is committed.
///
/// Dropping the future, at any point, ends the turn: the hold is released, or settled for what was delivered.
pub async fn start(ctx: &Arc<Ctx>, asker: Asker<'_>, ask: Ask) -> Result<Started, Refusal> {
    begin(ctx, asker, ask, None).await
}

/// [`start`], for a turn that was written down.
pub async fn start_noted(
    ctx: &Arc<Ctx>,
    asker: Asker<'_>,
    ask: Ask,
    noted: Noted,
) -> Result<Started, Refusal> {
    begin(ctx, asker, ask, Some(noted)).await
}

async fn begin(ctx: &Arc<Ctx>, asker: Asker<'_>, ask: Ask, noted: Option<Noted>) -> Result<Started, Refusal> {
    let target = Target::parse(&ctx.catalog, &ask.model)
        .ok_or_else(|| Refusal::UnknownModel { name: ask.model.clone() })?;
    let nft_id = agent_of(ctx, asker, &target, &ask).await?;
    let Way { pool, pools, requested_pool, requested_model, allowed_models } =
        route(ctx, asker.tier, &target, &ask)?;
    let mut worst = match pools {
        Some(pools) => WorstCase::among(&ctx.catalog, pool, pools, &ask),
        None => WorstCase::of(&ctx.catalog, pool, &ask),
    };
    if let Some(models) = &allowed_models {
        worst.price = named::dearest(&ctx.catalog, models);
    }
    fits_context(ctx, pool, &ask, &worst)?;
    takes_images(ctx, pools.unwrap_or(&[pool]), &ask)?;
    let admission = match asker.key {
        Some(key) => Some(admit(ctx, key, &worst).await?),
        None => None,
    };
    let rate = admission.as_ref().map(|admission| admission.headers);
    if ask.clamp {
        clamp(ctx, asker.account, &mut worst).await?;
    }

    let (reservation_id, stop) = match noted {
        Some(noted) => (noted.id, Some(noted.stop)),
        None => (ReservationId(ctx.clock.uuid_v7()), None),
    };
    let asked = words::asked(&ask);
    let passenger = Passenger {
        reservation_id,
        community: asker.account.community,
        payer: asker.account.account.to_string(),
        nft_id,
        tier: asker.tier,
        allowed_pools: asker.tier.allowed_pools().to_vec(),
        request_id: ask.request_id.clone(),
    };
    let wanted = Wanted { requested_pool, requested_model, allowed_models };
    let body = body_of(ask, worst.max_tokens, wanted);
    let turn = Turn {
        ctx: Arc::clone(ctx),
        account: asker.account,
        api_key: asker.key.map(|key| key.id.0),
        passenger,
        pool,
        asked,
        covered: worst.slice,
        held: worst.cost(worst.slice).0,
        worst,
        body,
        admission,
        stop,
    };

    let (begun, beginning) = oneshot::channel();
    let (events, receiver) = mpsc::channel(BATCHES_AHEAD);
    tokio::spawn(turn.run(begun, events));
    let begin = beginning.await.map_err(|_| anyhow::anyhow!("the turn's task ended without a word"))??;
    Ok(Started {
        reservation_id,
        pool: begin.pool,
        model: begin.model,
        personality_id: begin.personality_id,
        reason: begin.reason,
        rate,
        events: Events(receiver),
    })
}

/// What the task tells [`start`] when a provider has answered.
struct Begin {
    pool: Pool,
    model: String,
    personality_id: String,
    reason: String,
}

/// A caller who asked, and whose patience is the lifetime of the other end.
type Begun = oneshot::Sender<Result<Begin, Refusal>>;

impl Turn {
    async fn run(mut self, mut begun: Begun, events: mpsc::Sender<Vec<Piece>>) {
        let _place = Place::take(&self.ctx, self.passenger.reservation_id);
        if let Err(refusal) = self.hold().await {
            let _ = begun.send(Err(refusal));
            return;
        }
        let seconds = self.ctx.catalog.pool(self.pool).first_token_seconds;
        let opened = {
            let open =
                self.ctx.engine.open(&self.passenger, self.body.clone(), Duration::from_secs(seconds.into()));
            tokio::select! {
                opened = open => Some(opened),
                () = begun.closed() => None,
                // Dropping `begun` without a word is the refusal that whoever pulled the rope expects.
                _ = pulled(&mut self.stop) => None,
            }
        };
        match opened {
            Some(Ok(answering)) => {
                let pool = answering.by.pool.unwrap_or(self.pool);
                let begin = Begin {
                    pool,
                    model: answering.by.model.clone(),
                    personality_id: answering.by.personality_id.clone(),
                    reason: answering.by.reason.clone(),
                };
                // Should the caller be gone, the stream sees it at once and settles what was delivered.
                let _ = begun.send(Ok(begin));
                self.stream(answering, events).await;
            }
            Some(Err(error)) => {
                self.release().await;
                let _ = begun.send(Err(refusal_of(error)));
            }
            None => self.release().await,
        }
    }

    async fn hold(&self) -> Result<(), Refusal> {
        let hash = ring::digest::digest(&ring::digest::SHA256, &self.body);
        let new = NewHold {
            id: self.passenger.reservation_id,
            key: self.account,
            amount: self.held,
            input_hash: hash.as_ref().try_into().expect("SHA-256 has 32 bytes"),
            owner: self.ctx.owner,
            api_key: self.api_key,
            price_version: self.ctx.price_version,
            agent: Some(self.passenger.nft_id.clone()).filter(|agent| !agent.is_empty()),
            asked: self.asked.clone(),
        };
        let submitted = self.ctx.ledger.submit(Op::Hold(new)).await;
        types::failpoint::reach("turn.after_hold").await;
        submitted.map(|_| ()).map_err(|error| self.refusal(error))
    }

    fn refusal(&self, error: SubmitError) -> Refusal {
        let asked = MicroUsd(self.held);
        match error {
            SubmitError::Refused(ledger::Refusal::NotEnough { available }) => Refusal::NotEnough {
                asked,
                affordable: MicroUsd(available),
                affordable_max_tokens: self.worst.affordable(MicroUsd(available)),
            },
            SubmitError::Refused(ledger::Refusal::OverCap { limit, used }) => {
                Refusal::OverCap { limit: MicroUsd(limit), used: MicroUsd(used), asked }
            }
            SubmitError::Refused(ledger::Refusal::Owing { owed }) => Refusal::Owing { owed: MicroUsd(owed) },
            SubmitError::Refused(ledger::Refusal::Frozen) => Refusal::Frozen,
            other => busy(other),
        }
    }

    /// Gives the hold back: nothing was delivered. Should this process die here, the sweep does it.
    async fn release(self) {
        let op = Op::Release { key: self.account, id: self.passenger.reservation_id };
        if let Err(error) = self.ctx.ledger.submit(op).await {
            tracing::error!(%error, reservation = %self.passenger.reservation_id, "a hold could not be released; the sweep will");
        }
    }
}

/// The agent that is asked, as claims and records name it; empty without one.
async fn agent_of(ctx: &Ctx, asker: Asker<'_>, target: &Target, ask: &Ask) -> Result<String, Refusal> {
    let Target::Agent { collection, token } = target else { return Ok(String::new()) };
    let found = agent::find(ctx, collection, token).await;
    let Some(agent) = found.map_err(|error| Refusal::unread(error.into()))? else {
        return Err(Refusal::UnknownModel { name: ask.model.clone() });
    };
    // A key holds no token. Who holds one is known of a person, and judged where the person asks.
    if agent.holder_only && asker.key.is_some() {
        let message = format!("{} talks to its holder only, and an API key holds no agent.", ask.model);
        return Err(Refusal::BadRequest { field: "model", message });
    }
    Ok(agent.nft_id())
}

/// What the gateway can know of the answer to come.
struct Way {
    /// Which pool answers, or, of an agent, which usually does.
    pool: Pool,
    /// The pools among which an agent's affinities choose.
    pools: Option<&'static [Pool]>,
    /// What finn is asked for.
    requested_pool: Option<Pool>,
    /// A model of the catalog by id.
    requested_model: Option<String>,
    /// The models of the pool that may answer; `None`: all of them.
    allowed_models: Option<Vec<String>>,
}

/// Which pool answers, as far as the gateway can know, and what finn is asked for.
fn route(ctx: &Ctx, tier: Tier, target: &Target, ask: &Ask) -> Result<Way, Refusal> {
    let or_default =
        |pool: Pool| if tier.allowed_pools().contains(&pool) { pool } else { tier.default_pool() };
    let usual = || Way {
        pool: tier.default_pool(),
        pools: None,
        requested_pool: None,
        requested_model: None,
        allowed_models: None,
    };
    let asked = |pool| Way { pool: or_default(pool), requested_pool: Some(pool), ..usual() };
    match target {
        Target::Native => Ok(usual()),
        Target::Pool(pool) => Ok(asked(*pool)),
        Target::Model(model) => {
            let named::Candidates { pool, models } =
                named::candidates(&ctx.catalog, tier, model, ask.fallback)?;
            Ok(Way { pool, requested_model: Some(model.clone()), allowed_models: models, ..usual() })
        }
        Target::Agent { .. } => Ok(match ask.pool {
            Some(pool) => asked(pool),
            None => Way { pools: Some(tier.allowed_pools()), ..usual() },
        }),
    }
}

/// Refuses a prompt that no model of the pool can read: cheaper said here than by a provider.
fn fits_context(ctx: &Ctx, pool: Pool, ask: &Ask, worst: &WorstCase) -> Result<(), Refusal> {
    /// English text has about four bytes a token; a prompt past this is too long in any script.
    const BYTES_PER_TOKEN: u64 = 4;
    let models = &ctx.catalog.pool(pool).models;
    let largest =
        models.iter().filter_map(|id| ctx.catalog.models.get(id)).map(|model| model.context_tokens).max();
    let largest = u64::from(largest.unwrap_or(0));
    if worst.prompt_tokens / BYTES_PER_TOKEN > largest {
        let message =
            format!("the prompt is too long: the models of \"{}\" read at most {largest} tokens", ask.model);
        return Err(Refusal::BadRequest { field: "messages", message });
    }
    if u64::from(worst.max_tokens) > largest {
        let message =
            format!("max_tokens is too large: the models of \"{}\" have {largest} tokens in all", ask.model);
        return Err(Refusal::BadRequest { field: "max_tokens", message });
    }
    Ok(())
}

/// A picture has a worst case only where the pool names one: without it nothing could be set aside, and an answer that is
/// cut before the provider's figures would be nearly free.
fn takes_images(ctx: &Ctx, pools: &[Pool], ask: &Ask) -> Result<(), Refusal> {
    let Some(pool) = pools.iter().find(|pool| ctx.catalog.pool(**pool).image_tokens == 0) else {
        return Ok(());
    };
    if price::images(&ask.messages) == 0 {
        return Ok(());
    }
    let message = format!("the pool \"{pool}\" takes no pictures here: send text, or ask another model");
    Err(Refusal::BadRequest { field: "messages", message })
}

/// Counts the turn against its key's limits, and sees to it that a sandbox key has its allowance of the day.
async fn admit(ctx: &Arc<Ctx>, key: &Arc<ApiKey>, worst: &WorstCase) -> Result<Admission, Refusal> {
    day::seed_limits(ctx, key).await?;
    let admission = ctx.limits.admit(key, worst.tokens()).map_err(Refusal::Limited)?;
    sandbox::ensure(ctx, key).await.map_err(busy)?;
    Ok(admission)
}

/// Lowers `max_tokens` to what the balance pays for, when the caller opted in.
async fn clamp(ctx: &Ctx, account: AccountKey, worst: &mut WorstCase) -> Result<(), Refusal> {
    let balance = reports::balance(ctx, account).await.map_err(Refusal::unread)?;
    let available = MicroUsd(balance.map_or(0, |balance| balance.available));
    let affordable = worst.affordable(available);
    if affordable > 0 {
        worst.max_tokens = worst.max_tokens.min(affordable);
        worst.slice = worst.slice.min(worst.max_tokens);
    }
    Ok(())
}

/// Who is asked for, and who may answer.
struct Wanted {
    requested_pool: Option<Pool>,
    requested_model: Option<String>,
    allowed_models: Option<Vec<String>>,
}

fn body_of(ask: Ask, max_tokens: u32, wanted: Wanted) -> Bytes {
    let Wanted { requested_pool, requested_model, allowed_models } = wanted;
    let request = InferenceRequest {
        prompt: ask.prompt,
        messages: (!ask.messages.is_empty()).then_some(ask.messages),
        max_tokens: Some(max_tokens),
        stream: true,
        requested_pool,
        requested_model,
        allowed_models,
        tools: ask.tools,
        tool_choice: ask.tool_choice,
        temperature: ask.temperature,
        top_p: ask.top_p,
        stop: ask.stop,
        response_format: ask.response_format,
    };
    Bytes::from(serde_json::to_vec(&request).expect("our wire shapes serialise into memory"))
}

fn refusal_of(error: EngineError) -> Refusal {
    match error {
        EngineError::Unavailable { retry_after_s } => Refusal::EngineUnavailable { retry_after_s },
        EngineError::Timeout => Refusal::EngineTimeout,
        EngineError::Refused { status, code, message, retry_after_s } => match (status, code.as_str()) {
            (504, _) => Refusal::EngineTimeout,
            (400, _) => Refusal::BadRequest { field: "messages", message },
            (429, _) => Refusal::ProviderLimited { retry_after_s: retry_after_s.unwrap_or(1) },
            (529, _) => Refusal::ProviderOverloaded { retry_after_s: retry_after_s.unwrap_or(1) },
            (503, "overloaded") => Refusal::Overloaded,
            (503, _) => Refusal::ModelUnavailable { code, message, retry_after_s },
            _ => Refusal::EngineFailed { status, code, message },
        },
    }
}

fn busy(error: SubmitError) -> Refusal {
    match error {
        SubmitError::Overloaded | SubmitError::Stopped => Refusal::Overloaded,
        SubmitError::Refused(refusal) => Refusal::Unexpected(anyhow::Error::new(refusal)),
        SubmitError::Unexpected => {
            Refusal::Unexpected(anyhow::anyhow!("the ledger could not set money aside"))
        }
    }
}
