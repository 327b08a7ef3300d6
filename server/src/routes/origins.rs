//! The origins that are our own, compared letter by letter.
//!
//! A browser writes an origin in one way: scheme and host in small letters, no default port, no slash. Whatever is
//! written otherwise did not come from a browser's own hand, and is not ours.

use axum::http::HeaderMap;
use axum::http::header::{HOST, HeaderName, HeaderValue, ORIGIN};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Our own origins: the public one, and on this machine its other names.
#[derive(Clone, Debug)]
pub(crate) struct Origins {
    own: Vec<String>,
    is_https: bool,
    is_local: bool,
}

/// What the headers say of the page that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Site {
    /// A page of ours.
    Own,
    /// Another page, or one that does not say.
    Foreign,
    /// No browser says anything: a program, or an old browser.
    Unsaid,
}

impl Origins {
    /// The origins of a server that users reach at `public_url`.
    pub(crate) fn of(public_url: &str) -> Self {
        let (scheme, rest) = public_url.split_once("://").unwrap_or(("http", public_url));
        let place = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
        let is_https = scheme == "https";
        let default_port = if is_https { ":443" } else { ":80" };
        let place = place.strip_suffix(default_port).unwrap_or(&place).to_owned();
        let port_at = place.rfind(':').filter(|at| !place[*at..].contains(']')).unwrap_or(place.len());
        let (host, port) = place.split_at(port_at);
        let local = ["127.0.0.1", "localhost", "[::1]"];
        let is_local = local.contains(&host);
        let mut own = vec![format!("{scheme}://{place}")];
        if is_local {
            own.extend(
                local.iter().filter(|name| **name != host).map(|name| format!("{scheme}://{name}{port}")),
            );
        }
        Self { own, is_https, is_local }
    }

    /// The one of ours that this text is.
    pub(crate) fn find(&self, origin: &str) -> Option<&str> {
        self.own.iter().map(String::as_str).find(|own| *own == origin)
    }

    /// Whether cookies may say `Secure`.
    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether we are reached on this machine alone.
    pub(crate) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Whether browsers let a page of ours sign: over https, or on this machine.
    pub(crate) fn may_sign_in(&self) -> bool {
        self.is_https || self.is_local
    }

    /// Our origin from which a request comes, as its `Origin` says. Two lines of it are none.
    pub(crate) fn named<'a>(&'a self, headers: &HeaderMap) -> Option<&'a str> {
        let mut lines = headers.get_all(ORIGIN).iter();
        let (first, second) = (lines.next()?, lines.next());
        self.find(first.to_str().ok()?).filter(|_| second.is_none())
    }

    /// Our origin from which a request comes, as its `Origin` says or, where a browser sends none, as it was addressed.
    pub(crate) fn addressed<'a>(&'a self, headers: &HeaderMap) -> Option<&'a str> {
        if headers.contains_key(ORIGIN) {
            return self.named(headers);
        }
        let host = headers.get(HOST)?.to_str().ok()?;
        let scheme = if self.is_https { "https" } else { "http" };
        self.find(&format!("{scheme}://{host}")).filter(|_| self.site(headers) != Site::Foreign)
    }

    /// Whether the request was addressed to one of our own names.
    pub(crate) fn are_asked(&self, headers: &HeaderMap) -> bool {
        let scheme = if self.is_https { "https" } else { "http" };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| self.find(&format!("{scheme}://{host}")).is_some())
    }

    /// Whose page asks.
    pub(crate) fn site(&self, headers: &HeaderMap) -> Site {
        if headers.contains_key(ORIGIN) {
            return if self.named(headers).is_some() { Site::Own } else { Site::Foreign };
        }
        match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
            // "none" is a person's own doing: an address typed, a bookmark.
            Some(b"same-origin" | b"none") => Site::Own,
            Some(_) => Site::Foreign,
            None => Site::Unsaid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_str(origin).expect("a header"));
        headers
    }

    #[test]
    fn an_origin_is_ours_to_the_letter() {
        let origins = Origins::of("https://Agents.example.org:443");
        assert_eq!(origins.find("https://agents.example.org"), Some("https://agents.example.org"));
        for spelling in [
            "https://agents.example.org/",
            "https://agents.example.org:443",
            "https://agents.example.org:8443",
            "https://agents.example.org.",
            "https://Agents.example.org",
            "HTTPS://agents.example.org",
            "http://agents.example.org",
            "https://agents.example.org.evil.example",
            "https://evil.example/https://agents.example.org",
            "https://evil.example#agents.example.org",
            "https://agents.example.org@evil.example",
            "https://agents.example.org%00.evil.example",
            "https://sub.agents.example.org",
            "https://example.org",
            "https://agents-example.org",
            " https://agents.example.org",
            "null",
            "*",
            "",
        ] {
            assert_eq!(origins.find(spelling), None, "{spelling}");
            if !spelling.starts_with(' ') {
                assert_eq!(origins.site(&asked(spelling)), Site::Foreign, "{spelling}");
            }
        }
        assert!(origins.is_https() && origins.may_sign_in());
        let mut twice = asked("https://agents.example.org");
        assert_eq!(origins.site(&twice), Site::Own);
        twice.append(ORIGIN, HeaderValue::from_static("https://agents.example.org"));
        assert_eq!(origins.site(&twice), Site::Foreign);
    }

    #[test]
    fn this_machine_has_three_names() {
        let origins = Origins::of("http://127.0.0.1:3000");
        for own in ["http://127.0.0.1:3000", "http://localhost:3000", "http://[::1]:3000"] {
            assert!(origins.find(own).is_some(), "{own}");
        }
        for other in ["http://localhost", "http://localhost:3001", "https://localhost:3000"] {
            assert!(origins.find(other).is_none(), "{other}");
        }
        assert!(!origins.is_https() && origins.may_sign_in());
        assert!(!Origins::of("http://agents.example.org").may_sign_in());
    }

    #[test]
    fn without_an_origin_the_browser_may_still_say_where_it_is() {
        let origins = Origins::of("http://localhost:3000");
        let mut headers = HeaderMap::new();
        assert_eq!((origins.site(&headers), origins.addressed(&headers)), (Site::Unsaid, None));
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:3000"));
        assert_eq!(origins.addressed(&headers), Some("http://127.0.0.1:3000"));
        for (said, site) in [("same-origin", Site::Own), ("none", Site::Own), ("same-site", Site::Foreign)] {
            headers.insert(SEC_FETCH_SITE, HeaderValue::from_static(said));
            assert_eq!(origins.site(&headers), site, "{said}");
        }
        assert_eq!(origins.addressed(&headers), None);
    }
}
