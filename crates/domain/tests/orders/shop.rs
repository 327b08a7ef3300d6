//! What the tests of orders share: a shop with a vendor, buyers, reports, and what the books say afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::Ctx;
use domain::flags::{FirstValues, Flags};
use domain::order::{self, Applied, ApplyError, Origin, Payer, Payments};
use identity::{KeyRing, Limits, Peppers, Secret, ServiceKeys};
use ledger::{AccountKey, Ledger};
use pay::notice::IpnSecret;
use pay::nowpayments::Client;
use pay::report::Report;
use pay::simulator::{Manner, Running, Settings, Simulator};
use sqlx::PgPool;
use testing::postgres::TestDatabase;
use time::macros::datetime;
use types::catalog::Catalog;
use types::{AccountId, Clock, CommunityId, OwnerId};

/// What the standard pack is worth.
pub(crate) const WORTH: i64 = 10_500_000;

pub(crate) struct Shop {
    pub(crate) ctx: Ctx,
    pub(crate) clock: Clock,
    pub(crate) pool: PgPool,
    pub(crate) vendor: Client,
    pub(crate) simulator: Running,
    pub(crate) secret: IpnSecret,
    pub(crate) database: TestDatabase,
    _service_keys: tempfile::TempDir,
}

impl Shop {
    /// A shop whose clock stands still, and whose vendor tells nothing by itself.
    pub(crate) async fn open() -> Self {
        Self::open_in(TestDatabase::new().await, Clock::fixed(datetime!(2026-03-01 12:00 UTC))).await
    }

