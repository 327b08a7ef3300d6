//! The playground: sends what the form says with the key that the page holds, shows the answer as it comes, and writes the
//! same call as code.
//!
//! The key is read from the page when it is needed, goes into one header, and is kept nowhere. `XMLHttpRequest` rather than
//! `fetch`: its progress events are all that a stream of text needs.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{JSON, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{
    Element, HtmlElement, HtmlInputElement, HtmlSelectElement, HtmlTextAreaElement, XmlHttpRequest,
};

use crate::code::{self, Call};
use crate::page::{self, Visible};
use crate::words;

/// What came of an answer so far.
#[derive(Default)]
struct Answer {
    /// Bytes of the stream that were read.
    read: usize,
    text: String,
    receipt: Option<String>,
    error: Option<String>,
}

pub(crate) fn wake(root: &Element) {
    for section in page::all(root, "[data-playground]") {
        let key = section.get_attribute("data-playground").unwrap_or_default();
        let Some(form) = page::named("play") else { continue };
        write_code();
        page::on(&form, "input", write_code);
        page::on(&form, "change", write_code);
        let running: Rc<RefCell<Option<XmlHttpRequest>>> = Rc::default();
        if let Some(stop) = page::named("play-stop") {
            let running = Rc::clone(&running);
            page::on(&stop, "click", move || {
                // The end of the request is told at once, and looks into the same place.
                let request = running.borrow_mut().take();
                if let Some(request) = request {
                    let _ = request.abort();
                }
            });
        }
        page::on_event(&form, "submit", move |event| {
            event.prevent_default();
            if running.borrow().is_none() {
                send(&key, &running);
            }
        });
    }
}

/// What the form says.
fn call() -> Option<Call> {
    let origin = web_sys::window()?.location().origin().ok()?;
    let value = |id: &str| page::named(id).map(|element| value_of(&element)).unwrap_or_default();
    Some(Call {
        url: origin,
        model: value("play-model"),
        message: value("play-message"),
        max_tokens: code::whole(&value("play-tokens"), "256"),
        temperature: code::decimal(&value("play-heat"), "1"),
    })
}

/// The value of a field, or the text of anything else.
fn value_of(element: &Element) -> String {
    if let Some(input) = element.dyn_ref::<HtmlInputElement>() {
        input.value()
    } else if let Some(text) = element.dyn_ref::<HtmlTextAreaElement>() {
        text.value()
    } else if let Some(select) = element.dyn_ref::<HtmlSelectElement>() {
        select.value()
    } else {
        element.text_content().unwrap_or_default()
    }
}

fn write_code() {
    let Some(call) = call() else { return };
    for (id, text) in [
        ("code-curl", code::curl(&call)),
        ("code-python", code::python(&call)),
        ("code-js", code::javascript(&call)),
    ] {
        if let Some(place) = page::named(id) {
            place.set_text_content(Some(&text));
        }
    }
}

fn send(key: &str, running: &Rc<RefCell<Option<XmlHttpRequest>>>) {
    let Some(holder) = page::named(key) else { return };
    let secret = value_of(&holder);
    say(words::ASKING, "");
    if secret.trim().is_empty() {
        say(words::NO_KEY, "bad");
        if let Some(field) = holder.dyn_ref::<HtmlElement>() {
            let _ = field.focus();
        }
        return;
    }
    let (Some(call), Ok(request)) = (call(), XmlHttpRequest::new()) else { return };
    let is_sent = request.open("POST", "/v1/chat/completions").is_ok()
        && request.set_request_header("authorization", &format!("Bearer {}", secret.trim())).is_ok()
        && request.set_request_header("content-type", "application/json").is_ok();
    if !is_sent {
        // A key with a letter that no header can hold.
        return say(words::NO_KEY, "bad");
    }
    write_answer("");
    stopping(Visible::Yes);
    let answer: Rc<RefCell<Answer>> = Rc::default();
    let (seen, source) = (Rc::clone(&answer), request.clone());
    let progress = Closure::<dyn FnMut()>::new(move || read(&source, &mut seen.borrow_mut()));
    let (seen, source, running_then) = (answer, request.clone(), Rc::clone(running));
    let ended = Closure::<dyn FnMut()>::new(move || {
        running_then.borrow_mut().take();
        stopping(Visible::No);
        end(&source, &mut seen.borrow_mut());
    });
    request.set_onprogress(Some(progress.as_ref().unchecked_ref()));
    request.set_onloadend(Some(ended.as_ref().unchecked_ref()));
    progress.forget();
    ended.forget();
    running.borrow_mut().replace(request.clone());
    let _ = request.send_with_opt_str(Some(&code::body(&call)));
}

