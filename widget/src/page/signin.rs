//! Signing in: on a page of ours, alone or as the popup of a frame.
//!
//! What always holds: it happens where the address bar shows our own origin; the session is the server's cookie and
//! never passes through here, except for a frame, which gets a token by a one-time code and keeps it in memory.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use js_sys::futures::{JsFuture, spawn_local};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, MessageEvent, Window};

use super::dom::{self, add, add_text, icons, set};
use super::http;
use super::json::{Json, object};
use super::wallets::{self, Wallet};
use crate::{siwe, words};

const NONCE: &str = "/api/v1/siwe/nonce";
const VERIFY: &str = "/api/v1/siwe/verify";
const HANDOFF: &str = "/api/v1/siwe/handoff";
/// A nonce lives five minutes: after four a new one is fetched before the next try.
const NONCE_MS: u64 = 4 * 60 * 1_000;
/// How often a frame whose popup was cut off asks for its session, in ms, and how many times.
const POLL_MS: u64 = 2_000;
const POLLS: u32 = 60;

/// The sign-in of one page. Its root says with `data-mode` whether it is a `page` (default) or a `popup`, with
/// `data-return` where to go afterwards (a path of ours), with `data-challenge` which frame waits, with `data-address` who
/// is signed in already.
struct SignIn {
    root: Element,
    list: Element,
    status: Element,
    wallets: RefCell<Vec<Wallet>>,
    /// The server's text to sign, fetched before the click: phones allow a wallet to open only within it.
    nonce: RefCell<Option<(Json, u64)>>,
    is_busy: Cell<bool>,
}

/// Builds the sign-in in `root`.
pub(super) fn mount(root: Element) {
    root.set_text_content(None);
    let _ = root.class_list().add_2("fs", "fs-signin");
    if let Some(address) = root.get_attribute("data-address") {
        let text = format!("Continue as {}", words::short_address(&address));
        dom::button(&root, "fs-main", "continue", &text);
    }
    let list = add(&root, "div", "fs-wallets");
    let status = add(&root, "p", "fs-progress");
    set(&status, "role", "status");
    let page = Rc::new(SignIn {
        root,
        list,
        status,
        wallets: RefCell::default(),
        nonce: RefCell::default(),
        is_busy: Cell::new(false),
    });
    let clicked = Rc::clone(&page);
    dom::listen(&page.root, "click", move |event| {
        if let Some((deed, element)) = dom::deed(&event) {
            clicked.deed(&deed, &element);
        }
    });
    let found = Rc::clone(&page);
    wallets::find(move |wallets| found.list(wallets));
    spawn_local(async move { page.fetch_nonce().await });
}

impl SignIn {
    fn list(&self, wallets: &[Wallet]) {
        *self.wallets.borrow_mut() = wallets.to_vec();
        self.list.set_text_content(None);
        if wallets.is_empty() {
            let none = add(&self.list, "div", "fs-none");
            add_text(&none, "p", "fs-title", "No wallet found in this browser");
            let help = "Install a wallet extension and reload this page. On a phone, open this page in the browser inside your wallet app.";
            add_text(&none, "p", "fs-about", help);
        }
        for (index, wallet) in wallets.iter().enumerate() {
            let button = dom::button(&self.list, "fs-wallet", "wallet", "");
            set(&button, "data-index", &index.to_string());
            if let Some(icon) = &wallet.icon {
                let picture = add(&button, "img", "");
                set(&picture, "alt", "");
                set(&picture, "src", icon);
            } else {
                dom::icon(&add(&button, "span", "fs-wallet-icon"), icons::WALLET);
            }
            set(&add_text(&button, "span", "fs-wallet-name", &wallet.name), "dir", "auto");
            if wallet.is_last() {
                add_text(&button, "span", "fs-last", "Last used");
            }
        }
    }

    fn say(&self, text: &str, is_failure: bool) {
        self.status.set_text_content(Some(text));
        set(&self.status, "class", if is_failure { "fs-progress fs-failed" } else { "fs-progress" });
    }

