//! The browser's memory, where it has one: blocked frames throw at the mere look.

use alloc::string::String;

use super::dom;

/// For as long as the tab lives.
pub(super) fn remember(name: &str, value: Option<&str>) {
    if let Ok(Some(storage)) = dom::window().session_storage() {
        let _ = match value {
            Some(value) => storage.set_item(name, value),
            None => storage.remove_item(name),
        };
    }
}

pub(super) fn recall(name: &str) -> Option<String> {
    dom::window().session_storage().ok().flatten()?.get_item(name).ok().flatten()
}

/// For longer: only what is no secret and no loss.
pub(super) fn keep(name: &str, value: &str) {
    if let Ok(Some(storage)) = dom::window().local_storage() {
        let _ = storage.set_item(name, value);
    }
}

pub(super) fn kept(name: &str) -> Option<String> {
    dom::window().local_storage().ok().flatten()?.get_item(name).ok().flatten()
}
