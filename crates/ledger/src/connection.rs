//! The writer's own connection: straight to PostgreSQL, statements prepared once. A batch is one statement when what it
//! changes is known from the batches before, and else two round trips: locks and reads, then its writes as one statement.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement as Prepared};
use types::{Clock, failpoint};

use crate::column::Column;
use crate::known::Known;
use crate::model::{AccountKey, Op};
use crate::observe::{self, Observer};
use crate::rule::{self, NeedLots, Verdict};
use crate::sabotage::Sabotage;
use crate::state::{LotState, State, Write};
use crate::statements::{
    ALL, LOTS_AT_FIRST, LOTS_AT_MOST, READ_LOTS, Statement, decode, is_write, joined, reads,
};
use crate::writes::groups;

/// A batch waits this long for a row lock before those who wait on it go to the slow lane.
pub(crate) const LOCK_TIMEOUT_MS: u32 = 1_000;
/// The slow lane waits less: while it waits for an account it holds the book, and with it everybody else there.
pub(crate) const SLOW_LOCK_TIMEOUT_MS: u32 = 50;
/// An address that does not answer is given up after this; the writer then tries again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Session settings. `force_generic_plan`: the arrays change in length, the plan should not. A plan made while a table
/// was small would scan it for ever after, or join it by a hash: every statement here has a key, and goes by it.
const OPTIONS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_hashjoin=off \
    -c enable_mergejoin=off -c enable_bitmapscan=off -c jit=off -c idle_in_transaction_session_timeout=5s";

/// Why a batch was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The connection is gone, or the database behind it cannot write now. If it went at the commit, the outcome is
    /// unknown: run the same batch again, over a new connection.
    Lost,
    /// Somebody holds a lock.
    LockTimeout,
    /// Deadlock or serialisation failure: again.
    Again,
    /// The database refuses something in the batch.
    Refused(tokio_postgres::Error),
    /// Lots of this account do not cover its balance: its books are broken.
    Broken(AccountKey),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            None => Self::Lost,
            Some(code) => match code {
                &SqlState::LOCK_NOT_AVAILABLE => Self::LockTimeout,
                // A cancelled statement is no fault of the batch either: somebody tidied up, or a time limit struck.
                &SqlState::T_R_DEADLOCK_DETECTED
                | &SqlState::T_R_SERIALIZATION_FAILURE
                | &SqlState::QUERY_CANCELED => Self::Again,
                // This process slept between reading and writing, and the server ended the session.
                &SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Lost,
                // Class 57: the server is going away or somebody ended this session. 08: the connection broke.
                code if code.code().starts_with("57P") || code.code().starts_with("08") => Self::Lost,
                // Class 53: no room on the disk, no memory. 58: the disk does not answer. 25006: this server has become
                // a replica. None is the batch's fault, and each ends: what was delivered is charged then.
                code if code.code().starts_with("53") || code.code().starts_with("58") => Self::Lost,
                &SqlState::READ_ONLY_SQL_TRANSACTION => Self::Lost,
                _ => Self::Refused(error),
            },
        }
    }
}

/// What a batch wrote, the time that it was given, and what it answers.
type Committed = (State, OffsetDateTime, Vec<Verdict>);

/// Whether a transaction is open already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    Yes,
    No,
}

/// A connection with everything prepared.
pub(crate) struct Connection {
    client: Client,
    prepared: HashMap<&'static str, Prepared>,
    /// Writes as one statement, by the statements that were joined: a handful of combinations.
    joined: Mutex<HashMap<Vec<&'static str>, Prepared>>,
    known: Known,
    sabotage: Sabotage,
}

