//! Which parts of Freeside a process runs. A process has at least one role.

use std::collections::BTreeSet;
use std::str::FromStr;

/// One part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The public face: API, pages, sockets.
    Gateway,
    /// The inference engine; internal only.
    Finn,
    /// Jobs and timers.
    Worker,
    /// Discord and Telegram.
    Bots,
}

impl Role {
    /// All roles, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Finn, Self::Worker, Self::Bots];

    /// The role's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Finn => "finn",
            Self::Worker => "worker",
            Self::Bots => "bots",
        }
    }
}

/// The roles of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

impl Roles {
    /// Every role in one process.
    pub fn all() -> Self {
        Self(Role::ALL.into())
    }

    /// Does this process run `role`?
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Does this process run anything of freeside itself, which holds the keys and the books? finn alone does not.
    pub fn keep_books(&self) -> bool {
        self.0.iter().any(|role| *role != Role::Finn)
    }

    /// The roles, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Role> {
        self.0.iter().copied()
    }
}

impl std::fmt::Display for Roles {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if *self == Self::all() {
            return formatter.write_str("all");
        }
        let names: Vec<_> = self.iter().map(Role::as_str).collect();
        formatter.write_str(&names.join(","))
    }
}

/// A list of roles that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRoles {
    /// Nothing stands in the list.
    #[error("names no role; the roles are all, gateway, finn, worker and bots")]
    Empty,
    /// A word of the list is no role.
    #[error("\"{0}\" is not a role; the roles are all, gateway, finn, worker and bots")]
    Unknown(String),
}

impl FromStr for Roles {
    type Err = BadRoles;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut roles = BTreeSet::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == "all" {
                roles.extend(Role::ALL);
                continue;
            }
            let role = Role::ALL.into_iter().find(|role| role.as_str() == word);
            roles.insert(role.ok_or_else(|| BadRoles::Unknown(word.to_owned()))?);
        }
        if roles.is_empty() { Err(BadRoles::Empty) } else { Ok(Self(roles)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_roles_is_read_in_any_order_and_printed_in_one() {
        for (text, printed) in [
            ("all", "all"),
            ("finn", "finn"),
            ("worker, gateway", "gateway,worker"),
            ("bots,worker,finn,gateway", "all"),
            ("finn,all", "all"),
            ("finn,finn,", "finn"),
        ] {
            assert_eq!(text.parse::<Roles>().expect(text).to_string(), printed);
        }
        assert!("gateway,worker".parse::<Roles>().expect("two roles").keep_books());
        assert!(!"finn".parse::<Roles>().expect("one role").keep_books());
    }

    #[test]
    fn a_word_that_is_no_role_is_named() {
        assert_eq!("gateway,fin".parse::<Roles>(), Err(BadRoles::Unknown("fin".into())));
        assert_eq!("Gateway".parse::<Roles>(), Err(BadRoles::Unknown("Gateway".into())));
        assert_eq!(" , ".parse::<Roles>(), Err(BadRoles::Empty));
    }
}
