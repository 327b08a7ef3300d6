//! What the server renders: our pages, server-side only, never compiled to wasm.
//!
//! One module per page, named like its address, and the shell around them. A page is a function from what it shows to
//! HTML: it reads nothing from a request, and the door that calls it sets the headers.
//!
//! What always holds: a page works as plain HTML first, forms included; colour, space and type are tokens of
//! `style/tokens.css`; nothing random, timed or browser-bound happens while rendering, and the HTML is valid. There is
//! no inline script and no inline style, so that the content policy can forbid both.
//!
//! Deliberately absent: code for the browser (that is `frontend`), rules, SQL, HTTP. Of Leptos only the renderer is
//! used: routing is the server's, and `leptos_axum`, `leptos_meta` and `leptos_router` would be three more of it.

// A page's tree of views is a type as deep as the page: the longest ones are past the compiler's default.
#![recursion_limit = "256"]

pub mod account;
pub mod admin;
pub mod agents;
pub mod assets;
pub mod buy;
pub mod chat;
pub mod checkout;
pub mod developers;
pub mod docs;
pub mod embed;
pub mod home;
pub mod parts;
pub mod problems;
mod qr;
pub mod reason;
pub mod shell;
pub mod signin;
pub mod trouble;

pub use self::shell::{Theme, Visit};
