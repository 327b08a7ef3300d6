//! A text that must never be shown.
//!
//! It has no `Display` and no `Serialize`, and its `Debug` prints a fixed word, so that a log line, an error or a
//! printed configuration cannot leak it by accident. Whoever needs the text says so: [`Secret::reveal`].

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for the one place that uses it, never for a message.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&Secret> for identity::Secret {
    fn from(secret: &Secret) -> Self {
        Self::new(secret.reveal())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(
            format!("{:?} {:#?}", Secret::new("hunter2"), Some(Secret::new("hunter2"))),
            "[secret] Some(\n    [secret],\n)"
        );
    }
}
