//! Requests to our own origin.

use alloc::format;
use alloc::string::String;

use js_sys::futures::JsFuture;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{Headers, RequestInit, Response};

use super::dom;
use super::json::{Json, print};

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// How long to wait, if the server said so, in ms.
    pub(super) retry_after_ms: Option<u64>,
    pub(super) body: Json,
}

impl Answer {
    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What a problem says to a person.
    pub(super) fn problem(&self) -> Option<String> {
        let detail = self.body.get("detail").text();
        detail.or_else(|| self.body.get("title").text()).filter(|text| !text.is_empty())
    }
}

pub(super) async fn get(url: &str, token: Option<&str>) -> Option<Answer> {
    send("GET", url, None, token).await
}

pub(super) async fn post(url: &str, body: &JsValue, token: Option<&str>) -> Option<Answer> {
    send("POST", url, Some(print(body)), token).await
}

/// `None` when nothing came back.
async fn send(method: &str, url: &str, body: Option<String>, token: Option<&str>) -> Option<Answer> {
    let headers = Headers::new().ok()?;
    headers.set("accept", "application/json").ok()?;
    if let Some(token) = token {
        headers.set("authorization", &format!("Bearer {token}")).ok()?;
    }
    let init = RequestInit::new();
    init.set_method(method);
    if let Some(body) = body {
        headers.set("content-type", "application/json").ok()?;
        init.set_body(&JsValue::from_str(&body));
    }
    init.set_headers(&headers);
    let answer = JsFuture::from(dom::window().fetch_with_str_and_init(url, &init)).await.ok()?;
    let answer: Response = answer.dyn_into().ok()?;
    let text = JsFuture::from(answer.text().ok()?).await.ok()?.as_string().unwrap_or_default();
    let seconds =
        answer.headers().get("retry-after").ok().flatten().and_then(|text| text.parse::<u64>().ok());
    Some(Answer {
        status: answer.status(),
        retry_after_ms: seconds.map(|seconds| seconds.min(600) * 1_000),
        body: Json::parse(&text).unwrap_or(Json(JsValue::UNDEFINED)),
    })
}
