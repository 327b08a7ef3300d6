//! Our two cookies: the session, and the name that a browser has before it signs in.
//!
//! Over https they are `__Host-`: bound to this very host, never sent in the clear, and no neighbour can plant them. On
//! plain http, which is this machine's own, browsers refuse such names, so they go without. No page script sees either.

use axum::http::HeaderMap;
use axum::http::header::{COOKIE, HeaderValue};

use super::origins::Origins;

/// One of our cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The session's token.
    Session,
    /// What ties a nonce to the browser that asked for it.
    Browser,
}

impl Cookie {
    fn name(self, origins: &Origins) -> &'static str {
        match (self, origins.is_https()) {
            (Self::Session, true) => "__Host-freeside",
            (Self::Session, false) => "freeside",
            (Self::Browser, true) => "__Host-freeside-browser",
            (Self::Browser, false) => "freeside-browser",
        }
    }

    /// Its value. One that comes twice is not believed: the second was planted.
    pub(crate) fn read(self, origins: &Origins, headers: &HeaderMap) -> Option<String> {
        let name = self.name(origins);
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut found = lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter_map(|(key, value)| (key == name && !value.is_empty()).then_some(value));
        let first = found.next()?;
        found.next().is_none().then(|| first.to_owned())
    }

    /// Whether the browser sent it, once or more often.
    pub(crate) fn is_in(self, origins: &Origins, headers: &HeaderMap) -> bool {
        let name = self.name(origins);
        let lines = headers.get_all(COOKIE).iter();
        lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).any(|pair| {
            let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
            key.trim_ascii() == name.as_bytes()
        })
    }

    /// The line that sets it for so many seconds; 0 takes it away. `value` is our own: letters, digits, `-_.`.
    pub(crate) fn set(self, origins: &Origins, value: &str, max_age_s: i64) -> HeaderValue {
        let name = self.name(origins);
        let secure = if origins.is_https() { "; Secure" } else { "" };
        let line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_s}{secure}");
        let mut line = HeaderValue::from_str(&line).expect("our own value is plain text");
        line.set_sensitive(true);
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_https_a_cookie_belongs_to_this_host_alone() {
        let origins = Origins::of("https://agents.example.org");
        let line = Cookie::Session.set(&origins, "a.b.c", 3_600);
        assert_eq!(
            line.to_str().expect("text"),
            "__Host-freeside=a.b.c; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600; Secure"
        );
        let local = Cookie::Session.set(&Origins::of("http://127.0.0.1:3000"), "", 0);
        assert_eq!(local.to_str().expect("text"), "freeside=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
        assert!(!format!("{line:?}").contains("a.b.c"));
    }

    #[test]
    fn a_cookie_is_found_among_others_and_a_second_one_spoils_it() {
        let origins = Origins::of("https://agents.example.org");
        let read = |lines: &[&str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_str(line).expect("a header"));
            }
            (Cookie::Session.read(&origins, &headers), Cookie::Session.is_in(&origins, &headers))
        };
        assert_eq!(read(&["theme=dark; __Host-freeside=x.y.z"]), (Some("x.y.z".to_owned()), true));
        assert_eq!(read(&["theme=dark", "__Host-freeside=x"]), (Some("x".to_owned()), true));
        assert_eq!(read(&["__Host-freeside=x; __Host-freeside=y"]), (None, true));
        assert_eq!(read(&["__Host-freeside="]), (None, true));
        assert_eq!(read(&["freeside=x; __Host-freeside-browser=y; x__Host-freeside=z"]), (None, false));
        assert_eq!(read(&[]), (None, false));
    }
}