    fn deed(self: &Rc<Self>, deed: &str, element: &Element) {
        let index = element.get_attribute("data-index").and_then(|index| index.parse::<usize>().ok());
        let wallet = index.and_then(|index| self.wallets.borrow().get(index).cloned());
        if (deed != "continue" && wallet.is_none()) || self.is_busy.replace(true) {
            return;
        }
        set(&self.root, "aria-busy", "true");
        let page = Rc::clone(self);
        spawn_local(async move {
            let outcome = match &wallet {
                Some(wallet) => page.sign(wallet).await,
                None => Ok(()),
            };
            let outcome = match outcome {
                Ok(()) => page.leave().await,
                Err(why) => Err(why),
            };
            if let Err(why) = outcome {
                page.say(&why, true);
                // The try has cost the nonce.
                page.fetch_nonce().await;
            }
            set(&page.root, "aria-busy", "false");
            page.is_busy.set(false);
        });
    }

    async fn fetch_nonce(&self) {
        self.nonce.take();
        let answer = http::post(NONCE, &object(&[]), None).await;
        match answer {
            Some(answer) if answer.is_good() => *self.nonce.borrow_mut() = Some((answer.body, dom::now_ms())),
            Some(answer) => self.say(&answer.problem().unwrap_or_else(unreachable_text), true),
            None => self.say(&unreachable_text(), true),
        }
    }

    async fn sign(&self, wallet: &Wallet) -> Result<(), String> {
        self.say(&format!("Open {} and choose an account…", wallet.name), false);
        let is_old = |(_, at): &(Json, u64)| dom::now_ms().saturating_sub(*at) > NONCE_MS;
        if self.nonce.borrow().as_ref().is_none_or(is_old) {
            self.fetch_nonce().await;
        }
        let address = wallet.account().await?;
        let (nonce, _) = self.nonce.take().ok_or_else(unreachable_text)?;
        let chains: Vec<u64> = nonce.get("chain_ids").items().iter().filter_map(Json::number).collect();
        let chain = wallet.chain().await.filter(|chain| chains.contains(chain));
        let chain = chain.or_else(|| chains.first().copied()).unwrap_or(1);
        let template = nonce.get("message").text().unwrap_or_default();
        let message = siwe::message(&template, &address, chain).ok_or(
            "The wallet named an account that is none. Choose another one in the wallet, then try again.",
        )?;
        self.say(&format!("Read the message in {} and sign it. It costs nothing.", wallet.name), false);
        let signature = wallet.sign(&message, &address).await?;
        self.say("Checking the signature…", false);
        let body =
            object(&[("message", JsValue::from_str(&message)), ("signature", JsValue::from_str(&signature))]);
        let answer = http::post(VERIFY, &body, None).await.ok_or_else(unreachable_text)?;
        if !answer.is_good() {
            return Err(answer
                .problem()
                .unwrap_or_else(|| "The signature was not accepted. Try again.".to_owned()));
        }
        wallet.remember();
        Ok(())
    }

    /// Signed in: goes on to where the person wanted to go.
    async fn leave(&self) -> Result<(), String> {
        let location = dom::window().location();
        if self.root.get_attribute("data-mode").as_deref() != Some("popup") {
            self.say("Signed in.", false);
            let to = self.root.get_attribute("data-return").filter(|path| is_path(path));
            let _ = location.replace(&to.unwrap_or_else(|| "/".to_owned()));
            return Ok(());
        }
        // Another window's object is no instance of this window's class, so there is nothing to check but its being there.
        let opener =
            dom::window().opener().ok().filter(JsValue::is_truthy).map(JsCast::unchecked_into::<Window>);
        let challenge = self.root.get_attribute("data-challenge").filter(|challenge| !challenge.is_empty());
        let body = match (&opener, challenge) {
            (None, Some(challenge)) => object(&[("challenge", JsValue::from_str(&challenge))]),
            _ => object(&[]),
        };
        let answer = http::post(HANDOFF, &body, None)
            .await
            .filter(http::Answer::is_good)
            .ok_or_else(unreachable_text)?;
        if let (Some(opener), Some(code)) = (opener, answer.body.get("code").text()) {
            let origin = location.origin().unwrap_or_default();
            let code = object(&[("freeside", JsValue::from_str("code")), ("code", JsValue::from_str(&code))]);
            // Only a window of our own origin hears it.
            let _ = opener.post_message(&code, &origin);
        }
        self.say("Signed in. You can close this window and go on where you were.", false);
        let _ = dom::window().close();
        Ok(())
    }
}

