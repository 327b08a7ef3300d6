//! A button that copies a text of the page. It is hidden until this runs: without it, a click on the text selects it.

use wasm_bindgen::closure::Closure;
use web_sys::Element;

use crate::{page, words};

/// How long the button says that it is done.
const TOLD_MS: i32 = 2_500;

pub(crate) fn wake(root: &Element) {
    for button in page::all(root, "[data-copy]") {
        let target = button.get_attribute("data-copy").and_then(|id| page::named(&id));
        let Some(target) = target else { continue };
        let shown = button.clone();
        page::on(&button, "click", move || copy(&shown, &target));
        let _ = button.remove_attribute("hidden");
    }
}

fn copy(button: &Element, target: &Element) {
    let Some(window) = web_sys::window() else { return };
    // On plain http elsewhere there is no clipboard to write to.
    if !window.is_secure_context() {
        return tell(button, words::NOT_COPIED);
    }
    let text = target.text_content().unwrap_or_default();
    let (done, failed) = (button.clone(), button.clone());
    let done = Closure::once(move |_| tell(&done, words::COPIED));
    let failed = Closure::once(move |_| tell(&failed, words::NOT_COPIED));
    let _ = window.navigator().clipboard().write_text(&text).then2(&done, &failed);
    done.forget();
    failed.forget();
}

/// Says it on the button itself, whose name a screen reader has just read; and takes it back after a while.
fn tell(button: &Element, text: &str) {
    let before = button.text_content();
    button.set_text_content(Some(text));
    // Pressed again while it still says so: the first press takes it back, and remembers what stood there.
    if before.as_deref().is_some_and(|before| [words::COPIED, words::NOT_COPIED].contains(&before)) {
        return;
    }
    let button = button.clone();
    page::later(TOLD_MS, move || button.set_text_content(before.as_deref()));
}