    pub(crate) async fn open_in(database: TestDatabase, clock: Clock) -> Self {
        let secret = IpnSecret::new("a secret for tests").unwrap();
        let settings = Settings::new("a key for tests", secret.clone(), clock.clone());
        let simulator = Simulator::start(settings).await.unwrap();
        simulator.deliver_all_as(Manner::Silent);
        let vendor = Client::new(&simulator.url(), "a key for tests", clock.clone()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let service_keys = Arc::new(ServiceKeys::bootstrap(folder.path(), clock.clone()).unwrap());
        let pool = database.pool.clone();
        let books = ledger::Settings::new(&database.url(), clock.clone()).unwrap();
        let (ledger, _writers) = Ledger::start(&books);
        let pepper = BTreeMap::from([(1, Secret::new("a pepper for tests that is long enough"))]);
        let ctx = Ctx {
            keys: KeyRing::new(pool.clone(), Peppers::new(pepper).unwrap(), clock.clone()),
            limits: Limits::new(clock.clone()),
            engine: domain::engine::Engine::new(
                "http://127.0.0.1:9",
                client::Client::new(),
                service_keys,
                clock.clone(),
            )
            .unwrap(),
            owner: OwnerId(1),
            clock: clock.clone(),
            db: pool.clone(),
            ledger,
            catalog: Arc::new(Catalog::parse(testing::catalog::priced()).unwrap()),
            price_version: 1,
            flags: Flags::new(FirstValues::ALL_ON),
            payments: Payments::new(Some(vendor.clone()), "http://127.0.0.1:9/api/crypto/webhook".to_owned()),
            live: domain::turn::Live::default(),
            sandbox: domain::sandbox::Minted::default(),
            agents: domain::agent::Known::default(),
            chat: domain::chat::Running::default(),
            keyed: domain::idempotency::answers::InFlight::default(),
        };
        Self { ctx, clock, pool, vendor, simulator, secret, database, _service_keys: folder }
    }

    /// A buyer with a community and an account of their own.
    pub(crate) async fn buyer(&self) -> Payer {
        let key = AccountKey {
            community: CommunityId(self.clock.big_id()),
            account: AccountId(self.clock.big_id()),
        };
        let mut tx = self.pool.begin().await.unwrap();
        sqlx::query("insert into community (id, slug, name, created_at) values ($1, $2, 'test', $3)")
            .bind(key.community.0)
            .bind(format!("test-{}", key.community))
            .bind(self.clock.now())
            .execute(&mut *tx)
            .await
            .unwrap();
        ledger::open_account(&mut tx, &self.clock, key, None).await.unwrap();
        tx.commit().await.unwrap();
        Payer { key }
    }

    /// An order of the standard pack.
    pub(crate) async fn order(&self, who: Payer) -> order::OrderId {
        order::start(&self.ctx, who, "standard", None).await.unwrap().id
    }

    /// An order of the standard pack with a payment in `coin`: the order and the payment's id.
    pub(crate) async fn payment(&self, who: Payer, coin: &str) -> (order::OrderId, String) {
        let order = self.order(who).await;
        let view = order::choose(&self.ctx, who, order, coin).await.unwrap();
        (order, view.payment.unwrap().id)
    }

    pub(crate) async fn tell(&self, report: &Report) -> Applied {
        tell(&self.pool, &self.clock, report).await.unwrap()
    }

    pub(crate) async fn books(&self, who: Payer) -> Books {
        books(&self.pool, who).await
    }

    /// The books, recomputed from the journal, agree with every counter.
    pub(crate) async fn audit(&self) {
        assert_eq!(ledger::check_everything(&self.pool).await.unwrap(), [], "the books do not agree");
    }
}

/// Applies a report as a notice whose bytes are the report's `Debug`.
pub(crate) async fn tell(pool: &PgPool, clock: &Clock, report: &Report) -> Result<Applied, ApplyError> {
    let verbatim = format!("{report:?}").into_bytes();
    order::apply(pool, clock, report, Origin::Notice { verbatim: &verbatim }).await
}

pub(crate) fn report(order: order::OrderId, payment: &str, status: &str) -> Report {
    Report {
        payment_id: payment.to_owned(),
        parent_payment_id: None,
        order_id: Some(order.to_string()),
        status: status.to_owned(),
        price_amount: Some("10".to_owned()),
        price_currency: Some("usd".to_owned()),
        pay_amount: Some("0.0001".to_owned()),
        pay_currency: Some("btc".to_owned()),
        actually_paid: None,
        purchase_id: None,
        updated_at: None,
    }
}

/// What an account comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Books {
    pub(crate) available: i64,
    pub(crate) held: i64,
    pub(crate) spent: i64,
    pub(crate) owed: i64,
    pub(crate) minted: i64,
    pub(crate) reversed: i64,
    /// Source, minted and reversed of each lot.
    pub(crate) lots: Vec<(i16, i64, i64)>,
    /// Journal lines.
    pub(crate) lines: i64,
}

pub(crate) async fn books(pool: &PgPool, who: Payer) -> Books {
    let (community, account) = (who.key.community.0, who.key.account.0);
    let (available, held, spent, owed, minted, reversed, lines) = sqlx::query_as(
        "select available, held, spent, owed, minted, reversed, seq from account where community_id = $1 and id = $2",
    )
    .bind(community)
    .bind(account)
    .fetch_one(pool)
    .await
    .unwrap();
    let lots = sqlx::query_as(
        "select source, minted, reversed from lot where community_id = $1 and account_id = $2 order by 1, 2, 3",
    )
    .bind(community)
    .bind(account)
    .fetch_all(pool)
    .await
    .unwrap();
    Books { available, held, spent, owed, minted, reversed, lots, lines }
}

/// Kind and state of the review items of an order, sorted.
pub(crate) async fn items(pool: &PgPool, order: order::OrderId) -> Vec<(i16, i16)> {
    sqlx::query_as("select kind, state from review_item where order_id = $1 order by 1, 2")
        .bind(order.0)
        .fetch_all(pool)
        .await
        .unwrap()
}

pub(crate) async fn count(pool: &PgPool, sql: &'static str, order: order::OrderId) -> i64 {
    sqlx::query_scalar(sql).bind(order.0).fetch_one(pool).await.unwrap()
}
