//! A page that waits for something asks for itself anew, and takes over the parts that changed. What they say is rendered
//! in one place, on the server; a part that did not change keeps its focus and its selection.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen::JsCast as _;
use wasm_bindgen::JsError;
use wasm_bindgen::closure::Closure;
use web_sys::{Document, DomParser, Element, Headers, RequestInit, Response, SupportedType};

use crate::page::{self, Visible};
use crate::{copy, once, zone};

/// A page that is left open stops asking after an hour.
const LOOKS_AT_MOST: u32 = 1_200;
/// When the page does not say how often.
const USUAL_MS: i32 = 5_000;

/// A part of the page, as the server sent it last.
type Part = (String, String);

pub(crate) fn wake(root: &Element) {
    for place in page::all(root, "[data-live]") {
        let ids = place.get_attribute("data-live").unwrap_or_default();
        let every = place.get_attribute("data-every").and_then(|text| text.parse().ok()).unwrap_or(USUAL_MS);
        let parts = ids.split(' ').filter_map(|id| Some((id.to_owned(), page::named(id)?.inner_html())));
        let parts: Vec<Part> = parts.collect();
        show_notes(&place);
        let left = Rc::new(Cell::new(LOOKS_AT_MOST));
        wait(parts, every, left);
    }
}

fn wait(parts: Vec<Part>, every: i32, left: Rc<Cell<u32>>) {
    if left.get() > 0 {
        left.set(left.get() - 1);
        page::later(every, move || look(parts, every, left));
    }
}

fn look(parts: Vec<Part>, every: i32, left: Rc<Cell<u32>>) {
    let (Some(window), Some(document)) = (web_sys::window(), page::document()) else { return };
    if document.hidden() {
        return wait(parts, every, left);
    }
    let options = RequestInit::new();
    if let Ok(headers) = Headers::new() {
        let _ = headers.set("accept", "text/html");
        options.set_headers(&headers);
    }
    let Ok(address) = document.url() else { return };
    let body = Closure::once(|response: wasm_bindgen::JsValue| {
        let response: Response = response.unchecked_into();
        response.text().map_err(|_| JsError::new("the answer cannot be read"))
    });
    let (kept, left_then) = (parts.clone(), Rc::clone(&left));
    let read = Closure::once(move |text: wasm_bindgen::JsValue| {
        if let Some(parts) = take(parts, &text.as_string().unwrap_or_default()) {
            wait(parts, every, left);
        }
    });
    // A server that is away for a moment is asked again.
    let failed = Closure::once(move |_: wasm_bindgen::JsValue| wait(kept, every, left_then));
    let _ = window.fetch_with_str_and_init(&address, &options).then_map(&body).then2(&read, &failed);
    body.forget();
    read.forget();
    failed.forget();
}

/// What is said only while the page asks by itself.
fn show_notes(root: &Element) {
    for note in page::all(root, "[data-live-note]") {
        page::show(&note, Visible::Yes);
    }
}

/// Takes over what changed; `None`: the page waits for nothing any more.
fn take(parts: Vec<Part>, text: &str) -> Option<Vec<Part>> {
    let parser = DomParser::new().ok()?;
    let new: Document = parser.parse_from_string(text, SupportedType::TextHtml).ok()?;
    let is_over = page::all(&new.document_element()?, "[data-live]").is_empty();
    let mut next = Vec::with_capacity(parts.len());
    for (id, before) in parts {
        let Some(sent) = new.get_element_by_id(&id).map(|element| element.inner_html()) else {
            next.push((id, before));
            continue;
        };
        if sent != before
            && let Some(element) = page::named(&id)
        {
            element.set_inner_html(&sent);
            show_notes(&element);
            copy::wake(&element);
            once::wake(&element);
            zone::wake(&element);
        }
        next.push((id, sent));
    }
    (!is_over).then_some(next)
}
