//! The gateway: the domain with everything that it needs, behind the doors.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use chain::{Contracts, Networks};
use domain::flags::{Flag, Flags};
use identity::{
    Handoffs, KeyRing, Limits, Nonces, Peppers, ServiceKeyError, ServiceKeys, SessionSecrets, Sessions,
    Tickets,
};
use ledger::{Lease, Ledger, Writers};
use metrics_exporter_prometheus::PrometheusHandle;
use pay::notice::IpnSecret;
use types::Clock;

use super::database::{self, Books, MIGRATOR};
use super::payments::Payments;
use crate::config::{self, Environment, Settings};
use crate::routes::{self, AppState, Burner, Check, OperatorToken, SignIn, SignUp, Sockets};

/// The domain of this process and what keeps it alive.
pub(crate) struct Core {
    pub(crate) ctx: Arc<domain::Ctx>,
    service_keys: Arc<ServiceKeys>,
    ipn_secret: Option<IpnSecret>,
    pub(crate) sign_in: SignIn,
    writers: Writers,
    lease: Lease,
}

impl Core {
    /// Waits until the ledger has answered everything. The doors are closed by now.
    pub(crate) async fn finish(self) {
        /// A turn that hangs on to the context must not hang the stop: its hold goes to the sweep.
        const LAST_ANSWERS: std::time::Duration = std::time::Duration::from_secs(10);
        drop(self.ctx);
        if tokio::time::timeout(LAST_ANSWERS, self.writers.finished()).await.is_err() {
            tracing::warn!("turns were still running at the end; their holds are left to the sweep");
        }
        drop(self.lease);
    }
}

/// What the domain reaches outside itself.
pub(crate) struct Reach {
    /// Where an engine of this configuration listens.
    pub(crate) finn: SocketAddr,
    /// How it is spoken to.
    pub(crate) client: client::Client,
    pub(crate) payments: Payments,
}

/// Opens the ledger, the key ring and the way to the engine.
pub(crate) async fn core(
    settings: &Settings,
    books: &Books,
    clock: &Clock,
    reach: Reach,
) -> anyhow::Result<Core> {
    let service_keys = Arc::new(service_keys(settings, clock)?);
    let peppers = settings.peppers.iter().map(|(version, secret)| (*version, secret.into())).collect();
    let peppers = Peppers::new(peppers)?;
    let mut ledger_settings = ledger::Settings::new(&books.url, clock.clone()).context("DATABASE_URL")?;
    ledger_settings = ledger_settings.at_address_of(&books.direct_url).context("DATABASE_DIRECT_URL")?;
    ledger_settings.writers = 2;
    let (ledger, writers) = Ledger::start(&ledger_settings);
    let name = format!("{} on pid {}", settings.roles, std::process::id());
    let lease = Lease::take(books.pool.clone(), &name, settings.lease).await?;
    let prices = prices_of(&settings.catalog);
    let mut connection = books.pool.acquire().await?;
    let price_version = ledger::report::price_version(&mut connection, &prices, clock.now()).await?;
    drop(connection);
    let engine = domain::engine::Engine::new(
        &settings.finn_url_at(reach.finn),
        reach.client,
        Arc::clone(&service_keys),
        clock.clone(),
    )
    .context("LOA_FINN_URL")?;
    let flags = Flags::new(settings.features.into());
    // Before a door opens: a switch that was turned off stays off over a restart.
    flags.follow(&books.pool).await?;
    let ctx = domain::Ctx {
        clock: clock.clone(),
        db: books.pool.clone(),
        ledger,
        catalog: Arc::clone(&settings.catalog),
        keys: KeyRing::new(books.pool.clone(), peppers, clock.clone()),
        limits: Limits::new(clock.clone()),
        engine,
        owner: lease.owner(),
        price_version,
        flags,
        payments: reach.payments.domain,
        live: domain::turn::Live::default(),
        sandbox: domain::sandbox::Minted::default(),
        agents: domain::agent::Known::default(),
        chat: domain::chat::Running::default(),
        keyed: domain::idempotency::answers::InFlight::default(),
    };
    let sign_in = sign_in(settings, books, clock)?;
    let ipn_secret = reach.payments.ipn_secret;
    Ok(Core { ctx: Arc::new(ctx), service_keys, ipn_secret, sign_in, writers, lease })
}

/// Wallets and how they sign in.
fn sign_in(settings: &Settings, books: &Books, clock: &Clock) -> anyhow::Result<SignIn> {
    /// Ethereum and Base: what a message may name where no chain can be asked about its wallet.
    const CHAINS: [u64; 2] = [1, 8_453];
    /// In development, Base's test chain and a chain on this machine, too.
    const DEVELOPMENT_CHAINS: [u64; 2] = [84_532, 31_337];
    let current = settings.session_secret.as_ref().context("SIWE_SESSION_SECRET is missing")?;
    let previous = settings.session_secret_previous.as_ref().map(identity::Secret::from);
    let secrets = SessionSecrets::new(&current.into(), previous.as_ref())?;
    let sessions = Sessions::new(books.pool.clone(), secrets, clock.clone());
    let mut chains = CHAINS.to_vec();
    let networks = match settings.environment {
        Environment::Production => Networks::Real,
        Environment::Development => {
            chains.extend(DEVELOPMENT_CHAINS);
            Networks::RealAndTest
        }
    };
    for chain_id in settings.rpc_urls.keys().filter(|chain_id| chain::is_test_chain(**chain_id)) {
        if networks == Networks::Real {
            tracing::warn!(
                chain_id,
                "EVM_RPC_URL_{chain_id} is of a test chain: in production it vouches for no wallet"
            );
        }
    }
    let urls = settings.rpc_urls.iter().map(|(chain_id, url)| (*chain_id, url.reveal()));
    let contracts = Contracts::of(urls, networks);
    let contracts = contracts.map_err(|(chain_id, bad)| anyhow::anyhow!("EVM_RPC_URL_{chain_id}: {bad}"))?;
    // A message may name whatever chain can be asked about its wallet.
    let asked = contracts.iter().flat_map(Contracts::chain_ids).filter(|id| !chains.contains(id));
    let asked: Vec<u64> = asked.collect();
    chains.extend(asked);
    Ok(SignIn {
        nonces: Nonces::new(books.pool.clone(), clock.clone()),
        handoffs: Handoffs::new(books.pool.clone(), sessions.clone(), clock.clone()),
        sessions,
        contracts: contracts.map(Arc::new),
        chains,
    })
}

