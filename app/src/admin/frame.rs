//! What the pages of a community have in common: its name, the way between its pages, the filter, the stamp.

use leptos::prelude::*;

use crate::parts::{self, Precision, time, zone};
use crate::shell::{self, Head, Visit};

/// A community.
#[derive(Clone, Debug)]
pub struct Community {
    /// In addresses.
    pub slug: String,
    /// For people.
    pub name: String,
    /// For the API.
    pub id: String,
}

/// What a page of a community shows, whichever it is.
#[derive(Clone, Debug)]
pub struct Look {
    /// Which.
    pub community: Community,
    /// When its figures were read, RFC 3339 in UTC.
    pub read_at: String,
    /// What came of the last form.
    pub told: Option<Told>,
}

/// What came of a form.
#[derive(Clone, Debug)]
pub enum Told {
    /// It was done.
    Done(String),
    /// It was not, and what to do next.
    Refused(String),
}

/// The pages of a community.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    /// Balance, burn, spend.
    Overview,
    /// Monthly caps.
    Caps,
    /// Agents.
    Agents,
    /// Routing decisions.
    Routing,
    /// The ledger and its audit trail.
    Journal,
    /// Whether the books agree.
    Conservation,
    /// Payments that hang.
    Payments,
    /// What a person has to decide.
    Reviews,
    /// Administrators, origins, the record.
    Settings,
}

impl Tab {
    const ALL: [Self; 9] = [
        Self::Overview,
        Self::Caps,
        Self::Agents,
        Self::Routing,
        Self::Journal,
        Self::Conservation,
        Self::Payments,
        Self::Reviews,
        Self::Settings,
    ];

    /// After `/admin/{slug}`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Overview => "",
            Self::Caps => "/caps",
            Self::Agents => "/agents",
            Self::Routing => "/routing",
            Self::Journal => "/ledger",
            Self::Conservation => "/conservation",
            Self::Payments => "/payments",
            Self::Reviews => "/reviews",
            Self::Settings => "/settings",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Caps => "Caps",
            Self::Agents => "Agents",
            Self::Routing => "Routing",
            Self::Journal => "Ledger",
            Self::Conservation => "Conservation",
            Self::Payments => "Payments",
            Self::Reviews => "Reviews",
            Self::Settings => "Settings",
        }
    }

    /// Its address.
    pub(super) fn of(self, community: &Community) -> String {
        format!("/admin/{}{}", community.slug, self.path())
    }
}

/// A page of a community.
pub(super) fn page(visit: &Visit, look: &Look, tab: Tab, lead: &'static str, body: AnyView) -> String {
    let Look { community, read_at, told } = look;
    let name = community.name.clone();
    let (title, heading) = match tab {
        Tab::Overview => (name.clone(), name.clone()),
        _ => (format!("{} of {name}", tab.name()), tab.name().to_owned()),
    };
    let crumb = (tab != Tab::Overview).then(|| {
        let href = Tab::Overview.of(community);
        view! { " / "<a href=href>{name.clone()}</a> }
    });
    let tabs: Vec<_> = Tab::ALL
        .into_iter()
        .map(|one| {
            let current = (one == tab).then_some("page");
            view! { <li><a href=one.of(community) aria-current=current>{one.name()}</a></li> }
        })
        .collect();
    let told = told.clone().map(|told| match told {
        Told::Done(text) => view! { <p class="note good" role="status">{text}</p> },
        Told::Refused(text) => view! { <p class="note bad" role="alert">{text}</p> },
    });
    let page = view! {
        <div class="admin">
            <header class="opening">
                <p class="eyebrow"><a href="/admin">"Administration"</a>{crumb}</p>
                <h1>{heading}</h1>
                <p class="lead">{lead}</p>
            </header>
            <nav class="tabs" aria-label="This community"><ul>{tabs}</ul></nav>
            {told}
            {body}
            <p class="stamp small quiet">"Read live at "{time(read_at, Precision::Second)}" "{zone()}". Reload for newer figures."</p>
        </div>
    };
    shell::page(visit, Head { scripts: &["frontend.js"], ..Head::private(title, lead) }, page)
}

/// What a list is narrowed to; it stands in the page's address.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// First day, `2026-01-31`.
    pub from: String,
    /// Last day, counted.
    pub to: String,
    /// Further choices.
    pub choices: Vec<Choice>,
}

