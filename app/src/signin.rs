//! `/signin`: where a wallet signs, as a page or as the popup of a chat on somebody's page.
//!
//! The page says what will happen and what is needed; what speaks to wallets is the widget's module, in the place that is
//! marked for it. Without JavaScript, without https or without the module the page says so plainly instead.

use leptos::prelude::*;
use types::WalletId;

use crate::assets;
use crate::parts::short;
use crate::shell::{self, Head, Visit};

/// The module that asks wallets, its glue and its stylesheet, by their names.
const MODULE: &str = "widget_bg.wasm";
const SCRIPTS: &[&str] = &["widget.js"];
const STYLES: &[&str] = &["panel.css"];

/// What the sign-in is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To go on at this path of ours.
    GoOn(String),
    /// To give the chat that opened this window a session.
    Chat(Asker),
    /// To give a session to nobody knows whom: a link from elsewhere asked, and gets nothing.
    Stranger,
}

/// The chat that opened this window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The site that the chat is on, as its address bar shows it; `None`: it is on a page of ours.
    pub site: Option<String>,
    /// What the chat said of its own code, for where the browser cut it off from this window.
    pub challenge: Option<String>,
}

/// What keeps wallets from signing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hurdle {
    /// This server is on plain http and not on this machine.
    PlainHttp,
    /// The page was asked for under another name than ours; the same page under our own.
    OtherName(String),
}

/// Wallets for trying, which only a development server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burner {
    /// They announce themselves on the page, by the script at this address.
    Offered(&'static str),
    /// There are none.
    Absent,
}

/// The page for people who sign in to go on, and the window of a chat.
#[must_use]
pub fn page(visit: &Visit, purpose: &Purpose, hurdle: Option<Hurdle>, burner: Burner) -> String {
    let about =
        "Sign in to Freeside with your wallet: one sentence, signed. No password, no e-mail, no transaction.";
    let head = Head { scripts: SCRIPTS, styles: STYLES, ..Head::private("Sign in", about) };
    let place = match hurdle {
        Some(hurdle) => stopped(hurdle).into_any(),
        None => wallets(visit, purpose, burner).into_any(),
    };
    match purpose {
        Purpose::GoOn(path) => {
            let signed_in = visit.wallet.map(|wallet| go_on(wallet, path.clone()));
            let body = view! {
                <div class="signin">
                    <div>
                        <h1>"Sign in with your wallet"</h1>
                        <p class="lead">"One sentence to sign. No password, no e-mail, no transaction, no fee."</p>
                        {signed_in}
                        {place}
                    </div>
                    {what_happens()}
                </div>
            };
            shell::page(visit, head, body)
        }
        Purpose::Chat(asker) => {
            let body = view! { <div class="signin popup">{who_asks(asker)}{place}{decline()}</div> };
            shell::window(visit, head, body)
        }
        Purpose::Stranger => {
            let body = view! {
                <div class="signin popup">
                    <h1>"Nothing was asked for"</h1>
                    <p class="note bad">"A link from elsewhere opened this window and wanted your session handed on. That is only done for a chat that you started yourself, so nothing was handed over."</p>
                    <p>"If you were about to chat on a page, close this window and press its “Sign in to chat” once more."</p>
                    <p class="actions"><a class="button plain" href="/signin">"Sign in to Freeside itself"</a></p>
                </div>
            };
            shell::window(visit, Head { scripts: &[], styles: &[], ..head }, body)
        }
    }
}

/// The window after somebody said no.
#[must_use]
pub fn declined(visit: &Visit) -> String {
    let head = Head::private("Declined", "Nothing was handed over. This window can be closed.");
    let body = view! {
        <div class="signin popup">
            <h1>"Nothing was handed over"</h1>
            <p class="lead">"The chat stays signed out. You can close this window and go on where you were."</p>
        </div>
    };
    shell::window(visit, head, body)
}

/// For whom the session is: said before anything is signed.
fn who_asks(asker: &Asker) -> impl IntoView + use<> {
    match asker.site.clone() {
        Some(site) => view! {
            <h1>"Chat as your wallet?"</h1>
            <dl class="asks"><dt>"Asked by the chat on"</dt><dd>{site}</dd></dl>
            <p>"Sign in only if you have just pressed “Sign in to chat” there. For up to an hour that chat may then ask agents in your name and spend your credits. It can move nothing else, and you can end it at any time in your account."</p>
        }
        .into_any(),
        None => view! {
            <h1>"Sign in to chat"</h1>
            <p class="lead">"One sentence to sign. No password, no transaction, no fee."</p>
        }
        .into_any(),
    }
}

fn decline() -> impl IntoView {
    view! { <p class="actions"><a href="/signin?mode=declined">"No, do not sign in there"</a></p> }
}

/// For somebody who is signed in already: the way on, which needs no script.
fn go_on(wallet: WalletId, path: String) -> impl IntoView {
    view! {
        <p class="note good">"You are signed in as "<code>{short(wallet)}</code>". Another wallet takes its place as soon as it signs."</p>
        <p class="actions"><a class="button" href=path>"Go on as "{short(wallet)}</a></p>
    }
}