/// Reads the lines that are there by now.
fn read(request: &XmlHttpRequest, answer: &mut Answer) {
    if request.status().unwrap_or_default() != 200 {
        return;
    }
    let text = request.response_text().ok().flatten().unwrap_or_default();
    let Some(new) = text.get(answer.read..) else { return };
    let Some(end) = new.rfind('\n') else { return };
    for line in new[..end].lines() {
        let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") else { continue };
        if let Ok(event) = JSON::parse(data) {
            take(&event, answer);
        }
    }
    answer.read += end + 1;
    write_answer(&answer.text);
}

/// One event of the stream.
fn take(event: &JsValue, answer: &mut Answer) {
    let delta = field(event, "choices").and_then(|choices| field(&choices, "0"));
    let delta = delta.and_then(|choice| field(&choice, "delta"));
    if let Some(text) = delta.and_then(|delta| field(&delta, "content")).and_then(|text| text.as_string()) {
        answer.text.push_str(&text);
    }
    if let Some(message) = field(event, "error").and_then(|error| field(&error, "message")) {
        answer.error = message.as_string();
    }
    if let (Some(usage), Some(receipt)) = (field(event, "usage"), field(event, "x_freeside")) {
        let count = |name| field(&usage, name).and_then(|count| count.as_f64()).unwrap_or_default();
        let word = |name| field(&receipt, name).and_then(|word| word.as_string()).unwrap_or_default();
        let (prompt, completion) = (count("prompt_tokens"), count("completion_tokens"));
        answer.receipt = Some(words::receipt(prompt, completion, &word("cost_micro"), &word("pool")));
    }
}

fn end(request: &XmlHttpRequest, answer: &mut Answer) {
    read(request, answer);
    match (request.status().unwrap_or_default(), &answer.error, &answer.receipt) {
        (200, Some(error), _) => say(error, "bad"),
        (200, None, Some(receipt)) => say(receipt, ""),
        (200 | 0, None, None) => say(words::STOPPED, ""),
        (0, ..) => say(words::AWAY, "bad"),
        _ => {
            let text = request.response_text().ok().flatten().unwrap_or_default();
            let error = JSON::parse(&text).ok().and_then(|body| field(&body, "error"));
            let message = error.and_then(|error| field(&error, "message")).and_then(|text| text.as_string());
            say(&message.unwrap_or_else(|| words::AWAY.to_owned()), "bad");
        }
    }
}

fn write_answer(text: &str) {
    if let Some(place) = page::named("play-answer") {
        place.set_text_content(Some(text));
    }
}

/// Says how the answer stands, once: it is a live region.
fn say(text: &str, mood: &str) {
    if let Some(place) = page::named("play-answer-box") {
        page::show(&place, Visible::Yes);
    }
    if let Some(place) = page::named("play-state") {
        place.set_class_name(if mood.is_empty() { "small quiet" } else { "note bad" });
        place.set_text_content(Some(text));
    }
}

fn stopping(visible: Visible) {
    if let Some(stop) = page::named("play-stop") {
        page::show(&stop, visible);
    }
}

fn field(value: &JsValue, name: &str) -> Option<JsValue> {
    let found = Reflect::get(value, &JsValue::from_str(name)).ok()?;
    (!found.is_undefined() && !found.is_null()).then_some(found)
}
