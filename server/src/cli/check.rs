//! The settings as rows for `config check`: the table's order, then what the catalog's providers brought along.

use serde::Serialize;

use crate::config::table::{TABLE, Unset, Variable, find};
use crate::config::{Origin, Settings};

/// One variable and what holds for it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// The variable.
    pub(super) variable: String,
    /// Its text; never a secret's.
    pub(super) value: Option<String>,
    /// `environment`, `file`, `default` or `unset`.
    pub(super) origin: &'static str,
    /// Is the text hidden?
    pub(super) secret: bool,
    /// What holds when it is unset, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unset: Option<String>,
    /// What will use it in a later version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reserved_for: Option<&'static str>,
}

impl Row {
    /// Of no interest to a reader: nothing uses it, and nobody set it.
    pub(super) fn is_reserved_and_unset(&self) -> bool {
        self.reserved_for.is_some() && self.origin == "unset"
    }
}

/// All rows.
pub(super) fn rows(settings: &Settings) -> Vec<Row> {
    let mut rows = Vec::new();
    for variable in TABLE {
        let given: Vec<_> = settings.given.iter().filter(|(name, _)| variable.is_named(name)).collect();
        if given.is_empty() {
            rows.push(unset(variable));
        }
        rows.extend(given.into_iter().map(|(name, given)| row(name, given, variable.reserved_for)));
    }
    let of_catalog = settings.given.iter().filter(|(name, _)| find(name).is_none());
    rows.extend(of_catalog.map(|(name, given)| row(name, given, None)));
    rows
}

fn row(name: &str, (origin, text): &(Origin, Option<String>), reserved_for: Option<&'static str>) -> Row {
    let origin = match origin {
        Origin::Environment => "environment",
        Origin::File => "file",
    };
    Row {
        variable: name.to_owned(),
        value: text.clone(),
        origin,
        secret: text.is_none(),
        unset: None,
        reserved_for,
    }
}

fn unset(variable: &Variable) -> Row {
    let (value, origin, words) = match variable.default {
        Unset::Is(text) => (Some(text.to_owned()), "default", None),
        Unset::Follows(words) => (None, "unset", Some(words.to_owned())),
        Unset::Nothing => (None, "unset", None),
    };
    Row {
        variable: variable.name.to_owned(),
        value,
        origin,
        secret: variable.secret,
        unset: words,
        reserved_for: variable.reserved_for,
    }
}
