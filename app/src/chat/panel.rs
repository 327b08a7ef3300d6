//! The conversation as the server draws it: the elements and classes of `widget/src/page/view.rs`, so that nothing jumps
//! when the panel takes over, and a reader without scripts has it all.
//!
//! What always holds: what is drawn is bounded by bytes of HTML, newest first; a turn that is cut leads to itself in full.
//! The line to write in is there before the panel: what is typed into it, or pressed, is not lost.

use std::fmt::Write as _;

use leptos::prelude::*;
use types::MicroUsd;

use super::agent::fitting;
use super::{Agent, Purse, Room, Shown, answer, parts_of_a_dollar, signed_in_to_ask};
use crate::assets;
use crate::parts::escape;
use crate::shell::Visit;

/// HTML of all turns on a page, so that the page keeps within [`super::PAGE_BYTES`].
const TURNS_BYTES: usize = 4_150;
/// Source of one answer that is looked at for a page: its HTML has more.
const ANSWER_BYTES: usize = 1_800;
/// HTML of one question; a longer one is cut.
const QUESTION_BYTES: usize = 480;
/// HTML of a question that is about to be asked: it comes in an address.
const DRAFT_BYTES: usize = 480;
/// A name inside of sentences and attributes, of which there are some.
const NAME_BYTES: usize = 120;
const SEND: &str = "M12 19V5M5.5 11.5 12 5l6.5 6.5";
const GOOD: &str = "M7 10.5v9H4v-9zM7 10.5l4-7c1.6 0 2.5 1 2.2 2.6l-.6 3.4h5.6c1.2 0 2 1 1.7 2.2l-1.5 6c-.2.9-.9 1.3-1.7 1.3H7";
const BAD: &str = "M7 13.5v-9H4v9zM7 13.5l4 7c1.6 0 2.5-1 2.2-2.6l-.6-3.4h5.6c1.2 0 2-1 1.7-2.2l-1.5-6c-.2-.9-.9-1.3-1.7-1.3H7";

/// A question and its answer.
#[derive(Clone, Debug)]
pub struct Turn {
    /// By which it can be read alone, and what comes before it.
    pub id: String,
    /// By which its asker rates it; `None` in what others read.
    pub request_id: Option<String>,
    /// What was asked.
    pub question: String,
    /// What was answered so far, in markdown.
    pub answer: String,
    /// How it stands.
    pub state: TurnState,
    /// What is left to say of it.
    pub message: Option<String>,
    /// The pool that answered.
    pub pool: Option<&'static str>,
    /// What it cost; `None` in what others read.
    pub cost: Option<MicroUsd>,
    /// What its asker thinks of it.
    pub is_good: Option<bool>,
    /// The day on which it was asked, in UTC.
    pub asked_on: String,
}

/// How an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnState {
    /// On its way.
    Running,
    /// As far as it went.
    Ended {
        /// Its asker stopped it.
        was_stopped: bool,
    },
    /// Broken off, or refused.
    Failed,
}

/// Whether the panel can take over: somebody is signed in, may talk, and it was built.
pub(super) fn is_live(visit: &Visit, agent: &Agent, room: &Room) -> bool {
    visit.wallet.is_some()
        && !agent.holder_only
        && room.shown == Shown::Own
        && assets::named("widget.js").is_some()
        && assets::named("widget_bg.wasm").is_some()
}

pub(super) fn panel(visit: &Visit, agent: &Agent, room: &Room) -> impl IntoView + use<> {
    let is_live = is_live(visit, agent, room);
    let wasm = assets::named("widget_bg.wasm").filter(|_| is_live);
    let name = fitting(&agent.name, NAME_BYTES);
    let log = log(agent, room);
    let suggestions = agent.suggestions();
    let foot = if is_live {
        entry(&name, &room.draft).into_any()
    } else {
        instead(visit, agent, room, &name).into_any()
    };
    view! {
        <div
            class="fs"
            data-freeside=is_live.then_some("panel")
            data-load=is_live.then_some("intent")
            data-mode=is_live.then_some("page")
            data-wasm=wasm.map(|asset| asset.path)
            data-wasm-integrity=wasm.map(|asset| asset.integrity)
            data-agent=is_live.then(|| agent.nft_id())
            data-name=is_live.then(|| agent.name.clone())
            data-image=is_live.then(|| agent.likeness())
            data-suggestions=is_live.then(|| suggestions.join("|"))
            data-buy=is_live.then_some("/buy")
            data-signed-in=is_live.then_some("")
        >
            <section class="fs-panel" aria-label=format!("Chat with {name}")>
                <header class="fs-head">
                    <div class="fs-avatar" aria-hidden="true"><img src=agent.likeness() alt=""/></div>
                    <div class="fs-who">
                        <h2 class="fs-name"><bdi>{name.clone()}</bdi></h2>
                        <p class="fs-state">{heading(room)}</p>
                    </div>
                </header>
                <div class="fs-log" role="group" aria-label="Conversation" tabindex="0" inner_html=log></div>
                {foot}
            </section>
        </div>
    }
}

