//! Everything that an answer needs, started for one test.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt as _;
use chain::Contracts;
use domain::Ctx;
use identity::{
    ApiKey, Handoffs, KeyKind, KeyLimits, KeyRequest, KeyRing, Limits, Nonces, Peppers, Scopes, Secret,
    ServiceKeys, SessionSecrets, Sessions, Tickets,
};
use ledger::{AccountKey, Ledger, Op, Source};
use metrics_exporter_prometheus::PrometheusBuilder;
use pay::notice::IpnSecret;
use pay::nowpayments::Client;
use pay::simulator::{self, Running, Simulator};
use server::routes::{
    AppState, Budgets, Burner, Check, OperatorToken, SignIn, SignUp, Sockets, Timings, router,
};
use server::serve::AgentView;
use testing::postgres::TestDatabase;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use types::catalog::Catalog;
use types::{AccountId, Clock, CommunityId, LotId, MicroUsd};

/// A chunk each 20 ms is what people see; tests do not wait.
const PACE: Duration = Duration::ZERO;
/// The operator's token of a house.
pub(crate) const OPERATOR: &str = "operator";
/// What the house's sessions are signed with.
pub(crate) const SESSION_SECRET: &str = "a session secret for tests, long enough";
/// What the house has at the payment processor.
const API_KEY: &str = "a merchant's key for tests";
/// How long a condition may take to come true on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) ctx: Arc<Ctx>,
    pub(crate) database: TestDatabase,
    /// The payment processor of this house.
    pub(crate) simulator: Running,
    /// What its notices are signed with.
    pub(crate) ipn_secret: IpnSecret,
    /// Wallets and how they sign in.
    pub(crate) sign_in: SignIn,
    /// Opens sockets for them.
    pub(crate) tickets: Tickets,
    /// The sockets of this house.
    pub(crate) sockets: Sockets,
    _lease: ledger::Lease,
    _service_keys: tempfile::TempDir,
    _servers: JoinSet<()>,
}

