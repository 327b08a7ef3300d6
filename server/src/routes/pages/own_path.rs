//! Where a form or the sign-in leads back to: a path on our own site, or nowhere.
//!
//! A browser reads `//host`, `/\host` and what hides one of them behind escapes, dots or control characters in ways of
//! its own. So this is a list of what may be, letter by letter, and what a path of ours has no need of is refused.

use super::super::limits;

/// The text itself when it is a path of ours, with or without a query.
pub(crate) fn of(text: &str) -> Option<&str> {
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let is_segment = |segment: &str| {
        !segment.is_empty() && segment != "." && segment != ".." && escapes_are_plain(segment)
    };
    let mut segments = path.strip_prefix('/')?.split('/').peekable();
    let mut is_whole = true;
    while let Some(segment) = segments.next() {
        // The last one may be empty: "/" and "/docs/".
        is_whole &= is_segment(segment) || (segment.is_empty() && segments.peek().is_none());
    }
    let is_plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#<>\"`".contains(&byte));
    (is_whole && text.len() <= limits::BACK_BYTES && is_plain(path) && is_plain(query)).then_some(text)
}

/// Whether no escape in a segment stands for something that could end it: a slash of either kind, a dot, a control
/// character, or another escape.
fn escapes_are_plain(segment: &str) -> bool {
    segment.split('%').skip(1).all(|rest| {
        let byte = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| byte >= b' ' && byte != 0x7f && !b"/\\.%".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_ours_is_taken_as_it_is() {
        for path in [
            "/",
            "/docs",
            "/docs/",
            "/docs/api?x=1",
            "/chat/a/7",
            "/a%20b",
            "/a?to=//b&c=%2F%5C",
            "/.well-known/x",
            "/é",
        ]
        .into_iter()
        .filter(|path| path.is_ascii())
        {
            assert_eq!(of(path), Some(path));
        }
    }

    #[test]
    fn what_a_browser_could_read_as_another_site_is_refused() {
        let long = format!("/{}", "x".repeat(limits::BACK_BYTES));
        for path in [
            "",
            "docs",
            "?x",
            "#x",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r\n/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/ /evil.example",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "http:/evil.example",
            "/%2f/evil.example",
            "/%2Fevil.example",
            "/%5cevil.example",
            "/%5C%5Cevil.example",
            "%2f%2fevil.example",
            "/%2e%2e//evil.example",
            "/%252fevil.example",
            "/%09/evil.example",
            "/%0d%0aset-cookie:x",
            "/%00/evil.example",
            "/%zz",
            "/%2",
            "/%+2",
            "/./evil.example",
            "/../evil.example",
            "/..//evil.example",
            "/docs/..//evil.example",
            "/docs//evil.example",
            "/docs/../..",
            "/é",
            "/\u{ff0f}evil.example",
            "/\u{2215}evil.example",
            "/a\u{0}",
            "/a\u{7f}",
            "/a#//b",
            "/a?b\\c",
            "/a?\r\nb",
            "/\"><script>",
            &long,
        ] {
            assert_eq!(of(path), None, "{path:?}");
        }
    }
}
