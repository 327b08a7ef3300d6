//! Which addresses of pictures may be sent to a model's provider.
//!
//! The provider fetches an `https:` address from its own network, so an address must never name a private place: no IP
//! literal, no name of a local network, no user data. `data:` addresses carry the picture and fetch nothing.
//! Deliberately absent: asking DNS. What a public name points at is decided when the provider asks, not here.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Longer `https:` addresses are no addresses of pictures.
const MAX_HTTPS_BYTES: usize = 4096;

/// Last labels of names that mean something on a local network only.
const LOCAL_ENDINGS: [&str; 12] = [
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "onion",
    "private",
];
/// Public names that answer with whatever address is written in them, or with the loopback address.
const ECHO_DOMAINS: [&str; 5] = ["nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me"];

/// How a picture is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageUrl {
    /// `data:image/…;base64,…`.
    Data,
    /// `https://…`.
    Https,
}

/// Judges an address; the error says what would be right, and does not quote.
pub fn check(url: &str) -> Result<ImageUrl, &'static str> {
    if let Some(data) = url.strip_prefix("data:") {
        return if is_image_data(data) {
            Ok(ImageUrl::Data)
        } else {
            Err("A data URL has to be \"data:image/…;base64,\" and base64.")
        };
    }
    let Some(rest) = url.strip_prefix("https://") else {
        return Err("A picture needs an https URL of a public host, or a data URL.");
    };
    if url.len() > MAX_HTTPS_BYTES || !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err("An https URL has to be plain ASCII of at most 4096 bytes.");
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let is_port = (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit());
    if is_port && is_public_name(&host.to_ascii_lowercase()) {
        Ok(ImageUrl::Https)
    } else {
        Err("The host has to be a public name: no IP address, no local name, no user data.")
    }
}

fn is_image_data(data: &str) -> bool {
    let Some((kind, payload)) = data.split_once(";base64,") else { return false };
    let Some(subtype) = kind.strip_prefix("image/") else { return false };
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'+');
    // An SVG is a document that may fetch others.
    let is_picture = !subtype.is_empty() && subtype.bytes().all(is_word) && !subtype.starts_with("svg");
    let is_base64 =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    is_picture && !payload.is_empty() && payload.bytes().all(is_base64)
}

fn is_public_name(host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let Some(last) = labels.last() else { return false };
    // `127.1`, `0x7f.1` and the like are addresses too: a name whose last label is a number is one.
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    let is_echo = |domain: &str| {
        host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    labels.len() >= 2
        && host.len() <= 253
        && labels.iter().all(is_label)
        && !is_number
        && !LOCAL_ENDINGS.contains(last)
        && !ECHO_DOMAINS.iter().any(|domain| is_echo(domain))
}

/// The addresses of the pictures in a message's content (OpenAI's parts); one that is no text reads as an empty one.
#[must_use]
pub fn of_content(content: &RawValue) -> Vec<String> {
    #[derive(Deserialize)]
    struct Part {
        #[serde(rename = "type")]
        kind: String,
        image_url: Option<Address>,
    }
    #[derive(Deserialize)]
    struct Address {
        url: String,
    }
    if !content.get().starts_with('[') {
        return Vec::new();
    }
    let parts: Vec<&RawValue> = serde_json::from_str(content.get()).unwrap_or_default();
    let is_picture = |part: &&&RawValue| part.get().contains("image_url");
    let read = |part: &&RawValue| serde_json::from_str::<Part>(part.get());
    let pictures = parts.iter().filter(is_picture).filter_map(|part| match read(part) {
        Ok(Part { kind, .. }) if kind != "image_url" => None,
        Ok(Part { image_url, .. }) => Some(image_url.map_or_else(String::new, |address| address.url)),
        Err(_) => Some(String::new()),
    });
    pictures.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_https_and_picture_data_pass() {
        for url in [
            "https://pictures.example/x.png",
            "https://a.b.co:8443/?q=1#f",
            "https://xn--bcher-kva.example/x",
        ] {
            assert_eq!(check(url), Ok(ImageUrl::Https), "{url}");
        }
        for url in ["data:image/png;base64,AAAA", "data:image/jpeg;base64,/9j-_+=="] {
            assert_eq!(check(url), Ok(ImageUrl::Data), "{url}");
        }
    }

    #[test]
    fn nothing_private_and_no_other_scheme_passes() {
        for url in [
            "",
            "x",
            "http://pictures.example/x.png",
            "file:///etc/passwd",
            "ftp://a.example/x",
            "HTTPS://a.example/x",
            "https://169.254.169.254/latest",
            "https://127.0.0.1/x",
            "https://127.1/x",
            "https://0x7f.1/x",
            "https://0x7f000001/x",
            "https://2130706433/x",
            "https://[::1]/x",
            "https://[fd00::1]:443/x",
            "https://localhost/x",
            "https://localhost./x",
            "https://a.localhost/x",
            "https://printer.local/x",
            "https://metadata.google.internal/x",
            "https://intranet/x",
            "https://router.lan/x",
            "https://x.home.arpa/",
            "https://user@a.example/x",
            "https://a.example@127.0.0.1/x",
            "https://user:pass@a.example/x",
            "https://a.example\\@127.0.0.1/x",
            "https://127.0.0.1.nip.io/x",
            "https://nip.io/",
            "https://lvh.me/x",
            "https:///x",
            "https://.example/x",
            "https://a..example/x",
            "https://a.example./x",
            "https://-a.example/x",
            "https://a.example:99999999/x",
            "https://a.example:/x",
            "https://a%2eexample/x",
            "https://ⓛocalhost.com/x",
            "https://a.example/ x",
            "https://a.example/\n",
            "https://1.2.3.4%00.example/x",
            "https:a.example",
            "data:text/html;base64,AAAA",
            "data:image/png,AAAA",
            "data:image/svg+xml;base64,AAAA",
            "data:image/png;base64,",
            "data:image/png;base64,<svg>",
            "data:image/;base64,AAAA",
            "data:;base64,AAAA",
        ] {
            assert!(check(url).is_err(), "{url}");
        }
        assert!(check(&format!("https://a.example/{}", "x".repeat(MAX_HTTPS_BYTES))).is_err());
    }

    #[test]
    fn pictures_are_found_among_the_parts() {
        let of = |content: &str| of_content(&RawValue::from_string(content.to_owned()).expect("JSON"));
        assert!(of("\"image_url\"").is_empty());
        assert!(of(r#"[{"type":"text","text":"an image_url"}]"#).is_empty());
        let parts =
            r#"[{"type":"image_url","image_url":{"url":"data:x"}},{"type":"image_url","image_url":"y"}]"#;
        assert_eq!(of(parts), ["data:x", ""]);
    }
}
