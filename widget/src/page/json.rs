//! JSON with the browser's own parser. Each look at a field expects nothing: what is not there, or is something else,
//! is `None`.

use alloc::string::String;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use js_sys::{Array, Object, Reflect};
use wasm_bindgen::{JsCast as _, JsValue};

/// A value that somebody else wrote.
#[derive(Clone, Debug)]
pub(super) struct Json(pub(super) JsValue);

impl Json {
    pub(super) fn parse(text: &str) -> Option<Self> {
        js_sys::JSON::parse(text).ok().map(Self)
    }

    pub(super) fn get(&self, name: &str) -> Self {
        Self(Reflect::get(&self.0, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED))
    }

    pub(super) fn text(&self) -> Option<String> {
        self.0.as_string()
    }

    /// A text, or a whole number as one: amounts come as both.
    pub(super) fn digits(&self) -> Option<String> {
        self.text().or_else(|| self.number().map(|number| number.to_string()))
    }

    /// A whole number that is not negative.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked before"
    )]
    pub(super) fn number(&self) -> Option<u64> {
        self.0
            .as_f64()
            .filter(|number| (0.0..=9_007_199_254_740_991.0).contains(number))
            .map(|number| number as u64)
    }

    pub(super) fn flag(&self) -> bool {
        self.0.as_bool().unwrap_or(false)
    }

    pub(super) fn items(&self) -> Vec<Self> {
        self.0.dyn_ref::<Array>().map(|items| items.iter().map(Self).collect()).unwrap_or_default()
    }
}

/// An object with these fields.
pub(super) fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // It fails only for objects that are closed; this one is new.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}

/// As text.
pub(super) fn print(value: &JsValue) -> String {
    js_sys::JSON::stringify(value).ok().and_then(|text| text.as_string()).unwrap_or_default()
}
