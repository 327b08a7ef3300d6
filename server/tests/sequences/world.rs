//! The turn, the engine and the books around the scripts, and the judgement of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::routing::get;
use domain::Ctx;
use domain::turn::{self, Asker, Piece};
use identity::{
    ApiKey, KeyKind, KeyLimits, KeyRequest, KeyRing, Limits, Of, Peppers, Scopes, Secret, ServiceKeys,
};
use ledger::{AccountKey, Ledger, NEVER, Op, Source};
use testing::books;
use testing::postgres::TestDatabase;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use types::catalog::Catalog;
use types::{AccountId, Clock, CommunityId, LotId, Pool};

use crate::LANES;
use crate::script::{Dialect, Leave, Script};
use crate::vendor::Vendor;

/// How long a hold may stay open after its caller is done.
const PATIENCE: Duration = Duration::from_mins(1);
/// Seconds that a provider may have to rest before it is asked: a breaker's rest, and a little more.
const RESTS_AT_MOST: u32 = 60;
/// More than all sequences together cost.
const CREDIT: i64 = 1_000_000_000_000;

pub(crate) struct World {
    ctx: Arc<Ctx>,
    database: TestDatabase,
    vendor: Vendor,
    /// A payer for each lane.
    keys: Vec<Arc<ApiKey>>,
    ended: Ends,
    _lease: ledger::Lease,
    _service_keys: tempfile::TempDir,
    _servers: JoinSet<()>,
}

/// How many sequences ended in which way.
#[derive(Default)]
struct Ends {
    charged: AtomicU64,
    released: AtomicU64,
    mismatched: AtomicU64,
}

/// For each lane a provider and a model of either dialect, all of one price.
fn catalog(vendor: &Vendor) -> String {
    let model = |dialect: Dialect, lane: u64| {
        let (name, kind) = (model_of(dialect, lane), dialect.kind());
        format!(
            "[providers.{name}]\nkind = \"{kind}\"\nbase_url = \"http://{}/v1\"\n[models.{name}]\nprovider = \"{name}\"\n\
             upstream_model = \"u\"\ncontext_tokens = 128000\ninput_micro_per_million = 3000000\n\
             output_micro_per_million = 15000000\n",
            vendor.address
        )
    };
    let models =
        (0..LANES).flat_map(|lane| [Dialect::Openai, Dialect::Anthropic].map(|dialect| model(dialect, lane)));
    let pools = Pool::ALL.map(|name| {
        let dialect = if name == Pool::Standard { Dialect::Anthropic } else { Dialect::Openai };
        let models: Vec<String> = (0..LANES).map(|lane| format!("\"{}\"", model_of(dialect, lane))).collect();
        format!(
            "[pools.{name}]\nmodels = [{}]\nsystem_tokens = 40\ndefault_max_tokens = 64\nhold_slice_tokens = 16\n",
            models.join(", ")
        )
    });
    models.chain(pools).collect()
}

fn model_of(dialect: Dialect, lane: u64) -> String {
    format!("{}-{lane}", dialect.kind())
}

impl World {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::new().await;
        let clock = Clock::system();
        let vendor = Vendor::start().await;
        let catalog = Arc::new(Catalog::parse(&catalog(&vendor)).expect("sound"));
        let folder = tempfile::tempdir().expect("a folder");
        let service_keys = Arc::new(ServiceKeys::bootstrap(folder.path(), clock.clone()).expect("new keys"));
        let mut servers = JoinSet::new();
        let keys_at = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let jwks_url = format!("http://{}/jwks", keys_at.local_addr().expect("bound"));
        let jwks = service_keys.jwks().json;
        let app = axum::Router::new().route("/jwks", get(move || async move { jwks }));
        servers.spawn(async move { axum::serve(keys_at, app).await.expect("it serves until it is dropped") });
        let settings = finn::Settings {
            catalog: Arc::clone(&catalog),
            jwks_url,
            keys: BTreeMap::new(),
            base_urls: BTreeMap::new(),
            scripted_pace: Duration::ZERO,
            scripted: finn::ScriptedModels::Off,
            clock: clock.clone(),
            render_metrics: None,
        };
        let engine =
            finn::Engine::new(settings, Arc::new(finn::MemoryReplay::new()), Arc::new(finn::Discard));
        let (client, pipes) = client::Client::piped();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let doors = finn::Doors { listener, pipes: Some(pipes) };
        servers.spawn(finn::serve(doors, engine.expect("sound settings"), std::future::pending()));

