//! The socket: frames as JSON in both directions.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use js_sys::JsString;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{CloseEvent, Event as DomEvent, MessageEvent, WebSocket};

use super::json::{Json, object, print};
use crate::chat::{Event, FromServer, ToServer, Usage};

/// The largest frame that is read, in UTF-16 units: far above what the server sends (a token's frame has 4 KiB at most).
const MAX_FRAME: u32 = 256 * 1024;

/// An open or opening socket. Dropping it closes it, and nothing more is heard of it.
pub(super) struct Socket {
    socket: WebSocket,
    _heard: Vec<Closure<dyn FnMut(DomEvent)>>,
}

impl Socket {
    /// Opens; `on` hears everything after. `None` if the address is none.
    pub(super) fn open(url: &str, on: impl Fn(Event) + Clone + 'static) -> Option<Self> {
        let socket = WebSocket::new(url).ok()?;
        let mut heard: Vec<Closure<dyn FnMut(DomEvent)>> = Vec::new();
        let told = on.clone();
        heard.push(Closure::new(move |_| told(Event::Opened)));
        let told = on.clone();
        heard.push(Closure::new(move |event: DomEvent| {
            let data = event.unchecked_ref::<MessageEvent>().data();
            let text = data.dyn_ref::<JsString>().filter(|text| text.length() <= MAX_FRAME).map(String::from);
            if let Some(frame) = text.and_then(|text| Json::parse(&text)) {
                told(Event::Frame(read(&frame)));
            }
        }));
        heard.push(Closure::new(move |event: DomEvent| {
            on(Event::Closed(event.unchecked_ref::<CloseEvent>().code()));
        }));
        socket.set_onopen(Some(heard[0].as_ref().unchecked_ref()));
        socket.set_onmessage(Some(heard[1].as_ref().unchecked_ref()));
        socket.set_onclose(Some(heard[2].as_ref().unchecked_ref()));
        Some(Self { socket, _heard: heard })
    }

    pub(super) fn send(&self, frame: &ToServer) {
        // A socket that is closing says so by itself.
        let _ = self.socket.send_with_str(&write(frame));
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.socket.set_onopen(None);
        self.socket.set_onmessage(None);
        self.socket.set_onclose(None);
        let _ = self.socket.close();
    }
}

fn read(frame: &Json) -> FromServer {
    let payload = frame.get("payload");
    let text = |name| payload.get(name).text();
    let id = || text("requestId").unwrap_or_default();
    let seq = || payload.get("seq").number();
    match frame.get("type").text().unwrap_or_default().as_str() {
        "welcome" => FromServer::Welcome {
            is_authenticated: payload.get("authenticated").flag(),
            is_read_only: payload.get("readOnly").flag(),
            heartbeat_ms: payload.get("heartbeatIntervalMs").number(),
        },
        "stream_start" => FromServer::Start {
            id: id(),
            seq: seq().unwrap_or(0),
            pool: text("pool"),
            reason: text("reason"),
        },
        "stream_token" => FromServer::Token {
            id: id(),
            seq: seq().unwrap_or(0),
            content: text("content").unwrap_or_default(),
        },
        "stream_end" => {
            let usage = payload.get("usage");
            let tokens =
                |name, other| usage.get(name).number().or_else(|| usage.get(other).number()).unwrap_or(0);
            FromServer::End {
                id: id(),
                seq: seq().unwrap_or(0),
                usage: Usage {
                    prompt_tokens: tokens("prompt_tokens", "promptTokens"),
                    completion_tokens: tokens("completion_tokens", "completionTokens"),
                },
                cost_micro: payload.get("costMicro").digits(),
                finish_reason: text("finishReason"),
                note: text("note"),
            }
        }
        "error" => FromServer::Error {
            id: text("requestId"),
            seq: seq(),
            code: text("code").unwrap_or_default(),
            message: text("message").unwrap_or_default(),
            cost_micro: payload.get("costMicro").digits(),
        },
        "pong" => FromServer::Pong,
        "server_drain" => FromServer::Drain,
        _ => FromServer::Unknown,
    }
}

fn write(frame: &ToServer) -> String {
    let text = |text: &str| JsValue::from_str(text);
    let (name, payload) = match frame {
        ToServer::Auth { ticket } => ("auth", vec![("ticket", text(ticket))]),
        ToServer::Chat { id, message, pool } => {
            let mut payload = vec![("requestId", text(id)), ("message", text(message))];
            payload.extend(pool.as_ref().map(|pool| ("pool", text(pool))));
            ("chat", payload)
        }
        ToServer::Cancel { id } => ("cancel", vec![("requestId", text(id))]),
        ToServer::Resume { id, after } => {
            #[expect(clippy::cast_precision_loss, reason = "an answer has far fewer than 2^53 frames")]
            let after = JsValue::from_f64(*after as f64);
            ("resume", vec![("requestId", text(id)), ("after", after)])
        }
        ToServer::Ping => ("ping", Vec::new()),
    };
    print(&object(&[("type", text(name)), ("payload", object(&payload))]))
}
