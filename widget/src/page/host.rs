//! The page around the frame: it opens and closes us, and shows how many answers wait.
//!
//! What always holds: messages go to one origin and are taken from one window of one origin.

use alloc::borrow::ToOwned as _;
use alloc::vec;

use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::MessageEvent;

use super::dom;
use super::json::{Json, object};

/// What the page around says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FromHost {
    /// We are seen now.
    Open,
    /// We are not.
    Close,
}

/// Tells the page around.
pub(super) fn tell(host: Option<&str>, what: &str, count: Option<u32>) {
    let (Some(host), Ok(Some(parent))) = (host, dom::window().parent()) else { return };
    let mut fields = vec![("freeside", JsValue::from_str(what))];
    fields.extend(count.map(|count| ("count", JsValue::from(count))));
    let _ = parent.post_message(&object(&fields), host);
}

/// Hears the page around.
pub(super) fn hear(host: &str, on: impl Fn(FromHost) + 'static) {
    let host = host.to_owned();
    dom::listen(&dom::window(), "message", move |event| {
        let event: MessageEvent = event.unchecked_into();
        let parent: Option<JsValue> = dom::window().parent().ok().flatten().map(Into::into);
        if event.origin() != host || event.source().map(JsValue::from) != parent {
            return;
        }
        match Json(event.data()).get("freeside").text().as_deref() {
            Some("open") => on(FromHost::Open),
            Some("close") => on(FromHost::Close),
            _ => {}
        }
    });
}
