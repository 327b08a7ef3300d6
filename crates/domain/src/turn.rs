//! A turn: hold → engine → stream → settle → last event. Owned by the domain, watched by a door.
//!
//! The turn runs in a task of its own, so a caller that vanishes at any moment loses neither a cent nor leaves one
//! held: its end is always a settle or a release. What always holds:
//! * nothing is asked of the engine before the hold is committed,
//! * the last event of an answer is handed out after the settle's commit (so "answered" implies "paid"),
//! * who caused an early end decides who pays (SPEC §14): a caller who leaves or stops it pays the prompt and what was
//!   metered; where a provider or we failed before the caller had anything usable, nothing is charged and a loss is
//!   recorded,
//! * reported figures are claims: nobody is charged more than the request could have used.

mod day;
mod end;
mod in_flight;
mod named;
mod run;
mod words;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use identity::{Admission, ApiKey, Counted};
use ledger::{AccountKey, NewHold, Op, SubmitError};
use limits::{Client, Share};
use tokio::sync::{mpsc, oneshot};
use types::s2s::InferenceRequest;
use types::{MicroUsd, Pool, ReservationId, Tier};

use crate::Ctx;
use crate::engine::{Answerer, Answering, EngineError, Passenger};
use crate::price::WorstCase;
use crate::{agent, price, reports, sandbox};
use end::Stop;
use in_flight::Place;

pub use day::count;
pub use end::CHARGE_BROKEN_WHOLE;
pub use in_flight::Live;
pub use named::Fallback;
pub use words::{Ask, Finished, Piece, Refusal, Started, Target, requested_pool};

/// The code with which its own caller stops a turn; every other code is a reason of ours.
pub const CANCELLED: &str = "cancelled";
/// finn's word for an answer that no personality speaks.
const NOBODY: &str = "none";
/// How long a caller who left before the first token is waited for by us: the provider may have the prompt already, and
/// its answer says what that costs, or that it failed. After this the prompt is charged by our own count.
const HEAD_AFTER_LEAVING: Duration = Duration::from_secs(10);
/// The same for a caller who stopped it and waits to see that it has stopped.
const HEAD_AFTER_STOPPING: Duration = Duration::from_secs(2);
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

