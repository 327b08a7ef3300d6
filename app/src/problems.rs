//! `/problems` and `/problems/{slug}`: what each kind of problem means, and what to do about it.
//!
//! The doors own the kinds (name, title, status); the words for people are here. A test of theirs holds the two
//! together.

mod words;

use leptos::prelude::*;

pub use self::words::{Words, about, known};
use crate::parts::{code, prose};
use crate::shell::{self, Head, Visit};

/// A kind of problem, as the doors know it.
#[derive(Clone, Copy, Debug)]
pub struct Problem {
    /// Its page's name; part of its `type`.
    pub slug: &'static str,
    /// It in words.
    pub title: &'static str,
    /// The HTTP status that it comes with.
    pub status: u16,
}

/// `/problems`: all of them, by status.
#[must_use]
pub fn list(visit: &Visit, problems: &[Problem]) -> String {
    let head = Head::new(
        "Problems",
        "Every kind of error that Freeside's API answers with, what it means, and what to do next. Each has a stable \
         name and a page of its own.",
    );
    let mut sorted = problems.to_vec();
    sorted.sort_by_key(|problem| (problem.status, problem.title));
    let items: Vec<_> = sorted
        .into_iter()
        .map(|Problem { slug, title, status }| {
            view! { <li><a href=format!("/problems/{slug}")>{badge(status)}<span>{title}</span></a></li> }
        })
        .collect();
    let body = view! {
        <div class="docs">
            <header>
                <h1>"Problems"</h1>
                <p class="lead">"What can go wrong, by HTTP status. The "<code>"type"</code>" of an error leads to its page."</p>
            </header>
            <article><ul class="problems">{items}</ul></article>
            {contents()}
        </div>
    };
    shell::page(visit, head, body)
}

/// The page behind a problem's `type`.
#[must_use]
pub fn page(visit: &Visit, problem: Problem) -> String {
    let Problem { slug, title, status } = problem;
    let Words { when, next } = about(slug);
    let head = Head::new(
        title,
        format!(
            "{title}: what an answer with status {status} and type /problems/{slug} means, and what to do next."
        ),
    );
    let example = format!(
        "{{\n  \"type\": \"/problems/{slug}\",\n  \"title\": \"{title}\",\n  \"status\": {status},\n  \"detail\": \"…\",\n  \"request_id\": \"req_…\"\n}}"
    );
    let steps: Vec<_> = next.iter().map(|step| view! { <li inner_html=prose(step)></li> }).collect();
    let body = view! {
        <div class="docs">
            <header>
                <p class="eyebrow"><a href="/problems">"Problems"</a></p>
                <h1>{title}</h1>
            </header>
            <article class="text">
                <p>{badge(status)}</p>
                <p inner_html=prose(when)></p>
                <h2>"What to do"</h2>
                <ul>{steps}</ul>
                <h2>"How it looks"</h2>
                {code("application/problem+json", &example)}
                <p>"Below "<code>"/v1"</code>" the same comes in OpenAI\u{2019}s or Anthropic\u{2019}s shape. The "<code>"detail"</code>" of your answer has the figures of your case; its "<code>"request_id"</code>" finds it in our logs."</p>
            </article>
            {contents()}
        </div>
    };
    shell::page(visit, head, body)
}

fn contents() -> impl IntoView {
    view! {
        <nav class="contents after" aria-labelledby="contents">
            <h2 id="contents">"See also"</h2>
            <ul>
                <li><a href="/problems">"All problems"</a></li>
                <li><a href="/docs#errors">"Errors in general"</a></li>
                <li><a href="/docs/api">"API reference"</a></li>
            </ul>
        </nav>
    }
}

fn badge(status: u16) -> impl IntoView {
    let class = if status >= 500 { "status hot" } else { "status warm" };
    view! { <span class=class>{status.to_string()}</span> }
}
