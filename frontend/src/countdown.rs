//! How long an amount holds, counted down beside the time that the page says in words.

use js_sys::Date;

use crate::page::{self, Visible};
use crate::words;

const SECOND_MS: i32 = 1_000;

/// Counts as long as there is something to count, also in parts that came later.
pub(crate) fn wake() {
    let Some(root) = page::document().and_then(|document| document.document_element()) else { return };
    let places = page::all(&root, "[data-countdown]");
    let waits = !page::all(&root, "[data-live]").is_empty();
    for place in &places {
        let until = Date::parse(&place.get_attribute("data-countdown").unwrap_or_default());
        let left = (until - Date::now()) / 1_000.0;
        if left.is_finite() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole seconds are meant, and no payment waits for 2^63 of them"
            )]
            let seconds = left as i64;
            place.set_text_content(Some(&words::left(seconds)));
            page::show(place, Visible::Yes);
        }
    }
    if waits || !places.is_empty() {
        page::later(SECOND_MS, wake);
    }
}
