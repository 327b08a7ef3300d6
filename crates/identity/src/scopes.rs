//! What a key may do.
//!
//! A scope only ever narrows: it never reaches past what the account itself may do.

use std::fmt;

/// One permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Ask a model; costs credits.
    Chat,
    /// List models.
    Models,
    /// Read usage and budget.
    Usage,
    /// Make, list, rotate and revoke keys of the same account.
    Keys,
    /// The admin API of the communities that the account administers.
    Admin,
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 5] = [Self::Chat, Self::Models, Self::Usage, Self::Keys, Self::Admin];

    /// The scope's name in the table and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Models => "models",
            Self::Usage => "usage",
            Self::Keys => "keys",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no scope.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no scope \"{0}\"; there are chat, models, usage, keys and admin")]
pub struct UnknownScope(pub String);

impl std::str::FromStr for Scope {
    type Err = UnknownScope;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// What a developer's own key gets: everything but the admin API.
    pub fn developer() -> Self {
        [Scope::Chat, Scope::Models, Scope::Usage, Scope::Keys].into_iter().collect()
    }

    /// Whether the set holds `scope`.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether every scope of `other` is in this set: a key may hand on only what it has.
    pub fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What both sets have.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes, in the order of [`Scope::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// The scopes' names.
    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Scope::as_str).collect()
    }

    /// Reads a caller's list; an unknown name is an error.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownScope> {
        names.into_iter().map(str::parse::<Scope>).collect()
    }

    /// Reads a row's list: a word of a later version is left out, since it can grant nothing here.
    pub(crate) fn from_row(names: &[String]) -> Self {
        names.iter().filter_map(|name| name.parse::<Scope>().ok()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_keeps_what_was_put_in_and_nothing_else() {
        let scopes = Scopes::parse(["usage", "chat"]).expect("both exist");
        assert_eq!(scopes.names(), ["chat", "usage"]);
        assert!(scopes.contains(Scope::Chat) && !scopes.contains(Scope::Admin));
        assert!(Scopes::developer().covers(scopes) && !scopes.covers(Scopes::developer()));
        assert!(!Scopes::developer().contains(Scope::Admin));
        assert_eq!(Scopes::parse(["root"]), Err(UnknownScope("root".into())));
        assert_eq!(Scopes::from_row(&["chat".into(), "of a later version".into()]).names(), ["chat"]);
    }
}
