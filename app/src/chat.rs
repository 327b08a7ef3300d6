//! `/chat/{collection}/{token}`: who an agent is, what was said, and the place to talk to it.
//!
//! What always holds: profile and history read without a script; nothing is downloaded for whoever is not signed in; a
//! page stays within [`PAGE_BYTES`], whatever a token's metadata and its conversations hold. The panel of `widget` takes
//! over what `panel` draws, in the same elements and classes.
//!
//! Deliberately absent: inline styles. An agent's colours are a stylesheet of its own, which never changes.

mod agent;
mod answer;
mod mark;
mod panel;
pub mod picture;

use leptos::prelude::*;
use types::MicroUsd;

pub use self::agent::Agent;
use self::agent::fitting;
pub use self::mark::svg;
pub use self::panel::{Turn, TurnState};
use crate::parts;
use crate::shell::{self, Head, Picture, Visit};

/// What a page weighs at most, before compression; one whole turn, read by itself, may weigh more.
pub const PAGE_BYTES: usize = 15 * 1024;
/// Of a description in HTML; the panel and the head repeat its start.
const ABOUT_BYTES: usize = 900;
/// Traits that are shown, and how much of each.
const TRAITS: usize = 8;
const TRAIT_BYTES: usize = 72;
/// What search engines show of a description.
const DESCRIPTION_CHARACTERS: usize = 155;

/// What stands on the page beside the agent.
#[derive(Clone, Debug)]
pub struct Room {
    /// The community's name.
    pub community: String,
    /// What a usual answer costs.
    pub usual: MicroUsd,
    /// What whoever is signed in has here.
    pub purse: Option<Purse>,
    /// Whether they let others read their conversation; `None`: it cannot be shared.
    pub shares: Option<bool>,
    /// Whose conversations are shown.
    pub shown: Shown,
    /// Turns, newest first.
    pub turns: Vec<Turn>,
    /// Whether there are earlier ones.
    pub has_earlier: bool,
    /// What they are about to ask.
    pub draft: String,
}

/// What a person has in a community.
#[derive(Clone, Copy, Debug)]
pub enum Purse {
    /// So much is free.
    Available(MicroUsd),
    /// Nothing yet; the first question brings so much.
    New(MicroUsd),
}

/// Which turns a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The newest of one's own.
    Own,
    /// One's own before those of a page before.
    OwnEarlier,
    /// What people share.
    Public,
    /// One turn, in full.
    One,
}

/// The page.
#[must_use]
pub fn page(visit: &Visit, agent: &Agent, room: &Room) -> String {
    let about = if agent.about.is_empty() {
        format!("An agent of {}.", agent.collection)
    } else {
        agent.about.clone()
    };
    let description: String = format!("Talk to {} of {}. {about}", agent.name, agent.collection)
        .chars()
        .take(DESCRIPTION_CHARACTERS)
        .collect();
    let talks = panel::is_live(visit, agent, room);
    let head = Head {
        scripts: if talks { &["widget.js"] } else { &[] },
        styles: &["panel.css"],
        colours: Some(agent.file("colours.css")),
        canonical: Some(agent.path()),
        picture: Some(Picture {
            path: agent.file("og.png"),
            alt: format!("{}, drawn in its colours", agent.name),
            size: (picture::WIDTH, picture::HEIGHT),
        }),
        ..Head::new(agent.name.clone(), description)
    };
    let body = view! {
        <div class="agent-page">
            {profile(agent)}
            <div class="talk">
                {panel::panel(visit, agent, room)}
                {below(agent, room)}
            </div>
            {terms(agent, room)}
        </div>
    };
    shell::page(visit, head, body)
}

fn profile(agent: &Agent) -> impl IntoView + use<> {
    let nature = agent.nature.as_ref().map(|nature| {
        let nature = fitting(nature, TRAIT_BYTES);
        view! { <p class="nature" dir="auto">{nature}</p> }
    });
    let about = fitting(&agent.about, ABOUT_BYTES);
    let about = (!about.is_empty()).then(|| view! { <p class="lead" dir="auto">{about}</p> });
    view! {
        <div class="profile">
            <img class="likeness" src=agent.likeness() alt="" width="128" height="128"/>
            <p class="eyebrow"><a href="/agents">{agent.collection.clone()}</a>" "{agent.number()}</p>
            <h1 dir="auto">{agent.name.clone()}</h1>
            {nature}
            {about}
        </div>
    }
}