/// The place where wallets are listed, and what stands there while nothing can run.
fn wallets(visit: &Visit, purpose: &Purpose, burner: Burner) -> impl IntoView + use<> {
    let Some(module) = assets::named(MODULE) else {
        return view! {
            <p class="note bad">"This server was built without its part for browsers, so no wallet can be asked. Its operator builds it with "<code>"cargo xtask assets"</code>" and then the server again."</p>
        }
        .into_any();
    };
    let (mode, path, challenge, address) = match purpose {
        Purpose::GoOn(path) => ("page", Some(path.clone()), None, None),
        // In a window that is signed in already, one press is enough: the module offers to go on with that wallet.
        Purpose::Chat(asker) => {
            ("popup", None, asker.challenge.clone(), visit.wallet.map(|wallet| wallet.address.to_string()))
        }
        Purpose::Stranger => ("popup", None, None, None),
    };
    let (nonce, trying) = match burner {
        Burner::Offered(script) => (Some((script, visit.nonce.clone())), true),
        Burner::Absent => (None, false),
    };
    let script = nonce.map(|(src, nonce)| view! { <script r#type="module" src=src nonce=nonce></script> });
    let note = trying.then(|| {
        view! {
            <p class="small quiet">"This is a development server: three wallets for trying are in the list. Their signatures are real and their keys are no secret, so send nothing to them."</p>
        }
    });
    view! {
        <div data-freeside="signin" data-mode=mode data-return=path data-challenge=challenge data-address=address
            data-wasm=module.path data-wasm-integrity=module.integrity>
            <noscript>
                <p class="note">"Signing in needs JavaScript: your wallet lives in this browser, and only a script can ask it for a signature. Switch it on for this page, or open the page in the browser of your wallet. Everything that is there to read works without."</p>
            </noscript>
        </div>
        {note}
        {script}
    }
    .into_any()
}

fn stopped(hurdle: Hurdle) -> impl IntoView {
    match hurdle {
        Hurdle::PlainHttp => view! {
            <div class="note bad">
                <p><strong>"Signing in needs https."</strong>" This server is reached by plain http, where anybody on the way could take your session, so browsers and wallets keep signatures away from it."</p>
                <p>"Its operator puts it behind https and sets "<code>"FREESIDE_PUBLIC_URL"</code>" to that address. Reading works as it is."</p>
            </div>
        }
        .into_any(),
        Hurdle::OtherName(address) => {
            let href = address.clone();
            view! {
            <div class="note">
                <p>"A wallet signs for one address, and this server’s is another one than you came by. Sign in there:"</p>
                <p><a href=href>{address}</a></p>
            </div>
            }
            .into_any()
        }
    }
}

/// What a person may want to know before signing.
fn what_happens() -> impl IntoView {
    view! {
        <section class="margin-note" aria-labelledby="what">
            <h2 id="what">"What happens"</h2>
            <ol>
                <li><strong>"You choose a wallet."</strong>" It opens by itself and shows you what to sign."</li>
                <li><strong>"You read and sign."</strong>" The text names this site, this moment and a number that works once. It cannot move anything you own."</li>
                <li><strong>"You are signed in for an hour."</strong>" Here, in this browser. Your account lists every place and ends each of them."</li>
            </ol>
            <p class="small quiet">"On a phone, open this page in the browser inside your wallet app."</p>
        </section>
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::tests::visit;

    fn shown(purpose: &Purpose) -> String {
        page(&visit("/signin"), purpose, None, Burner::Absent)
    }

    #[test]
    fn a_page_says_what_is_needed_and_where_it_leads() {
        let page = shown(&Purpose::GoOn("/docs?a=1&b".into()));
        assert!(page.contains("Sign in with your wallet") && page.contains("noindex"));
        if assets::named(MODULE).is_some() {
            assert!(page.contains("data-return=\"/docs?a=1&amp;b\"") && page.contains("<noscript>"));
            assert!(page.contains("data-freeside=\"signin\" data-mode=\"page\""));
        } else {
            assert!(page.contains("cargo xtask assets"));
        }
        assert!(!page.contains("burner"));
    }

    #[test]
    fn a_chats_window_names_the_site_that_asks_and_takes_a_no() {
        let asker = Asker { site: Some("shop.example".into()), challenge: Some("c".repeat(43)) };
        let page = shown(&Purpose::Chat(asker));
        assert!(page.contains("<dd>shop.example</dd>") && page.contains("href=\"/signin?mode=declined\""));
        assert!(!page.contains("<footer"), "a window is not the site");
        let stranger = shown(&Purpose::Stranger);
        assert!(!stranger.contains("data-freeside") && stranger.contains("nothing was handed over"));
    }

    #[test]
    fn a_hurdle_stands_in_the_place_of_wallets() {
        let go_on = Purpose::GoOn("/".into());
        let plain = page(&visit("/signin"), &go_on, Some(Hurdle::PlainHttp), Burner::Absent);
        assert!(plain.contains("needs https") && !plain.contains("data-freeside"));
        let name = Hurdle::OtherName("https://a.example/signin".into());
        let other = page(&visit("/signin"), &go_on, Some(name), Burner::Absent);
        assert!(other.contains("href=\"https://a.example/signin\"") && !other.contains("data-freeside"));
    }

    #[test]
    fn whoever_is_signed_in_can_go_on_without_a_script() {
        let wallet = Some(WalletId::by_key(types::Wallet([7; 20])));
        let page =
            page(&Visit { wallet, ..visit("/signin") }, &Purpose::GoOn("/docs".into()), None, Burner::Absent);
        assert!(page.contains("<a href=\"/docs\" class=\"button\">"));
    }
}
