//! `/admin/{community}/settings`: who administers, whose pages may hold the chat, and what administrators did.

use leptos::prelude::*;

use super::caps::{Must, field, reason_field};
use super::frame::{self, Look, Tab, empty, next};
use super::repair::{Pending, ask, waiting};
use super::table::{Cell, Column, table};
use crate::shell::Visit;

/// A wallet that administers.
#[derive(Clone, Debug)]
pub struct AdminRow {
    /// Its address.
    pub wallet: String,
    /// By whom it was added.
    pub added_by: String,
    /// Since when.
    pub at: String,
}

/// An origin whose pages may hold the chat.
#[derive(Clone, Debug)]
pub struct OriginRow {
    /// As a browser writes it.
    pub origin: String,
    /// By whom it was added.
    pub added_by: String,
    /// Since when.
    pub at: String,
}

/// Something that an administrator did.
#[derive(Clone, Debug)]
pub struct DeedRow {
    /// When.
    pub at: String,
    /// Who.
    pub who: String,
    /// What, as a word.
    pub what: String,
    /// To which thing.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// The settings of a community.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Earliest first.
    pub admins: Vec<AdminRow>,
    /// By the alphabet.
    pub origins: Vec<OriginRow>,
    /// A page of the record, newest first.
    pub deeds: Vec<DeedRow>,
    /// Asks for older deeds.
    pub next_cursor: Option<String>,
    /// Changes of the list of administrators that wait for another one.
    pub pending: Vec<Pending>,
    /// A form that was not taken: its field's name, what stood in it, and what is wrong.
    pub wrong: Option<(&'static str, String, String)>,
}

/// The page.
#[must_use]
pub fn settings(visit: &Visit, look: &Look, settings: Settings) -> String {
    let lead = "Who looks after this community, where its chat may stand, and what was done here.";
    let Settings { admins, origins, deeds, next_cursor, pending, wrong } = settings;
    let path = Tab::Settings.of(&look.community);
    let further = next_cursor.map(|cursor| format!("{path}?cursor={cursor}#record"));
    let given = |name: &str| {
        let wrong = wrong.as_ref().filter(|(field, ..)| *field == name);
        wrong.map_or_else(|| (String::new(), None), |(_, value, text)| (value.clone(), Some(text.clone())))
    };
    let body = view! {
        {waiting(&path, pending)}
        {of_admins(&path, admins, given("wallet"))}
        {of_origins(&path, origins, given("origin"))}
        <section class="figures" aria-labelledby="record">
            <h2 id="record">"The record"</h2>
            {of_deeds(deeds)}
            {next(further, "Older deeds")}
        </section>
    };
    frame::page(visit, look, Tab::Settings, lead, body.into_any())
}

type Given = (String, Option<String>);

fn of_admins(path: &str, admins: Vec<AdminRow>, (value, error): Given) -> impl IntoView + use<> {
    let is_last = admins.len() == 1;
    let rows = admins
        .into_iter()
        .enumerate()
        .map(|(place, AdminRow { wallet, added_by, at })| {
            let remove = if is_last {
                Cell::Text("the last one stays".to_owned())
            } else {
                let fields = vec![("do", "remove-admin".to_owned()), ("wallet", wallet.clone())];
                Cell::View(ask(path, &format!("admin-{place}"), "Remove", &wallet, fields, ().into_any()))
            };
            vec![Cell::Code(wallet), Cell::Named(added_by), Cell::Time(at), remove]
        })
        .collect();
    let columns =
        [Column::Words("Wallet"), Column::Words("Added by"), Column::Words("Since"), Column::Words("Remove")];
    let action = path.to_owned();
    view! {
        <section class="figures" aria-labelledby="admins">
            <h2 id="admins">"Administrators"</h2>
            <p>"They see and set all that stands on these pages. With two or more, what one asks for is approved by another when it repairs money or changes this list."</p>
            {table("Administrators", "Earliest first".to_owned(), &columns, rows)}
            <form class="sheet" method="post" action=action>
                <input r#type="hidden" name="do" value="add-admin"/>
                {field("wallet", "A further administrator", value, "A wallet\u{2019}s address: 0x and 40 digits. A wallet that is a contract stands with its chain: eip155:8453:0x\u{2026}", error, Must::Must)}
                {reason_field("admin-reason", String::new(), None)}
                <button class="button plain">"Add the wallet"</button>
            </form>
        </section>
    }
}

fn of_origins(path: &str, origins: Vec<OriginRow>, (value, error): Given) -> impl IntoView + use<> {
    let list = if origins.is_empty() {
        empty(
            "No page elsewhere may hold this community\u{2019}s chat yet. Add your site\u{2019}s origin, and its widget opens there.",
        )
    } else {
        let rows = origins
            .into_iter()
            .enumerate()
            .map(|(place, OriginRow { origin, added_by, at })| {
                let fields = vec![("do", "forget-origin".to_owned()), ("origin", origin.clone())];
                let remove = ask(path, &format!("origin-{place}"), "Remove", &origin, fields, ().into_any());
                vec![Cell::Code(origin), Cell::Named(added_by), Cell::Time(at), Cell::View(remove)]
            })
            .collect();
        let columns = [
            Column::Words("Origin"),
            Column::Words("Added by"),
            Column::Words("Since"),
            Column::Words("Remove"),
        ];
        table("Origins", "By the alphabet".to_owned(), &columns, rows).into_any()
    };
    let action = path.to_owned();
    view! {
        <section class="figures" aria-labelledby="origins">
            <h2 id="origins">"Where the widget may stand"</h2>
            {list}
            <form class="sheet" method="post" action=action>
                <input r#type="hidden" name="do" value="allow-origin"/>
                {field("origin", "A further origin", value, "Scheme and host as a browser writes them, such as https://example.com, without a path.", error, Must::Must)}
                {reason_field("origin-reason", String::new(), None)}
                <button class="button plain">"Allow the origin"</button>
            </form>
        </section>
    }
}

fn of_deeds(deeds: Vec<DeedRow>) -> AnyView {
    if deeds.is_empty() {
        return empty(
            "Nothing was done here yet. Each change by an administrator stands here, with its reason.",
        );
    }
    let rows = deeds.into_iter().map(|DeedRow { at, who, what, target, reason }| {
        vec![Cell::Time(at), Cell::Named(who), Cell::Text(what), Cell::Named(target), Cell::Words(reason)]
    });
    let columns = [
        Column::Words("Time"),
        Column::Words("Who"),
        Column::Words("What"),
        Column::Words("To what"),
        Column::Words("Why"),
    ];
    table("The record of deeds", "Newest first".to_owned(), &columns, rows.collect()).into_any()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    fn shown(admins: usize, wrong: Option<(&'static str, String, String)>) -> String {
        let admin = |_| AdminRow {
            wallet: "0x<1>".into(),
            added_by: "demo".into(),
            at: "2026-01-01T00:00:00Z".into(),
        };
        let told = Settings {
            admins: (0..admins).map(admin).collect(),
            origins: Vec::new(),
            deeds: Vec::new(),
            next_cursor: None,
            pending: Vec::new(),
            wrong,
        };
        settings(&visit("/x"), &look(), told)
    }

    #[test]
    fn the_last_administrator_cannot_be_taken_away() {
        assert!(shown(1, None).contains("the last one stays") && !shown(1, None).contains("remove-admin"));
        let two = shown(2, None);
        assert_eq!(two.matches("remove-admin").count(), 2);
        assert!(
            two.contains("0x&lt;1&gt;")
                && two.contains("No page elsewhere")
                && two.contains("Nothing was done")
        );
    }

    #[test]
    fn a_wrong_origin_is_shown_again() {
        let page = shown(1, Some(("origin", "https://a/b".into(), "Without a path.".into())));
        assert!(page.contains("value=\"https://a/b\"") && page.contains("Without a path."));
        assert_eq!(page.matches("aria-invalid=\"true\"").count(), 1);
    }
}
