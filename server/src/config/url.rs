//! Addresses: checked when the process starts, so that a typo is a sentence now and not a time-out at night.
//!
//! A message about an address never repeats it: a password may stand in it.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// An `http` or `https` address without credentials, query and trailing slash: paths are appended to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl(String);

impl HttpUrl {
    /// The address, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Does it end where it begins, with no path?
    pub fn is_origin(&self) -> bool {
        self.0.matches('/').count() == 2
    }

    /// May a sign-in happen here: `https`, or a page of this very machine? Wallets and cookies demand it.
    pub fn is_secure_context(&self) -> bool {
        self.0.starts_with("https://") || self.is_loopback()
    }

    /// Does it name this very machine?
    pub fn is_loopback(&self) -> bool {
        let host = parts(&self.0).map(|parts| parts.host).unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.ends_with(".localhost")
            || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    }
}

impl FromStr for HttpUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = check(text, &["http", "https"])?;
        if parts.has_credentials {
            return Err(BadUrl::Credentials);
        }
        if text.contains(['?', '#']) {
            return Err(BadUrl::Query);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// Why an address is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// There is no `scheme://`.
    #[error("is not an address: it has no scheme such as {0}://")]
    NoScheme(&'static str),
    /// The scheme is another one.
    #[error("has a scheme that does not fit; {0} would")]
    Scheme(String),
    /// Nothing stands between `//` and the path.
    #[error("names no host")]
    NoHost,
    /// The port is no number from 1 to 65535, or a blank stands in the address.
    #[error("cannot be read as an address (look at the port, and for blanks)")]
    Malformed,
    /// A user name or password stands in an address that is shown in logs.
    #[error("holds a user name or password, and this address is shown in logs")]
    Credentials,
    /// Paths are appended to this address, so it cannot end with a query.
    #[error("may not hold a query or a fragment")]
    Query,
}

/// The parts of an address that can be checked without a network.
pub(super) struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    has_credentials: bool,
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (has_credentials, place) =
        authority.rsplit_once('@').map_or((false, authority), |(_, place)| (true, place));
    let port_at = place.rfind(':').filter(|at| !place[*at..].contains(']'));
    let host = port_at.map_or(place, |at| &place[..at]);
    Some(Parts { scheme, host, has_credentials })
}

/// Checks scheme, host and port.
pub(super) fn check<'a>(text: &'a str, schemes: &[&'static str]) -> Result<Parts<'a>, BadUrl> {
    let parts = parts(text).ok_or(BadUrl::NoScheme(schemes[0]))?;
    if !schemes.contains(&parts.scheme) {
        return Err(BadUrl::Scheme(schemes.join(" or ")));
    }
    if parts.host.is_empty() {
        return Err(BadUrl::NoHost);
    }
    let rest = &text[parts.scheme.len() + 3..];
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    let port = place[parts.host.len()..].strip_prefix(':');
    let port_is_bad = port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0));
    let blank = |character: char| character.is_whitespace() || character.is_control();
    let brackets = parts.host.starts_with('[') != parts.host.ends_with(']');
    if port_is_bad || brackets || text.contains(blank) { Err(BadUrl::Malformed) } else { Ok(parts) }
}

/// The address under which this machine reaches a listener: an unspecified address is reached through loopback.
pub fn local_url(listener: SocketAddr) -> String {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listener.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_address_is_kept_without_its_last_slash() {
        for (text, kept) in [
            ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000/", "http://[::1]:3000"),
            ("http://ollama.internal:11434/v1", "http://ollama.internal:11434/v1"),
        ] {
            assert_eq!(text.parse::<HttpUrl>().expect(text).as_str(), kept);
        }
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said_without_repeating_it() {
        for (text, why) in [
            ("api.openai.com", BadUrl::NoScheme("http")),
            ("ftp://example.org", BadUrl::Scheme("http or https".into())),
            ("http://", BadUrl::NoHost),
            ("http://:3000", BadUrl::NoHost),
            ("http://example.org:99999", BadUrl::Malformed),
            ("http://example.org:0", BadUrl::Malformed),
            ("http://exa mple.org", BadUrl::Malformed),
            ("http://[::1", BadUrl::Malformed),
            ("https://me:hunter2@example.org", BadUrl::Credentials),
            ("https://example.org/v1?key=hunter2", BadUrl::Query),
        ] {
            let refused = text.parse::<HttpUrl>().expect_err(text);
            assert_eq!(refused, why, "{text}");
            assert!(!refused.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn only_https_and_this_machine_are_a_secure_context() {
        for (text, secure) in [
            ("https://agents.example.org", true),
            ("http://127.0.0.1:3000", true),
            ("http://localhost:3000", true),
            ("http://[::1]:3000", true),
            ("http://agents.example.org", false),
            ("http://192.168.1.4:3000", false),
        ] {
            assert_eq!(text.parse::<HttpUrl>().expect(text).is_secure_context(), secure, "{text}");
        }
    }

    #[test]
    fn a_listener_on_every_address_is_reached_through_loopback() {
        assert_eq!(local_url("0.0.0.0:3000".parse().expect("an address")), "http://127.0.0.1:3000");
        assert_eq!(local_url("[::]:3000".parse().expect("an address")), "http://[::1]:3000");
        assert_eq!(local_url("10.0.0.5:80".parse().expect("an address")), "http://10.0.0.5:80");
    }
}
