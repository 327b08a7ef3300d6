//! Secrets that cannot be printed by accident.
//!
//! Neither type can be formatted, serialised or compared; whoever needs the content says `reveal`, which is easy to
//! search for. The bytes are overwritten when they are dropped: a best effort, since the compiler may have copied them.

use std::fmt;

/// A secret from the settings: a pepper, a provider's key. Prints as `[secret]`.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the secret over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The content.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// The content as text; `None` when it is not UTF-8.
    pub fn reveal_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// A new API key's text, shown to its owner once and stored nowhere.
pub struct ShownOnce(Vec<u8>);

impl ShownOnce {
    pub(crate) fn new(text: String) -> Self {
        Self(text.into_bytes())
    }

    /// The key, for the one answer that shows it.
    pub fn reveal(&self) -> &str {
        std::str::from_utf8(&self.0).expect("made from a String")
    }
}

impl fmt::Debug for ShownOnce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl Drop for ShownOnce {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    // Without this the compiler may leave out writes to memory that is about to be freed.
    std::hint::black_box(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_a_placeholder_and_reveals_on_request() {
        let secret = Secret::new("hunter2");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", ShownOnce::new("hunter2".into())),
            "[secret] [secret] [secret]"
        );
        assert_eq!(secret.reveal_str(), Some("hunter2"));
        assert_eq!(Secret::new(vec![0xff]).reveal_str(), None);
    }
}
