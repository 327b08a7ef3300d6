//! A connection that breaks after any number of bytes, in either direction: the commit's reply is one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ledger::{Answer, Ledger, Op, Settings};
use testing::postgres::TestDatabase;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio_postgres::config::Host;
use types::{Clock, ReservationId};

use crate::common::{audit, hold, key, mint, open, settle};

/// Bytes that still pass, and bytes that have passed.
#[derive(Default)]
struct Meter {
    left: AtomicU64,
    passed: AtomicU64,
}

/// Stands between a ledger and PostgreSQL. Its first connection breaks as told; later ones do not.
struct Proxy {
    port: u16,
    from_server: Arc<Meter>,
    from_client: Arc<Meter>,
}

impl Proxy {
    async fn start(url: &str) -> Self {
        let config: tokio_postgres::Config = url.parse().unwrap();
        let Host::Unix(folder) = config.get_hosts()[0].clone() else {
            panic!("the tests' cluster has a socket")
        };
        let socket = folder.join(format!(".s.PGSQL.{}", config.get_ports()[0]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, from_server, from_client) =
            (listener.local_addr().unwrap().port(), Arc::<Meter>::default(), Arc::<Meter>::default());
        let meters = (Arc::clone(&from_server), Arc::clone(&from_client));
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = UnixStream::connect(&socket).await.unwrap();
                let (server_says, client_says) = (Arc::clone(&meters.0), Arc::clone(&meters.1));
                tokio::spawn(async move {
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    // When one direction ends, both are cut: as when a cable is pulled.
                    tokio::select! {
                        () = pass(from_server, to_client, &server_says) => {}
                        () = pass(from_client, to_server, &client_says) => {}
                    }
                });
            }
        });
        Self { port, from_server, from_client }
    }

    /// How much passes before the next cut; nothing is cut after it.
    fn cut_after(&self, from_server: u64, from_client: u64) {
        self.from_server.left.store(from_server, Ordering::SeqCst);
        self.from_client.left.store(from_client, Ordering::SeqCst);
    }

    fn passed(&self) -> (u64, u64) {
        (self.from_server.passed.swap(0, Ordering::SeqCst), self.from_client.passed.swap(0, Ordering::SeqCst))
    }

    fn ledger(&self, url: &str, clock: &Clock) -> (Ledger, ledger::Writers) {
        let direct: tokio_postgres::Config = url.parse().unwrap();
        let mut settings = Settings::new(url, clock.clone()).unwrap();
        let mut through = tokio_postgres::Config::new();
        through
            .host("127.0.0.1")
            .port(self.port)
            .user(direct.get_user().unwrap())
            .dbname(direct.get_dbname().unwrap());
        settings.database = through;
        settings.writers = 1;
        Ledger::start(&settings)
    }
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, meter: &Meter) {
    let mut buffer = vec![0; 16_384];
    while let Ok(read) = from.read(&mut buffer).await {
        let read = u64::try_from(read).unwrap();
        let before = meter
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                Some(if left <= read {
                    u64::MAX
                } else if left == u64::MAX {
                    left
                } else {
                    left - read
                })
            })
            .unwrap();
        let allowed = usize::try_from(read.min(before)).unwrap();
        meter.passed.fetch_add(read, Ordering::SeqCst);
        if to.write_all(&buffer[..allowed]).await.is_err() || read == 0 || before <= read {
            return;
        }
    }
}

/// A life of one account: what it comes to is the same wherever the connection breaks.
async fn live(ledger: &Ledger, clock: &Clock, account: i64) {
    let payer = key(1, account);
    let (settled, released) = (clock.uuid_v7(), clock.uuid_v7());
    let (credit, release) =
        (mint(clock, payer, 500), Op::Release { key: payer, id: ReservationId(released) });
    for (op, expected) in [
        (hold(payer, settled, 100), Answer::Held { amount: 100, available: 900 }),
        (hold(payer, released, 50), Answer::Held { amount: 50, available: 850 }),
        (settle(payer, settled, 70), Answer::Settled { charged: 70, owed: 0 }),
        (credit, Answer::Minted),
        (release, Answer::Released),
    ] {
        assert_eq!(ledger.submit(op).await.unwrap(), expected, "account {account}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_the_connection_breaks_each_operation_is_done_once() {
    const NEVER: u64 = u64::MAX;
    let (database, clock) = (TestDatabase::new().await, Clock::system());
    let proxy = Proxy::start(&database.url()).await;
    // Once without a fault, to know how much there is to cut.
    proxy.cut_after(NEVER, NEVER);
    open(&database.pool, &clock, key(1, 0), 1_000).await;
    live(&proxy.ledger(&database.url(), &clock).0, &clock, 0).await;
    let (server_bytes, client_bytes) = proxy.passed();
    let step = if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 11 } else { 331 };
    let cuts = (1..server_bytes).step_by(step).map(|cut| (cut, NEVER));
    let cuts = cuts.chain((1..client_bytes).step_by(step).map(|cut| (NEVER, cut)));
    let mut rounds = 0;
    for (account, (from_server, from_client)) in (1..).zip(cuts) {
        open(&database.pool, &clock, key(1, account), 1_000).await;
        proxy.cut_after(from_server, from_client);
        live(&proxy.ledger(&database.url(), &clock).0, &clock, account).await;
        rounds += 1;
    }
    println!("{rounds} cuts in {server_bytes} bytes of answers and {client_bytes} of questions");
    audit(&database.pool).await;
    let wrong: i64 = sqlx::query_scalar(
        "select count(*) from account where not (minted = 1500 and spent = 70 and held = 0 and available = 1430)",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(wrong, 0, "accounts on which something was done twice or not at all");
}
