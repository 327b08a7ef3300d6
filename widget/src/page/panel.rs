//! The panel: carries out what the conversation wants, and tells it what people do.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use js_sys::futures::spawn_local;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{Element, Event as DomEvent, HtmlElement, KeyboardEvent};

use super::begun::Begun;
use super::config::{Config, Mode};
use super::dom::{self, add, add_text, icons, set};
use super::host::{self, FromHost};
use super::json::{Json, object, print};
use super::socket::Socket;
use super::turns::{self, Answer};
use super::view::{View, avatar};
use super::{http, signin, storage};
use crate::chat::{Chat, Effect, Ending, Event, Failure, NoTicket, Status};
use crate::words;

/// How many earlier questions are shown.
const EARLIER: u32 = 20;

/// One chat on a page.
pub(super) struct Panel {
    root: Element,
    config: Config,
    view: View,
    chat: RefCell<Chat>,
    socket: RefCell<Option<Socket>>,
    answer: RefCell<Option<Answer>>,
    /// The last question, for asking it again.
    asked: RefCell<String>,
    /// A frame's session: in memory and nowhere else.
    token: RefCell<Option<String>>,
    is_signed_in: Cell<bool>,
    /// For the popup that signs a frame in.
    handoff: RefCell<Option<(String, String)>>,
    /// Whether anybody can see us.
    is_shown: Cell<bool>,
    unread: Cell<u32>,
    /// Which of the timers counts; earlier ones are of no interest any more.
    timer: Cell<u32>,
    /// What was said before is being fetched; what is asked meanwhile is asked after it.
    is_entering: Cell<bool>,
    waiting: RefCell<Option<String>>,
}

impl Panel {
    /// Builds the panel in `root` and wakes it.
    pub(super) fn mount(root: Element) {
        let config = Config::read(&root);
        let begun = Begun::take(&root);
        let view = View::new(&root, &config);
        begun.put(&view);
        let seed = u64::from_le_bytes(dom::random());
        let panel = Rc::new(Self {
            is_signed_in: Cell::new(config.is_signed_in),
            is_shown: Cell::new(config.mode == Mode::Page),
            root,
            config,
            view,
            chat: RefCell::new(Chat::new(seed)),
            socket: RefCell::new(None),
            answer: RefCell::new(None),
            asked: RefCell::new(String::new()),
            token: RefCell::new(None),
            handoff: RefCell::new(None),
            unread: Cell::new(0),
            timer: Cell::new(0),
            is_entering: Cell::new(false),
            waiting: RefCell::new(None),
        });
        panel.listen();
        panel.view.busy(false);
        panel.view.to_end();
        if panel.is_signed_in.get() {
            panel.enter(true);
            if begun.is_wanted {
                panel.send();
            } else if begun.is_focused {
                dom::focus(&panel.view.entry);
            }
        } else {
            panel.view.status(&Status::Asleep);
            panel.introduce();
            panel.prepare_handoff();
        }
        host::tell(panel.config.host.as_deref(), "ready", None);
    }

    fn listen(self: &Rc<Self>) {
        let panel = Rc::clone(self);
        dom::listen(&self.root, "click", move |event| {
            if let Some((deed, element)) = dom::deed(&event) {
                panel.deed(&deed, &element);
            }
        });
        let panel = Rc::clone(self);
        dom::listen(&self.root, "keydown", move |event| panel.key(&event));
        let panel = Rc::clone(self);
        dom::listen(&self.view.entry, "input", move |_| {
            panel.view.look_at_entry();
        });
        let panel = Rc::clone(self);
        dom::listen(&self.view.entry, "focus", move |_| {
            if panel.is_signed_in.get() {
                panel.happened(Event::Wake);
            }
        });
        let panel = Rc::clone(self);
        dom::listen(&self.view.log, "scroll", move |_| {
            dom::show(&panel.view.latest, !panel.view.is_at_end());
        });
        // Phones drop sockets while a page is away: look as soon as it is back.
        let window = dom::window();
        for name in ["pageshow", "online"] {
            let panel = Rc::clone(self);
            dom::listen(&window, name, move |_| panel.happened(Event::Returned));
        }
        let panel = Rc::clone(self);
        dom::listen(&window, "offline", move |_| panel.happened(Event::Offline));
        let panel = Rc::clone(self);
        dom::listen(&dom::document(), "visibilitychange", move |_| {
            if !dom::document().hidden() {
                panel.seen();
                panel.happened(Event::Returned);
            }
        });
        if let Some(host) = &self.config.host {
            let panel = Rc::clone(self);
            host::hear(host, move |what| {
                panel.is_shown.set(what == FromHost::Open);
                if what == FromHost::Open {
                    panel.seen();
                    panel.focus();
                }
            });
        }
    }

