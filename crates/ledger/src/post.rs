//! The second entrance: one operation inside the caller's own transaction (a payment, a refund, a grant).
//!
//! Same rule, same statements, same lock order as the writer: whichever comes first at the book's lock goes first.

use sqlx::PgConnection;
use types::Clock;

use crate::column::bind;
use crate::model::{Answer, Op, Refusal};
use crate::rule;
use crate::statements::{LOTS_AT_FIRST, LOTS_AT_MOST, Statement, decode, reads};
use crate::writes::writes;

/// Why a posted operation was not done.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The rule refused; the transaction is sound and may go on.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database refused; the transaction is lost.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Applies `op` inside the transaction that `connection` is in. The caller commits.
///
/// Locks the community's book first, so a caller that holds other locks takes those before, never after.
pub async fn post(connection: &mut PgConnection, clock: &Clock, op: &Op) -> Result<Answer, PostError> {
    let mut lots = LOTS_AT_FIRST;
    loop {
        let mut answers = Vec::new();
        for (sql, parameters) in reads(std::iter::once(op), lots) {
            let rows = query((sql, parameters)).fetch_all(&mut *connection).await?;
            answers.push((sql, rows));
        }
        // Under the lock: times of one community's journal then never run backwards.
        let now = clock.now();
        let mut state = decode(&answers, lots);
        match rule::apply(&mut state, now, op) {
            Ok(verdict) => {
                for statement in writes(&state, now) {
                    query(statement).execute(&mut *connection).await?;
                }
                return Ok(verdict?);
            }
            Err(_) if lots == LOTS_AT_FIRST => lots = LOTS_AT_MOST,
            Err(need) => {
                let what = format!("the open lots of {:?} do not cover its balance", need.0);
                return Err(PostError::Database(sqlx::Error::Protocol(what)));
            }
        }
    }
}

fn query((sql, parameters): Statement) -> crate::column::SqlxQuery {
    parameters.into_iter().fold(sqlx::query(sql), bind)
}