/// What is shown, where it is not one's own newest.
fn heading(room: &Room) -> Option<&'static str> {
    match room.shown {
        Shown::Own => None,
        Shown::OwnEarlier => Some("Earlier"),
        Shown::Public if room.turns.is_empty() => None,
        Shown::Public => Some("What others asked"),
        Shown::One => Some("One answer"),
    }
}

/// The line to write in. Without scripts it is not shown (`style/chat.css`), and a sentence is.
fn entry(name: &str, draft: &str) -> impl IntoView + use<> {
    let draft = if escape(draft).len() > DRAFT_BYTES { String::new() } else { draft.to_owned() };
    view! {
        <div class="fs-form needs-script">
            <p class="fs-hint" id="fs-hint"></p>
            <div class="fs-field">
                <textarea
                    class="fs-entry"
                    rows="1"
                    aria-label=format!("Message to {name}")
                    placeholder=format!("Message {name}")
                    dir="auto"
                    autocomplete="off"
                >{draft}</textarea>
                <button r#type="button" class="fs-send" data-do="send" aria-label="Send">{icon(SEND)}</button>
            </div>
        </div>
        <noscript><p class="talk-note">"Writing needs JavaScript. What was said can be read without."</p></noscript>
    }
}

fn icon(path: &'static str) -> impl IntoView {
    view! { <svg class="fs-icon" viewBox="0 0 24 24" aria-hidden="true"><path d=path></path></svg> }
}

/// What stands where one would write: the way to sign in, or why one cannot write here.
fn instead(visit: &Visit, agent: &Agent, room: &Room, name: &str) -> impl IntoView + use<> {
    if agent.holder_only {
        let text = format!("Only the holder of {} may talk to {name}.", agent.number());
        return view! { <p class="talk-note">{text}</p> }.into_any();
    }
    if visit.wallet.is_none() {
        return view! {
            <div class="talk-signin">
                <a class="fs-action" href=signed_in_to_ask(agent, None)>"Sign in to talk"</a>
                <p>"With your wallet. A signature, no transaction: it costs nothing."</p>
            </div>
        }
        .into_any();
    }
    match room.shown {
        Shown::Own => view! {
            <p class="talk-note">"This server was built without its chat panel: it can only be read here."</p>
        }
        .into_any(),
        Shown::OwnEarlier | Shown::Public | Shown::One => view! {
            <p class="talk-note"><a href=agent.path()>"Talk to "{name.to_owned()}</a></p>
        }
        .into_any(),
    }
}

/// The turns that fit, oldest first, below the way to earlier ones; or what there is to say when there are none.
fn log(agent: &Agent, room: &Room) -> String {
    if room.turns.is_empty() {
        return intro(agent, room);
    }
    let mut kept: Vec<String> = Vec::new();
    let mut bytes = 0;
    for turn in &room.turns {
        let html = drawn(agent, room, turn);
        // One is always shown, however long: what it is cut to fits.
        if !kept.is_empty() && bytes + html.len() > TURNS_BYTES {
            break;
        }
        bytes += html.len();
        kept.push(html);
    }
    let oldest = room.turns.get(kept.len().saturating_sub(1));
    let has_earlier = kept.len() < room.turns.len() || room.has_earlier;
    let public = if room.shown == Shown::Public { "whose=public&amp;" } else { "" };
    let mut html = String::from("<div class=\"said\">");
    if let Some(oldest) = oldest.filter(|_| has_earlier && room.shown != Shown::One) {
        let path = agent.path();
        let _ = write!(
            html,
            "<p class=\"earlier\"><a href=\"{path}?{public}before={}\">Earlier turns</a></p>",
            oldest.id
        );
    }
    if room.shown == Shown::Own && kept.iter().any(|turn| turn.contains("#fs-good")) {
        let symbol = |name: &str, path: &str| {
            format!("<symbol id=\"fs-{name}\" viewBox=\"0 0 24 24\"><path d=\"{path}\"/></symbol>")
        };
        let _ = write!(html, "<svg class=\"symbols\">{}{}</svg>", symbol("good", GOOD), symbol("bad", BAD));
    }
    html.extend(kept.into_iter().rev());
    if matches!(room.purse, Some(Purse::Available(left)) if left < room.usual) && room.shown == Shown::Own {
        html.push_str(
            "<p class=\"empty-purse\">Your credit here is used up. <a href=\"/buy\">Buy credits</a></p>",
        );
    }
    html.push_str("</div>");
    html
}