/// A turn before its answer begins: everything that the task needs.
struct Turn {
    ctx: Arc<Ctx>,
    account: AccountKey,
    api_key: Option<i64>,
    passenger: Passenger,
    pool: Pool,
    /// The models of the pool that may answer; `None`: all of them.
    allowed_models: Option<Vec<String>>,
    asked: String,
    worst: WorstCase,
    /// Completion tokens that the hold covers now.
    covered: u32,
    held: i64,
    body: Bytes,
    admission: Option<Admission>,
    /// One of the account's answers at once.
    _slot: Share<Client>,
    stop: Option<Stopper>,
    /// The caller gets the answer as a whole: what breaks off before its end is of no use to them.
    whole: bool,
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
    /// The API key that asks, whose limits have counted the request: the turn's tokens are counted too, and a sandbox key
    /// brings its allowance. `None`: a person, whose door counts what they ask.
    pub key: Option<(&'a Arc<ApiKey>, Counted)>,
}

impl<'a> Asker<'a> {
    /// Whoever holds this key, whose request [`count`] has counted.
    #[must_use]
    pub fn of_key(key: &'a Arc<ApiKey>, counted: Counted) -> Self {
        let account = reports::paying_account(reports::account_of(key), key.kind);
        Self { account, tier: key.tier(), key: Some((key, counted)) }
    }
}

/// A turn that somebody has written down before it begins, and may stop.
#[derive(Debug)]
pub struct Noted {
    /// The turn's id, which its hold will have: a UUIDv7 of this hour, so that the sweep finds it.
    pub id: ReservationId,
    /// Stops the turn, and the last piece is [`Piece::Broken`] with the code that was sent. [`CANCELLED`] is the
    /// caller's own wish: the prompt and what was metered are charged. Any other code is ours: what was delivered is
    /// charged, and before the first token it is a refusal that costs nothing. Dropping the other end stops nothing.
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
        worst.price = ctx.catalog.dearest_of(models.iter().map(String::as_str));
    }
    fits_context(ctx, pool, &ask, &worst)?;
    takes_images(ctx, pools.unwrap_or(&[pool]), &ask)?;
    let slot = ctx.live.slot(asker.account)?;
    let admission = match asker.key {
        Some((key, counted)) => Some(admit(ctx, key, counted, &worst).await?),
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
    let whole = ask.whole;
    let passenger = Passenger {
        reservation_id,
        community: asker.account.community,
        payer: asker.account.account.payer().to_string(),
        nft_id,
        tier: asker.tier,
        allowed_pools: asker.tier.allowed_pools().to_vec(),
        request_id: ask.request_id.clone(),
    };
    let wanted = Wanted { requested_pool, requested_model, allowed_models: allowed_models.clone() };
    let body = body_of(ask, worst.max_tokens, wanted);
    let turn = Turn {
        ctx: Arc::clone(ctx),
        account: asker.account,
        api_key: asker.key.map(|(key, _)| key.id.0),
        passenger,
        pool,
        allowed_models,
        asked,
        covered: worst.slice,
        held: worst.cost(worst.slice).0,
        worst,
        body,
        admission,
        _slot: slot,
        stop,
        whole,
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

/// How far a turn came before its first token.
enum Opened {
    /// finn answered while the caller waited, or said that nobody does.
    Answered(Result<Answering, EngineError>),
    /// The caller left or stopped it; the answer, when one had begun by then.
    Left(Stop, Option<Answering>),
    /// Stopped by us.
    Stopped,
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
            let mut open = std::pin::pin!(open);
            let early = tokio::select! {
                opened = &mut open => Ok(opened),
                () = begun.closed() => Err(Stop::Left),
                code = pulled(&mut self.stop) => Err(Stop::Pulled(code)),
            };
            match early {
                Ok(opened) => Opened::Answered(opened),
                Err(stop) if !stop.is_the_callers() => Opened::Stopped,
                Err(stop) => {
                    let patience =
                        if matches!(stop, Stop::Left) { HEAD_AFTER_LEAVING } else { HEAD_AFTER_STOPPING };
                    match tokio::time::timeout(patience, open).await {
                        Ok(Ok(answering)) => Opened::Left(stop, Some(answering)),
                        Ok(Err(error)) => Opened::Answered(Err(error)),
                        Err(_) => Opened::Left(stop, None),
                    }
                }
            }
        };
        match opened {
            Opened::Answered(Ok(answering)) => {
                // Should the caller be gone, the stream sees it at once and settles what was delivered.
                let _ = begun.send(Ok(self.beginning(&answering.by)));
                self.stream(answering, events).await;
            }
            Opened::Answered(Err(error)) => {
                self.give_back_unanswered(&error).await;
                let _ = begun.send(Err(refusal_of(error)));
            }
            Opened::Left(stop, answering) => {
                let by = match &answering {
                    Some(answering) => answering.by.clone(),
                    None => self.unheard().await,
                };
                let _ = begun.send(Ok(self.beginning(&by)));
                self.left(stop, by, answering, events).await;
            }
            // Dropping `begun` without a word is the refusal that whoever stopped the turn expects.
            Opened::Stopped => self.release().await,
        }
    }

    fn beginning(&self, by: &Answerer) -> Begin {
        Begin {
            pool: by.pool.unwrap_or(self.pool),
            model: by.model.clone(),
            personality_id: by.personality_id.clone(),
            reason: by.reason.clone(),
        }
    }

    /// Who was asked, when nobody answered before the caller left: the cheapest model that may have been.
    async fn unheard(&self) -> Answerer {
        let catalog = &self.ctx.catalog;
        let may_answer = |id: &str| {
            self.allowed_models.as_ref().is_none_or(|models| models.iter().any(|model| model == id))
        };
        let now = self.ctx.engine.models_now().await;
        let is_on = |id: &str| now.as_ref().is_none_or(|now| now.contains(id));
        let mut models = catalog.answering(self.pool, |id| may_answer(id) && is_on(id));
        if models.is_empty() {
            // Whoever was asked has failed since.
            models = catalog.answering(self.pool, may_answer);
        }
        let model = models.into_iter().min_by_key(|id| {
            catalog.models.get(*id).map(|model| {
                let price = model.price();
                (price.charge(self.worst.own_prompt_tokens, 0), price.output)
            })
        });
        Answerer {
            pool: Some(self.pool),
            model: model.unwrap_or_default().to_owned(),
            personality_id: NOBODY.to_owned(),
            reason: "caller_left".to_owned(),
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
    async fn release(&self) {
        if self.give_back().await.is_err() {
            tracing::error!(reservation = %self.passenger.reservation_id, "a hold could not be released; the sweep will");
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

/// Sets the turn's tokens aside from the day of its account and key, and sees to it that a sandbox key has its allowance.
async fn admit(
    ctx: &Arc<Ctx>,
    key: &Arc<ApiKey>,
    counted: Counted,
    worst: &WorstCase,
) -> Result<Admission, Refusal> {
    day::seed_limits(ctx, key).await?;
    let admission = ctx.limits.reserve(key, counted, worst.tokens()).map_err(day::refused)?;
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
        options: ask.options,
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
