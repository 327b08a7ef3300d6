//! Where a link may go.

use alloc::borrow::ToOwned as _;
use alloc::string::String;

use crate::words::is_of_word;

/// The longest address that becomes a link, in bytes: browsers and servers agree on about this much.
const MAX_HREF: usize = 2048;

/// An address that is safe to click: http, https or mailto, without spaces, control characters or quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Href(String);

impl Href {
    /// The address, if it is one that we link to.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain =
            |c: char| !(c.is_control() || c.is_whitespace() || "<>\"'`\\{}|^".contains(c) || is_hidden(c));
        if text.len() > MAX_HREF || !text.chars().all(is_plain) {
            return None;
        }
        let has_host = |rest: &str| rest.starts_with(|c: char| is_of_word(c) || c == '[');
        let lower = text.get(..8.min(text.floor_char_boundary(8)))?.to_ascii_lowercase();
        let is_allowed = if lower.starts_with("https://") {
            has_host(&text[8..])
        } else if lower.starts_with("http://") {
            has_host(&text[7..])
        } else {
            lower.starts_with("mailto:") && has_host(&text[7..])
        };
        is_allowed.then(|| Self(text.to_owned()))
    }

    /// As it goes into `href`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that change how their neighbours are read and are not seen themselves.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn only_the_web_and_mail_are_linked() {
        for good in ["https://a.example/x?y=1#z", "HTTP://A.example", "mailto:me@a.example", "https://[::1]/"]
        {
            assert!(Href::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\nscript:alert(1)",
            " https://a.example",
            "https://a.example/ x",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "//a.example",
            "/relative",
            "https://",
            "https:///a",
            "http:\\\\a",
            "https://a.example/\u{202e}moc",
            "blob:https://a.example",
        ] {
            assert!(Href::parse(bad).is_none(), "{bad}");
        }
        assert!(Href::parse(&format!("https://{}", "a".repeat(MAX_HREF))).is_none());
    }
}
