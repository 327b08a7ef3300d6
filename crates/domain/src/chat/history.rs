//! What was said before: for the next answer's context, for the person who said it, and for readers without a login.
//!
//! What always holds: a conversation is one person's with one agent. Others read it only when its person shares it and the
//! agent's public history is on; then they see the words, never the wallet.

use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use types::s2s::Message;
use types::{MicroUsd, Pool, WalletId};
use uuid::Uuid;

use crate::Ctx;
use crate::agent::Agent;

/// Earlier turns that go into the next question, at most.
const TURNS_REMEMBERED: i64 = 20;
/// And their text in bytes: every byte of it counts as a token when money is set aside.
const CONTEXT_BYTES: usize = 16 * 1024;
/// Turns of one page.
pub const PAGE_AT_MOST: u16 = 100;

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The turn; a page goes on before the oldest one's.
    pub id: Uuid,
    /// The client's id for it.
    pub request_id: Uuid,
    /// What was asked.
    pub question: String,
    /// What was answered, as far as it came.
    pub answer: String,
    /// `asked`, `streaming`, `done`, `stopped`, `broken`, `refused`.
    pub state: &'static str,
    /// The pool that answered.
    pub pool: Option<Pool>,
    /// The model that answered.
    pub model: Option<String>,
    /// Why that pool and model.
    pub reason: Option<String>,
    /// What is left to say of an answer that did not end well.
    pub message: Option<String>,
    /// Prompt and completion tokens charged.
    pub tokens: (i64, i64),
    /// The charge.
    pub cost: MicroUsd,
    /// What its asker thinks of it.
    pub feedback: Option<Feedback>,
    /// When it was asked.
    pub asked_at: OffsetDateTime,
}

/// What the asker thinks of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// It helped.
    Good,
    /// It did not.
    Bad,
}

/// Whose conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This person's own.
    Of(WalletId),
    /// Everybody's who shares, where the agent's public history is on.
    Public,
}

const TURNS: &str =
    "select t.id, t.request_id, t.question, t.state, t.pool, t.model, t.reason, coalesce(t.message, t.note) as message,
       t.tokens_in, t.tokens_out, t.cost_micro, t.feedback, t.asked_at,
       coalesce((select string_agg(array_to_string(c.pieces, ''), '' order by c.first_seq)
                 from chat_chunk c where c.turn_id = t.id), '') as answer
     from chat_turn t where t.agent_id = $1 and t.id < $2";
const OWN: &str = "and t.wallet = $4";
/// Everybody's who shares, of what was answered. The last parameter is unused, and says so to PostgreSQL.
const SHARED: &str = "and $4::text is null and t.state in (2, 3) and exists (
       select from chat_share s where s.agent_id = t.agent_id and s.wallet = t.wallet)";
const NEWEST: &str = "order by t.id desc limit $3";

/// Turns with an agent before `before` (none: the newest), newest first.
pub async fn page(
    ctx: &Ctx,
    agent: &Agent,
    whose: Whose,
    before: Option<Uuid>,
    limit: u16,
) -> Result<Vec<Said>, sqlx::Error> {
    let (filter, wallet) = match whose {
        Whose::Of(wallet) => (OWN, Some(wallet.to_string())),
        Whose::Public if !agent.public_history => return Ok(Vec::new()),
        Whose::Public => (SHARED, None),
    };
    let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(format!("{TURNS} {filter} {NEWEST}")))
        .bind(agent.id)
        .bind(before.unwrap_or(Uuid::max()))
        .bind(i64::from(limit.min(PAGE_AT_MOST)))
        .bind(wallet)
        .fetch_all(&ctx.db)
        .await?;
    Ok(rows.into_iter().map(Said::from).collect())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    request_id: Uuid,
    question: String,
    answer: String,
    state: i16,
    pool: Option<i16>,
    model: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    tokens_in: i64,
    tokens_out: i64,
    cost_micro: i64,
    feedback: Option<i16>,
    asked_at: OffsetDateTime,
}

impl From<Row> for Said {
    fn from(row: Row) -> Self {
        const STATES: [&str; 6] = ["asked", "streaming", "done", "stopped", "broken", "refused"];
        Self {
            id: row.id,
            request_id: row.request_id,
            question: row.question,
            answer: row.answer,
            state: usize::try_from(row.state)
                .ok()
                .and_then(|state| STATES.get(state))
                .copied()
                .unwrap_or("broken"),
            pool: row.pool.and_then(Pool::from_db),
            model: row.model,
            reason: row.reason,
            message: row.message,
            tokens: (row.tokens_in, row.tokens_out),
            cost: MicroUsd(row.cost_micro),
            feedback: row.feedback.map(|sign| if sign > 0 { Feedback::Good } else { Feedback::Bad }),
            asked_at: row.asked_at,
        }
    }
}