fn unreachable_text() -> String {
    "The server cannot be reached. Check your connection, then try again.".to_owned()
}

/// Whether a text is a path on our origin; browsers read `//` and `/\` as another host.
fn is_path(text: &str) -> bool {
    text.starts_with('/') && !text[1..].starts_with(['/', '\\']) && !text.contains(char::is_control)
}

/// What a frame needs to get its session although its popup cannot speak to it: a code, and its hash for the popup.
pub(super) async fn prepare() -> Option<(String, String)> {
    let code = siwe::hex(&dom::random::<24>())[2..].to_owned();
    let crypto = dom::window().crypto().ok().filter(|_| dom::window().is_secure_context())?;
    let hash = crypto.subtle().digest_with_str_and_u8_array("SHA-256", code.as_bytes()).ok()?;
    let hash = JsFuture::from(hash).await.ok()?;
    let bytes = js_sys::Uint8Array::new(&hash).to_vec();
    let binary: String = bytes.into_iter().map(char::from).collect();
    let challenge = dom::window().btoa(&binary).ok()?.replace('+', "-").replace('/', "_").replace('=', "");
    Some((code, challenge))
}

/// Signs a frame in through a popup. Must be called within a click. `on` gets the frame's token.
pub(super) fn through_popup(
    signin: &str,
    exchange: &str,
    prepared: Option<(String, String)>,
    on: impl Fn(String) + 'static,
) {
    let challenge = prepared.as_ref().map(|(_, challenge)| challenge.as_str()).unwrap_or_default();
    let url = format!("{signin}?mode=popup&challenge={challenge}");
    let window = dom::window();
    let popup =
        window.open_with_url_and_target_and_features(&url, "freeside-signin", "popup,width=440,height=640");
    let popup = popup.ok().flatten();
    let is_done = Rc::new(Cell::new(false));
    let finish: Rc<dyn Fn(String)> = {
        let is_done = Rc::clone(&is_done);
        Rc::new(move |token| {
            if !is_done.replace(true) {
                on(token);
            }
        })
    };
    let origin = window.location().origin().unwrap_or_default();
    let (told, url) = (Rc::clone(&finish), exchange.to_owned());
    dom::listen(&window, "message", move |event| {
        let event: MessageEvent = event.unchecked_into();
        let message = Json(event.data());
        if event.origin() != origin || message.get("freeside").text().as_deref() != Some("code") {
            return;
        }
        let Some(code) = message.get("code").text() else { return };
        let (told, url) = (Rc::clone(&told), url.clone());
        spawn_local(async move {
            if let Some(token) = redeem(&url, &code).await {
                told(token);
            }
        });
    });
    if let Some((code, _)) = prepared {
        poll(popup, exchange.to_owned(), code, is_done, finish, 0);
    }
}

/// Where the browser cut us off from the popup, it looks closed at once and will never speak: ask the server instead.
fn poll(
    popup: Option<Window>,
    url: String,
    code: String,
    is_done: Rc<Cell<bool>>,
    finish: Rc<dyn Fn(String)>,
    times: u32,
) {
    dom::after(POLL_MS, move || {
        if is_done.get() || times >= POLLS {
            return;
        }
        spawn_local(async move {
            let is_cut_off = popup.as_ref().is_none_or(|popup| popup.closed().unwrap_or(true));
            if is_cut_off && let Some(token) = redeem(&url, &code).await {
                finish(token);
                return;
            }
            poll(popup, url, code, is_done, finish, times + 1);
        });
    });
}

async fn redeem(url: &str, code: &str) -> Option<String> {
    let answer = http::post(url, &object(&[("code", JsValue::from_str(code))]), None).await?;
    answer.body.get("token").text().filter(|_| answer.is_good())
}
