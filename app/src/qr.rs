//! A QR code, drawn as SVG on the server.
//!
//! Dark on light in either theme, with the quiet zone that cameras want. Deliberately absent: pictures, colours, a logo in
//! the middle; each costs a phone that does not read it.

use std::fmt::Write as _;

use leptos::prelude::*;
use qrcodegen::{QrCode, QrCodeEcc};

/// The light frame that the standard asks for, in modules.
const QUIET: i32 = 4;

/// `text` as a code, named for those who cannot see it. `None`: the text is longer than any code.
pub(crate) fn code(text: &str, name: &str) -> Option<impl IntoView + use<>> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let size = code.size() + 2 * QUIET;
    let view_box = format!("0 0 {size} {size}");
    let paper = size.to_string();
    Some(view! {
        <svg class="qr" viewBox=view_box role="img" aria-label=name.to_owned() shape-rendering="crispEdges">
            <rect class="paper" width=paper.clone() height=paper></rect>
            <path d=modules(&code)></path>
        </svg>
    })
}

/// The dark modules as one path: a run of them in a row is one rectangle.
fn modules(code: &QrCode) -> String {
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let start = x;
            while x < code.size() && code.get_module(x, y) {
                x += 1;
            }
            if x > start {
                let _ = write!(path, "M{} {}h{}v1h-{}z", start + QUIET, y + QUIET, x - start, x - start);
            } else {
                x += 1;
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dark_module_is_drawn_once() {
        let code = QrCode::encode_text("bitcoin:bc1qexample?amount=0.1", QrCodeEcc::Medium).expect("short");
        let dark = (0..code.size())
            .flat_map(|y| (0..code.size()).map(move |x| (x, y)))
            .filter(|(x, y)| code.get_module(*x, *y))
            .count();
        let path = modules(&code);
        let drawn: usize =
            path.split('h').skip(1).filter_map(|rest| rest.split('v').next()?.parse::<usize>().ok()).sum();
        assert_eq!(drawn, dark);
        assert!(path.starts_with("M4 4h7v1h-7z"), "the first finder's upper edge: {path}");
    }

    #[test]
    fn what_no_code_can_hold_is_left_out() {
        assert!(super::code(&"x".repeat(5_000), "too long").is_none());
    }
}