/// One of the further choices.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Its name in the address.
    pub name: &'static str,
    /// For people.
    pub label: &'static str,
    /// What is chosen; empty: all.
    pub value: String,
    /// What may be chosen, as value and label; none: a text is typed.
    pub options: Vec<(String, String)>,
}

impl Filter {
    /// The page's address with this filter and `more`.
    pub(super) fn address(&self, path: &str, more: &[(&str, &str)]) -> String {
        let own = [("from", self.from.as_str()), ("to", self.to.as_str())];
        let choices = self.choices.iter().map(|choice| (choice.name, choice.value.as_str()));
        let pairs = own.into_iter().chain(choices).filter(|(_, value)| !value.is_empty());
        let query: Vec<String> = pairs
            .chain(more.iter().copied())
            .map(|(name, value)| format!("{name}={}", parts::encoded(value)))
            .collect();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
    }

    /// The form that changes it.
    pub(super) fn form(&self, path: String) -> impl IntoView + use<> {
        let choices: Vec<_> = self.choices.iter().cloned().map(field).collect();
        let (from, to, all) = (self.from.clone(), self.to.clone(), path.clone());
        view! {
            <form class="filter" method="get" action=path role="search" aria-label="Filter">
                <div class="field">
                    <label for="from">"From"</label>
                    <input r#type="date" id="from" name="from" value=from/>
                </div>
                <div class="field">
                    <label for="to">"To, counted"</label>
                    <input r#type="date" id="to" name="to" value=to/>
                </div>
                {choices}
                <div class="does">
                    <button class="button plain">"Show"</button>
                    <a href=all>"Clear"</a>
                </div>
            </form>
        }
    }
}

fn field(choice: Choice) -> impl IntoView {
    let Choice { name, label, value, options } = choice;
    let input = if options.is_empty() {
        view! { <input r#type="text" id=name name=name value=value spellcheck="false" autocomplete="off"/> }
            .into_any()
    } else {
        let options: Vec<_> = options
            .into_iter()
            .map(|(option, text)| {
                let is_chosen = option == value;
                view! { <option value=option selected=is_chosen>{text}</option> }
            })
            .collect();
        view! { <select id=name name=name><option value="">"All"</option>{options}</select> }.into_any()
    };
    view! { <div class="field"><label for=name>{label}</label>{input}</div> }
}

/// The way to a list's next page, if there is one.
pub(super) fn next(address: Option<String>, what: &'static str) -> impl IntoView {
    address.map(|address| view! { <p class="next"><a href=address rel="next">{what}</a></p> })
}

/// What an empty list says.
pub(super) fn empty(text: &'static str) -> AnyView {
    view! { <p class="empty">{text}</p> }.into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    #[test]
    fn a_page_names_its_community_its_place_and_its_age() {
        let page = page(&visit("/admin/demo/caps"), &look(), Tab::Caps, "Lead.", ().into_any());
        assert!(page.contains("href=\"/admin/demo/caps\" aria-current=\"page\""));
        assert!(page.contains("<time datetime=\"2026-01-31T12:00:00Z\">2026-01-31 12:00:00</time>"));
        assert!(page.contains("Caps of The &lt;demo&gt;") && page.contains("noindex"));
    }

    #[test]
    fn a_filter_stands_in_the_address_and_in_the_form() {
        let pool = Choice {
            name: "pool",
            label: "Pool",
            value: "cheap".into(),
            options: vec![("cheap".into(), "cheap".into()), ("flagship".into(), "flagship".into())],
        };
        let agent = Choice { name: "agent", label: "Agent", value: "a:1\"&".into(), options: Vec::new() };
        let filter = Filter { from: "2026-01-01".into(), to: String::new(), choices: vec![pool, agent] };
        let address = filter.address("/x", &[("cursor", "9")]);
        assert_eq!(address, "/x?from=2026-01-01&pool=cheap&agent=a%3A1%22%26&cursor=9");
        assert_eq!(Filter::default().address("/x", &[]), "/x");
        let html = Owner::new().with(|| filter.form("/x".into()).to_html());
        assert!(
            html.contains("value=\"cheap\" selected") && html.contains("value=\"a:1&quot;&amp;\""),
            "{html}"
        );
        assert_eq!(html.matches(" selected").count(), 1);
    }
}
