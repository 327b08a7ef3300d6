//! From notice to credits: a `freeside serve`, orders that wait for their money, and finished notices by a timetable.
//!
//! Each notice comes on a connection of its own. A latency begins at the timetable's moment, so that a service that is
//! late cannot hide it, and ends with the last byte of a 2xx, which is said after the commit. Then every account must
//! have exactly its packs. Orders and payments are written as the product writes them, by SQL: they are not measured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use cluster::{Cluster, roles};
use ledger::AccountKey;
use pay::notice::{IpnSecret, sign_bytes};
use pay::simulator::{self, Simulator};
use rand::distr::{Alphanumeric, SampleString as _};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use types::{AccountId, Clock, CommunityId};
use uuid::Uuid;

use super::Options;
use crate::figure::Figure;
use crate::path::service::{self, Service};
use crate::path::upstream::Upstream;
use crate::path::{DATABASE, check_durable};
use crate::summary::percentile;
use crate::wal;

/// Notices a second: the rate of the promise.
const PER_SECOND: u32 = 100;
/// From notice to credits, in ms: 99 of 100, and every one.
const P99_AT_MOST_MS: f64 = 250.0;
const EVERY_AT_MOST_MS: f64 = 3_000.0;
/// Of the same load, before it is measured.
const WARM_UP_S: u64 = 2;
/// Accounts that share the orders of a run, so that some are credited more than once.
const ACCOUNTS: usize = 256;
/// The standard pack and its bonus.
const CREDITS: i64 = 10_000_000;
const BONUS: i64 = 500_000;
/// An answer that takes longer has failed.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const API_KEY: &str = "a merchant's key for benchmarks";
/// 40 of 62 letters are 238 bits.
const SECRET_LETTERS: usize = 40;

/// A payment that waits for its money.
struct Waiting {
    account: AccountKey,
    order: Uuid,
    payment: String,
}

pub(crate) async fn measure(options: &Options) -> anyhow::Result<Vec<Figure>> {
    let text = Alphanumeric.sample_string(&mut rand::rng(), SECRET_LETTERS);
    let secret = IpnSecret::new(&text).expect("letters are not blank");
    let settings = simulator::Settings::new(API_KEY, secret.clone(), Clock::system());
    let simulator = Simulator::start(settings).await?;
    let upstream = Upstream::start()?;
    let program = service::program(options.freeside.as_deref())?;
    let service = Service::new(program, &options.folder, upstream.address)?
        .with("NOWPAYMENTS_API_KEY", API_KEY)
        .with("NOWPAYMENTS_IPN_SECRET", text)
        .with("NOWPAYMENTS_API_URL", simulator.url());
    let result = tokio::select! {
        result = load(&service, &secret, options.seconds.max(1)) => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("broken off")),
    };
    let result = result.map_err(|error| anyhow::anyhow!("{error:#}\n{}", service.last_words()));
    let cleared = service.clear().await;
    let figures = result?;
    cleared.map(|()| figures)
}

async fn load(service: &Service, secret: &IpnSecret, seconds: u64) -> anyhow::Result<Vec<Figure>> {
    service.start().await?;
    let cluster = Cluster::start(cluster::Settings::new(service.data())).await?;
    let db = PgPoolOptions::new().max_connections(2).connect(&cluster.url(roles::APP, DATABASE)).await?;
    check_durable(&db).await?;
    wal::age(&cluster.superuser_url(DATABASE)).await?;
    let warm_up = usize::try_from(WARM_UP_S * u64::from(PER_SECOND))?;
    let count = warm_up + usize::try_from(seconds * u64::from(PER_SECOND))?;
    let waiting = order(&db, count).await?;
    let mut latencies_us = tell_all(service.listen, secret, &waiting).await?.split_off(warm_up);
    service.check_running().await?;
    check(&db, &waiting).await?;
    let mut ms = |percent| f64::from(percentile(&mut latencies_us, percent)) / 1e3;
    let what = |which| format!("notice to credits at {PER_SECOND}/s, {which}, ms");
    let figures = vec![
        Figure::plain(what("p50"), ms(50.0)),
        Figure::at_most(what("p99"), ms(99.0), P99_AT_MOST_MS),
        Figure::at_most(what("slowest"), ms(100.0), EVERY_AT_MOST_MS),
    ];
    db.close().await;
    cluster.stop().await?;
    service.stop().await?;
    Ok(figures)
}

