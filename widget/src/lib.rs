//! What customers' pages run: the chat panel and the sign-in, in a frame or a page on our origin.
//!
//! [`chat`] is the conversation and [`markdown`] the drawing of answers, both without a browser in them; [`page`] puts
//! them on a page. The same module serves the widget's frame, `/chat` and `/signin`. Beside it lie the hand-written
//! loader for foreign pages (`loader.js`), the few lines that start the module (`boot.js`), and the stylesheet
//! (`panel.css`).
//!
//! What always holds: it stays within its byte budget, and the build weighs it; it works under the strictest content
//! security policy (no inline style, no `eval`); it is usable by keyboard and by screen reader.
//!
//! Deliberately absent: a framework, serde, and any crate of ours. A guest in someone's house travels light.

pub mod chat;
pub mod colour;
pub mod keccak;
pub mod markdown;
pub mod siwe;
pub mod words;

#[cfg(target_arch = "wasm32")]
pub mod page;
