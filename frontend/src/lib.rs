//! What our own pages run in the browser: islands, and the function that wakes them up.
//!
//! What will live here: the smallest things on a page that must react, each in its own module, built as an `rlib` for
//! the server and as wasm for the browser.
//!
//! What always holds: an island adds life, not function; without wasm the page still works. Each server function is a
//! public address: who asks is its first line.
//!
//! Deliberately absent: whole pages (`app`), rules, and anything that makes wasm grow with content, not interaction.
