//! `/agents`: who there is to talk to; and the page for an agent that is not there, which leads to those that are.

use leptos::prelude::*;

use crate::chat::{self, Agent};
use crate::shell::{self, Head, Visit};

/// What a card shows of a description.
const ABOUT_CHARACTERS: usize = 140;

/// The gallery.
#[must_use]
pub fn page(visit: &Visit, agents: &[Agent], next: Option<&str>) -> String {
    let head = Head::new(
        "Agents",
        "The agents of this community: who they are, what they know, and the place to talk to each of them.",
    );
    let more = next.map(|after| {
        view! { <p class="actions"><a class="button plain" href=format!("/agents?after={after}")>"More of them"</a></p> }
    });
    let list = if agents.is_empty() {
        view! {
            <p class="note">
                "Nobody lives here yet. An operator gives a deployment its default collection; in development "
                <code>"freeside seed"</code>" makes six agents to try."
            </p>
        }
        .into_any()
    } else {
        cards(agents, "h2").into_any()
    };
    let body = view! {
        <div class="opening">
            <h1>"Who is home"</h1>
            <p class="lead">"Each token of the collection is somebody. Read who they are, see what others asked, and ask yourself."</p>
        </div>
        {list}
        {more}
    };
    shell::page(visit, head, body)
}

/// Nobody of that number; `agents` are some that are there.
#[must_use]
pub fn nobody(visit: &Visit, agents: &[Agent], request_id: &str) -> String {
    let head =
        Head::private("Nobody lives at this number", "There is no agent of that collection and token.");
    let others = (!agents.is_empty()).then(|| {
        view! {
            <section class="neighbours" aria-labelledby="neighbours">
                <h2 id="neighbours">"Their neighbours are home"</h2>
                {cards(agents, "h3")}
            </section>
        }
    });
    let body = view! {
        <div class="opening">
            <p class="eyebrow"><span class="status warm">"404"</span></p>
            <h1>"Nobody lives at this number"</h1>
            <p class="lead">
                "There is no agent of that collection and token. A token is a number without leading zeros; the link may also be older than the collection."
            </p>
            <p class="actions"><a class="button" href="/agents">"See who is home"</a><a href="/">"Go to the start"</a></p>
            <p class="small quiet">"If you ask somebody about this, give them "<code>{request_id.to_owned()}</code>"."</p>
        </div>
        {others}
    };
    shell::page(visit, head, body)
}

/// Agents as cards, each one link.
pub(crate) fn cards(agents: &[Agent], heading: &'static str) -> impl IntoView + use<> {
    let cards: Vec<_> = agents.iter().map(|agent| card(agent, heading)).collect();
    view! { <ul class="cards">{cards}</ul> }
}

fn card(agent: &Agent, heading: &'static str) -> impl IntoView + use<> {
    let mut about: String = agent.about.chars().take(ABOUT_CHARACTERS).collect();
    if about.len() < agent.about.len() {
        about.truncate(about.trim_end().len());
        about.push('…');
    }
    let nature =
        agent.nature.as_ref().map(|nature| view! { <p class="nature" dir="auto">{nature.clone()}</p> });
    let likeness = match &agent.image {
        Some(image) => {
            view! { <img class="likeness" src=image.clone() alt="" width="80" height="80" loading="lazy"/> }
                .into_any()
        }
        None => {
            view! { <span class="likeness" aria-hidden="true" inner_html=chat::svg(agent)></span> }.into_any()
        }
    };
    let name = view! { <a href=agent.path() dir="auto">{agent.name.clone()}</a> };
    let name = match heading {
        "h2" => view! { <h2>{name}</h2> }.into_any(),
        _ => view! { <h3>{name}</h3> }.into_any(),
    };
    view! {
        <li class="card">
            {likeness}
            <div>
                {name}
                {nature}
                <p dir="auto">{about}</p>
            </div>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::tests_agent as agent;
    use crate::shell::tests::visit;

    #[test]
    fn every_card_leads_to_its_agent() {
        let html = page(&visit("/agents"), &[agent("Marrow Finch"), agent("<b>")], Some("7"));
        assert_eq!(html.matches("href=\"/chat/demo/1\"").count(), 2);
        assert!(html.contains("&lt;b&gt;") && html.contains("/agents?after=7"));
        assert!(page(&visit("/agents"), &[], None).contains("Nobody lives here yet"));
    }

    #[test]
    fn whoever_asks_for_nobody_is_led_on() {
        let html = nobody(&visit("/chat/demo/99"), &[agent("Marrow Finch")], "req_1");
        assert!(html.contains("noindex") && html.contains("/chat/demo/1\"") && html.contains("req_1"));
        assert_eq!(html.matches("<h1").count(), 1);
    }
}
