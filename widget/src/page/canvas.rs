//! Answers on the page.

use wasm_bindgen::JsCast as _;
use web_sys::{Element, Text};

use super::dom;
use crate::markdown::{Canvas, Tag};

/// Draws with the document's own elements.
pub(super) struct Dom;

impl Canvas for Dom {
    type Place = Element;

    fn append(&mut self, parent: &Element, tag: &Tag) -> Element {
        let element = dom::add(parent, tag.name(), "");
        for (name, value) in tag.attributes() {
            dom::set(&element, name, &value);
        }
        element
    }

    fn append_text(&mut self, parent: &Element, text: &str) {
        let _ = parent.append_child(&dom::document().create_text_node(text));
    }

    fn child(&mut self, parent: &Element, index: usize) -> Element {
        let child = child(parent, index).and_then(|node| node.dyn_into().ok());
        child.expect("the renderer alone draws here, and it drew an element there")
    }

    fn extend_text(&mut self, parent: &Element, index: usize, more: &str) {
        if let Some(text) = child(parent, index).and_then(|node| node.dyn_into::<Text>().ok()) {
            let _ = text.append_data(more);
        }
    }

    fn truncate(&mut self, parent: &Element, length: usize) {
        while let Some(last) = parent.last_child().filter(|_| child(parent, length).is_some()) {
            let _ = parent.remove_child(&last);
        }
    }
}

fn child(parent: &Element, index: usize) -> Option<web_sys::Node> {
    parent.child_nodes().get(u32::try_from(index).ok()?)
}
