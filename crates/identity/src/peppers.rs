//! Peppers: the half of a key's hash that is not in the database.
//!
//! The newest version signs, every version verifies; an old one may leave the settings when no key uses it any more.
//! The crate reads no environment: the server passes the settings in.

use std::collections::BTreeMap;
use std::fmt;

use ring::hmac;

use crate::Secret;

/// Shorter peppers could be searched for by someone who holds the table and one key.
pub const MIN_PEPPER_BYTES: usize = 16;

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PepperFault {
    /// There is none.
    #[error("no pepper is set: API_KEY_PEPPER_V1 needs at least {MIN_PEPPER_BYTES} random bytes")]
    None,
    /// One is too short.
    #[error("API_KEY_PEPPER_V{0} is shorter than {MIN_PEPPER_BYTES} bytes")]
    TooShort(i16),
    /// Versions start at 1.
    #[error("API_KEY_PEPPER_V{0}: versions start at 1")]
    BadVersion(i16),
}

/// The peppers by version.
#[derive(Clone)]
pub struct Peppers(BTreeMap<i16, hmac::Key>);

impl Peppers {
    /// Checks and prepares the peppers; there must be at least one.
    pub fn new(versions: BTreeMap<i16, Secret>) -> Result<Self, PepperFault> {
        if versions.is_empty() {
            return Err(PepperFault::None);
        }
        let mut keys = BTreeMap::new();
        for (version, secret) in versions {
            if version < 1 {
                return Err(PepperFault::BadVersion(version));
            }
            if secret.reveal().len() < MIN_PEPPER_BYTES {
                return Err(PepperFault::TooShort(version));
            }
            keys.insert(version, hmac::Key::new(hmac::HMAC_SHA256, secret.reveal()));
        }
        Ok(Self(keys))
    }

    /// The versions at hand, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = i16> {
        self.0.keys().copied()
    }

    pub(crate) fn newest(&self) -> (i16, &hmac::Key) {
        let (version, key) = self.0.last_key_value().expect("`new` refuses an empty map");
        (*version, key)
    }

    pub(crate) fn get(&self, version: i16) -> Option<&hmac::Key> {
        self.0.get(&version)
    }
}

impl fmt::Debug for Peppers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Peppers").field(&self.0.keys().collect::<Vec<_>>()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_signs_and_a_weak_setting_is_refused() {
        let long = || Secret::new("0123456789abcdef");
        let peppers = Peppers::new(BTreeMap::from([(2, long()), (1, long())])).expect("both are long enough");
        assert_eq!(peppers.newest().0, 2);
        assert!(peppers.get(1).is_some() && peppers.get(3).is_none());
        assert_eq!(Peppers::new(BTreeMap::new()).err(), Some(PepperFault::None));
        assert_eq!(
            Peppers::new(BTreeMap::from([(1, Secret::new("short"))])).err(),
            Some(PepperFault::TooShort(1))
        );
        assert_eq!(Peppers::new(BTreeMap::from([(0, long())])).err(), Some(PepperFault::BadVersion(0)));
    }
}