/// One turn.
fn drawn(agent: &Agent, room: &Room, turn: &Turn) -> String {
    let whole = room.shown == Shown::One;
    let name = escape(&fitting(&agent.name, NAME_BYTES));
    let question = if whole { turn.question.clone() } else { fitting(&turn.question, QUESTION_BYTES) };
    let id = turn.request_id.as_deref().filter(|_| turn.state != TurnState::Running);
    let id = id.map(|id| format!(" data-turn=\"{id}\"")).unwrap_or_default();
    let mut html = format!(
        "<article class=\"fs-turn fs-mine\" aria-label=\"Question\"><div class=\"fs-bubble\" dir=\"auto\">{}</div></article>\
         <article class=\"fs-turn fs-theirs\" aria-label=\"{name}\"{id}><div class=\"fs-answer\">",
        escape(&question)
    );
    let is_cut = answer_of(turn, whole, &mut html);
    html.push_str("</div>");
    if is_cut {
        let _ = write!(
            html,
            "<p class=\"fs-note\"><a href=\"{}?turn={}\">Read it all</a></p>",
            agent.path(),
            turn.id
        );
    }
    let note = match (turn.state, &turn.message) {
        (_, Some(message)) => Some(fitting(message, QUESTION_BYTES)),
        (TurnState::Running, None) => {
            Some("The answer is on its way. Load the page again to see it.".to_owned())
        }
        (TurnState::Ended { was_stopped: true }, None) => Some("Stopped.".to_owned()),
        (TurnState::Ended { was_stopped: false }, None) => None,
        (TurnState::Failed, None) => Some("This answer broke off.".to_owned()),
    };
    if let Some(note) = note {
        let failed = if turn.state == TurnState::Failed { " fs-failed" } else { "" };
        let _ = write!(html, "<p class=\"fs-note{failed}\">{}</p>", escape(&note));
    }
    html.push_str("<footer class=\"fs-foot\"><p class=\"fs-facts\">");
    if let Some(pool) = turn.pool {
        let _ = write!(html, "<span class=\"fs-pool\">{pool}</span>");
    }
    match turn.cost {
        Some(cost) if turn.pool.is_some() => {
            let _ = write!(html, "<span>{}</span>", parts_of_a_dollar(cost));
        }
        Some(_) => {}
        None => {
            let _ = write!(html, "<time datetime=\"{0}\">{0}</time>", turn.asked_on);
        }
    }
    html.push_str("</p>");
    if room.shown == Shown::Own && !turn.answer.is_empty() && turn.state != TurnState::Running {
        html.push_str(&rating(agent, turn));
    }
    html.push_str("</footer></article>");
    html
}

/// Puts the answer down; true if it is not all of it.
fn answer_of(turn: &Turn, whole: bool, html: &mut String) -> bool {
    if whole {
        html.push_str(&answer::html(&turn.answer));
        return false;
    }
    // A list of nothing but marks has ten times as much HTML as text: what is too much is cut again.
    let mut source = ANSWER_BYTES;
    loop {
        let cut = &turn.answer[..turn.answer.floor_char_boundary(source)];
        let made = answer::html(cut);
        if made.len() <= TURNS_BYTES / 2 || source < 64 {
            html.push_str(&made);
            return cut.len() < turn.answer.len();
        }
        source /= 2;
    }
}

/// What its asker thinks of it, as a form: the panel has the same buttons.
fn rating(agent: &Agent, turn: &Turn) -> String {
    let Some(id) = &turn.request_id else { return String::new() };
    let button = |name: &str, label: &str, is_pressed: bool| {
        format!(
            "<button class=\"fs-plain\" name=\"{name}\" value=\"{id}\" aria-label=\"{label}\" aria-pressed=\"{is_pressed}\">\
             <svg class=\"fs-icon\" aria-hidden=\"true\"><use href=\"#fs-{name}\"/></svg></button>"
        )
    };
    let good = button("good", "Good answer", turn.is_good == Some(true));
    let bad = button("bad", "Bad answer", turn.is_good == Some(false));
    format!(
        "<form class=\"fs-deeds\" method=\"post\" action=\"{}/feedback\">{good}{bad}</form>",
        agent.path()
    )
}

/// When nothing was said yet: how to begin.
fn intro(agent: &Agent, room: &Room) -> String {
    let name = escape(&fitting(&agent.name, NAME_BYTES));
    let mut html = format!(
        "<div class=\"fs-intro\"><div class=\"fs-avatar fs-large\" aria-hidden=\"true\"><img src=\"{}\" alt=\"\"></div>\
         <p class=\"fs-title\" dir=\"auto\">{name}</p>",
        agent.likeness()
    );
    if room.shown == Shown::Public && agent.public_history && room.purse.is_some() {
        html.push_str("<p class=\"fs-about\">Nobody has shared a conversation yet.</p></div>");
        return html;
    }
    if !agent.holder_only {
        html.push_str("<div class=\"fs-suggestions\">");
        for text in agent.suggestions() {
            let text_in_html = escape(&text);
            let _ = if room.shown == Shown::Own {
                write!(
                    html,
                    "<button type=\"button\" class=\"fs-suggestion needs-script\" data-do=\"suggest\">{text_in_html}</button>"
                )
            } else {
                let there = escape(&signed_in_to_ask(agent, Some(&text)));
                write!(html, "<a class=\"fs-suggestion\" href=\"{there}\">{text_in_html}</a>")
            };
        }
        html.push_str("</div>");
    }
    html.push_str("</div>");
    html
}