        let lease = ledger::Lease::take(database.pool.clone(), "test", Duration::from_mins(5));
        let lease = lease.await.expect("a lease");
        let books = ledger::Settings::new(&database.url(), clock.clone()).expect("a URL");
        let (ledger, _writers) = Ledger::start(&books);
        let pepper = BTreeMap::from([(1, Secret::new("a pepper for tests that is long enough"))]);
        let ctx = Arc::new(Ctx {
            keys: KeyRing::new(database.pool.clone(), Peppers::new(pepper).expect("long"), clock.clone()),
            limits: Limits::new(clock.clone()),
            engine: domain::engine::Engine::new("http://engine.test", client, service_keys, clock.clone())
                .expect("a URL"),
            owner: lease.owner(),
            clock: clock.clone(),
            db: database.pool.clone(),
            ledger,
            catalog,
            price_version: 1,
            flags: domain::flags::Flags::new(domain::flags::FirstValues::ALL_ON),
            payments: domain::order::Payments::new(None, String::new()),
            live: domain::turn::Live::default(),
            sandbox: domain::sandbox::Minted::default(),
            agents: domain::agent::Known::default(),
            chat: domain::chat::Running::default(),
            keyed: domain::idempotency::answers::InFlight::default(),
        });
        let mut keys = Vec::new();
        for lane in 0..LANES {
            keys.push(payer(&ctx, &database, lane).await);
        }
        let ended = Ends::default();
        Self { ctx, database, vendor, keys, ended, _lease: lease, _service_keys: folder, _servers: servers }
    }

    /// Plays one script and says what is wrong with its end. After a failure the same provider answers well once, so
    /// that it is rarely rested.
    pub(crate) async fn play(&self, lane: u64, number: u64, script: Script) -> Result<(), String> {
        let sound = Script::sound(script.dialect);
        let fails = script.fails();
        self.until_asked(lane, number, &script).await?;
        if script.leave == Leave::BeforeTheHead {
            self.lane_is_quiet(lane).await?;
        }
        if fails { self.until_asked(lane, u64::MAX - number, &sound).await } else { Ok(()) }
    }

    /// Waits for the end of what was given up: it fails or is charged when nobody looks any more.
    async fn lane_is_quiet(&self, lane: u64) -> Result<(), String> {
        let key = &self.keys[usize::try_from(lane).expect("small")];
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let open: i64 =
                sqlx::query_scalar("select count(*) from hold where community_id = $1 and state = 0")
                    .bind(key.community.0)
                    .fetch_one(&self.database.pool)
                    .await
                    .expect("the books are readable");
            match open {
                0 => return Ok(()),
                _ if tokio::time::Instant::now() > deadline => return Err("a hold stayed open".to_owned()),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Plays a script again while its provider is being rested: requests that were given up may fail long after.
    async fn until_asked(&self, lane: u64, number: u64, script: &Script) -> Result<(), String> {
        for _ in 0..RESTS_AT_MOST {
            let (id, charged) = self.once(lane, number, script).await;
            if id.is_some() || script.leave != Leave::Never || script.may_never_begin() {
                // One that was given up may still be asked for.
                if id.is_some() {
                    self.vendor.forget(number);
                }
                let key = &self.keys[usize::try_from(lane).expect("small")];
                return self.judge(key, script, number, id, charged).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Err("the answer never began".to_owned())
    }

    /// The reservation of a request that began, and what its last event said was charged.
    async fn once(&self, lane: u64, number: u64, script: &Script) -> (Option<String>, Option<i64>) {
        self.vendor.expect(number, script.play());
        let key = &self.keys[usize::try_from(lane).expect("small")];
        let ask = script.ask(&model_of(script.dialect, lane), number);
        let started = tokio::spawn({
            let (ctx, key) = (Arc::clone(&self.ctx), Arc::clone(key));
            async move {
                let counted = turn::count(&ctx, &key).await?;
                turn::start(&ctx, Asker::of_key(&key, counted), ask).await
            }
        });
        if script.leave == Leave::BeforeTheHead {
            // The question is on its way by then, or not yet: both are part of the play.
            tokio::time::sleep(Duration::from_millis(number % 7)).await;
            started.abort();
        }
        let Ok(Ok(mut started)) = started.await else { return (None, None) };
        let id = Some(started.reservation_id.to_string());
        let mut pieces = 0;
        while let Some(batch) = started.events.next().await {
            for piece in batch {
                match piece {
                    Piece::Text(_) | Piece::ToolCall { .. } => pieces += 1,
                    Piece::Done(finished) => return (id, Some(finished.cost.0)),
                    Piece::Broken { cost, .. } => return (id, Some(cost.0)),
                }
                if script.leave == Leave::AfterPieces(pieces) {
                    return (id, None);
                }
            }
        }
        (id, None)
    }

    /// What the totals do not show: a request that was given up, or never begun, has no id to be found by.
    async fn judge(
        &self,
        key: &ApiKey,
        script: &Script,
        number: u64,
        id: Option<String>,
        charged_by_answer: Option<i64>,
    ) -> Result<(), String> {
        let Some(id) = id else { return Ok(()) };
        let worst = script.worst_case(&self.ctx.catalog, number);
        let hold = self.closed(key, &id).await?;
        self.read_the_day(key).await;
        let mismatched = self.has_row(key, "usage_mismatch", &id).await;
        if mismatched {
            self.ended.mismatched.fetch_add(1, Ordering::Relaxed);
        }
        let ceiling = worst.cost(script.max_tokens).0;
        let charged = hold.charged.unwrap_or(0);
        if charged > ceiling {
            return Err(format!("{charged} was charged, and {ceiling} is the worst case"));
        }
        if let Some(said) = charged_by_answer
            && said != charged
        {
            return Err(format!("the answer said {said} and the books {charged}"));
        }
        if hold.state == books::SETTLED {
            self.ended.charged.fetch_add(1, Ordering::Relaxed);
            let tokens =
                |count: Option<i64>| u64::try_from(count.unwrap_or(-1)).expect("a settled hold has tokens");
            let (prompt, completion) = (tokens(hold.tokens_in), tokens(hold.tokens_out));
            let price = worst.price.charge(prompt, completion).0;
            if charged != price {
                return Err(format!(
                    "{prompt} + {completion} tokens cost {price}, and {charged} was charged"
                ));
            }
            script.expected().check_charged(&worst, prompt, completion, mismatched)
        } else {
            self.ended.released.fetch_add(1, Ordering::Relaxed);
            script.expected().check_released(self.has_row(key, "loss", &id).await)
        }
    }

    /// Takes over the day's tokens from the books, as each minute does: what they have must not be counted twice.
    async fn read_the_day(&self, key: &ApiKey) {
        let mut connection = self.database.pool.acquire().await.expect("a connection");
        let account = domain::reports::account_of(key);
        let now = self.ctx.clock.now();
        let read = ledger::report::tokens_of_account(&mut connection, account, None, now).await;
        self.ctx.limits.seed(key, Of::Account, read.expect("the books are readable"));
    }

    async fn closed(&self, key: &ApiKey, id: &str) -> Result<Hold, String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let hold: Option<Hold> = sqlx::query_as(
                "select state, charged, tokens_in, tokens_out from hold where community_id = $1 and id = $2::uuid",
            )
            .bind(key.community.0)
            .bind(id)
            .fetch_optional(&self.database.pool)
            .await
            .expect("the books are readable");
            match hold {
                Some(hold) if hold.state != books::OPEN => return Ok(hold),
                _ if tokio::time::Instant::now() > deadline => return Err("its hold stayed open".to_owned()),
                _ => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }

    async fn has_row(&self, key: &ApiKey, table: &str, id: &str) -> bool {
        let sql =
            format!("select exists (select from {table} where community_id = $1 and hold_id = $2::uuid)");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
            .bind(key.community.0)
            .bind(id)
            .fetch_one(&self.database.pool)
            .await
            .expect("readable")
    }

    /// After all: no hold is open, the books agree, and the day's tokens are those that were charged.
    pub(crate) async fn totals(&self) -> Result<(), String> {
        books::closed(&self.database.pool, PATIENCE).await;
        books::audit(&self.database.pool).await;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.ctx.live.count() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for key in &self.keys {
            let charged: i64 = sqlx::query_scalar(
                "select coalesce(sum(tokens_in + tokens_out), 0)::bigint from hold
                 where community_id = $1 and state = 1",
            )
            .bind(key.community.0)
            .fetch_one(&self.database.pool)
            .await
            .expect("readable");
            let headers = self.ctx.limits.headers(key);
            let counted = headers.limit_tokens - headers.remaining_tokens;
            if i64::try_from(counted) != Ok(charged) {
                return Err(format!("the day has {counted} tokens, and {charged} were charged"));
            }
        }
        Ok(())
    }

    pub(crate) fn tally(&self) -> String {
        let Ends { charged, released, mismatched } = &self.ended;
        format!(
            "{} charged, {} given back, {} with figures beyond their ceiling",
            charged.load(Ordering::Relaxed),
            released.load(Ordering::Relaxed),
            mismatched.load(Ordering::Relaxed)
        )
    }
}

#[derive(sqlx::FromRow)]
struct Hold {
    state: i16,
    charged: Option<i64>,
    tokens_in: Option<i64>,
    tokens_out: Option<i64>,
}

async fn payer(ctx: &Ctx, database: &TestDatabase, lane: u64) -> Arc<ApiKey> {
    let account =
        AccountKey { community: CommunityId(ctx.clock.big_id()), account: AccountId(ctx.clock.big_id()) };
    let mut tx = database.pool.begin().await.expect("a transaction");
    sqlx::query("insert into community (id, slug, name, created_at) values ($1, $2, 'test', $3)")
        .bind(account.community.0)
        .bind(format!("lane-{lane}"))
        .bind(ctx.clock.now())
        .execute(&mut *tx)
        .await
        .expect("a community");
    ledger::open_account(&mut tx, &ctx.clock, account, None).await.expect("an account");
    let id = LotId(ctx.clock.uuid_v7());
    let mint = Op::Mint { key: account, id, source: Source::Grant, amount: CREDIT, expires_at: NEVER };
    ledger::post(&mut tx, &ctx.clock, &mint).await.expect("minted");
    let request = KeyRequest {
        community: account.community,
        account: account.account,
        name: "test".to_owned(),
        kind: KeyKind::Live,
        scopes: Scopes::developer(),
        limits: KeyLimits { requests_per_minute: 100_000_000, tokens_per_day: 1_000_000_000_000 },
    };
    let made = ctx.keys.create_in(&mut tx, request).await.expect("a key");
    tx.commit().await.expect("committed");
    ctx.keys.authenticate(made.secret.reveal(), [127, 0, 0, 1].into()).await.expect("a good key")
}
