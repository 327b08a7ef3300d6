//! A repair of money, or a change of who administers, between its two requests: what will be done, why, and who has to
//! say yes; and the list of what waits.

use leptos::prelude::*;

use super::caps::reason_field;
use super::frame::{self, Look, Tab};
use crate::parts::{Precision, time, zone};
use crate::shell::Visit;

/// A repair that was asked for once.
#[derive(Clone, Debug)]
pub struct Repair {
    /// On which page.
    pub tab: Tab,
    /// What will be done, in words.
    pub will: String,
    /// Why.
    pub reason: String,
    /// Until when it may be confirmed.
    pub until: String,
    /// Sent again with the confirmation.
    pub fields: Vec<(&'static str, String)>,
    /// Whether another administrator has to send it.
    pub by_another: bool,
}

/// A repair that waits for another administrator.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Who asked.
    pub who: String,
    /// What for, in words.
    pub what: String,
    /// Why.
    pub reason: String,
    /// Until when it may be approved.
    pub until: String,
    /// What approving sends; `None`: the reader asked for it, and cannot approve it.
    pub fields: Option<Vec<(&'static str, String)>>,
}

/// The page between the two requests.
#[must_use]
pub fn repair(visit: &Visit, look: &Look, repair: Repair) -> String {
    let Repair { tab, will, reason, until, fields, by_another } = repair;
    let path = tab.of(&look.community);
    let lead = "What repairs money or gives rights is asked for twice, and the record keeps who and why.";
    let until = view! { <div><dt>"Until"</dt><dd>{time(&until, Precision::Second)}" "{zone()}</dd></div> };
    let back = path.clone();
    let next = if by_another {
        view! {
            <p class="note">"This community has more than one administrator, so another one has to approve it, on this page of theirs. Nothing happens until then."</p>
            <p class="actions"><a class="button plain" href=back>"Back to the list"</a></p>
        }
        .into_any()
    } else {
        view! {
            <form class="actions" method="post" action=path>
                {hidden(fields)}
                <button class="button">"Yes, do it"</button>
                <a href=back>"No, go back"</a>
            </form>
        }
        .into_any()
    };
    let heading = if by_another { "It waits for another administrator" } else { "Once more: do this?" };
    let body = view! {
        <section class="sheet key-shown" aria-labelledby="once-more">
            <h2 id="once-more">{heading}</h2>
            <dl class="deed">
                <div><dt>"We will"</dt><dd>{will}</dd></div>
                <div><dt>"Because"</dt><dd>{reason}</dd></div>
                {until}
            </dl>
            {next}
        </section>
    };
    frame::page(visit, look, tab, lead, body.into_any())
}

fn hidden(fields: Vec<(&'static str, String)>) -> Vec<impl IntoView> {
    let field = |(name, value)| view! { <input r#type="hidden" name=name value=value/> };
    fields.into_iter().map(field).collect()
}

/// What waits for another administrator; nothing when nothing does.
pub(super) fn waiting(path: &str, pending: Vec<Pending>) -> impl IntoView + use<> {
    let path = path.to_owned();
    let items: Vec<_> = pending
        .into_iter()
        .map(|Pending { who, what, reason, until, fields }| {
            let next = match fields {
                Some(fields) => view! {
                    <form method="post" action=path.clone()>
                        {hidden(fields)}
                        <button class="button">"Approve and do it"</button>
                    </form>
                }
                .into_any(),
                None => view! { <p class="quiet">"You asked for it: another administrator has to approve it."</p> }.into_any(),
            };
            view! {
                <li class="sheet">
                    <dl class="deed">
                        <div><dt>"Asked by"</dt><dd><code>{who}</code></dd></div>
                        <div><dt>"To"</dt><dd>{what}</dd></div>
                        <div><dt>"Because"</dt><dd>{reason}</dd></div>
                        <div><dt>"Until"</dt><dd>{time(&until, Precision::Second)}" "{zone()}</dd></div>
                    </dl>
                    {next}
                </li>
            }
        })
        .collect();
    (!items.is_empty()).then(|| {
        view! {
            <section class="figures" aria-labelledby="waiting">
                <h2 id="waiting">"Waits for approval"</h2>
                <ul class="waiting">{items}</ul>
            </section>
        }
    })
}

/// A form that asks for a repair, behind a word that opens it. `id` tells this one's fields from another row's.
pub(super) fn ask(
    path: &str,
    id: &str,
    open: &'static str,
    about: &str,
    fields: Vec<(&'static str, String)>,
    choice: AnyView,
) -> AnyView {
    let path = path.to_owned();
    let reason_id = format!("reason-{id}");
    let (label_for, about) = (reason_id.clone(), format!(" {about}"));
    view! {
        <details class="ask">
            <summary>{open}<span class="hidden">{about}</span></summary>
            <form method="post" action=path>
                {hidden(fields)}
                {choice}
                <div class="field">
                    <label for=label_for>"Why"</label>
                    <input r#type="text" id=reason_id name="reason" required=true maxlength="500" autocomplete="off"/>
                </div>
                <button class="button plain">"Go on"</button>
            </form>
        </details>
    }
    .into_any()
}

/// A form that asks for a repair of something that is in no list.
pub(super) fn ask_by_id(path: &str, field: impl IntoView, button: &'static str) -> impl IntoView {
    view! {
        <form class="sheet" method="post" action=path.to_owned()>
            {field}
            {reason_field("reason", String::new(), None)}
            <button class="button plain">{button}</button>
        </form>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::tests::look;
    use crate::shell::tests::visit;

    #[test]
    fn a_repair_is_confirmed_by_whoever_may() {
        let asked = Repair {
            tab: Tab::Payments,
            will: "ask about <1>".into(),
            reason: "they paid".into(),
            until: "2026-01-31T12:05:00Z".into(),
            fields: vec![("confirmation", "c-1".into())],
            by_another: false,
        };
        let own = repair(&visit("/x"), &look(), asked.clone());
        assert!(
            own.contains("value=\"c-1\"")
                && own.contains("Yes, do it")
                && own.contains("ask about &lt;1&gt;")
        );
        let another = repair(&visit("/x"), &look(), Repair { by_another: true, ..asked });
        assert!(!another.contains("c-1") && another.contains("another one has to approve"));
    }

    #[test]
    fn who_asked_cannot_approve() {
        let one = |fields| Pending {
            who: "wallet:0x1".into(),
            what: "ask".into(),
            reason: "why".into(),
            until: "2026-01-31T12:05:00Z".into(),
            fields,
        };
        let html = |pending| Owner::new().with(|| waiting("/p", pending).to_html());
        assert!(html(vec![one(Some(vec![("confirmation", "t".into())]))]).contains("Approve and do it"));
        assert!(!html(vec![one(None)]).contains("<form"));
        assert!(!html(Vec::new()).contains("Waits"));
    }
}
