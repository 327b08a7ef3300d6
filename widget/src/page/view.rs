//! The panel's fixed parts.

use alloc::format;
use alloc::string::String;

use wasm_bindgen::JsCast as _;
use web_sys::{Element, HtmlTextAreaElement};

use super::config::{Config, Mode};
use super::dom::{self, add, add_text, icons, set};
use crate::chat::Status;
use crate::words;

/// A frame has at most 4 KiB on the way to the server; what is around the message takes some of it.
pub(super) const MESSAGE_BYTES: usize = 3_800;

/// The parts that change.
pub(super) struct View {
    /// The panel itself.
    pub(super) panel: Element,
    state: Element,
    /// The conversation.
    pub(super) log: Element,
    /// Says a finished answer once, to those who listen.
    spoken: Element,
    notice: Element,
    notice_text: Element,
    notice_button: Element,
    hint: Element,
    form: Element,
    pub(super) entry: HtmlTextAreaElement,
    send: Element,
    pub(super) latest: Element,
}

impl View {
    /// Builds the panel in `root`.
    pub(super) fn new(root: &Element, config: &Config) -> Self {
        root.set_text_content(None);
        let _ = root.class_list().add_1("fs");
        let name = &config.name;
        let panel = add(root, "section", "fs-panel");
        set(&panel, "aria-label", &format!("Chat with {name}"));

        let head = add(&panel, "header", "fs-head");
        avatar(&head, config, "fs-avatar");
        let who = add(&head, "div", "fs-who");
        let heading = add(&who, if config.mode == Mode::Frame { "h1" } else { "h2" }, "fs-name");
        // The name runs its own way, and stands where the page's lines begin.
        add_text(&heading, "bdi", "", name);
        let state = add(&who, "p", "fs-state");
        if config.mode == Mode::Frame {
            dom::icon_button(&head, "fs-plain", "close", "Close chat", icons::CLOSE);
        }

        let notice = add(&panel, "div", "fs-notice");
        let notice_text = add(&notice, "p", "");
        let notice_button = dom::button(&notice, "fs-small", "reconnect", "Try now");
        dom::show(&notice, false);

        let log = add(&panel, "div", "fs-log");
        // Each token would be read out if the log were live: one sentence at the end is (see `spoken`).
        for (name, value) in
            [("role", "log"), ("aria-live", "off"), ("aria-label", "Conversation"), ("tabindex", "0")]
        {
            set(&log, name, value);
        }
        let latest = dom::icon_button(&panel, "fs-latest", "latest", "Go to the newest message", icons::DOWN);
        dom::show(&latest, false);

        let form = add(&panel, "div", "fs-form");
        let hint = add(&form, "p", "fs-hint");
        set(&hint, "id", "fs-hint");
        let field = add(&form, "div", "fs-field");
        let entry: HtmlTextAreaElement = add(&field, "textarea", "fs-entry").unchecked_into();
        for (key, value) in [
            ("rows", "1"),
            ("aria-label", format!("Message to {name}").as_str()),
            ("aria-describedby", "fs-hint"),
            ("placeholder", format!("Message {name}").as_str()),
            ("dir", "auto"),
            ("enterkeyhint", "send"),
            ("autocomplete", "off"),
        ] {
            set(&entry, key, value);
        }
        let send = dom::icon_button(&field, "fs-send", "send", "Send", icons::SEND);

        let spoken = add(&panel, "p", "fs-spoken");
        set(&spoken, "role", "status");
        Self {
            panel,
            state,
            log,
            spoken,
            notice,
            notice_text,
            notice_button,
            hint,
            form,
            entry,
            send,
            latest,
        }
    }

