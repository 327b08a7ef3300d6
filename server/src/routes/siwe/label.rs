//! What a device is called in the list of sessions: browser and system, as far as its own words tell.

use axum::http::HeaderValue;

/// Words of a user agent and what they mean; the first that fits is meant, so those that imitate others come first.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
const SYSTEMS: [(&str, &str); 6] = [
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];
/// Of a program that is no browser, this much of its name.
const NAME_CHARACTERS: usize = 40;

pub(super) fn of(user_agent: Option<&HeaderValue>) -> String {
    let Some(text) = user_agent.and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty()) else {
        return "Unknown device".to_owned();
    };
    let find = |words: &[(&str, &'static str)]| {
        words.iter().find(|(word, _)| text.contains(word)).map(|(_, name)| *name)
    };
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => text.chars().take(NAME_CHARACTERS).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_as_its_owner_would() {
        let name = |text: &'static str| of(Some(&HeaderValue::from_static(text)));
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        assert_eq!(name(firefox), "Firefox on Linux");
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 \
                    Safari/537.36 Edg/126.0";
        assert_eq!(name(edge), "Edge on Windows");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1";
        assert_eq!(name(phone), "Safari on iPhone");
        assert_eq!(name("curl/8.5.0"), "curl/8.5.0");
        assert_eq!(of(None), "Unknown device");
    }
}