impl Connection {
    /// Connects and prepares.
    pub(crate) async fn open(
        config: &tokio_postgres::Config,
        sabotage: Sabotage,
        lock_timeout_ms: u32,
    ) -> Result<Self, tokio_postgres::Error> {
        let mut config = config.clone();
        config
            .options(format!("{OPTIONS} -c lock_timeout={lock_timeout_ms}"))
            .application_name("freeside ledger");
        // After a failover a name may still lead to a server that only reads.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "the ledger's connection broke");
            }
        });
        let mut prepared = HashMap::with_capacity(ALL.len());
        for sql in ALL.into_iter().filter(|sql| !is_write(sql)) {
            prepared.insert(sql, client.prepare(&sabotage.rewrite(sql)).await?);
        }
        let connection =
            Self { client, prepared, joined: Mutex::default(), known: Known::default(), sabotage };
        // A table or column that is missing shows here: such a database is not there yet, and that is no batch's fault.
        connection.joined(ALL.into_iter().filter(|sql| is_write(sql)).collect()).await?;
        Ok(connection)
    }

    /// Whether it can still be used.
    pub(crate) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// Applies a batch in one transaction. On success every verdict is committed.
    pub(crate) async fn apply(
        &mut self,
        clock: &Clock,
        observer: Option<&Observer>,
        ops: &[&Op],
    ) -> Result<Vec<Verdict>, Failure> {
        let result = self.attempt(clock, observer, ops).await;
        if result.is_err() && self.is_open() {
            // The transaction may be open still; whatever this says, the next batch starts with a clean one.
            let _ = self.client.batch_execute("rollback").await;
        }
        result
    }

    /// Forgets what is known: somebody else wrote it since, and reading costs less than a batch that finds out.
    pub(crate) fn forget(&mut self) {
        self.known.forget();
    }

    /// By what is known, if that still holds; else under locks. What the batch left is known then.
    async fn attempt(
        &mut self,
        clock: &Clock,
        observer: Option<&Observer>,
        ops: &[&Op],
    ) -> Result<Vec<Verdict>, Failure> {
        let committed = match self.attempt_known(clock, ops).await {
            Ok(None) => self.attempt_locked(clock, ops).await,
            Ok(Some(committed)) => Ok(committed),
            Err(failure) => Err(failure),
        };
        let (state, now, verdicts) = committed.inspect_err(|_| self.known.forget())?;
        failpoint::reach("ledger.after_commit").await;
        if let Some(observer) = observer {
            observe::tell(observer, &state, now, ops, &verdicts);
        }
        self.known.learn(state);
        Ok(verdicts)
    }

    /// Judges from memory and writes; `None`: nothing was written, and the rows have to be read.
    async fn attempt_known(&mut self, clock: &Clock, ops: &[&Op]) -> Result<Option<Committed>, Failure> {
        let now = clock.now();
        let Some((state, verdicts)) = self.known.judge(now, ops) else { return Ok(None) };
        failpoint::reach("ledger.before_writes").await;
        match self.write(groups(&state, now), Begun::No).await {
            Ok(()) => {
                self.known.held_true();
                Ok(Some((state, now, verdicts)))
            }
            // Whatever it refuses, it says again to rows that were read.
            Err(Failure::Refused(error)) => {
                if error.code() == Some(&SqlState::DIVISION_BY_ZERO) {
                    metrics::counter!("ledger_stale_batches_total").increment(1);
                    self.known.was_stale(ops);
                }
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Locks, reads, decides, writes.
    async fn attempt_locked(&self, clock: &Clock, ops: &[&Op]) -> Result<Committed, Failure> {
        let mut answers = self.read(reads(ops.iter().copied(), LOTS_AT_FIRST)).await?;
        // Under the locks, so that times in one community's journal never run backwards.
        let now = clock.now();
        let (state, verdicts) = self.decide(&mut answers, now, ops).await?;
        failpoint::reach("ledger.before_writes").await;
        self.write(groups(&state, now), Begun::Yes).await?;
        Ok((state, now, verdicts))
    }

    /// `begin` and all reads, sent at once.
    async fn read(&self, mut statements: Vec<Statement>) -> Result<Vec<(&'static str, Vec<Row>)>, Failure> {
        if self.sabotage == Sabotage::LotsBeforeLock {
            statements[..=2].rotate_right(1);
        }
        let begin = self.client.batch_execute("begin");
        let queries = join_all(statements.iter().map(|(sql, parameters)| self.query(sql, parameters)));
        let (begun, rows) = futures_util::future::join(begin, queries).await;
        begun?;
        let mut answers = Vec::with_capacity(statements.len());
        for ((sql, _), rows) in statements.iter().zip(rows) {
            answers.push((*sql, rows?));
        }
        answers.sort_by_key(|(sql, _)| *sql == READ_LOTS); // lots need their accounts decoded first
        Ok(answers)
    }

    /// The rule over the whole batch, once more for each account whose further lots it asks for.
    async fn decide(
        &self,
        answers: &mut [(&'static str, Vec<Row>)],
        now: OffsetDateTime,
        ops: &[&Op],
    ) -> Result<(State, Vec<Verdict>), Failure> {
        let mut whole: HashMap<AccountKey, Vec<Row>> = HashMap::new();
        loop {
            let mut state = decode(answers, LOTS_AT_FIRST);
            for (key, rows) in &whole {
                let all = decode_lots(rows);
                let account = state.accounts.get_mut(key).expect("it asked for its lots, so it is there");
                account.lots = all;
                account.horizon = None;
            }
            let verdicts: Result<Vec<_>, _> = ops.iter().map(|op| rule::apply(&mut state, now, op)).collect();
            match verdicts {
                Ok(verdicts) => return Ok((state, verdicts)),
                Err(NeedLots(key)) if whole.contains_key(&key) => return Err(Failure::Broken(key)),
                Err(NeedLots(key)) => {
                    let parameters = vec![
                        Column::Big(vec![key.community.0]),
                        Column::Big(vec![key.account.0]),
                        Column::One(LOTS_AT_MOST),
                    ];
                    whole.insert(key, self.query(READ_LOTS, &parameters).await?);
                }
            }
        }
    }

    /// All writes and the commit, sent at once. COMMIT of a failed transaction answers without an error, so success
    /// is every statement's reply and then the commit's.
    async fn write(&self, groups: Vec<Vec<Statement>>, begun: Begun) -> Result<(), Failure> {
        let mut statements = Vec::with_capacity(groups.len());
        for group in groups {
            let prepared = self.joined(group.iter().map(|(sql, _)| *sql).collect()).await?;
            let parameters: Vec<Column> = group.into_iter().flat_map(|(_, parameters)| parameters).collect();
            statements.push((prepared, parameters));
        }
        let writes = join_all(statements.iter().map(|(prepared, parameters)| self.run(prepared, parameters)));
        #[cfg(debug_assertions)]
        if failpoint::is_armed("ledger.before_commit") {
            if begun == Begun::No {
                self.client.batch_execute("begin").await?;
            }
            let failed = writes.await.into_iter().find_map(Result::err);
            if let Some(error) = failed {
                let _ = self.client.batch_execute("rollback").await;
                return Err(error.into());
            }
            failpoint::reach("ledger.before_commit").await;
            return Ok(self.client.batch_execute("commit").await?);
        }
        // One statement alone is a transaction: its reply is complete after its commit.
        let is_alone = begun == Begun::No && statements.len() == 1;
        let command =
            async |sql, is_sent: bool| if is_sent { self.client.batch_execute(sql).await } else { Ok(()) };
        let (began, results, committed) = futures_util::future::join3(
            command("begin", begun == Begun::No && !is_alone),
            writes,
            command("commit", !is_alone),
        )
        .await;
        began?;
        for result in results {
            result?;
        }
        Ok(committed?)
    }

    /// These writes as one statement; prepared when they first come together.
    async fn joined(&self, writes: Vec<&'static str>) -> Result<Prepared, tokio_postgres::Error> {
        let known = || self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = known().get(&writes) {
            return Ok(prepared.clone());
        }
        let texts: Vec<_> = writes.iter().map(|sql| self.sabotage.rewrite(sql)).collect();
        let prepared = self.client.prepare(&joined(texts.iter().map(AsRef::as_ref))).await?;
        known().insert(writes, prepared.clone());
        Ok(prepared)
    }

    async fn query(
        &self,
        sql: &'static str,
        parameters: &[Column],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        self.run(&self.prepared[sql], parameters).await
    }

    async fn run(
        &self,
        statement: &Prepared,
        parameters: &[Column],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|column| column as _).collect();
        self.client.query(statement, &parameters).await
    }

    /// Accounts of `keys` that somebody else holds locked right now, themselves or by their book.
    pub(crate) async fn stuck(&self, keys: &[AccountKey]) -> Result<Vec<AccountKey>, Failure> {
        let communities: Vec<i64> = keys.iter().map(|key| key.community.0).collect();
        let accounts: Vec<i64> = keys.iter().map(|key| key.account.0).collect();
        self.client.batch_execute("begin").await?;
        let books = self
            .client
            .query(
                "select community_id from book where community_id = any($1) for update skip locked",
                &[&communities],
            )
            .await?;
        let free = self
            .client
            .query(
                "select a.community_id, a.id from account a join unnest($1::bigint[], $2::bigint[]) as k(community_id, id)
                 on a.community_id = k.community_id and a.id = k.id for update of a skip locked",
                &[&communities, &accounts],
            )
            .await?;
        self.client.batch_execute("rollback").await?;
        let books: Vec<i64> = books.iter().map(|row| row.get(0)).collect();
        let free: Vec<(i64, i64)> = free.iter().map(|row| (row.get(0), row.get(1))).collect();
        let is_stuck = |key: &AccountKey| {
            !books.contains(&key.community.0) || !free.contains(&(key.community.0, key.account.0))
        };
        Ok(keys.iter().copied().filter(is_stuck).collect())
    }

    /// Freezes an account in a transaction of its own: the one that found the fault was rolled back.
    pub(crate) async fn freeze(
        &self,
        key: AccountKey,
        what: &str,
        now: OffsetDateTime,
    ) -> Result<(), Failure> {
        self.client
            .execute(
                "with f as (update account set frozen_at = coalesce(frozen_at, $3), version = version + 1
                 where community_id = $1 and id = $2 returning 1)
                 insert into violation (community_id, account_id, found_at, what) select $1, $2, $3, $4 from f",
                &[&key.community.0, &key.account.0, &now, &what],
            )
            .await?;
        Ok(())
    }
}

fn decode_lots(rows: &[Row]) -> Vec<LotState> {
    rows.iter().map(|row| LotState { lot: crate::statements::lot(row), write: Write::Nothing }).collect()
}
