//! What customers' pages run: a loader, and the chat panel in a frame on our origin.
//!
//! What will live here: the panel in plain wasm-bindgen and web-sys: streaming over a WebSocket, a small renderer of
//! markdown, stop, retry, reconnect with resume; beside it the hand-written loader that draws the launcher. `/chat`
//! loads the same module, so page and panel share one chat.
//!
//! What always holds: it stays within its byte budget, and the build weighs it; it works in a host page with the
//! strictest content security policy; it is usable by keyboard and by screen reader.
//!
//! Deliberately absent: a framework, serde, and any crate of ours. A guest in someone's house travels light.
