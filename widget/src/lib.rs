//! What customers' pages run: the chat panel and the sign-in, in a frame or a page on our origin.
//!
//! [`chat`] is the conversation and [`markdown`] the drawing of answers, both without a browser in them; `page` puts
//! them on a page. The same module serves the widget's frame, `/chat` and `/signin`. Beside it lie the hand-written
//! loader for foreign pages (`loader.js`), the few lines that start the module (`boot.js`), and the stylesheet
//! (`panel.css`).
//!
//! The loader: `<script src="https://…/widget/v1/widget.js" data-agent="demo:1" async></script>`, with `data-agent` (or
//! `data-token-id`), `data-theme` (`light`, `dark`), `data-position` (`left`, `right`), `data-accent` (`#rrggbb`). It
//! touches nothing of its page but one element of its own with a closed shadow, sets styles through
//! `adoptedStyleSheets` only, and loads nothing but one frame of our origin (`/embed`), at the first opening. It works
//! under a policy that allows our origin in `script-src` and `frame-src`. Frame and loader speak in
//! `{freeside: "ready" | "open" | "close" | "unread", count}`, each to the other's exact origin. At most 2 KB brotli as it
//! lies here, without a minifier: that is why its comments are in this place.
//!
//! What always holds: it stays within its byte budget, and the build weighs it; it works under the strictest content
//! security policy (no inline style, no `eval`); it is usable by keyboard and by screen reader.
//!
//! Deliberately absent: the standard library (its way to panic formats a message that nobody reads, and weighs a third
//! of the module), a framework, serde, and any crate of ours. A guest in someone's house travels light.

// Natively it is a library for tests, and those have the standard library.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

#[cfg(target_arch = "wasm32")]
use lol_alloc::{FreeListAllocator, LockedAllocator};

pub mod chat;
pub mod colour;
pub mod keccak;
pub mod markdown;
pub mod siwe;
pub mod words;

#[cfg(target_arch = "wasm32")]
pub mod page;

/// A list of free places: a twentieth of the usual allocator's weight, and a page holds few of them.
#[cfg(target_arch = "wasm32")]
#[global_allocator]
static MEMORY: LockedAllocator<FreeListAllocator> = LockedAllocator::new(FreeListAllocator::new());

/// A bug: the module stops where it is, and the page around goes on.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
