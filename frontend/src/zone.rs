//! The page's moments in the reader's own zone. The server writes them in UTC, which people can tell each other; a press
//! on the zone's name turns them all, and the browser remembers it.

use js_sys::{Array, Date, Intl, Object, Reflect};
use web_sys::{Element, Storage};

use crate::{page, words};

/// Where the browser keeps the choice.
const KEPT: &str = "freeside-zone";
/// The one choice that is kept; without it, UTC.
const LOCAL: &str = "local";
/// Where a moment keeps what the server wrote.
const WRITTEN: &str = "data-utc";

/// Makes a button of each zone's name below `root`, and shows the moments there as the reader likes them.
pub(crate) fn wake(root: &Element) {
    let Some(own) = own().filter(|own| own != words::UTC) else { return };
    for place in page::all(root, "span[data-zone]") {
        let Some(button) = page::document().and_then(|page| page.create_element("button").ok()) else {
            return;
        };
        for (name, value) in [("type", "button"), ("class", "zone"), ("data-zone", "")] {
            let _ = button.set_attribute(name, value);
        }
        let pressed = button.clone();
        page::on(&button, "click", move || turn(&pressed));
        let _ = place.replace_with_with_node_1(&button);
    }
    show(root, &own, is_local());
}

/// Turns to the zone that is not shown. A browser that remembers nothing turns this page all the same.
fn turn(pressed: &Element) {
    let Some(root) = page::document().and_then(|page| page.document_element()) else { return };
    let Some(own) = own() else { return };
    let is_local = pressed.text_content().as_deref() == Some(words::UTC);
    if let Some(storage) = storage() {
        let _ = if is_local { storage.set_item(KEPT, LOCAL) } else { storage.remove_item(KEPT) };
    }
    show(&root, &own, is_local);
}

fn show(root: &Element, own: &str, is_local: bool) {
    let (shown, other) = if is_local { (own, words::UTC) } else { (words::UTC, own) };
    for button in page::all(root, "button[data-zone]") {
        button.set_text_content(Some(shown));
        let _ = button.set_attribute("title", &words::turn_zone(other));
    }
    for place in page::all(root, "time[datetime*=T]") {
        let written = place.get_attribute(WRITTEN).or_else(|| place.text_content()).unwrap_or_default();
        let _ = place.set_attribute(WRITTEN, &written);
        let exact = Date::new(&place.get_attribute("datetime").unwrap_or_default().into());
        let text =
            if is_local && !exact.get_time().is_nan() { local(&exact, written.len()) } else { written };
        place.set_text_content(Some(&text));
    }
}

/// A moment by the reader's clock, as long as the server's text.
fn local(at: &Date, length: usize) -> String {
    let date = [at.get_full_year(), at.get_month() + 1, at.get_date()];
    words::moment(date, [at.get_hours(), at.get_minutes(), at.get_seconds()], length)
}

/// The reader's zone by its name, such as `Europe/Berlin`.
fn own() -> Option<String> {
    let format = Intl::DateTimeFormat::new(&Array::new(), &Object::new());
    Reflect::get(&format.resolved_options(), &"timeZone".into()).ok()?.as_string()
}

fn is_local() -> bool {
    storage().and_then(|storage| storage.get_item(KEPT).ok().flatten()).as_deref() == Some(LOCAL)
}

/// The browser's memory, where it has one.
fn storage() -> Option<Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}