    /// How the connection is.
    pub(super) fn status(&self, status: &Status) {
        let (word, notice, button) = match status {
            Status::Asleep => ("", None, None),
            Status::Connecting => ("Connecting…", None, None),
            Status::Ready => ("Here", None, None),
            Status::ReadOnly => ("Reading only", Some("You can read here, but not write."), None),
            Status::Reconnecting => ("Reconnecting…", None, None),
            Status::Away => (
                "Away",
                Some("The server cannot be reached. What you wrote is kept; we keep trying."),
                Some("Try now"),
            ),
            Status::Offline => {
                ("Offline", Some("You are offline. We go on when your network is back."), None)
            }
            Status::TooManyTabs => (
                "Waiting",
                Some("Three tabs of yours are talking already. Close one of them first."),
                Some("Try again"),
            ),
            Status::SignedOut => ("Signed out", None, None),
        };
        self.state.set_text_content(Some(word));
        set(&self.state, "data-state", if *status == Status::Ready { "ready" } else { "other" });
        self.notice_text.set_text_content(notice);
        self.notice_button.set_text_content(button);
        dom::show(&self.notice, notice.is_some());
        dom::show(&self.notice_button, button.is_some());
    }

    /// Whether one can write.
    pub(super) fn allow_writing(&self, is_allowed: bool) {
        dom::show(&self.form, is_allowed);
    }

    /// The button sends, or stops.
    pub(super) fn busy(&self, is_busy: bool) {
        set(&self.log, "aria-busy", if is_busy { "true" } else { "false" });
        let (deed, label, path) =
            if is_busy { ("stop", "Stop the answer", icons::STOP) } else { ("send", "Send", icons::SEND) };
        if self.send.get_attribute("data-do").as_deref() != Some(deed) {
            set(&self.send, "data-do", deed);
            dom::redraw(&self.send, label, path);
        }
        self.look_at_entry();
    }

    /// After each change of what is being written: its height, and whether it can be sent. True if it can.
    pub(super) fn look_at_entry(&self) -> bool {
        let entry = &self.entry;
        dom::style(entry, "height", "auto");
        dom::style(entry, "height", &format!("{}px", entry.scroll_height()));
        let text = entry.value();
        let escaped = text.bytes().filter(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\')).count();
        let length = text.len() + escaped * 5;
        let too_long = length.saturating_sub(MESSAGE_BYTES);
        let hint =
            if too_long > 0 { format!("Too long by about {too_long} characters.") } else { String::new() };
        if self.hint.text_content().as_deref() != Some(hint.as_str()) {
            self.hint.set_text_content(Some(&hint));
        }
        let is_stop = self.send.get_attribute("data-do").as_deref() == Some("stop");
        let can_send = too_long == 0 && !text.trim().is_empty();
        let _ = self.send.toggle_attribute_with_force("disabled", !is_stop && !can_send);
        can_send
    }

    /// Says something to those who listen, once.
    pub(super) fn say(&self, text: &str) {
        self.spoken.set_text_content(Some(text));
    }

    /// Whether the newest message is in sight.
    pub(super) fn is_at_end(&self) -> bool {
        self.log.scroll_height() - self.log.scroll_top() - self.log.client_height() < 48
    }

    /// Brings the newest message into sight.
    pub(super) fn to_end(&self) {
        self.log.set_scroll_top(self.log.scroll_height());
        dom::show(&self.latest, false);
    }
}

/// The agent's picture, or its first letter on its colour.
pub(super) fn avatar(parent: &Element, config: &Config, class: &str) -> Element {
    let avatar = add(parent, "div", class);
    set(&avatar, "aria-hidden", "true");
    // A data image or a path on our origin: whatever the chain says, nothing is loaded from a stranger.
    let own =
        |url: &&String| url.starts_with("data:image/") || (url.starts_with('/') && !url.starts_with("//"));
    if let Some(image) = config.image.as_ref().filter(own) {
        let picture = add(&avatar, "img", "");
        set(&picture, "alt", "");
        set(&picture, "src", image);
    } else {
        let letter: String = config.name.chars().find(|c| words::is_of_word(*c)).into_iter().collect();
        avatar.set_text_content(Some(&letter));
    }
    avatar
}
