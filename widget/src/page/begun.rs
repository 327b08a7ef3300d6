//! What a person had begun on the page before the panel came: it goes on as they left it.

use alloc::string::String;
use alloc::vec::Vec;

use wasm_bindgen::JsCast as _;
use web_sys::{Element, HtmlTextAreaElement};

use super::dom;
use super::view::View;

/// What stood in the root before: the server's drawing, and what somebody began to do with it.
pub(super) struct Begun {
    pub(super) turns: Vec<Element>,
    pub(super) draft: String,
    pub(super) is_focused: bool,
    pub(super) is_wanted: bool,
}

impl Begun {
    /// What stands in `root` before the panel draws it anew.
    pub(super) fn take(root: &Element) -> Self {
        let entry = root.query_selector("textarea").ok().flatten();
        let mut turns = Vec::new();
        if let Ok(drawn) = root.query_selector_all(".fs-turn,.fs-intro") {
            turns.extend((0..drawn.length()).filter_map(|index| drawn.get(index)?.dyn_into().ok()));
        }
        Self {
            turns,
            is_focused: entry.is_some() && dom::document().active_element() == entry,
            draft: entry
                .map(|entry| entry.unchecked_into::<HtmlTextAreaElement>().value())
                .unwrap_or_default(),
            is_wanted: root.has_attribute("data-wanted"),
        }
    }

    /// Puts it into what the panel drew.
    pub(super) fn put(&self, view: &View) {
        for turn in &self.turns {
            dom::put(&view.log, turn);
        }
        view.entry.set_value(&self.draft);
    }
}
