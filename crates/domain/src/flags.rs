//! Switches that an operator turns while the service runs (SPEC §12, §13).
//!
//! The table `flag` goes before the environment, whose variable is only the first value. Every process reads the whole
//! table each second, so a switch is in force everywhere within two, without a restart. It does not go through the
//! `changes` board: the table has as many rows as there are switches, and reading it costs what reading the board does,
//! with nothing to miss. When the database is away, what was read last stays in force.
//!
//! Deliberately absent: what a switch means. Each rule asks [`Flags::is_on`] where it decides.

use std::str::FromStr;
use std::sync::{PoisonError, RwLock};

use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use types::Clock;

use crate::admin::{self, Deed};

/// One switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Credits may be bought. Off: no new order and no new payment; notices of old ones still credit.
    CryptoPayments,
    /// Developers may sign up and make keys. Off: no new key; old ones work on.
    ApiKeys,
    /// People may chat on the web. Off: no new question, no new socket; answers that run go on.
    WebChat,
}

impl Flag {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::CryptoPayments, Self::ApiKeys, Self::WebChat];

    /// Its name in the table, on the command line and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CryptoPayments => "crypto_payments",
            Self::ApiKeys => "api_keys",
            Self::WebChat => "web_chat",
        }
    }

    /// The environment's variable that holds its first value.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::CryptoPayments => "FEATURE_CRYPTO_PAYMENTS_ENABLED",
            Self::ApiKeys => "FEATURE_API_KEYS_ENABLED",
            Self::WebChat => "FEATURE_WEB_CHAT_ENABLED",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::CryptoPayments => 0,
            Self::ApiKeys => 1,
            Self::WebChat => 2,
        }
    }
}

impl std::fmt::Display for Flag {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A text that names no switch.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no switch \"{0}\"; there are crypto_payments, api_keys and web_chat")]
pub struct UnknownFlag(String);

impl FromStr for Flag {
    type Err = UnknownFlag;

    /// Takes the name, and the variable's name too: an operator remembers the one or the other.
    fn from_str(text: &str) -> Result<Self, UnknownFlag> {
        let is_meant = |flag: &Self| flag.name() == text || flag.variable() == text;
        Self::ALL.into_iter().find(is_meant).ok_or_else(|| UnknownFlag(text.to_owned()))
    }
}

/// First values, by the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstValues {
    /// Of [`Flag::CryptoPayments`].
    pub crypto_payments: bool,
    /// Of [`Flag::ApiKeys`].
    pub api_keys: bool,
    /// Of [`Flag::WebChat`].
    pub web_chat: bool,
}

impl FirstValues {
    /// Everything on, as in development.
    pub const ALL_ON: Self = Self { crypto_payments: true, api_keys: true, web_chat: true };

    fn of(self, flag: Flag) -> bool {
        match flag {
            Flag::CryptoPayments => self.crypto_payments,
            Flag::ApiKeys => self.api_keys,
            Flag::WebChat => self.web_chat,
        }
    }
}

/// A switch as it stands, and who turned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which.
    pub flag: Flag,
    /// On or off.
    pub is_on: bool,
    /// When and by whom it was turned; `None`: the environment's first value holds.
    pub turned: Option<Turned>,
}

/// When and by whom a switch was turned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turned {
    /// When.
    pub at: OffsetDateTime,
    /// By whom.
    pub who: String,
}

/// The switches as this process knows them.
#[derive(Debug)]
pub struct Flags {
    first: FirstValues,
    /// What the table said at the last look, by [`Flag::index`].
    seen: RwLock<[Option<bool>; Flag::ALL.len()]>,
}

impl Flags {
    /// The first values, until [`Flags::follow`] has looked.
    #[must_use]
    pub fn new(first: FirstValues) -> Self {
        Self { first, seen: RwLock::default() }
    }

    /// Whether it is on, as of the last look: no SQL.
    pub fn is_on(&self, flag: Flag) -> bool {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        seen[flag.index()].unwrap_or_else(|| self.first.of(flag))
    }

    /// Looks at the table. Switches of a later version, which this binary does not know, are passed over.
    pub async fn follow(&self, db: &PgPool) -> Result<(), sqlx::Error> {
        let mut connection = db.acquire().await?;
        let mut now: [Option<bool>; Flag::ALL.len()] = Default::default();
        for (flag, is_on, _) in read(&mut connection).await? {
            now[flag.index()] = Some(is_on);
        }
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        for flag in Flag::ALL {
            let (before, after) = (seen[flag.index()], now[flag.index()]);
            if before != after {
                tracing::info!(%flag, before, after, "a switch was turned");
            }
        }
        *seen = now;
        Ok(())
    }

