//! The words on the socket (SPEC §8): JSON objects `{"type", "payload"}`, one to a frame.
//!
//! What a client sends is hostile until it is read here: a frame has at most [`FRAME_BYTES_IN`] bytes, and whatever is not
//! one of five types with sound fields is answered by an `error` frame that says what would be. Fields that we do not know
//! are passed over.

use domain::chat::{End, Frame, How, Numbered};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use types::Pool;
use uuid::Uuid;

use super::Timings;

/// A frame that comes in (SPEC §8).
pub(crate) const FRAME_BYTES_IN: usize = 4 * 1024;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Who it is: a ticket of `POST /api/v1/ws/ticket`.
    Auth {
        /// The ticket.
        ticket: String,
    },
    /// A question.
    Chat {
        /// What they say.
        message: String,
        /// The pool they ask for.
        pool: Option<Pool>,
        /// Their own id for it; the server draws one when there is none.
        request_id: Option<Uuid>,
    },
    /// Stop an answer.
    Cancel {
        /// Which.
        request_id: Uuid,
    },
    /// Show an answer again.
    Resume {
        /// Which.
        request_id: Uuid,
        /// From the frame after this one.
        after: u32,
    },
    /// Still there.
    Ping,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Auth {
    ticket: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chat {
    message: String,
    #[serde(default)]
    pool: Option<String>,
    #[serde(default)]
    request_id: Option<Uuid>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancel {
    request_id: Uuid,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resume {
    request_id: Uuid,
    #[serde(default)]
    after: u32,
}

/// Reads a frame; what is wrong with it, and what would be right.
pub(crate) fn read(text: &str) -> Result<Said, &'static str> {
    let Envelope { kind, payload } = serde_json::from_str(text)
        .map_err(|_| "A frame is a JSON object {\"type\": …, \"payload\": {…}}.")?;
    match kind {
        "auth" => {
            let Auth { ticket } =
                fields(payload).ok_or("auth needs {\"ticket\": …}, made by POST /api/v1/ws/ticket.")?;
            Ok(Said::Auth { ticket })
        }
        "chat" => {
            let Chat { message, pool, request_id } = fields(payload).ok_or(
                "chat needs {\"message\": …}; \"pool\" may name one, and \"requestId\" may be a UUID of your own.",
            )?;
            let pool = match pool.as_deref() {
                None | Some("" | "native") => None,
                Some(name) => {
                    Some(name.parse().map_err(|_| "There is no such pool: GET /v1/models lists them.")?)
                }
            };
            Ok(Said::Chat { message, pool, request_id })
        }
        "cancel" => {
            let Cancel { request_id } = fields(payload).ok_or("cancel needs {\"requestId\": …}, a UUID.")?;
            Ok(Said::Cancel { request_id })
        }
        "resume" => {
            let Resume { request_id, after } = fields(payload).ok_or(
                "resume needs {\"requestId\": …, \"after\": …}: a UUID, and the last seq that you have.",
            )?;
            Ok(Said::Resume { request_id, after })
        }
        "ping" => Ok(Said::Ping),
        _ => Err("The types of frames are auth, chat, cancel, resume and ping."),
    }
}

fn fields<'a, T: Deserialize<'a>>(payload: Option<&'a RawValue>) -> Option<T> {
    serde_json::from_str(payload?.get()).ok()
}

fn frame(kind: &str, payload: &Value) -> String {
    json!({"type": kind, "payload": payload}).to_string()
}

/// The first word, and again after `auth`.
pub(crate) fn welcome(is_authenticated: bool, token_id: &str, timings: &Timings) -> String {
    let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    frame(
        "welcome",
        &json!({
            "authenticated": is_authenticated,
            "readOnly": !is_authenticated,
            "tokenId": token_id,
            "idleTimeoutMs": ms(timings.idle),
            "heartbeatIntervalMs": ms(timings.heartbeat),
        }),
    )
}

/// Something that went wrong, and what to do next.
pub(crate) fn error(code: &str, message: &str, request_id: Option<Uuid>) -> String {
    let mut payload = json!({"code": code, "message": message});
    if let Some(id) = request_id {
        payload["requestId"] = json!(id);
    }
    frame("error", &payload)
}

/// The answer to `ping`.
pub(crate) fn pong() -> String {
    frame("pong", &json!({}))
}

/// The server stops soon: answers that run here end first.
pub(crate) fn server_drain(drain: std::time::Duration) -> String {
    let ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
    let message = "This server is restarting. Your answer ends first; connect again for the next one.";
    frame("server_drain", &json!({"message": message, "drainMs": ms}))
}

/// One frame of an answer.
pub(crate) fn of_answer(token_id: &str, request_id: Uuid, numbered: &Numbered) -> String {
    let seq = numbered.seq;
    match &numbered.frame {
        Frame::Start(by) => frame(
            "stream_start",
            &json!({
                "tokenId": token_id, "requestId": request_id, "seq": seq, "pool": by.pool,
                "personalityId": by.personality_id, "model": by.model, "reason": by.reason,
            }),
        ),
        Frame::Text(content) => {
            frame("stream_token", &json!({"requestId": request_id, "seq": seq, "content": content}))
        }
        Frame::End(end) => last(request_id, seq, end),
    }
}

fn last(request_id: Uuid, seq: u32, end: &End) -> String {
    let (code, message) = match &end.how {
        How::Done { finish_reason, note } => {
            return frame(
                "stream_end",
                &json!({
                    "requestId": request_id, "seq": seq, "usage": end.usage, "costMicro": end.cost,
                    "finishReason": finish_reason, "note": note,
                }),
            );
        }
        How::Stopped => {
            return frame(
                "stream_end",
                &json!({
                    "requestId": request_id, "seq": seq, "usage": end.usage, "costMicro": end.cost,
                    "finishReason": "cancelled", "note": null,
                }),
            );
        }
        How::Broken { code, message } | How::Refused { code, message } => (code, message),
    };
    frame(
        "error",
        &json!({
            "code": code, "message": message, "requestId": request_id, "seq": seq, "usage": end.usage,
            "costMicro": end.cost,
        }),
    )
}

#[cfg(test)]
mod tests {
    use types::MicroUsd;
    use types::s2s::Usage;

    use super::*;

    const ID: Uuid = Uuid::from_u128(7);

    #[test]
    fn each_type_is_read_and_nothing_else_is() {
        let id = ID.to_string();
        let chat = |pool, request_id| Said::Chat { message: "hi".to_owned(), pool, request_id };
        for (text, said) in [
            (r#"{"type":"ping"}"#.to_owned(), Said::Ping),
            (r#"{"type":"ping","payload":{},"more":1}"#.to_owned(), Said::Ping),
            (r#"{"type":"auth","payload":{"ticket":"t"}}"#.to_owned(), Said::Auth { ticket: "t".to_owned() }),
            (r#"{"type":"chat","payload":{"message":"hi"}}"#.to_owned(), chat(None, None)),
            (r#"{"payload":{"message":"hi","pool":null},"type":"chat"}"#.to_owned(), chat(None, None)),
            (
                format!(
                    r#"{{"type":"chat","payload":{{"message":"hi","pool":"cheap","requestId":"{id}"}}}}"#
                ),
                chat(Some(Pool::Cheap), Some(ID)),
            ),
            (
                format!(r#"{{"type":"cancel","payload":{{"requestId":"{id}"}}}}"#),
                Said::Cancel { request_id: ID },
            ),
            (
                format!(r#"{{"type":"resume","payload":{{"requestId":"{id}","after":9}}}}"#),
                Said::Resume { request_id: ID, after: 9 },
            ),
        ] {
            assert_eq!(read(&text), Ok(said), "{text}");
        }
        for text in [
            "",
            "null",
            "[]",
            "hello",
            r#"{"type":1}"#,
            r#"{"type":"shout"}"#,
            r#"{"type":"auth"}"#,
            r#"{"type":"chat","payload":{}}"#,
            r#"{"type":"chat","payload":{"message":3}}"#,
            r#"{"type":"chat","payload":{"message":"x","pool":"gold"}}"#,
            r#"{"type":"chat","payload":{"message":"x","requestId":"1"}}"#,
            r#"{"type":"resume","payload":{"requestId":"00000000-0000-0000-0000-000000000007","after":-1}}"#,
            r#"{"type":"cancel","payload":{"requestId":7}}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_frames_are_those_of_the_contract() {
        let of = |seq, frame| {
            let text = of_answer("demo:1", ID, &Numbered { seq, frame });
            serde_json::from_str::<Value>(&text).expect("JSON")
        };
        let start =
            of(1, Frame::Start(domain::chat::Started { pool: Some(Pool::Cheap), ..Default::default() }));
        assert_eq!(start["type"], "stream_start");
        assert_eq!(
            (&start["payload"]["pool"], &start["payload"]["tokenId"]),
            (&json!("cheap"), &json!("demo:1"))
        );
        let token = of(2, Frame::Text("a\"b".to_owned()));
        assert_eq!(
            token,
            json!({"type": "stream_token", "payload": {"requestId": ID, "seq": 2, "content": "a\"b"}})
        );
        let usage = Usage::new(3, 4);
        let end = |how| of(3, Frame::End(End { how, usage, cost: MicroUsd(11) }));
        let done = end(How::Done { finish_reason: "stop".to_owned(), note: None });
        assert_eq!((&done["type"], &done["payload"]["costMicro"]), (&json!("stream_end"), &json!("11")));
        assert_eq!(done["payload"]["usage"]["total_tokens"], 7);
        assert_eq!(end(How::Stopped)["payload"]["finishReason"], "cancelled");
        let broken = end(How::Broken { code: "drained".to_owned(), message: "m".to_owned() });
        assert_eq!((&broken["type"], &broken["payload"]["code"]), (&json!("error"), &json!("drained")));
        let welcome: Value =
            serde_json::from_str(&welcome(false, "demo:1", &Timings::default())).expect("JSON");
        assert_eq!(
            welcome["payload"],
            json!({"authenticated": false, "readOnly": true, "tokenId": "demo:1", "idleTimeoutMs": 300_000,
                   "heartbeatIntervalMs": 30_000})
        );
    }
}
