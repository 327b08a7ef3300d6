//! An origin, as a browser writes it and as a policy can name it.
//!
//! What always holds: two origins are the same when their letters are. A browser writes scheme and host in small letters,
//! other alphabets as `xn--…`, no default port, no slash: whatever is written otherwise would never equal what the
//! browser says, and is refused with the spelling that would. Deliberately absent: wildcards; addresses other than
//! `127.0.0.1` and any in brackets, which `frame-ancestors` cannot name in every browser.

use std::fmt;

/// A host's name in all, and one of its parts: DNS's own bounds.
const HOST_BYTES_AT_MOST: usize = 253;
const LABEL_BYTES_AT_MOST: usize = 63;

/// Scheme, host and port of pages, such as `https://shop.example` or `http://localhost:5173`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

/// Why a text is no origin that a frame may be held by. Each says what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginFault {
    /// Neither `http://` nor `https://`.
    #[error(
        "an origin begins with https://, or on your own machine with http://, as in https://shop.example"
    )]
    Scheme,
    /// A `*`.
    #[error("a wildcard is no origin: name each one, as in https://www.shop.example")]
    Wildcard,
    /// A path, a query, a fragment, a user, or a slash at the end.
    #[error("an origin ends with its host or port: leave out what stands behind it, the last slash too")]
    More,
    /// Not a host's name as browsers write it.
    #[error(
        "a browser writes a host in small Latin letters, digits, hyphens and dots; other alphabets begin with xn--"
    )]
    Host,
    /// An address instead of a name.
    #[error(
        "a frame's policy cannot name this address in every browser: use a host's name, or 127.0.0.1 on your own machine"
    )]
    Address,
    /// Not a port, or one that browsers leave out.
    #[error("a port is a number from 1 to 65535, and a browser leaves out 443 for https and 80 for http")]
    Port,
    /// `http` elsewhere than on this machine.
    #[error(
        "pages elsewhere have to come by https: on plain http anybody on the way could put words into them"
    )]
    NotSecure,
}

impl Origin {
    /// Takes an origin as a browser writes it, with https or on one's own machine.
    pub fn parse(text: &str) -> Result<Self, OriginFault> {
        let origin = Self::written(text)?;
        if origin.0.starts_with("https://") || origin.is_this_machine() {
            Ok(origin)
        } else {
            Err(OriginFault::NotSecure)
        }
    }