    /// Every switch as the table and the first values say right now.
    pub async fn standing(&self, db: &PgPool) -> Result<Vec<Standing>, sqlx::Error> {
        let mut connection = db.acquire().await?;
        let rows = read(&mut connection).await?;
        let standing = |flag: Flag| match rows.iter().find(|(named, _, _)| *named == flag) {
            Some((_, is_on, turned)) => Standing { flag, is_on: *is_on, turned: Some(turned.clone()) },
            None => Standing { flag, is_on: self.first.of(flag), turned: None },
        };
        Ok(Flag::ALL.into_iter().map(standing).collect())
    }
}

async fn read(connection: &mut PgConnection) -> Result<Vec<(Flag, bool, Turned)>, sqlx::Error> {
    let rows: Vec<(String, bool, OffsetDateTime, String)> =
        sqlx::query_as("select name, is_on, changed_at, who from flag").fetch_all(connection).await?;
    let known = rows.into_iter().filter_map(|(name, is_on, at, who)| {
        let flag = name.parse::<Flag>().ok()?;
        Some((flag, is_on, Turned { at, who }))
    });
    Ok(known.collect())
}

/// Which way a switch is turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// On.
    On,
    /// Off.
    Off,
}

/// Turns a switch, and writes down who did.
pub async fn set(
    db: &PgPool,
    clock: &Clock,
    flag: Flag,
    turn: Turn,
    who: &str,
    reason: &str,
) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    sqlx::query(
        "insert into flag (name, is_on, changed_at, who) values ($1, $2, $3, $4)
         on conflict on constraint flag_pk do update set is_on = $2, changed_at = $3, who = $4",
    )
    .bind(flag.name())
    .bind(turn == Turn::On)
    .bind(clock.now())
    .bind(who)
    .execute(&mut *tx)
    .await?;
    let word = if turn == Turn::On { "on" } else { "off" };
    let target = format!("{flag} {word}");
    let deed = Deed { who, what: "flag.set", target: &target, reason, community: None };
    admin::record(&mut tx, clock, deed).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use testing::postgres::TestDatabase;

    use super::*;

    #[test]
    fn a_switch_is_known_by_both_its_names_and_no_other() {
        for flag in Flag::ALL {
            assert_eq!((flag.name().parse(), flag.variable().parse()), (Ok(flag), Ok(flag)));
        }
        assert!("crypto".parse::<Flag>().is_err() && "".parse::<Flag>().is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_table_goes_before_the_environment_in_every_process_that_looks() {
        let database = TestDatabase::new().await;
        let clock = Clock::system();
        let off = FirstValues { crypto_payments: false, api_keys: true, web_chat: true };
        let (one, other) = (Flags::new(off), Flags::new(off));
        assert!(!one.is_on(Flag::CryptoPayments) && one.is_on(Flag::ApiKeys));
        set(&database.pool, &clock, Flag::CryptoPayments, Turn::On, "operator", "opening")
            .await
            .expect("set");
        assert!(!one.is_on(Flag::CryptoPayments), "until it looks");
        for flags in [&one, &other] {
            flags.follow(&database.pool).await.expect("looked");
            assert!(flags.is_on(Flag::CryptoPayments) && flags.is_on(Flag::ApiKeys));
        }
        set(&database.pool, &clock, Flag::CryptoPayments, Turn::Off, "operator", "trouble")
            .await
            .expect("set");
        let standing = one.standing(&database.pool).await.expect("read");
        assert_eq!((standing[0].flag, standing[0].is_on), (Flag::CryptoPayments, false));
        assert_eq!(standing[0].turned.as_ref().map(|turned| turned.who.as_str()), Some("operator"));
        assert_eq!(standing[1].turned, None);
        let unknown = "insert into flag values ('of_a_later_version', true, now(), 'x')";
        sqlx::query(unknown).execute(&database.pool).await.expect("inserted");
        one.follow(&database.pool).await.expect("passed over");
        assert!(!one.is_on(Flag::CryptoPayments));
        let deeds = admin::deeds(&mut database.pool.acquire().await.expect("one"), None, None, 10).await;
        let deeds = deeds.expect("read");
        assert_eq!(
            deeds.iter().map(|deed| deed.target.as_str()).collect::<Vec<_>>(),
            ["crypto_payments off", "crypto_payments on"]
        );
    }
}
