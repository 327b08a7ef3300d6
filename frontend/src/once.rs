//! A form that makes something is sent once, however often its button is pressed.

use web_sys::Element;

use crate::page;

const SENT: &str = "data-sent";

pub(crate) fn wake(root: &Element) {
    for form in page::all(root, "form[data-once]") {
        let sent = form.clone();
        page::on_event(&form, "submit", move |event| {
            if sent.has_attribute(SENT) {
                event.prevent_default();
            }
            let _ = sent.set_attribute(SENT, "");
        });
        // A browser that leads back to the page shows it as it was left, and the form may be meant again.
        let shown = form.clone();
        page::on_page_shown(move || {
            let _ = shown.remove_attribute(SENT);
        });
    }
}