/// Its traits, and what talking to it costs.
fn terms(agent: &Agent, room: &Room) -> impl IntoView + use<> {
    let is_news = |(_, value): &&(String, String)| Some(value) != agent.nature.as_ref();
    let traits: Vec<_> = agent
        .traits
        .iter()
        .filter(is_news)
        .take(TRAITS)
        .map(|(name, value)| {
            let (name, value) = (fitting(name, TRAIT_BYTES), fitting(value, TRAIT_BYTES));
            view! { <div><dt dir="auto">{name}</dt><dd dir="auto">{value}</dd></div> }
        })
        .collect();
    let purse = room.purse.map(|purse| {
        let sum = match purse {
            Purse::Available(sum) => parts_of_a_dollar(sum),
            Purse::New(gift) if gift > MicroUsd::ZERO => {
                format!("{} with your first question", parts_of_a_dollar(gift))
            }
            Purse::New(_) => "none yet".to_owned(),
        };
        view! { <div><dt>"Your credit here"</dt><dd>{sum} " · "<a href="/buy">"Buy credits"</a></dd></div> }
    });
    view! {
        <dl class="terms">
            {traits}
            <div><dt>"Community"</dt><dd dir="auto">{room.community.clone()}</dd></div>
            <div><dt>"An answer costs"</dt><dd>{price(room.usual)}</dd></div>
            {purse}
        </dl>
    }
}

/// What can be done with what is shown: earlier turns, what others share, sharing one's own.
fn below(agent: &Agent, room: &Room) -> impl IntoView + use<> {
    let path = agent.path();
    let public = (agent.public_history && room.shown == Shown::Own)
        .then(|| view! { <a href=format!("{path}?whose=public")>"What others asked"</a> });
    let is_elsewhere = match room.shown {
        Shown::Own => false,
        Shown::Public => room.purse.is_some(),
        Shown::OwnEarlier | Shown::One => true,
    };
    let back = is_elsewhere.then(|| view! { <a href=path.clone()>"Back to the newest"</a> });
    let sharing = room.shares.filter(|_| room.shown == Shown::Own).map(|shares| {
        let (value, label) = if shares {
            ("no", "Others may read this conversation. Take that back")
        } else {
            ("yes", "Let others read this conversation")
        };
        view! {
            <form method="post" action=format!("{path}/sharing")>
                <button class="linklike" name="public" value=value>{label}</button>
            </form>
        }
    });
    view! { <div class="below">{back}{public}{sharing}</div> }
}

/// A sum with all its decimals, at least two.
pub(crate) fn parts_of_a_dollar(sum: MicroUsd) -> String {
    widget::words::dollars(&sum.to_string()).unwrap_or_default()
}

/// A price in words: `about $0.0003, so a dollar buys some 3,000`.
fn price(usual: MicroUsd) -> String {
    if usual == MicroUsd(0) {
        return "nothing".to_owned();
    }
    let one = leading_digit(usual.0, Round::Up);
    let sum = parts_of_a_dollar(MicroUsd(one));
    match 1_000_000 / one {
        0..=1 => format!("about {sum}"),
        many => format!("about {sum}, so a dollar buys some {}", grouped(leading_digit(many, Round::Down))),
    }
}

#[derive(Clone, Copy)]
enum Round {
    Up,
    Down,
}

/// A number with its first digit only: an estimate that says so by its look.
fn leading_digit(number: i64, round: Round) -> i64 {
    let mut unit = 1;
    while number / unit >= 10 {
        unit *= 10;
    }
    match round {
        Round::Up => (number + unit - 1) / unit * unit,
        Round::Down => number / unit * unit,
    }
}

fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The way to sign in that leads back to the agent, with what one wanted to ask.
fn signed_in_to_ask(agent: &Agent, question: Option<&str>) -> String {
    let back = match question {
        Some(question) => format!("{}?ask={}", agent.path(), parts::encoded(question)),
        None => agent.path(),
    };
    parts::sign_in(&back)
}

