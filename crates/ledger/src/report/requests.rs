//! What an account asked, one line for each reservation, with what became of the money.

use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use types::{Pool, ReservationId};
use uuid::Uuid;

use super::first_id_of;
use crate::model::AccountKey;

/// Where a reservation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Life {
    /// Money is set aside, the answer is on its way.
    Held = 0,
    /// Charged, once; the rest was given back.
    Settled = 1,
    /// Given back.
    Released = 2,
    /// Its process died and the money was given back; a late report still charges.
    Orphaned = 3,
}

impl Life {
    /// All, in the order of a life.
    pub const ALL: [Self; 4] = [Self::Held, Self::Settled, Self::Released, Self::Orphaned];

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Settled => "settled",
            Self::Released => "released",
            Self::Orphaned => "orphaned",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|life| life.as_str() == word)
    }

    fn from_db(number: i16) -> Self {
        let found = Self::ALL.into_iter().find(|life| *life as i16 == number);
        found.expect("a CHECK keeps states known")
    }
}

/// One request and its money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// The reservation.
    pub id: ReservationId,
    /// The key that asked, by its row; `None`: a wallet in the chat.
    pub key_id: Option<i64>,
    /// `{slug}:{token}`, when an agent spoke.
    pub agent: Option<String>,
    /// The model's name as the caller wrote it.
    pub asked: String,
    /// What answered.
    pub pool: Option<Pool>,
    /// What answered.
    pub model: Option<String>,
    /// Why that pool and model: a stable word.
    pub reason: Option<String>,
    /// Where it is.
    pub life: Life,
    /// Set aside at the most, micro-USD.
    pub held: i64,
    /// Charged.
    pub charged: Option<i64>,
    /// Prompt tokens that were charged.
    pub tokens_in: Option<i64>,
    /// Completion tokens that were charged.
    pub tokens_out: Option<i64>,
    /// When it was asked.
    pub created_at: OffsetDateTime,
    /// When the money was settled or given back.
    pub closed_at: Option<OffsetDateTime>,
}

/// Which requests.
#[derive(Clone, Debug)]
pub struct RequestQuery {
    /// First UTC day.
    pub from: Date,
    /// Last UTC day, counted.
    pub to: Date,
    /// Of one pool only.
    pub pool: Option<Pool>,
    /// In one place of their lives only.
    pub life: Option<Life>,
    /// Of one model only, by the name that was asked for or that answered.
    pub model: Option<String>,
    /// The last of the page before.
    pub before: Option<ReservationId>,
    /// Rows of a page.
    pub limit: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    key_id: Option<i64>,
    agent: Option<String>,
    asked: String,
    pool: Option<i16>,
    model: Option<String>,
    reason: Option<String>,
    state: i16,
    amount: i64,
    charged: Option<i64>,
    tokens_in: Option<i64>,
    tokens_out: Option<i64>,
    created_at: OffsetDateTime,
    closed_at: Option<OffsetDateTime>,
}

/// A page of a payer's requests with sandbox and live keys, newest first. Ids grow with time, so that a page reads its own rows of the span and
/// no others.
pub async fn requests(
    connection: &mut PgConnection,
    key: AccountKey,
    query: &RequestQuery,
) -> Result<Vec<RequestLine>, sqlx::Error> {
    let end = first_id_of(query.to.next_day().unwrap_or(Date::MAX));
    let before = query.before.map_or(end, |before| before.0.min(end));
    let rows: Vec<Row> = sqlx::query_as(
        "select id, key_id, agent, asked, pool, model, reason, state, amount, charged, tokens_in, tokens_out, created_at,
           closed_at
         from hold where community_id = $1 and id >= $3 and id < $4 and account_id in ($2, $9)
           and ($5::smallint is null or pool = $5) and ($6::smallint is null or state = $6)
           and ($7::text is null or model = $7 or asked = $7)
         order by id desc limit $8",
    )
    .bind(key.community.0)
    .bind(key.account.0)
    .bind(first_id_of(query.from))
    .bind(before)
    .bind(query.pool.map(Pool::as_db))
    .bind(query.life.map(|life| life as i16))
    .bind(query.model.as_deref())
    .bind(query.limit)
    .bind(key.account.sandbox().0)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(line).collect())
}

fn line(row: Row) -> RequestLine {
    RequestLine {
        id: ReservationId(row.id),
        key_id: row.key_id,
        agent: row.agent,
        asked: row.asked,
        pool: row.pool.and_then(Pool::from_db),
        model: row.model,
        reason: row.reason,
        life: Life::from_db(row.state),
        held: row.amount,
        charged: row.charged,
        tokens_in: row.tokens_in,
        tokens_out: row.tokens_out,
        created_at: row.created_at,
        closed_at: row.closed_at,
    }
}
