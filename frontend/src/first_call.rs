//! Waits for a key's first request and says when it came. The key is on the page already; it goes nowhere but here.

use js_sys::{Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsError, JsValue};
use web_sys::{Element, Headers, RequestInit, Response};

use crate::{page, words};

/// Between two looks: soon enough to feel live, and 30 a minute, which is no burden on a key's own limit.
const LOOK_MS: i32 = 2_000;
/// A page that is left open stops looking after ten minutes.
const LOOKS_AT_MOST: u32 = 300;

pub(crate) fn wake(root: &Element) {
    for place in page::all(root, "[data-first-call]") {
        let Some(key) = place.get_attribute("data-first-call") else { continue };
        let key = page::named(&key).and_then(|element| element.text_content());
        let Some(key) = key else { continue };
        place.set_text_content(Some(words::WAITING));
        let _ = place.remove_attribute("hidden");
        look(place, &key, LOOKS_AT_MOST);
    }
}

fn look(place: Element, key: &str, left: u32) {
    let Some(asked) = ask(key) else { return };
    let again = {
        let (place, key) = (place.clone(), key.to_owned());
        move || {
            if left > 0 {
                page::later(LOOK_MS, move || look(place, &key, left - 1));
            }
        }
    };
    let failed_again = again.clone();
    let read = Closure::once(move |usage: JsValue| match told(&usage) {
        Some(text) => {
            place.set_class_name("note good");
            place.set_text_content(Some(&text));
        }
        None => again(),
    });
    let failed = Closure::once(move |_: JsValue| failed_again());
    let _ = asked.then2(&read, &failed);
    read.forget();
    failed.forget();
}

/// The usage of the key's account, as JSON that was read.
fn ask(key: &str) -> Option<Promise> {
    let headers = Headers::new().ok()?;
    headers.set("authorization", &format!("Bearer {key}")).ok()?;
    let options = RequestInit::new();
    options.set_headers(&headers);
    let body = Closure::once(|response: JsValue| -> Result<Promise, JsError> {
        let response: Response = response.unchecked_into();
        response.json().map_err(|_| JsError::new("the answer cannot be read"))
    });
    let read = web_sys::window()?.fetch_with_str_and_init("/api/v1/usage", &options).then_map(&body);
    body.forget();
    Some(read)
}

/// What to say of a usage report; `None` while there is nothing in it.
fn told(usage: &JsValue) -> Option<String> {
    let total = field(usage, "total")?;
    let requests = field(&total, "requests")?.as_f64()?;
    if requests < 1.0 {
        return None;
    }
    let tokens = field(&total, "prompt_tokens")?.as_f64()? + field(&total, "completion_tokens")?.as_f64()?;
    let cost = field(&total, "cost_micro")?.as_string()?;
    Some(words::arrived(&requests.to_string(), tokens, &cost))
}

fn field(value: &JsValue, name: &str) -> Option<JsValue> {
    Reflect::get(value, &JsValue::from_str(name)).ok().filter(|field| !field.is_undefined())
}