/// Orders with a chosen coin each, by members of one community: its book is locked by one payment at a time, so this is
/// dearer than a community for each.
async fn order(db: &PgPool, count: usize) -> anyhow::Result<Vec<Waiting>> {
    let clock = Clock::system();
    let now = clock.now();
    let mut tx = db.begin().await?;
    let community = clock.big_id();
    sqlx::query("insert into community (id, slug, name, created_at) values ($1, 'bench', 'Bench', $2)")
        .bind(community)
        .bind(now)
        .execute(&mut *tx)
        .await?;
    let mut accounts = Vec::with_capacity(ACCOUNTS);
    for _ in 0..ACCOUNTS {
        let key = AccountKey { community: CommunityId(community), account: AccountId(clock.big_id()) };
        ledger::open_account(&mut tx, &clock, key, None).await?;
        accounts.push(key);
    }
    let mut waiting = Vec::with_capacity(count);
    for account in accounts.into_iter().cycle().take(count) {
        let (order, payment) = (clock.uuid_v7(), clock.big_id().to_string());
        sqlx::query(
            "insert into purchase_order (id, community_id, account_id, pack, price_amount, price_currency, credits, bonus, created_at)
             values ($1, $2, $3, 'standard', '10', 'usd', $4, $5, $6)",
        )
        .bind(order)
        .bind(account.community.0)
        .bind(account.account.0)
        .bind(CREDITS)
        .bind(BONUS)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into payment (id, order_id, coin, pay_amount, created_at, facts, next_poll_at)
             values ($1, $2, 'btc', '0.0002', $3, 1, $3 + interval '5 minutes')",
        )
        .bind(&payment)
        .bind(order)
        .bind(now)
        .execute(&mut *tx)
        .await?;
        waiting.push(Waiting { account, order, payment });
    }
    tx.commit().await?;
    Ok(waiting)
}

/// Tells of every payment that it is finished, each at its moment; the latencies in that order, in µs.
async fn tell_all(address: SocketAddr, secret: &IpnSecret, waiting: &[Waiting]) -> anyhow::Result<Vec<u32>> {
    let requests: Vec<Vec<u8>> = waiting.iter().map(|payment| request(address, secret, payment)).collect();
    let (begin, between) = (Instant::now(), Duration::from_secs(1) / PER_SECOND);
    let mut notices = JoinSet::new();
    for (number, request) in (0_u32..).zip(requests) {
        let due = begin + between * number;
        notices.spawn(async move { tell(address, &request, due).await.map(|took_us| (number, took_us)) });
    }
    let mut latencies_us = Vec::with_capacity(waiting.len());
    while let Some(told) = notices.join_next().await {
        latencies_us.push(told??);
    }
    latencies_us.sort_unstable();
    Ok(latencies_us.into_iter().map(|(_, took_us)| took_us).collect())
}

async fn tell(address: SocketAddr, request: &[u8], due: Instant) -> anyhow::Result<u32> {
    tokio::time::sleep_until(due).await;
    let mut answer = Vec::new();
    let ask = async {
        let mut line = TcpStream::connect(address).await?;
        line.write_all(request).await?;
        line.read_to_end(&mut answer).await
    };
    tokio::time::timeout(ANSWER_LIMIT, ask).await??;
    let took = due.elapsed();
    ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "a notice was not taken in: {}",
        String::from_utf8_lossy(&answer)
    );
    Ok(u32::try_from(took.as_micros())?)
}

/// A finished notice as the vendor sends it.
fn request(host: SocketAddr, secret: &IpnSecret, waiting: &Waiting) -> Vec<u8> {
    let body = serde_json::json!({
        "actually_paid": 0.0002, "actually_paid_at_fiat": 0, "invoice_id": null, "order_description": "Credits: standard",
        "order_id": waiting.order, "outcome_amount": 0.000_199, "outcome_currency": "btc", "parent_payment_id": null,
        "pay_address": "a payment address of the benchmark", "pay_amount": 0.0002, "pay_currency": "btc",
        "payin_extra_id": null, "payment_extra_ids": null, "payment_id": waiting.payment, "payment_status": "finished",
        "price_amount": 10, "price_currency": "usd", "purchase_id": "5837122679",
        "fee": {"currency": "btc", "depositFee": 0.000_000_9, "serviceFee": 0, "withdrawalFee": 0},
    })
    .to_string();
    let signature = sign_bytes(secret, body.as_bytes());
    format!(
        "POST /api/crypto/webhook HTTP/1.1\r\nhost: {host}\r\nx-nowpayments-sig: {signature}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Every account has its packs and no more, nothing waits for a person, and books and chains agree.
async fn check(db: &PgPool, waiting: &[Waiting]) -> anyhow::Result<()> {
    let mut packs: BTreeMap<AccountKey, i64> = BTreeMap::new();
    for payment in waiting {
        *packs.entry(payment.account).or_default() += 1;
    }
    let mut connection = db.acquire().await?;
    for (key, packs) in packs {
        let balance = ledger::report::balance(&mut connection, key).await?;
        let available = balance.map(|balance| balance.available);
        let paid = packs * (CREDITS + BONUS);
        ensure!(available == Some(paid), "{key:?} paid for {paid} micro-USD and has {available:?}");
    }
    let open: i64 =
        sqlx::query_scalar("select count(*) from review_item").fetch_one(&mut *connection).await?;
    ensure!(open == 0, "{open} payments wait for a person");
    drop(connection);
    let differences = ledger::check_everything(db).await?;
    ensure!(differences.is_empty(), "the books do not agree: {differences:?}");
    let faults = ledger::audit::check_chains(db, None).await?;
    ensure!(faults.is_empty(), "the audit chains are broken: {faults:?}");
    Ok(())
}