#[cfg(test)]
pub(crate) use self::agent::tests::agent as tests_agent;

#[cfg(test)]
mod tests {
    use super::agent::tests::agent;
    use super::*;
    use crate::shell::tests::visit;

    fn room(turns: Vec<Turn>) -> Room {
        Room {
            community: "The Lantern Street demo".to_owned(),
            usual: MicroUsd(300),
            purse: None,
            shares: None,
            shown: Shown::Public,
            turns,
            has_earlier: false,
            draft: String::new(),
        }
    }

    fn turn(question: &str, answer: &str) -> Turn {
        Turn {
            id: "0192f0c1-0000-7000-8000-000000000000".to_owned(),
            request_id: Some("0192f0c1-0000-4000-8000-000000000000".to_owned()),
            question: question.to_owned(),
            answer: answer.to_owned(),
            state: TurnState::Ended { was_stopped: false },
            message: None,
            pool: Some("cheap"),
            cost: Some(MicroUsd(85)),
            is_good: None,
            asked_on: "2026-01-31".to_owned(),
        }
    }

    #[test]
    fn whoever_is_not_signed_in_reads_and_runs_nothing() {
        let html =
            page(&visit("/chat/demo/1"), &agent("Marrow Finch"), &room(vec![turn("Where?", "**Here**")]));
        assert!(!html.contains("<script") && !html.contains("data-freeside") && !html.contains("<textarea"));
        assert!(html.contains("<strong>Here</strong>") && html.contains("Sign in to talk"));
        assert!(html.contains("href=\"/signin?return=%2Fchat%2Fdemo%2F1\""));
        assert!(html.contains("about $0.0003, so a dollar buys some 3,000"));
        assert!(html.contains("og:image\" content=\"http://localhost:3000/chat/demo/1/og.png?v="));
        assert_eq!(html.matches("<h1").count(), 1);
    }

    /// The most that metadata and conversations can hold, in letters that take the most room.
    #[test]
    fn the_heaviest_page_keeps_within_its_budget() {
        let heavy =
            |length: usize| "\"&字<".repeat(length.div_ceil(4)).chars().take(length).collect::<String>();
        let traits = (0..60).map(|_| (heavy(80), heavy(200))).collect();
        let agent = Agent {
            about: heavy(2_000),
            traits,
            name: heavy(80),
            collection: heavy(80),
            nature: Some(heavy(200)),
            token_id: "9".repeat(78),
            slug: "a".repeat(63),
            public_history: true,
            ..agent("x")
        };
        let wallet = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().expect("an address");
        for answer in ["short".to_owned(), heavy(1_500), heavy(200_000), "- a\n".repeat(4_000)] {
            let turns = vec![turn(&heavy(1_365), &answer); 20];
            for (signed_in, shown) in [(None, Shown::Public), (Some(wallet), Shown::Own)] {
                let room = Room {
                    community: heavy(80),
                    purse: signed_in.map(|_| Purse::Available(MicroUsd(i64::MAX))),
                    shares: signed_in.map(|_| true),
                    shown,
                    has_earlier: true,
                    draft: heavy(1_000),
                    ..room(turns.clone())
                };
                let visit = Visit { wallet: signed_in, ..visit(&agent.path()) };
                let html = page(&visit, &agent, &room);
                assert!(html.len() <= PAGE_BYTES, "{}", html.len());
            }
        }
        let many = room(vec![turn("What do you remember?", "Lamps, mostly."); 20]);
        let html = page(&visit("/chat/demo/1"), &super::agent::tests::agent("Marrow Finch"), &many);
        assert!(html.len() <= PAGE_BYTES && html.matches("fs-theirs").count() >= 8, "{}", html.len());
    }

    #[test]
    fn a_price_is_an_estimate_and_looks_like_one() {
        assert_eq!(price(MicroUsd(0)), "nothing");
        assert_eq!(price(MicroUsd(1)), "about $0.000001, so a dollar buys some 1,000,000");
        assert_eq!(price(MicroUsd(6_750)), "about $0.007, so a dollar buys some 100");
        assert_eq!(price(MicroUsd(1_900_000)), "about $2.00");
    }
}