    /// What a button wants.
    fn deed(self: &Rc<Self>, deed: &str, element: &Element) {
        match deed {
            "send" => self.send(),
            "stop" => {
                let effects = self.chat.borrow_mut().stop(dom::now_ms());
                self.carry_out(effects);
                dom::focus(&self.view.entry);
            }
            "retry" => {
                let text = self.asked.borrow().clone();
                self.ask(&text);
            }
            "suggest" => self.ask(&element.text_content().unwrap_or_default()),
            "close" => host::tell(self.config.host.as_deref(), "close", None),
            "reconnect" => {
                self.happened(Event::Returned);
                self.happened(Event::Wake);
            }
            "latest" => {
                self.view.to_end();
                dom::focus(&self.view.entry);
            }
            "signin" => self.sign_in(),
            "good" | "bad" => self.rate(deed, element),
            "copy" => copy(element, "article", ".fs-answer"),
            "copy-code" => copy(element, ".fs-code", "code"),
            _ => {}
        }
    }

    fn key(self: &Rc<Self>, event: &DomEvent) {
        let event: &KeyboardEvent = event.unchecked_ref();
        let in_entry = event.target().as_ref() == Some(self.view.entry.as_ref());
        match event.key().as_str() {
            // Enter may also end a word that is being composed.
            "Enter" if in_entry && !event.shift_key() && !event.is_composing() => {
                event.prevent_default();
                if !self.chat.borrow().is_busy() {
                    self.send();
                }
            }
            "Escape" if !event.is_composing() => {
                host::tell(self.config.host.as_deref(), "close", None);
            }
            _ => {}
        }
    }

    fn send(self: &Rc<Self>) {
        if self.view.look_at_entry() {
            let text = self.view.entry.value();
            self.view.entry.set_value("");
            self.ask(text.trim());
            dom::focus(&self.view.entry);
        }
    }

    fn ask(self: &Rc<Self>, text: &str) {
        if text.is_empty() || self.chat.borrow().is_busy() || !self.is_signed_in.get() {
            return;
        }
        if self.is_entering.get() {
            *self.waiting.borrow_mut() = Some(text.to_owned());
            return;
        }
        self.clear_intro();
        let id = dom::new_id();
        turns::question(&self.view.log, text);
        self.expect(&id, text);
        let effects = self.chat.borrow_mut().say(&id, text, None, dom::now_ms());
        self.carry_out(effects);
    }

    /// Makes the place for an answer, and remembers the question for a reload.
    fn expect(&self, id: &str, text: &str) {
        text.clone_into(&mut self.asked.borrow_mut());
        *self.answer.borrow_mut() = Some(Answer::begin(&self.view.log, &self.config.name, id));
        let open = object(&[("id", JsValue::from_str(id)), ("message", JsValue::from_str(text))]);
        storage::remember(&self.open_name(), Some(&print(&open)));
        self.view.busy(true);
        self.view.to_end();
    }

    fn open_name(&self) -> String {
        format!("freeside.open.{}", self.config.agent)
    }

    fn happened(self: &Rc<Self>, event: Event) {
        let effects = self.chat.borrow_mut().on(event, dom::now_ms());
        self.carry_out(effects);
    }

