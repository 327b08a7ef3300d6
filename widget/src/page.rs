//! The page: everything that touches a browser.
//!
//! What always holds: no text becomes markup (elements are made one by one; nothing is ever parsed as HTML); styles are
//! classes, and the few computed ones are set through the CSS object model, which a strict policy allows; storage may
//! throw and is never needed.

mod begun;
mod canvas;
mod config;
mod dom;
mod host;
mod http;
mod json;
mod panel;
mod signin;
mod socket;
mod storage;
mod turns;
mod view;
mod wallets;

use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::Element;

/// Makes `root` a chat with the agent that its `data-` attributes name (see `config`). What was in it is replaced.
#[wasm_bindgen]
pub fn mount_panel(root: Element) {
    panel::Panel::mount(root);
}

/// Makes `root` the place where a wallet signs in (see `signin` for its `data-` attributes). What was in it is replaced.
#[wasm_bindgen]
pub fn mount_signin(root: Element) {
    signin::mount(root);
}
