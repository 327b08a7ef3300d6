//! Whose page opens a socket: an exact list of our own origins (SPEC §8, §13).
//!
//! A browser writes an origin in exactly one way: scheme, host and port in lower case, without a slash, and without the
//! port that the scheme implies. So origins are compared byte by byte and never parsed: what is spelled another way is
//! somebody else. No origin at all is refused too; a program that means to connect can say whose page it stands for.

use axum::http::HeaderMap;
use axum::http::header::ORIGIN;

/// Our own origins.
#[derive(Clone, Debug)]
pub(crate) struct Origins(Vec<String>);

impl Origins {
    /// The origin of the address under which people reach this server.
    pub(crate) fn of(public_url: &str) -> Self {
        Self(origin_of(public_url).into_iter().collect())
    }

    /// Whether a request comes from a page of ours.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(ORIGIN).iter();
        match (given.next(), given.next()) {
            (Some(one), None) => self.0.iter().any(|own| own.as_bytes() == one.as_bytes()),
            _ => false,
        }
    }
}

/// An address's origin as a browser writes it; `None` for what is no web address.
fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let implied = match scheme.as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].to_ascii_lowercase();
    if host.is_empty() || host.contains('@') {
        return None;
    }
    let host = host.strip_suffix(implied).unwrap_or(&host);
    Some(format!("{scheme}://{host}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// Every way to look like `https://freeside.example` without being it. The first one is it.
    pub(crate) const SPELLINGS: [&str; 72] = [
        "https://freeside.example",
        "http://freeside.example",
        "https://freeside.example/",
        "https://freeside.example//",
        "https://freeside.example/chat",
        "https://freeside.example?",
        "https://freeside.example#",
        "https://freeside.example.",
        "https://freeside.example:443",
        "https://freeside.example:443/",
        "https://freeside.example:80",
        "https://freeside.example:8443",
        "https://freeside.example:",
        "https://freeside.example:0443",
        "https://freeside.example:65979",
        "HTTPS://freeside.example",
        "Https://freeside.example",
        "https://FREESIDE.example",
        "https://Freeside.Example",
        "https://freeside.EXAMPLE",
        "https:/freeside.example",
        "https:freeside.example",
        "https:///freeside.example",
        "https:\\\\freeside.example",
        "https://\\freeside.example",
        "//freeside.example",
        "freeside.example",
        "www.freeside.example",
        "https://www.freeside.example",
        "https://api.freeside.example",
        "https://evil.freeside.example",
        "https://freeside.example.evil.test",
        "https://freeside.example-evil.test",
        "https://freeside.examples",
        "https://freeside.exampl",
        "https://reeside.example",
        "https://xfreeside.example",
        "https://evilfreeside.example",
        "https://evil.test/https://freeside.example",
        "https://evil.test?https://freeside.example",
        "https://evil.test#https://freeside.example",
        "https://evil.test\\@freeside.example",
        "https://evil.test@freeside.example",
        "https://freeside.example@evil.test",
        "https://freeside.example:pw@evil.test",
        "https://user@freeside.example",
        "https://user:pw@freeside.example",
        "https://@freeside.example",
        "https://freeside.example,https://evil.test",
        "https://evil.test,https://freeside.example",
        "https://freeside.example https://evil.test",
        "https://evil.test https://freeside.example",
        "https://freeside.example;",
        "https://freeside.example%00",
        "https://freeside.example%2F",
        "https://freeside%2Eexample",
        "https://freeside.example%20",
        "https://free%73ide.example",
        "https://freeside\u{3002}example",
        "https://fr\u{435}eside.example",
        "https://freesid\u{e9}.example",
        "https://\u{ff46}reeside.example",
        "https://freeside.example\t",
        "wss://freeside.example",
        "ws://freeside.example",
        "file://freeside.example",
        "file://",
        "null",
        "undefined",
        "*",
        "https://*",
        "about:blank",
    ];

    fn asks(origins: &Origins, given: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for origin in given {
            headers.append(ORIGIN, HeaderValue::from_bytes(origin.as_bytes()).expect("HTTP can carry it"));
        }
        origins.allow(&headers)
    }

    #[test]
    fn one_spelling_of_seventy_two_gets_through() {
        let origins = Origins::of("https://freeside.example");
        let through: Vec<&str> =
            SPELLINGS.into_iter().filter(|spelling| asks(&origins, &[spelling])).collect();
        assert_eq!(through, ["https://freeside.example"]);
        assert!(!asks(&origins, &[]), "no origin is nobody's");
        assert!(!asks(&origins, &[""]));
        assert!(
            !asks(&origins, &["https://freeside.example", "https://freeside.example"]),
            "twice is a trick"
        );
        assert!(!asks(&origins, &["https://evil.test", "https://freeside.example"]));
    }

    #[test]
    fn an_address_is_written_as_a_browser_writes_its_origin() {
        for (url, origin) in [
            ("https://freeside.example", Some("https://freeside.example")),
            ("https://Freeside.Example:443/app", Some("https://freeside.example")),
            ("http://127.0.0.1:3000", Some("http://127.0.0.1:3000")),
            ("http://127.0.0.1:80/", Some("http://127.0.0.1")),
            ("https://freeside.example:80", Some("https://freeside.example:80")),
            ("http://[::1]:3000", Some("http://[::1]:3000")),
            ("ftp://freeside.example", None),
            ("https://user@freeside.example", None),
            ("freeside.example", None),
            ("https://", None),
        ] {
            assert_eq!(origin_of(url).as_deref(), origin, "{url}");
        }
    }
}
