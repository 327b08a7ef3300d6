//! Questions and answers in the log.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use web_sys::Element;

use super::canvas::Dom;
use super::dom::{self, add, add_text, icons, set};
use crate::chat::Ending;
use crate::markdown::Renderer;
use crate::words;

/// The longest start of an answer that is read out, in bytes; the rest can be read in the log.
const SPOKEN_BYTES: usize = 600;

/// An answer that grows.
pub(super) struct Answer {
    /// Its question's id.
    pub(super) id: String,
    place: Element,
    body: Element,
    renderer: Renderer<Dom>,
    /// Text that the next drawing takes up.
    pending: String,
    /// The whole source.
    text: String,
    pool: Option<String>,
    reason: Option<String>,
}

/// What a question and its answer are called in the log.
pub(super) fn question(log: &Element, text: &str) {
    let turn = add(log, "article", "fs-turn fs-mine");
    set(&turn, "aria-label", "You");
    let body = add_text(&turn, "div", "fs-bubble", text);
    set(&body, "dir", "auto");
}

impl Answer {
    /// An empty one at the end of the log.
    pub(super) fn begin(log: &Element, name: &str, id: &str) -> Self {
        let place = add(log, "article", "fs-turn fs-theirs");
        set(&place, "aria-label", name);
        let waiting = add(&place, "p", "fs-waiting");
        add_text(&waiting, "span", "fs-spoken", &format!("{name} is writing"));
        for _ in 0..3 {
            add(&waiting, "i", "");
        }
        let body = add(&place, "div", "fs-answer");
        Self {
            id: id.to_owned(),
            renderer: Renderer::new(Dom, body.clone()),
            place,
            body,
            pending: String::new(),
            text: String::new(),
            pool: None,
            reason: None,
        }
    }

    pub(super) fn by(&mut self, pool: Option<String>, reason: Option<String>) {
        self.pool = pool;
        self.reason = reason;
    }

    /// Takes text in; true if it must be drawn soon.
    pub(super) fn push(&mut self, text: &str) -> bool {
        let is_first = self.pending.is_empty();
        self.pending.push_str(text);
        is_first
    }

    /// Draws what came since.
    pub(super) fn draw(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if self.text.is_empty() {
            self.end_waiting();
        }
        self.text.push_str(&self.pending);
        self.renderer.push(&self.pending);
        self.pending.clear();
    }

    fn end_waiting(&self) {
        if let Ok(Some(waiting)) = self.place.query_selector(".fs-waiting") {
            waiting.remove();
        }
    }

    /// Ends it: the last drawing, what it cost, what can be done with it. The sentence to read out.
    pub(super) fn end(mut self, ending: &Ending, name: &str, buy: Option<&str>) -> String {
        self.draw();
        self.end_waiting();
        self.renderer.finish();
        self.copy_buttons();
        let has_text = !self.text.is_empty();
        let failure = ending.failure.as_ref();
        let note = failure.map(|failure| failure.message.clone()).or_else(|| ending.note.clone());
        let note = note.or_else(|| match (ending.was_stopped, ending.finish_reason.as_deref()) {
            (true, _) => Some("Stopped.".to_owned()),
            (false, Some("length")) => Some("The answer ended at its longest.".to_owned()),
            (false, _) => None,
        });
        if let Some(note) = &note {
            let class = if failure.is_some() { "fs-note fs-failed" } else { "fs-note" };
            add_text(&self.place, "p", class, note);
        }
        let foot = add(&self.place, "footer", "fs-foot");
        let about_money = failure.is_some_and(crate::chat::Failure::is_about_money);
        if let Some(buy) = buy.filter(|_| about_money) {
            let link = add_text(&foot, "a", "fs-small", "Buy credits");
            for (name, value) in [("href", buy), ("target", "_blank"), ("rel", "noopener")] {
                set(&link, name, value);
            }
        }
        if has_text {
            self.facts(&foot, ending);
        }
        let deeds = add(&foot, "div", "fs-deeds");
        if has_text {
            dom::icon_button(&deeds, "fs-plain", "copy", "Copy answer", icons::COPY);
        }
        if has_text && failure.is_none() {
            for (deed, label, path) in
                [("good", "Good answer", icons::GOOD), ("bad", "Bad answer", icons::BAD)]
            {
                let button = dom::icon_button(&deeds, "fs-plain", deed, label, path);
                set(&button, "aria-pressed", "false");
                set(&button, "data-id", &self.id);
            }
        }
        if failure.is_none_or(crate::chat::Failure::can_retry) {
            let label = if failure.is_some() { "Try again" } else { "Ask again" };
            let class = if failure.is_some() { "fs-small" } else { "fs-plain" };
            if failure.is_some() {
                dom::button(&deeds, class, "retry", label);
            } else {
                dom::icon_button(&deeds, class, "retry", label, icons::AGAIN);
            }
        }
        let said = words::shortened(&self.body.text_content().unwrap_or_default(), SPOKEN_BYTES);
        let parts = [Some(format!("{name}: {said}")).filter(|_| has_text), note];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// Who answered, and what it cost.
    fn facts(&self, foot: &Element, ending: &Ending) {
        let facts = add(foot, "p", "fs-facts");
        if let Some(pool) = &self.pool {
            let pool = add_text(&facts, "span", "fs-pool", pool);
            if let Some(reason) = &self.reason {
                set(&pool, "title", reason);
            }
        }
        if let Some(cost) = ending.cost_micro.as_deref().and_then(words::dollars) {
            let cost = add_text(&facts, "span", "", &cost);
            let (asked, said) = (ending.usage.prompt_tokens, ending.usage.completion_tokens);
            if asked + said > 0 {
                set(&cost, "title", &format!("{asked} tokens read, {said} written"));
            }
        }
    }

    fn copy_buttons(&self) {
        let Ok(blocks) = self.body.query_selector_all("pre") else { return };
        for index in 0..blocks.length() {
            let Some(block) = blocks.get(index) else { continue };
            // The button stands beside the code, not in it: what is selected is code alone.
            let (Some(parent), Ok(frame)) = (block.parent_element(), dom::document().create_element("div"))
            else {
                continue;
            };
            set(&frame, "class", "fs-code");
            let _ = parent.replace_child(&frame, &block);
            let _ = frame.append_child(&block);
            dom::icon_button(&frame, "fs-plain", "copy-code", "Copy code", icons::COPY);
        }
    }
}