    /// Takes what a browser may have written, on plain http too: good for telling a page why it may not hold a frame.
    pub fn written(text: &str) -> Result<Self, OriginFault> {
        let (scheme, rest) = text.split_once("://").ok_or(OriginFault::Scheme)?;
        let usual_port = match scheme {
            "https" => "443",
            "http" => "80",
            _ => return Err(OriginFault::Scheme),
        };
        if rest.contains('*') {
            return Err(OriginFault::Wildcard);
        }
        if rest.contains(['/', '?', '#', '@', '\\']) {
            return Err(OriginFault::More);
        }
        if rest.starts_with('[') {
            return Err(OriginFault::Address);
        }
        let (host, port) = match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        };
        check_host(host)?;
        if let Some(port) = port {
            let is_plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
            let is_port = is_plain && port.parse::<u16>().is_ok();
            if !is_port || port == usual_port {
                return Err(OriginFault::Port);
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// As the browser writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is on the visitor's own machine, whatever the network says.
    #[must_use]
    pub fn is_this_machine(&self) -> bool {
        let host = self.host();
        host == "127.0.0.1" || host == "localhost" || host.ends_with(".localhost")
    }

    fn host(&self) -> &str {
        let place = self.0.split_once("://").map_or("", |(_, place)| place);
        place.split(':').next().unwrap_or_default()
    }
}

fn check_host(host: &str) -> Result<(), OriginFault> {
    if host.is_empty() || host.len() > HOST_BYTES_AT_MOST {
        return Err(OriginFault::Host);
    }
    for label in host.split('.') {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = label.as_bytes();
        let ends =
            [bytes.first(), bytes.last()].into_iter().all(|byte| byte.is_some_and(|byte| is_plain(*byte)));
        let is_sound = ends && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-');
        if !is_sound || bytes.len() > LABEL_BYTES_AT_MOST {
            return Err(OriginFault::Host);
        }
    }
    // Browsers read a host whose last part is a number, in any base, as an address of four bytes.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_number && host != "127.0.0.1" { Err(OriginFault::Address) } else { Ok(()) }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_as_a_browser_writes_it() {
        for text in [
            "https://shop.example",
            "https://shop.example:8443",
            "https://www.shop.example",
            "https://xn--bcher-kva.example",
            "https://a-b.c3.example",
            "https://intranet",
            "https://shop.example:80",
            "http://localhost",
            "http://localhost:5173",
            "http://app.localhost:3000",
            "http://127.0.0.1:8080",
            "https://127.0.0.1",
        ] {
            assert_eq!(Origin::parse(text).map(|origin| origin.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn seventy_other_spellings_are_none() {
        let long = format!("https://{}.example", "a".repeat(64));
        let longer = format!("https://{}example", "a.".repeat(130));
        let spellings = [
            "",
            " ",
            "null",
            "*",
            "shop.example",
            "//shop.example",
            "https:shop.example",
            "https:/shop.example",
            "https://",
            "https:///",
            "https://.",
            "https://..",
            "https://*",
            "https://*.shop.example",
            "https://shop.*",
            "https://shop.example:*",
            "*://shop.example",
            "http://*.localhost",
            "https://shop.example/",
            "https://shop.example//",
            "https://shop.example/chat",
            "https://shop.example?",
            "https://shop.example#",
            "https://shop.example?a",
            "https://shop.example\\",
            "https://shop.example.",
            "https://.shop.example",
            "https://shop..example",
            "https://-shop.example",
            "https://shop-.example",
            "https://shop_1.example",
            "https://Shop.example",
            "HTTPS://shop.example",
            "Https://shop.example",
            "https://SHOP.EXAMPLE",
            "https://bücher.example",
            "https://shop.example:",
            "https://shop.example:0",
            "https://shop.example:443",
            "http://localhost:80",
            "https://shop.example:0443",
            "https://shop.example:65536",
            "https://shop.example:99999",
            "https://shop.example:+1",
            "https://shop.example:1:2",
            "https://shop.example:a",
            "https://shop.example: 1",
            "https://a@shop.example",
            "https://a:b@shop.example",
            "https://@shop.example",
            "https://shop.example@evil.example",
            "https://shop.example,https://evil.example",
            "https://shop.example https://evil.example",
            "https://shop.example;",
            "https://shop.example; script-src *",
            "https://shop.example'",
            "https://'self'",
            "https://shop.example\"",
            "https://shop.example\n",
            "https://shop.example\r\nx: y",
            "https://shop.example\t",
            " https://shop.example",
            "https://shop.example ",
            "https://shop.example\0",
            "https://shop.example%20",
            "https://shop%2eexample",
            "https://shop.example%00.evil.example",
            "https://<b>",
            "http://shop.example",
            "http://shop.example:8080",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://127.0.0.2",
            "https://192.0.2.7",
            "https://1.2.3",
            "https://2130706433",
            "https://0x7f000001",
            "https://shop.0x7f",
            "https://127.1",
            "https://[::1]",
            "http://[::1]:3000",
            "https://[2001:db8::1]",
            "ws://shop.example",
            "wss://shop.example",
            "ftp://shop.example",
            "file://",
            "data:text/html,x",
            "javascript:alert(1)",
            "blob:https://shop.example",
            "chrome-extension://abcdefgh",
            "about:blank",
            long.as_str(),
            longer.as_str(),
        ];
        assert!(spellings.len() >= 70);
        for text in spellings {
            assert!(Origin::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        for (text, fault) in [
            ("shop.example", OriginFault::Scheme),
            ("https://*.shop.example", OriginFault::Wildcard),
            ("https://shop.example/", OriginFault::More),
            ("https://Shop.example", OriginFault::Host),
            ("https://192.0.2.7", OriginFault::Address),
            ("https://shop.example:443", OriginFault::Port),
            ("http://shop.example", OriginFault::NotSecure),
        ] {
            assert_eq!(Origin::parse(text), Err(fault), "{text}");
        }
        assert!(Origin::written("http://shop.example").is_ok_and(|origin| !origin.is_this_machine()));
        assert!(Origin::written("http://localhost:3000").is_ok_and(|origin| origin.is_this_machine()));
        assert!(Origin::parse("https://localhost.example").is_ok_and(|origin| !origin.is_this_machine()));
    }
}