/// The signing keys; development makes its first one itself.
fn service_keys(settings: &Settings, clock: &Clock) -> anyhow::Result<ServiceKeys> {
    let path = settings.signing_keys.path();
    match ServiceKeys::load(path, clock.clone()) {
        Err(ServiceKeyError::Missing { .. }) if settings.environment == Environment::Development => {
            match ServiceKeys::bootstrap(path, clock.clone()) {
                // Another process of this folder was quicker; its key is as good.
                Err(ServiceKeyError::AlreadyThere { .. }) => Ok(ServiceKeys::load(path, clock.clone())?),
                made => Ok(made?),
            }
        }
        loaded => Ok(loaded?),
    }
}

/// The price list as text: what a charge's price version stands for.
fn prices_of(catalog: &types::catalog::Catalog) -> String {
    let prices: std::collections::BTreeMap<&str, [i64; 2]> = catalog
        .models
        .iter()
        .map(|(id, model)| (id.as_str(), [model.input_micro_per_million, model.output_micro_per_million]))
        .collect();
    serde_json::to_string(&prices).expect("names and numbers serialise")
}

/// The doors.
pub(crate) fn router(
    settings: &Settings,
    core: &Core,
    metrics: &PrometheusHandle,
    bound: SocketAddr,
    sockets: Sockets,
) -> Router {
    routes::router(AppState {
        ctx: Arc::clone(&core.ctx),
        service_keys: Arc::clone(&core.service_keys),
        metrics: metrics.clone(),
        operator_token: settings.operator_token.as_ref().map(|token| OperatorToken::new(token.reveal())),
        trusted_proxies: settings.trusted_proxies.clone(),
        ipn_secret: core.ipn_secret.clone(),
        checks: checks(&core.ctx, payments_said(settings)),
        public_url: settings.public_url_at(bound).trim_end_matches('/').to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        sign_in: core.sign_in.clone(),
        tickets: Tickets::new(core.ctx.db.clone(), core.ctx.clock.clone()),
        sockets,
        sign_up: match settings.environment {
            Environment::Development => SignUp::Anyone,
            Environment::Production => SignUp::WalletsOnly,
        },
        burner: match settings.environment {
            Environment::Development => Burner::Offered,
            Environment::Production => Burner::Absent,
        },
        budgets: routes::Budgets::default(),
    })
}

/// What readiness says of payments while they are open.
fn payments_said(settings: &Settings) -> Result<&'static str, &'static str> {
    match settings.payments {
        config::Payments::Off => {
            Err("off: NOWPAYMENTS_API_KEY and NOWPAYMENTS_IPN_SECRET turn buying credits on, \
             and FEATURE_CRYPTO_PAYMENTS_ENABLED=true opens it")
        }
        config::Payments::Simulator { .. } => Ok("open, at the payment simulator: no money moves"),
        config::Payments::Vendor { .. } => Ok("open"),
    }
}

fn checks(ctx: &Arc<domain::Ctx>, payments: Result<&'static str, &'static str>) -> Vec<Check> {
    let for_payments = Arc::clone(ctx);
    let (for_schema, for_engine, for_ledger) = (Arc::clone(ctx), Arc::clone(ctx), Arc::clone(ctx));
    vec![
        Check::new("database", move || {
            let ctx = Arc::clone(&for_schema);
            async move {
                let wanted = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
                match database::schema_version(&ctx.db).await {
                    Ok(found) if found >= wanted => Ok(format!("schema {found}")),
                    Ok(found) => Err(format!("schema {found}, this version needs {wanted}")),
                    Err(_) => Err("the database does not answer".to_owned()),
                }
            }
        }),
        Check::new("engine", move || {
            let ctx = Arc::clone(&for_engine);
            async move {
                if ctx.engine.is_healthy().await {
                    Ok("answers".to_owned())
                } else {
                    Err("does not answer".to_owned())
                }
            }
        }),
        Check::new("ledger", move || {
            let ctx = Arc::clone(&for_ledger);
            async move {
                // A transaction about an account that nobody has: the writer, its connection and the locks all answer.
                let nobody =
                    ledger::AccountKey { community: types::CommunityId(0), account: types::AccountId(0) };
                match ctx.ledger.submit(ledger::Op::Expire { key: nobody }).await {
                    Err(ledger::SubmitError::Refused(ledger::Refusal::NoAccount)) => {
                        Ok(format!("{} operations wait", ctx.ledger.queued()))
                    }
                    Ok(_) | Err(_) => Err("the writer does not answer".to_owned()),
                }
            }
        }),
        // Never a reason to take a process out of service: answers go on, and so do old orders.
        Check::new("payments", move || {
            let is_open = for_payments.flags.is_on(Flag::CryptoPayments);
            let said = match (payments, is_open) {
                (Ok(open), true) => open,
                (Ok(_), false) => {
                    "closed: `freeside flags set crypto_payments on` opens new orders; old ones still credit"
                }
                (Err(off), _) => off,
            };
            async move { Ok(said.to_owned()) }
        }),
    ]
}
