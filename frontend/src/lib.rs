//! What our own pages run in the browser: islands, each the smallest thing that must react.
//!
//! A page works without them. An island finds its place by a `data-…` attribute, shows what only makes sense when it
//! runs, and leaves the rest of the page alone:
//! * `data-copy="id"` on a button: copies the text of the element with that id;
//! * `data-first-call="key"` on a paragraph: says when the key's first request has arrived.
//!
//! Plain wasm-bindgen: a framework's runtime would be ten times as long as what is here. Deliberately absent: chat and
//! sign-in (that is `widget`), rules, and anything that a page needs to be read.

#[cfg(target_arch = "wasm32")]
mod copy;
#[cfg(target_arch = "wasm32")]
mod first_call;
#[cfg(target_arch = "wasm32")]
mod page;
pub mod words;

/// Wakes every island of the page. Whatever fails leaves the page as it was.
#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
pub fn wake() {
    let Some(document) = page::document() else { return };
    copy::wake(&document);
    first_call::wake(&document);
}