/// Lets one's conversations with an agent be read without a login, from the first one on; or takes that back.
pub async fn share(ctx: &Ctx, agent: &Agent, wallet: WalletId, sharing: Sharing) -> Result<(), sqlx::Error> {
    let wallet = wallet.to_string();
    match sharing {
        Sharing::Public => {
            sqlx::query(
                "insert into chat_share (agent_id, wallet, at) values ($1, $2, $3)
                 on conflict on constraint chat_share_pk do nothing",
            )
            .bind(agent.id)
            .bind(wallet)
            .bind(ctx.clock.now())
            .execute(&ctx.db)
            .await?;
        }
        Sharing::Private => {
            sqlx::query("delete from chat_share where agent_id = $1 and wallet = $2")
                .bind(agent.id)
                .bind(wallet)
                .execute(&ctx.db)
                .await?;
        }
    }
    Ok(())
}

/// How one's conversations with an agent stand.
pub async fn sharing(ctx: &Ctx, agent: &Agent, wallet: WalletId) -> Result<Sharing, sqlx::Error> {
    let is_public: bool =
        sqlx::query_scalar("select exists (select from chat_share where agent_id = $1 and wallet = $2)")
            .bind(agent.id)
            .bind(wallet.to_string())
            .fetch_one(&ctx.db)
            .await?;
    Ok(if is_public { Sharing::Public } else { Sharing::Private })
}

/// Who may read a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Its person alone.
    Private,
    /// Everybody, where the agent's public history is on.
    Public,
}

/// Says what one thinks of an answer; again says it anew. `false`: there is no such answer of this wallet that has ended.
pub async fn rate(
    ctx: &Ctx,
    wallet: WalletId,
    request_id: Uuid,
    feedback: Feedback,
) -> Result<bool, sqlx::Error> {
    let sign: i16 = match feedback {
        Feedback::Good => 1,
        Feedback::Bad => -1,
    };
    let rated = sqlx::query(
        "update chat_turn set feedback = $3 where wallet = $1 and request_id = $2 and state between 2 and 4",
    )
    .bind(wallet.to_string())
    .bind(request_id)
    .bind(sign)
    .execute(&ctx.db)
    .await?;
    Ok(rated.rows_affected() == 1)
}

/// The conversation so far and the new question, as the engine takes it. Of turns without an answer nothing is kept.
pub(super) async fn context(
    db: &PgPool,
    agent_id: i64,
    wallet: WalletId,
    question: &str,
) -> Result<Vec<Message>, sqlx::Error> {
    let earlier: Vec<(String, String)> = sqlx::query_as(
        "select t.question, string_agg(array_to_string(c.pieces, ''), '' order by c.first_seq)
         from (select id, question from chat_turn where agent_id = $1 and wallet = $2 and state between 2 and 4
               order by id desc limit $3) t
         join chat_chunk c on c.turn_id = t.id group by t.id, t.question order by t.id desc",
    )
    .bind(agent_id)
    .bind(wallet.to_string())
    .bind(TURNS_REMEMBERED)
    .fetch_all(db)
    .await?;
    Ok(messages(earlier, question))
}

/// How many conversations each of some agents had since a time: one for each wallet that asked anything. An agent with
/// none has no entry.
pub async fn conversations(
    connection: &mut PgConnection,
    since: OffsetDateTime,
    agents: &[i64],
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    sqlx::query_as(
        "select agent_id, count(distinct wallet) from chat_turn where agent_id = any($1) and asked_at >= $2
         group by agent_id",
    )
    .bind(agents)
    .bind(since)
    .fetch_all(connection)
    .await
}

/// The newest turns that fit, in the order in which they were said, and the question.
fn messages(newest_first: Vec<(String, String)>, question: &str) -> Vec<Message> {
    let mut bytes = question.len();
    let kept = newest_first.into_iter().take_while(|(asked, answered)| {
        bytes += asked.len() + answered.len();
        bytes <= CONTEXT_BYTES
    });
    let mut messages = vec![message("user", question)];
    for (asked, answered) in kept {
        messages.push(message("assistant", &answered));
        messages.push(message("user", &asked));
    }
    messages.reverse();
    messages
}

fn message(role: &str, text: &str) -> Message {
    let content: Box<RawValue> = serde_json::value::to_raw_value(text).expect("a string serialises");
    Message {
        role: role.to_owned(),
        content: Some(content),
        tool_calls: None,
        tool_call_id: None,
        name: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_is_the_newest_turns_that_fit_in_their_order() {
        let pair = |name: &str, bytes: usize| (format!("q{name}"), "a".repeat(bytes));
        let said = messages(vec![pair("3", 10), pair("2", 20), pair("1", CONTEXT_BYTES)], "now");
        let roles: Vec<&str> = said.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "user", "assistant", "user"]);
        let texts: Vec<&str> =
            said.iter().map(|message| message.content.as_ref().expect("text").get()).collect();
        assert_eq!((texts[0], texts[2], texts[4]), ("\"q2\"", "\"q3\"", "\"now\""));
        assert_eq!(messages(Vec::new(), "first").len(), 1);
    }
}
