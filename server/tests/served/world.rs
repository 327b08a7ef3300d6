//! A fresh database, and people who may ask: accounts with credit and keys that the started processes accept.

use std::collections::BTreeMap;
use std::time::Duration;

use identity::{KeyKind, KeyLimits, KeyRequest, KeyRing, Peppers, Scopes, Secret};
use ledger::{AccountKey, NEVER, Op, Source};
use testing::books;
use testing::postgres::TestDatabase;
use testing::served::{Launch, PEPPER, Served};
use types::{AccountId, Clock, CommunityId, LotId};

use crate::client::Client;

/// How long what has to happen may take on a machine that compiles beside it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// More than any test spends: ten dollars.
pub(crate) const PLENTY: i64 = 10_000_000;
/// No test runs into it.
pub(crate) const UNLIMITED: KeyLimits =
    KeyLimits { requests_per_minute: 1_000_000, tokens_per_day: 1_000_000_000 };

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) keys: KeyRing,
    clock: Clock,
}

/// Somebody who pays.
#[derive(Clone, Debug)]
pub(crate) struct Payer {
    pub(crate) account: AccountKey,
    pub(crate) key: String,
    /// The key's public part.
    pub(crate) key_id: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(TestDatabase::new().await)
    }

    pub(crate) fn of(database: TestDatabase) -> Self {
        let clock = Clock::system();
        let peppers = Peppers::new(BTreeMap::from([(1, Secret::new(PEPPER))])).expect("long enough");
        let keys = KeyRing::new(database.pool.clone(), peppers, clock.clone());
        Self { database, keys, clock }
    }

    /// All roles of the binary on this database.
    pub(crate) fn launch(&self) -> Launch {
        Launch::new(env!("CARGO_BIN_EXE_freeside")).on(&self.database)
    }

    /// A live key that no limit stops, on an account with `credit` micro-USD.
    pub(crate) async fn payer(&self, credit: i64) -> Payer {
        self.payer_with(credit, KeyKind::Live, UNLIMITED).await
    }

    pub(crate) async fn payer_with(&self, credit: i64, kind: KeyKind, limits: KeyLimits) -> Payer {
        let account = AccountKey {
            community: CommunityId(self.clock.big_id()),
            account: AccountId(self.clock.big_id()),
        };
        let mut tx = self.database.pool.begin().await.expect("a transaction");
        sqlx::query("insert into community (id, slug, name, created_at) values ($1, $2, 'test', $3)")
            .bind(account.community.0)
            .bind(format!("test-{}", account.community))
            .bind(self.clock.now())
            .execute(&mut *tx)
            .await
            .expect("a community");
        ledger::open_account(&mut tx, &self.clock, account, None).await.expect("an account");
        if credit > 0 {
            let id = LotId(self.clock.uuid_v7());
            let mint =
                Op::Mint { key: account, id, source: Source::Grant, amount: credit, expires_at: NEVER };
            ledger::post(&mut tx, &self.clock, &mint).await.expect("minted");
        }
        let request = KeyRequest {
            community: account.community,
            account: account.account,
            name: "test".to_owned(),
            kind,
            scopes: Scopes::developer(),
            limits,
        };
        let made = self.keys.create_in(&mut tx, request).await.expect("a key");
        tx.commit().await.expect("committed");
        Payer { account, key: made.secret.reveal().to_owned(), key_id: made.key.public_id }
    }

    /// Another key of a payer.
    pub(crate) async fn key_of(&self, payer: &Payer, kind: KeyKind, limits: KeyLimits) -> Payer {
        let request = KeyRequest {
            community: payer.account.community,
            account: payer.account.account,
            name: "test".to_owned(),
            kind,
            scopes: Scopes::developer(),
            limits,
        };
        let made = self.keys.create(request).await.expect("a key");
        Payer { account: payer.account, key: made.secret.reveal().to_owned(), key_id: made.key.public_id }
    }

    /// Waits until every hold is closed, then audits the books.
    pub(crate) async fn audited(&self) {
        books::closed(&self.database.pool, PATIENCE).await;
        books::audit(&self.database.pool).await;
    }
}

impl Payer {
    pub(crate) fn at(&self, served: &Served) -> Client {
        Client::new(served.gateway(), &self.key)
    }
}
