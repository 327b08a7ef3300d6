//! Wallets in this browser: found by EIP-6963, asked by EIP-1193.
//!
//! What always holds: what a wallet says about itself is text and a data image, never an address to load from; and it is
//! asked for three things only: an account, its chain, a signature.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use alloc::rc::Rc;
use core::cell::RefCell;

use js_sys::futures::JsFuture;
use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{CustomEvent, Event};

use super::json::{Json, object};
use super::{dom, storage};
use crate::siwe;
use crate::words;

/// The longest name that is shown, in bytes.
const NAME_BYTES: usize = 40;
/// The largest picture that is shown, in bytes.
const ICON_BYTES: usize = 96 * 1024;
/// The most wallets that are listed: whoever announces more is not one.
const MOST: usize = 24;
/// How long wallets have to announce themselves before `window.ethereum` is looked at, in ms.
const ANNOUNCE_MS: u64 = 250;
/// Where the wallet that signed last is kept.
const LAST: &str = "freeside.wallet";

/// A wallet that one can choose.
#[derive(Clone)]
pub(super) struct Wallet {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) icon: Option<String>,
    /// EIP-1193.
    provider: JsValue,
}

/// Why a wallet did not do it, for the person.
pub(super) type Refusal = String;

impl Wallet {
    fn announced(detail: &Json) -> Option<Self> {
        let (info, provider) = (detail.get("info"), detail.get("provider"));
        let is_provider = provider.get("request").0.is_function();
        let id = info.get("rdns").text().or_else(|| info.get("uuid").text())?;
        let icon = info.get("icon").text().filter(|icon| {
            icon.len() <= ICON_BYTES
                && [
                    "data:image/svg+xml",
                    "data:image/png",
                    "data:image/webp",
                    "data:image/jpeg",
                    "data:image/gif",
                ]
                .iter()
                .any(|kind| icon.starts_with(kind))
        });
        let name = words::shortened(info.get("name").text()?.trim(), NAME_BYTES);
        (is_provider && !name.is_empty() && id.len() <= 200).then(|| Self {
            id,
            name,
            icon,
            provider: provider.0,
        })
    }

    /// The account that the person chooses.
    pub(super) async fn account(&self) -> Result<String, Refusal> {
        let accounts = request(&self.provider, "eth_requestAccounts", &[]).await?;
        let address = Json(accounts).items().first().and_then(Json::text);
        address.ok_or_else(|| {
            "The wallet named no account. Choose one in the wallet, then try again.".to_owned()
        })
    }

    /// The chain that it is on.
    pub(super) async fn chain(&self) -> Option<u64> {
        let chain = Json(request(&self.provider, "eth_chainId", &[]).await.ok()?);
        chain.text().and_then(|text| siwe::chain_id(&text)).or_else(|| chain.number())
    }

    /// A signature of the message.
    pub(super) async fn sign(&self, message: &str, address: &str) -> Result<String, Refusal> {
        let params = [JsValue::from_str(&siwe::hex(message.as_bytes())), JsValue::from_str(address)];
        let signature = request(&self.provider, "personal_sign", &params).await?.as_string();
        signature.ok_or_else(|| siwe::refusal(0).to_owned())
    }

    /// Remembers that it worked.
    pub(super) fn remember(&self) {
        storage::keep(LAST, &self.id);
    }

    pub(super) fn is_last(&self) -> bool {
        storage::kept(LAST).as_deref() == Some(self.id.as_str())
    }
}

async fn request(provider: &JsValue, method: &str, params: &[JsValue]) -> Result<JsValue, Refusal> {
    let failed = |error: JsValue| {
        let code = Reflect::get(&error, &JsValue::from_str("code")).ok().and_then(|code| code.as_f64());
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the codes are small, and others mean nothing to us"
        )]
        siwe::refusal(code.map_or(0, |code| code as i32)).to_owned()
    };
    let function: Function = Json(provider.clone()).get("request").0.dyn_into().map_err(failed)?;
    let params: Array = params.iter().cloned().collect();
    let call = object(&[("method", JsValue::from_str(method)), ("params", params.into())]);
    let promise = function.call1(provider, &call).map_err(failed)?;
    JsFuture::from(Promise::resolve(&promise)).await.map_err(failed)
}

/// Tells `on` all wallets known so far, each time one more is found; once at the latest after a moment.
pub(super) fn find(on: impl Fn(&[Wallet]) + 'static) {
    let found: Rc<RefCell<Vec<Wallet>>> = Rc::default();
    let on = Rc::new(on);
    let tell = {
        let found = Rc::clone(&found);
        Rc::new(move || {
            let mut wallets = found.borrow().clone();
            if let Some(last) = wallets.iter().position(Wallet::is_last) {
                wallets[..=last].rotate_right(1);
            }
            on(&wallets);
        })
    };
    let (announced, told) = (Rc::clone(&found), Rc::clone(&tell));
    dom::listen(&dom::window(), "eip6963:announceProvider", move |event: Event| {
        let Some(wallet) = Wallet::announced(&Json(event.unchecked_ref::<CustomEvent>().detail())) else {
            return;
        };
        let mut wallets = announced.borrow_mut();
        if wallets.len() < MOST && wallets.iter().all(|other| other.id != wallet.id) {
            wallets.push(wallet);
            drop(wallets);
            told();
        }
    });
    if let Ok(event) = Event::new("eip6963:requestProvider") {
        let _ = dom::window().dispatch_event(&event);
    }
    dom::after(ANNOUNCE_MS, move || {
        let old = Json(dom::window().into()).get("ethereum");
        if found.borrow().is_empty() && old.get("request").0.is_function() {
            let name = if old.get("isMetaMask").flag() { "MetaMask" } else { "Browser wallet" }.to_owned();
            let wallet = Wallet { id: "injected".to_owned(), name, icon: None, provider: old.0 };
            found.borrow_mut().push(wallet);
        }
        tell();
    });
}