    fn carry_out(self: &Rc<Self>, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::FetchTicket => self.fetch_ticket(),
                Effect::Connect => self.connect(),
                Effect::Send(frame) => {
                    if let Some(socket) = &*self.socket.borrow() {
                        socket.send(&frame);
                    }
                }
                Effect::Disconnect => drop(self.socket.take()),
                Effect::LookAgain(after_ms) => self.look_again(after_ms),
                Effect::Show(status) => self.show(&status),
                Effect::Started { pool, reason } => {
                    if let Some(answer) = &mut *self.answer.borrow_mut() {
                        answer.by(pool, reason);
                    }
                }
                Effect::Text(text) => self.text(&text),
                Effect::Ended(ending) => self.ended(&ending),
            }
        }
    }

    fn fetch_ticket(self: &Rc<Self>) {
        let panel = Rc::clone(self);
        spawn_local(async move {
            let token = panel.token.borrow().clone();
            let answer = http::post(&panel.config.ticket, &object(&[]), token.as_deref()).await;
            let ticket = match answer {
                Some(answer) if answer.is_good() => answer.body.get("ticket").text().ok_or(NoTicket::Failed),
                Some(answer) if matches!(answer.status, 401 | 403) => Err(NoTicket::SignedOut),
                Some(answer) => Err(answer.retry_after_ms.map_or(NoTicket::Failed, NoTicket::Later)),
                None => Err(NoTicket::Failed),
            };
            panel.happened(Event::Ticket(ticket));
        });
    }

    fn connect(self: &Rc<Self>) {
        drop(self.socket.take());
        let panel = Rc::clone(self);
        let socket = Socket::open(&self.config.socket, move |event| panel.happened(event));
        let is_open = socket.is_some();
        *self.socket.borrow_mut() = socket;
        if !is_open {
            self.happened(Event::Closed(1006));
        }
    }

    fn look_again(self: &Rc<Self>, after_ms: u64) {
        let number = self.timer.get().wrapping_add(1);
        self.timer.set(number);
        let panel = Rc::clone(self);
        dom::after(after_ms, move || {
            if panel.timer.get() == number {
                panel.happened(Event::Tick);
            }
        });
    }

    fn show(self: &Rc<Self>, status: &Status) {
        self.view.status(status);
        if *status == Status::SignedOut {
            self.is_signed_in.set(false);
            self.token.take();
            self.introduce();
        }
    }

    fn text(self: &Rc<Self>, text: &str) {
        let must_draw = self.answer.borrow_mut().as_mut().is_some_and(|answer| answer.push(text));
        if must_draw {
            let panel = Rc::clone(self);
            dom::next_frame(move || {
                let was_at_end = panel.view.is_at_end();
                if let Some(answer) = &mut *panel.answer.borrow_mut() {
                    answer.draw();
                }
                if was_at_end {
                    panel.view.to_end();
                }
            });
        }
    }

    fn ended(&self, ending: &Ending) {
        let Some(answer) = self.answer.take() else { return };
        storage::remember(&self.open_name(), None);
        let was_at_end = self.view.is_at_end();
        let said = answer.end(ending, &self.config.name, self.config.buy.as_deref());
        self.view.busy(false);
        self.view.say(&said);
        if was_at_end {
            self.view.to_end();
        }
        if !self.is_shown.get() || dom::document().hidden() {
            self.unread.set(self.unread.get() + 1);
            self.tell_unread();
        }
    }

    fn seen(&self) {
        if self.is_shown.get() && self.unread.replace(0) > 0 {
            self.tell_unread();
        }
    }

    fn tell_unread(&self) {
        let count = self.unread.get();
        host::tell(self.config.host.as_deref(), "unread", Some(count));
        if self.config.mode == Mode::Page {
            let title = dom::document().title();
            let bare = title
                .strip_prefix('(')
                .and_then(|rest| rest.split_once(')'))
                .and_then(|(_, bare)| bare.strip_prefix(' '))
                .unwrap_or(&title);
            let title = if count > 0 { format!("({}) {bare}", words::badge(count)) } else { bare.to_owned() };
            dom::document().set_title(&title);
        }
    }

    fn focus(&self) {
        if self.is_signed_in.get() {
            dom::focus(&self.view.entry);
        } else if let Ok(Some(button)) = self.view.panel.query_selector("[data-do=signin]") {
            dom::focus(&button);
        }
    }

    /// The agent introduces itself: to read for everyone, and how to begin.
    fn introduce(&self) {
        self.clear_intro();
        let is_signed_in = self.is_signed_in.get();
        self.view.allow_writing(is_signed_in);
        let intro = add(&self.view.log, "div", "fs-intro");
        avatar(&intro, &self.config, "fs-avatar fs-large");
        set(&add_text(&intro, "p", "fs-title", &self.config.name), "dir", "auto");
        if !self.config.about.is_empty() {
            set(&add_text(&intro, "p", "fs-about", &self.config.about), "dir", "auto");
        }
        if is_signed_in {
            let list = add(&intro, "div", "fs-suggestions");
            for text in &self.config.suggestions {
                dom::button(&list, "fs-suggestion", "suggest", text);
            }
        } else {
            let button = dom::button(&intro, "fs-main", "signin", "Sign in to chat");
            set(&button, "aria-describedby", "fs-signin-note");
            let note = "With your wallet. A signature, no transaction: it costs nothing.";
            set(&add_text(&intro, "p", "fs-fine", note), "id", "fs-signin-note");
        }
    }

    /// Before the click, because a popup opens only within it.
    fn prepare_handoff(self: &Rc<Self>) {
        if self.config.mode == Mode::Frame {
            let panel = Rc::clone(self);
            spawn_local(async move { *panel.handoff.borrow_mut() = signin::prepare().await });
        }
    }

    fn clear_intro(&self) {
        if let Ok(Some(intro)) = self.view.log.query_selector(".fs-intro") {
            intro.remove();
        }
    }

    /// One is signed in: shows what was said before and takes up what was not finished.
    fn enter(self: &Rc<Self>, is_first: bool) {
        self.is_signed_in.set(true);
        if !is_first {
            self.clear_intro();
        }
        self.view.allow_writing(true);
        self.is_entering.set(true);
        let panel = Rc::clone(self);
        spawn_local(async move {
            let earlier = if is_first || panel.view.log.child_element_count() == 0 {
                panel.earlier().await
            } else {
                None
            };
            let mut running = None;
            // What the page itself had drawn stays until there is something better.
            if let Some(earlier) = earlier {
                panel.view.log.set_text_content(None);
                for turn in earlier.into_iter().rev() {
                    running = panel.show_earlier(&turn).or(running);
                }
            }
            let remembered = storage::recall(&panel.open_name()).and_then(|text| Json::parse(&text));
            let remembered =
                remembered.and_then(|open| Some((open.get("id").text()?, open.get("message").text()?)));
            storage::remember(&panel.open_name(), None);
            let shown = |id: &str| {
                panel.view.log.query_selector(&format!("[data-turn=\"{id}\"]")).ok().flatten().is_some()
            };
            let open = running.or(remembered.filter(|(id, _)| id.len() == 36 && !shown(id)));
            if let Some((id, message)) = open {
                turns::question(&panel.view.log, &message);
                panel.expect(&id, &message);
                let effects = panel.chat.borrow_mut().take_up(&id, &message, dom::now_ms());
                panel.carry_out(effects);
            } else if panel.view.log.child_element_count() == 0 {
                panel.introduce();
            }
            panel.view.to_end();
            panel.happened(Event::SignedIn);
            panel.is_entering.set(false);
            if let Some(text) = panel.waiting.take() {
                if panel.chat.borrow().is_busy() {
                    panel.view.entry.set_value(&text);
                    panel.view.look_at_entry();
                } else {
                    panel.ask(&text);
                }
            }
        });
    }

    /// `None`: there is nowhere to ask, or no answer came.
    async fn earlier(&self) -> Option<Vec<Json>> {
        let url = self.config.history.as_ref()?;
        let token = self.token.borrow().clone();
        let sign = if url.contains('?') { '&' } else { '?' };
        let answer = http::get(&format!("{url}{sign}limit={EARLIER}"), token.as_deref()).await;
        answer.filter(http::Answer::is_good).map(|answer| answer.body.get("turns").items())
    }

    /// Shows a turn of the history; one that still runs is left to be taken up.
    fn show_earlier(&self, turn: &Json) -> Option<(String, String)> {
        let (id, asked) = (turn.get("request_id").text()?, turn.get("question").text()?);
        let state = turn.get("state").text().unwrap_or_default();
        if matches!(state.as_str(), "asked" | "streaming") {
            return Some((id, asked));
        }
        turns::question(&self.view.log, &asked);
        *self.asked.borrow_mut() = asked;
        let mut answer = Answer::begin(&self.view.log, &self.config.name, &id);
        answer.by(turn.get("pool").text(), turn.get("model").text());
        answer.push(&turn.get("answer").text().unwrap_or_default());
        let (message, has_failed) =
            (turn.get("message").text(), matches!(state.as_str(), "broken" | "refused"));
        let ending = Ending {
            cost_micro: turn.get("cost_micro").digits(),
            was_stopped: state == "stopped",
            failure: message.clone().filter(|_| has_failed).map(|message| Failure { code: state, message }),
            note: message,
            ..Ending::default()
        };
        let id_of_place = answer.id.clone();
        answer.end(&ending, &self.config.name, None);
        if let Some(place) = self.view.log.last_element_child() {
            set(&place, "data-turn", &id_of_place);
            let opinion =
                turn.get("feedback").text().filter(|opinion| matches!(opinion.as_str(), "good" | "bad"));
            let button = opinion
                .and_then(|opinion| place.query_selector(&format!("[data-do={opinion}]")).ok().flatten());
            if let Some(button) = button {
                set(&button, "aria-pressed", "true");
            }
        }
        None
    }

    fn rate(self: &Rc<Self>, quality: &str, button: &Element) {
        let Some(id) = button.get_attribute("data-id") else { return };
        if let Ok(Some(deeds)) = button.closest(".fs-deeds") {
            for other in ["good", "bad"] {
                if let Ok(Some(one)) = deeds.query_selector(&format!("[data-do={other}]")) {
                    set(&one, "aria-pressed", if other == quality { "true" } else { "false" });
                }
            }
        }
        let (panel, quality, button) = (Rc::clone(self), quality.to_owned(), button.clone());
        spawn_local(async move {
            let token = panel.token.borrow().clone();
            let url = format!("/api/v1/chat/{id}/feedback");
            let body = object(&[("quality", JsValue::from_str(&quality))]);
            let answer = http::post(&url, &body, token.as_deref()).await;
            if !answer.is_some_and(|answer| answer.is_good()) {
                set(&button, "aria-pressed", "false");
                panel.view.say("Your opinion could not be sent. Try again.");
            }
        });
    }

    /// In a page of ours: there and back in the same tab. In a frame: through a popup, which may open now because this
    /// is the person's own click.
    fn sign_in(self: &Rc<Self>) {
        if self.config.mode == Mode::Page {
            let location = dom::window().location();
            let here = location.pathname().unwrap_or_default() + &location.search().unwrap_or_default();
            let there = format!("{}?return={}", self.config.signin, js_sys::encode_uri_component(&here));
            let _ = location.assign(&there);
            return;
        }
        let panel = Rc::clone(self);
        let handoff = self.handoff.take();
        self.prepare_handoff();
        signin::through_popup(&self.config.signin, &self.config.exchange, handoff, move |token| {
            *panel.token.borrow_mut() = Some(token);
            panel.enter(false);
            panel.focus();
        });
    }
}

/// Copies a text, and shows that it did.
fn copy(button: &Element, around: &str, inside: &str) {
    let source =
        button.closest(around).ok().flatten().and_then(|place| place.query_selector(inside).ok().flatten());
    let Some(text) =
        source.and_then(|source| source.dyn_into::<HtmlElement>().ok()).map(|source| source.inner_text())
    else {
        return;
    };
    let label = button.get_attribute("aria-label").unwrap_or_default();
    let button = button.clone();
    let copied = dom::window().navigator().clipboard().write_text(&text);
    spawn_local(async move {
        if js_sys::futures::JsFuture::from(copied).await.is_ok() {
            dom::redraw(&button, "Copied", icons::DONE);
            dom::after(1_600, move || dom::redraw(&button, &label, icons::COPY));
        }
    });
}
