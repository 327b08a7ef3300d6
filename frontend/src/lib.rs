//! What our own pages run in the browser: islands, each the smallest thing that must react.
//!
//! A page works without them. An island finds its place by a `data-…` attribute, shows what only makes sense when it
//! runs, and leaves the rest of the page alone:
//! * `data-copy="id"` on a button: copies the text of the element with that id;
//! * `data-first-call="key"` on a paragraph: says when the key's first request has arrived;
//! * `data-live="id id"` with `data-every`: asks for the page anew and takes over those parts of it that changed;
//! * `data-countdown="time"` on a span: says how long it is until then;
//! * `data-playground="key"` on a section: asks, and writes the same call as code;
//! * `data-zone` on a span: a button that turns the page's moments into the reader's own zone and back;
//! * `data-once` on a form: a second press while the first is on its way does nothing;
//! * `data-with-script`, `data-without-script`: what is shown when this runs, and what is not.
//!
//! Plain wasm-bindgen: a framework's runtime would be ten times as long as what is here. Deliberately absent: chat and
//! sign-in (that is `widget`), rules, and anything that a page needs to be read.

pub mod code;
#[cfg(target_arch = "wasm32")]
mod copy;
#[cfg(target_arch = "wasm32")]
mod countdown;
#[cfg(target_arch = "wasm32")]
mod first_call;
#[cfg(target_arch = "wasm32")]
mod live;
#[cfg(target_arch = "wasm32")]
mod once;
#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(target_arch = "wasm32")]
mod playground;
pub mod words;
#[cfg(target_arch = "wasm32")]
mod zone;

/// Wakes every island of the page. Whatever fails leaves the page as it was.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn wake() {
    let Some(root) = page::document().and_then(|document| document.document_element()) else { return };
    // It compares with what the server sent, so it looks before the others change anything.
    live::wake(&root);
    for element in page::all(&root, "[data-with-script]") {
        page::show(&element, page::Visible::Yes);
    }
    for element in page::all(&root, "[data-without-script]") {
        page::show(&element, page::Visible::No);
    }
    copy::wake(&root);
    countdown::wake();
    first_call::wake(&root);
    once::wake(&root);
    playground::wake(&root);
    zone::wake(&root);
}
