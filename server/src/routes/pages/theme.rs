//! The choice of light or dark: a form in the foot of each page, and a cookie that says no more than one word.

use std::sync::Arc;

use app::Theme;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, COOKIE, HeaderValue, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::super::App;
use super::super::exchange::text;
use super::{Reader, form, own_path};

/// The cookie's name.
const NAME: &str = "theme";
/// A year: a choice of colours is worth remembering and worth nothing to anybody else.
const SECONDS: u32 = 365 * 24 * 60 * 60;

/// The theme that a request's cookie asks for.
pub(crate) fn chosen(headers: &HeaderMap) -> Theme {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).and_then(|(_, word)| Theme::named(word)).unwrap_or_default()
}

/// `POST /theme`: keeps the choice and leads back to where it was made.
pub(crate) async fn choose(State(app): State<Arc<App>>, reader: Reader, request: Request) -> Response {
    let form = match form::read(&app, reader.asked(), request).await {
        Ok(form) => form,
        Err(shape) => return super::trouble(&reader, shape),
    };
    let theme = Theme::named(form.field("theme")).unwrap_or_default();
    let life = if theme == Theme::System { 0 } else { SECONDS };
    let secure = if app.public_url.starts_with("https://") { "; Secure" } else { "" };
    let cookie = format!("{NAME}={}; Path=/; Max-Age={life}; HttpOnly; SameSite=Lax{secure}", theme.as_str());
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(LOCATION, text(own_path::of(form.field("back")).unwrap_or("/")));
    headers.insert(SET_COOKIE, text(&cookie));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others_and_nonsense_is_none() {
        let of = |cookie: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_static(cookie));
            chosen(&headers)
        };
        assert_eq!(of("a=b; theme=dark"), Theme::Dark);
        assert_eq!(of("theme=light"), Theme::Light);
        assert_eq!(of("theme=\"><script>"), Theme::System);
        assert_eq!(of("mytheme=dark"), Theme::System);
    }
}