/// What differs between houses.
struct Setup {
    timings: Timings,
    contracts: Option<Arc<Contracts>>,
    clock: Clock,
    budgets: Budgets,
    live: domain::turn::Live,
    catalog: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            timings: Timings::default(),
            contracts: None,
            clock: Clock::system(),
            budgets: Budgets::default(),
            live: domain::turn::Live::default(),
            catalog: testing::catalog::priced().to_owned(),
        }
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(Timings::default()).await
    }

    /// Of a development server: with wallets for trying.
    pub(crate) async fn open_for_trying() -> Self {
        Self::build(Burner::Offered, Setup::default()).await
    }

    /// Whose sockets keep other times.
    pub(crate) async fn open_with(timings: Timings) -> Self {
        Self::build(Burner::Absent, Setup { timings, ..Setup::default() }).await
    }

    /// Whose time the test moves.
    pub(crate) async fn open_at(clock: Clock) -> Self {
        Self::build(Burner::Absent, Setup { clock, ..Setup::default() }).await
    }

    /// Which can ask chains about wallets that are contracts.
    pub(crate) async fn open_with_chains(contracts: Contracts) -> Self {
        let contracts = Some(Arc::new(contracts));
        Self::build(Burner::Absent, Setup { contracts, ..Setup::default() }).await
    }

    /// Whose models are those of this catalog.
    pub(crate) async fn open_with_catalog(catalog: &str) -> Self {
        Self::build(Burner::Absent, Setup { catalog: catalog.to_owned(), ..Setup::default() }).await
    }

    /// Whose budgets for bodies are so much smaller, and which lets an account have so many answers at once.
    pub(crate) async fn open_small(budgets_divided_by: usize, answers_at_once: usize) -> Self {
        let budgets = Budgets::divided_by(budgets_divided_by);
        let live = domain::turn::Live::with_at_most(answers_at_once);
        Self::build(Burner::Absent, Setup { budgets, live, ..Setup::default() }).await
    }

    async fn build(burner: Burner, setup: Setup) -> Self {
        let Setup { timings, contracts, clock, budgets, live, catalog } = setup;
        let database = TestDatabase::new().await;
        let catalog = Arc::new(Catalog::parse(&catalog).expect("a sound catalog"));
        let folder = tempfile::tempdir().expect("a folder");
        let service_keys = Arc::new(ServiceKeys::bootstrap(folder.path(), clock.clone()).expect("new keys"));
        let front = front();
        let back = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = front.local_addr().expect("bound");
        let finn_url = format!("http://{}", back.local_addr().expect("bound"));

        let mut servers = JoinSet::new();
        let settings = finn::Settings {
            catalog: Arc::clone(&catalog),
            jwks_url: format!("http://{address}/.well-known/jwks.json"),
            keys: BTreeMap::new(),
            base_urls: BTreeMap::new(),
            scripted_pace: PACE,
            scripted: finn::ScriptedModels::Commanded,
            clock: clock.clone(),
            render_metrics: None,
        };
        let agents = Arc::new(AgentView::new(database.pool_for("loa_finn_ro")));
        let engine = finn::Engine::with_agents(
            settings,
            Arc::new(finn::MemoryReplay::new()),
            Arc::new(finn::Discard),
            agents,
        );
        servers.spawn(finn::serve(back, engine.expect("sound settings"), std::future::pending()));

        let lease = ledger::Lease::take(database.pool.clone(), "test", Duration::from_mins(5))
            .await
            .expect("a lease");
        let books = ledger::Settings::new(&database.url(), clock.clone()).expect("a URL");
        let (ledger, _writers) = Ledger::start(&books);
        let mut connection = database.pool.acquire().await.expect("a connection");
        let price_version =
            ledger::report::price_version(&mut connection, "{}", clock.now()).await.expect("stored");
        let pepper = BTreeMap::from([(1, Secret::new("a pepper for tests that is long enough"))]);
        let peppers = Peppers::new(pepper).expect("long enough");
        let ipn_secret = IpnSecret::new("an IPN secret for tests").expect("not blank");
        let simulated = simulator::Settings::new(API_KEY, ipn_secret.clone(), clock.clone());
        let simulator = Simulator::start(simulated).await.expect("a port");
        let vendor = Client::new(&simulator.url(), API_KEY, clock.clone()).expect("a URL");
        let payments =
            domain::order::Payments::new(Some(vendor), format!("http://{address}/api/crypto/webhook"))
                .simulated_at(simulator.url());
        let ctx = Arc::new(Ctx {
            keys: KeyRing::new(database.pool.clone(), peppers, clock.clone()),
            limits: Limits::new(clock.clone()),
            engine: domain::engine::Engine::new(
                &finn_url,
                client::Client::new(),
                Arc::clone(&service_keys),
                clock.clone(),
            )
            .expect("a URL"),
            owner: lease.owner(),
            clock,
            db: database.pool.clone(),
            ledger,
            catalog,
            price_version,
            payments,
            flags: domain::flags::Flags::new(domain::flags::FirstValues::ALL_ON),
            live,
            sandbox: domain::sandbox::Minted::default(),
            agents: domain::agent::Known::default(),
            chat: domain::chat::Running::default(),
            keyed: domain::idempotency::answers::InFlight::default(),
        });
        let secret = Secret::new(SESSION_SECRET);
        let secrets = SessionSecrets::new(&secret, None).expect("long enough");
        let sessions = Sessions::new(database.pool.clone(), secrets, ctx.clock.clone());
        let sign_in = SignIn {
            nonces: Nonces::new(database.pool.clone(), ctx.clock.clone()),
            handoffs: Handoffs::new(database.pool.clone(), sessions.clone(), ctx.clock.clone()),
            sessions,
            contracts,
            chains: vec![1, 8_453],
        };
        let tickets = Tickets::new(database.pool.clone(), ctx.clock.clone());
        let sockets = Sockets::new(timings);
        let app = router(AppState {
            ctx: Arc::clone(&ctx),
            service_keys,
            metrics: PrometheusBuilder::new().build_recorder().handle(),
            ipn_secret: Some(ipn_secret.clone()),
            operator_token: Some(OperatorToken::new(OPERATOR)),
            trusted_proxies: "127.0.0.1".parse().expect("an address"),
            checks: vec![Check::new("books", || async { Ok("open".to_owned()) })],
            public_url: format!("http://{address}"),
            version: "0.0.0",
            sign_in: sign_in.clone(),
            tickets: tickets.clone(),
            sockets: sockets.clone(),
            sign_up: SignUp::Anyone,
            burner,
            budgets,
        });
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        let front = front.tap_io(|stream| stream.set_nodelay(true).expect("a fresh socket"));
        servers
            .spawn(async move { axum::serve(front, service).await.expect("it serves until it is dropped") });
        Self {
            address,
            ctx,
            database,
            simulator,
            ipn_secret,
            sign_in,
            tickets,
            sockets,
            _lease: lease,
            _service_keys: folder,
            _servers: servers,
        }
    }

    /// A developer with a live key and `credit`.
    pub(crate) async fn payer(&self, credit: MicroUsd) -> Payer {
        self.payer_with(
            credit,
            KeyLimits { requests_per_minute: 10_000, tokens_per_day: 100_000_000 },
            Scopes::developer(),
        )
        .await
    }

    pub(crate) async fn payer_with(&self, credit: MicroUsd, limits: KeyLimits, scopes: Scopes) -> Payer {
        let (community, account) = (CommunityId(self.ctx.clock.big_id()), AccountId(self.ctx.clock.big_id()));
        let key = AccountKey { community, account };
        let mut tx = self.database.pool.begin().await.expect("a transaction");
        sqlx::query("insert into community (id, slug, name, created_at) values ($1, $2, 'test', $3)")
            .bind(community.0)
            .bind(format!("test-{community}"))
            .bind(self.ctx.clock.now())
            .execute(&mut *tx)
            .await
            .expect("a community");
        ledger::open_account(&mut tx, &self.ctx.clock, key, None).await.expect("an account");
        tx.commit().await.expect("committed");
        if credit > MicroUsd::ZERO {
            let mint = Op::Mint {
                key,
                id: LotId(self.ctx.clock.uuid_v7()),
                source: Source::Grant,
                amount: credit.0,
                expires_at: self.ctx.clock.now() + time::Duration::days(1),
            };
            self.ctx.ledger.submit(mint).await.expect("minted");
        }
        let request =
            KeyRequest { community, account, name: "test".to_owned(), kind: KeyKind::Live, scopes, limits };
        let made = self.ctx.keys.create(request).await.expect("a key");
        Payer { key, api_key: made.secret.reveal().to_owned(), key_id: made.key.public_id }
    }

    /// The caller as the doors see it.
    pub(crate) async fn known(&self, payer: &Payer) -> Arc<ApiKey> {
        self.ctx.keys.authenticate(&payer.api_key, [127, 0, 0, 1].into()).await.expect("a good key")
    }

    pub(crate) async fn balance(&self, payer: &Payer) -> ledger::report::Balance {
        let mut connection = self.database.pool.acquire().await.expect("a connection");
        let balance = ledger::report::balance(&mut connection, payer.key).await.expect("readable");
        balance.expect("the account is there")
    }

    /// Waits until no turn runs and no hold is open, then looks at the sums.
    pub(crate) async fn settled(&self, payer: &Payer) -> ledger::report::Balance {
        let started = tokio::time::Instant::now();
        loop {
            let balance = self.balance(payer).await;
            if balance.held == 0 && self.ctx.live.count() == 0 {
                let spread =
                    balance.available + balance.held + balance.spent + balance.expired + balance.reversed;
                assert_eq!(balance.minted, spread, "every micro-USD is somewhere");
                return balance;
            }
            assert!(started.elapsed() < PATIENCE, "a hold stayed open: {balance:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn today(&self) -> OffsetDateTime {
        self.ctx.clock.now()
    }

    /// A key with the scope `admin` of the payer's own community.
    pub(crate) async fn admin_of(&self, payer: &Payer) -> String {
        let request = KeyRequest {
            community: payer.key.community,
            account: payer.key.account,
            name: "admin".to_owned(),
            kind: KeyKind::Live,
            scopes: [identity::Scope::Admin].into_iter().collect(),
            limits: KeyLimits { requests_per_minute: 10_000, tokens_per_day: 1_000_000 },
        };
        self.ctx.keys.create(request).await.expect("a key").secret.reveal().to_owned()
    }
}

/// Listens with small send buffers: a reader that takes nothing is felt after kilobytes, not after megabytes.
fn front() -> TcpListener {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_send_buffer_size(16 * 1024).expect("a small buffer");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    socket.listen(1_024).expect("it listens")
}

/// Who pays, and with which key.
pub(crate) struct Payer {
    pub(crate) key: AccountKey,
    pub(crate) api_key: String,
    pub(crate) key_id: String,
}
