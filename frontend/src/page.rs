//! The few things that every island does with the page.

use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use web_sys::{Document, Element, Event};

/// The page.
pub(crate) fn document() -> Option<Document> {
    web_sys::window()?.document()
}

/// Every element below `root` that a selector finds.
pub(crate) fn all(root: &Element, selector: &str) -> Vec<Element> {
    let Ok(found) = root.query_selector_all(selector) else { return Vec::new() };
    (0..found.length()).filter_map(|place| found.item(place)?.dyn_into().ok()).collect()
}

/// The element of that id.
pub(crate) fn named(id: &str) -> Option<Element> {
    document()?.get_element_by_id(id)
}

/// Calls `act` at each event, as long as the page lives.
pub(crate) fn on(element: &Element, event: &str, mut act: impl FnMut() + 'static) {
    on_event(element, event, move |_| act());
}

/// The same, for whoever needs the event.
pub(crate) fn on_event(element: &Element, event: &str, act: impl FnMut(Event) + 'static) {
    let act = Closure::<dyn FnMut(Event)>::new(act);
    // A listener that cannot be added leaves a button that does nothing, which is what it was before.
    let _ = element.add_event_listener_with_callback(event, act.as_ref().unchecked_ref());
    act.forget();
}

/// Calls `act` once, after a while.
pub(crate) fn later(milliseconds: i32, act: impl FnOnce() + 'static) {
    let act = Closure::once_into_js(act);
    if let Some(window) = web_sys::window() {
        let _ =
            window.set_timeout_with_callback_and_timeout_and_arguments_0(act.unchecked_ref(), milliseconds);
    }
}

/// Shows or hides an element.
pub(crate) fn show(element: &Element, visible: Visible) {
    let _ = match visible {
        Visible::Yes => element.remove_attribute("hidden"),
        Visible::No => element.set_attribute("hidden", ""),
    };
}

/// Whether an element is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visible {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Calls `act` each time the page is shown, also when a browser leads back to it.
pub(crate) fn on_page_shown(act: impl FnMut() + 'static) {
    let act = Closure::<dyn FnMut()>::new(act);
    if let Some(window) = web_sys::window() {
        let _ = window.add_event_listener_with_callback("pageshow", act.as_ref().unchecked_ref());
    }
    act.forget();
}
