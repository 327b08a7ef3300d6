//! Elements, one by one.

use alloc::string::String;

use wasm_bindgen::JsCast as _;
use wasm_bindgen::prelude::Closure;
use web_sys::{Document, Element, Event, EventTarget, HtmlElement, Window};

const SVG: &str = "http://www.w3.org/2000/svg";

/// Drawings on a grid of 24, as one path each.
pub(super) mod icons {
    pub(crate) const SEND: &str = "M12 19V5M5.5 11.5 12 5l6.5 6.5";
    pub(crate) const STOP: &str = "M7.5 7.5h9v9h-9z";
    pub(crate) const CLOSE: &str = "M6 6l12 12M18 6 6 18";
    pub(crate) const COPY: &str = "M9 9h10v11H9zM5 15V4h10";
    pub(crate) const DONE: &str = "M5 12.5 10 17.5 19.5 7";
    pub(crate) const AGAIN: &str = "M19.5 12a7.5 7.5 0 1 1-2.4-5.5M19.5 3.5v4.2h-4.2";
    pub(crate) const GOOD: &str = "M7 10.5v9H4v-9zM7 10.5l4-7c1.6 0 2.5 1 2.2 2.6l-.6 3.4h5.6c1.2 0 2 1 1.7 2.2l-1.5 6c-.2.9-.9 1.3-1.7 1.3H7";
    pub(crate) const BAD: &str = "M7 13.5v-9H4v9zM7 13.5l4 7c1.6 0 2.5-1 2.2-2.6l-.6-3.4h5.6c1.2 0 2-1 1.7-2.2l-1.5-6c-.2-.9-.9-1.3-1.7-1.3H7";
    pub(crate) const DOWN: &str = "M12 5v14M5.5 12.5 12 19l6.5-6.5";
    pub(crate) const WALLET: &str =
        "M4 7.5V18a2 2 0 0 0 2 2h14V9H6a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2h11v5M16.2 14.5h.1";
}

pub(super) fn window() -> Window {
    web_sys::window().expect("the module runs in a window: a worker cannot mount anything")
}

pub(super) fn document() -> Document {
    window().document().expect("a window that runs scripts has a document")
}

/// A new element at the end of `parent`.
pub(super) fn add(parent: &Element, name: &str, class: &str) -> Element {
    let element = document().create_element(name).expect("the names are our own");
    if !class.is_empty() {
        set(&element, "class", class);
    }
    put(parent, &element);
    element
}

/// A new element with a text.
pub(super) fn add_text(parent: &Element, name: &str, class: &str, text: &str) -> Element {
    let element = add(parent, name, class);
    element.set_text_content(Some(text));
    element
}

pub(super) fn put(parent: &Element, child: &Element) {
    // It fails only for cycles, and a new element is nobody's parent.
    let _ = parent.append_child(child);
}

pub(super) fn set(element: &Element, name: &str, value: &str) {
    // It fails only for names that are no names; ours are.
    let _ = element.set_attribute(name, value);
}

/// Shows or hides.
pub(super) fn show(element: &Element, is_shown: bool) {
    let _ = element.toggle_attribute_with_force("hidden", !is_shown);
}

/// A button that does `action` (see the panel's list of deeds), with a drawing and a name for those who do not see it.
pub(super) fn icon_button(parent: &Element, class: &str, action: &str, label: &str, path: &str) -> Element {
    let button = add(parent, "button", class);
    set(&button, "type", "button");
    set(&button, "data-do", action);
    set(&button, "aria-label", label);
    set(&button, "title", label);
    icon(&button, path);
    button
}

/// A button that does `action`, with a text.
pub(super) fn button(parent: &Element, class: &str, action: &str, text: &str) -> Element {
    let button = add_text(parent, "button", class, text);
    set(&button, "type", "button");
    set(&button, "data-do", action);
    button
}

/// A drawing that says nothing to those who do not see it.
pub(super) fn icon(parent: &Element, path: &str) {
    let document = document();
    let make = |name| document.create_element_ns(Some(SVG), name).expect("the names are our own");
    let (svg, line) = (make("svg"), make("path"));
    set(&svg, "viewBox", "0 0 24 24");
    set(&svg, "aria-hidden", "true");
    set(&svg, "class", "fs-icon");
    set(&line, "d", path);
    put(&svg, &line);
    put(parent, &svg);
}

/// Changes a button's drawing.
pub(super) fn redraw(button: &Element, label: &str, path: &str) {
    button.set_text_content(None);
    set(button, "aria-label", label);
    set(button, "title", label);
    icon(button, path);
}

/// Listens for as long as the page lives: what listens is mounted once and never taken away.
pub(super) fn listen(target: &EventTarget, name: &str, on: impl FnMut(Event) + 'static) {
    let closure = Closure::<dyn FnMut(Event)>::new(on);
    let _ = target.add_event_listener_with_callback(name, closure.as_ref().unchecked_ref());
    closure.forget();
}

/// Calls back once.
pub(super) fn after(ms: u64, then: impl FnOnce() + 'static) {
    let ms = i32::try_from(ms).unwrap_or(i32::MAX);
    let _ = window().set_timeout_with_callback_and_timeout_and_arguments_0(
        &Closure::once_into_js(then).unchecked_into(),
        ms,
    );
}

/// Calls back before the page is next drawn.
pub(super) fn next_frame(then: impl FnOnce() + 'static) {
    let _ = window().request_animation_frame(&Closure::once_into_js(then).unchecked_into());
}

/// Focuses, without scrolling the page to it.
pub(super) fn focus(element: &Element) {
    if let Some(element) = element.dyn_ref::<HtmlElement>() {
        let _ = element.focus();
    }
}

/// Sets a style property or a CSS variable: allowed under a policy that forbids inline styles.
pub(super) fn style(element: &Element, name: &str, value: &str) {
    if let Some(element) = element.dyn_ref::<HtmlElement>() {
        let _ = element.style().set_property(name, value);
    }
}

/// The element with a deed that an event happened in.
pub(super) fn deed(event: &Event) -> Option<(String, Element)> {
    let target = event.target()?.dyn_into::<Element>().ok()?;
    let element = target.closest("[data-do]").ok()??;
    (!element.has_attribute("disabled"))
        .then(|| element.get_attribute("data-do").map(|deed| (deed, element)))?
}

/// Now, in ms. It is the wall's clock because others stop while a phone sleeps.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "milliseconds of this age fit, and are positive"
)]
pub(super) fn now_ms() -> u64 {
    js_sys::Date::now() as u64
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Ok(crypto) = window().crypto() {
        let _ = crypto.get_random_values_with_u8_array(&mut bytes);
    }
    bytes
}

/// A new id, UUID version 4.
pub(super) fn new_id() -> String {
    let mut bytes = random::<16>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = crate::siwe::hex(&bytes);
    let hex = &hex[2..];
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
