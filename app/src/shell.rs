//! What every page has: the document's head, the navigation, the foot with the choice of a theme.

use leptos::prelude::*;
use leptos::tachys::html::attribute::custom::custom_attribute;
use types::WalletId;

use crate::assets::{self, Asset};
use crate::parts;

/// Which colours a reader wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Theme {
    /// What their system says.
    #[default]
    System,
    /// Light, whatever the system says.
    Light,
    /// Dark, whatever the system says.
    Dark,
}

impl Theme {
    /// All, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::Light, Self::System, Self::Dark];

    /// The word for it in a form and a cookie.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The theme of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == word)
    }

    fn label(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }

    /// For the root element; `None` leaves it to the system.
    fn attribute(self) -> Option<&'static str> {
        (self != Self::System).then(|| self.as_str())
    }
}

/// Who looks at what, as far as a page has to know.
#[derive(Clone, Debug)]
pub struct Visit {
    /// The page's own path and query: where the choice of a theme leads back to.
    pub path: String,
    /// The reader's colours.
    pub theme: Theme,
    /// Lets this answer's own scripts run, and nobody else's.
    pub nonce: String,
    /// Where callers reach this server, without a slash at its end.
    pub public_url: String,
    /// This server's version.
    pub version: &'static str,
    /// The wallet that is signed in, if any.
    pub wallet: Option<WalletId>,
}

/// What a page says about itself.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its name, before the product's.
    pub title: String,
    /// What a search engine shows; 50 to 160 characters.
    pub description: String,
    /// Whether search engines may keep it.
    pub index: Index,
    /// Modules that the page runs, by the names of their files.
    pub scripts: &'static [&'static str],
    /// Stylesheets beside everybody's, by the names of their files.
    pub styles: &'static [&'static str],
    /// A stylesheet of the page's own on our origin: colours that no other page has.
    pub colours: Option<String>,
    /// Its path, where it has more than one.
    pub canonical: Option<String>,
    /// What a link to it looks like elsewhere.
    pub picture: Option<Picture>,
}

/// A picture of a page.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Its path on our origin.
    pub path: String,
    /// What is on it.
    pub alt: String,
    /// Its width and height in pixels.
    pub size: (usize, usize),
}

/// Whether search engines may keep a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// They may.
    Yes,
    /// They may not: it is made for one reader, or is an error.
    No,
}

impl Head {
    /// A page that anyone may find.
    pub(crate) fn new(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            description: description.into(),
            index: Index::Yes,
            scripts: &[],
            styles: &[],
            colours: None,
            canonical: None,
            picture: None,
        }
    }

    /// A page that is not to be found.
    pub(crate) fn private(title: impl Into<String>, description: impl Into<String>) -> Self {
        Self { index: Index::No, ..Self::new(title, description) }
    }
}

/// The places in the head's navigation: address, name.
const PLACES: &[(&str, &str)] =
    &[("/agents", "Agents"), ("/docs", "Docs"), ("/docs/api", "API"), ("/developers", "Developers")];

/// A whole page.
pub(crate) fn page(visit: &Visit, head: Head, body: impl IntoView + 'static) -> String {
    rendered(visit, head, Around::Site, body.into_any())
}

/// A small window for one thing: no navigation, no foot.
pub(crate) fn window(visit: &Visit, head: Head, body: impl IntoView + 'static) -> String {
    rendered(visit, head, Around::Window, body.into_any())
}

/// What stands around a page's main part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    /// The navigation and the foot.
    Site,
    /// The mark alone.
    Window,
}

/// Renders a body whose type was forgotten: what stands around it is then compiled once, not once for each page.
fn rendered(visit: &Visit, head: Head, around: Around, body: AnyView) -> String {
    // Whatever the renderer keeps for a page goes with its owner, at the end of this function.
    let owner = Owner::new();
    owner.with(|| document(visit, head, around, body).to_html())
}

fn document(visit: &Visit, head: Head, around: Around, body: AnyView) -> impl IntoView + use<> {
    let address = visit.path.split('?').next().unwrap_or_default().to_owned();
    let canonical = format!("{}{}", visit.public_url, head.canonical.as_deref().unwrap_or(&address));
    let robots = (head.index == Index::No).then(|| view! { <meta name="robots" content="noindex"/> });
    let title = if address == "/" { head.title } else { format!("{} · Freeside", head.title) };
    let scripts: Vec<_> = head
        .scripts
        .iter()
        .filter_map(|name| assets::named(name))
        .map(|asset| script(asset, visit.nonce.clone()))
        .collect();
    let styles: Vec<_> = head.styles.iter().filter_map(|name| assets::named(name)).map(stylesheet).collect();
    let colours = head.colours.map(|href| view! { <link rel="stylesheet" href=href/> });
    let picture = head.picture.map(|picture| pictured(&visit.public_url, picture));
    let inner = match around {
        Around::Site => view! {
            <a class="skip" href="#main">"Skip to the content"</a>
            {top(visit, &address)}
            <main id="main" tabindex="-1">{body}</main>
            {foot(visit)}
        }
        .into_any(),
        Around::Window => view! {
            <header class="top"><p class="home-link">{mark()} "Freeside"</p></header>
            <main>{body}</main>
        }
        .into_any(),
    };
    let (style, font, icon) = (assets::stylesheet(), assets::font(), assets::icon());
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=visit.theme.attribute()>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <title>{title.clone()}</title>
                <meta name="description" content=head.description.clone()/>
                {robots}
                <meta name="theme-color" content="#f7f6ef" media="(prefers-color-scheme: light)"/>
                <meta name="theme-color" content="#0f1917" media="(prefers-color-scheme: dark)"/>
                <link rel="canonical" href=canonical.clone()/>
                <link rel="icon" href=icon.path r#type="image/svg+xml"/>
                <link rel="preload" href=font.path r#as="font" r#type="font/woff2" crossorigin=""/>
                {stylesheet(style)}
                {styles}
                {colours}
                {open_graph("og:title", title)}
                {open_graph("og:description", head.description)}
                {open_graph("og:url", canonical)}
                {picture}
                {scripts}
            </head>
            <body>{inner}</body>
        </html>
    }
}

/// What a link to the page looks like elsewhere.
fn open_graph(property: &'static str, text: String) -> impl IntoView {
    view! { <meta {..custom_attribute("property", property)} content=text/> }
}

/// The picture itself, for networks that ask for a whole address.
fn pictured(public_url: &str, picture: Picture) -> impl IntoView + use<> {
    let Picture { path, alt, size: (width, height) } = picture;
    view! {
        {open_graph("og:type", "profile".to_owned())}
        {open_graph("og:image", format!("{public_url}{path}"))}
        {open_graph("og:image:width", width.to_string())}
        {open_graph("og:image:height", height.to_string())}
        {open_graph("og:image:alt", alt)}
        <meta name="twitter:card" content="summary_large_image"/>
    }
}

fn stylesheet(asset: &'static Asset) -> impl IntoView {
    view! { <link rel="stylesheet" href=asset.path integrity=asset.integrity/> }
}

fn script(asset: &'static Asset, nonce: String) -> impl IntoView {
    view! { <script r#type="module" src=asset.path integrity=asset.integrity nonce=nonce></script> }
}

/// The mark: a station seen from its end, its inner side half lit.
pub(crate) fn mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
            <circle class="hull" cx="16" cy="16" r="13.5"></circle>
            <path class="lit" d="M16 7.500a8.500 8.500 0 0 1 0 17z"></path>
        </svg>
    }
}

fn top(visit: &Visit, address: &str) -> impl IntoView + use<> {
    let places: Vec<_> = PLACES
        .iter()
        .map(|(path, name)| {
            let is_within =
                address.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            // The longest name that fits is where the reader is: `/docs/api` is not also `/docs`.
            let is_longest =
                PLACES.iter().all(|(other, _)| other.len() <= path.len() || !address.starts_with(other));
            let current = (is_within && is_longest).then_some(if address == *path { "page" } else { "true" });
            view! { <li><a href=*path aria-current=current>{*name}</a></li> }
        })
        .collect();
    view! {
        <header class="top">
            <a class="home-link" href="/">{mark()} "Freeside"</a>
            <nav aria-label="Main"><ul>{places}</ul></nav>
            {who(visit, address)}
        </header>
    }
}

/// Who is signed in and how to sign out, or the way to sign in and back.
fn who(visit: &Visit, address: &str) -> impl IntoView + use<> {
    let back = visit.path.clone();
    match visit.wallet {
        Some(wallet) => {
            let current = (address == "/account").then_some("page");
            view! {
                <div class="who">
                    <a href="/account" aria-current=current>
                        <span class="hidden">"Your account, "</span>{parts::short(wallet)}
                    </a>
                    <form method="post" action="/signout">
                        <input r#type="hidden" name="back" value=back/>
                        <button>"Sign out"</button>
                    </form>
                </div>
            }
            .into_any()
        }
        // Where it is done already. A link to the page itself would take along what a link from elsewhere asked for.
        None if address == "/signin" => ().into_any(),
        None => {
            let href = parts::sign_in(&back);
            view! { <div class="who"><a href=href>"Sign in"</a></div> }.into_any()
        }
    }
}

fn foot(visit: &Visit) -> impl IntoView + use<> {
    let chosen = visit.theme;
    let buttons: Vec<_> = Theme::ALL
        .into_iter()
        .map(|theme| {
            let pressed = if theme == chosen { "true" } else { "false" };
            view! { <button name="theme" value=theme.as_str() aria-pressed=pressed>{theme.label()}</button> }
        })
        .collect();
    let back = visit.path.clone();
    let version = format!("Freeside {}", visit.version);
    view! {
        <footer class="foot">
            <nav aria-label="More">
                <ul>
                    <li><a href="/problems">"Problems"</a></li>
                    <li><a href="/openapi.json">"OpenAPI 3.1"</a></li>
                    <li><a href="/readyz">"Readiness"</a></li>
                    <li><a href="/version">{version}</a></li>
                </ul>
            </nav>
            <form method="post" action="/theme">
                <fieldset class="themes">
                    <legend class="hidden">"Colours"</legend>
                    <input r#type="hidden" name="back" value=back/>
                    {buttons}
                </fieldset>
            </form>
        </footer>
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Somebody who looks at `path`.
    pub(crate) fn visit(path: &str) -> Visit {
        Visit {
            path: path.to_owned(),
            theme: Theme::System,
            nonce: "n".to_owned(),
            public_url: "http://localhost:3000".to_owned(),
            version: "0.0.0",
            wallet: None,
        }
    }

    fn shown(visit: &Visit) -> String {
        page(visit, Head::private("A <title>", "About"), view! { <h1>"One"</h1> })
    }

    #[test]
    fn the_navigation_says_where_the_reader_is() {
        for (path, current) in
            [("/docs", "/docs"), ("/docs/api/keys", "/docs/api"), ("/docs/api", "/docs/api")]
        {
            let html = shown(&visit(path));
            assert_eq!(html.matches("aria-current=").count(), 1, "{path}");
            assert!(html.contains(&format!("href=\"{current}\" aria-current=")), "{path}");
        }
        assert!(!shown(&visit("/")).contains("aria-current"));
    }

    #[test]
    fn the_chosen_theme_is_on_the_root_and_on_its_button() {
        let html = shown(&Visit { theme: Theme::Dark, ..visit("/") });
        assert!(html.contains("data-theme=\"dark\""));
        assert!(html.contains("value=\"dark\" aria-pressed=\"true\""));
        assert_eq!(html.matches("aria-pressed=\"true\"").count(), 1);
        assert!(!shown(&visit("/")).contains("data-theme"));
        assert_eq!(Theme::named("dark"), Some(Theme::Dark));
        assert_eq!(Theme::named("DARK\""), None);
    }

    #[test]
    fn the_head_says_who_is_signed_in_and_how_to_change_it() {
        let nobody = shown(&visit("/docs?a=1&b=2"));
        assert!(
            nobody.contains("href=\"/signin?return=%2Fdocs%3Fa%3D1%26b%3D2\"")
                && !nobody.contains("/signout")
        );
        let wallet = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed".parse().expect("an address");
        let somebody = shown(&Visit { wallet: Some(wallet), ..visit("/docs?a=1&b=2") });
        assert!(somebody.contains("0x5aAe…eAed") && !somebody.contains("/signin"));
        assert!(somebody.contains("action=\"/signout\"") && somebody.contains("value=\"/docs?a=1&amp;b=2\""));
        assert!(!shown(&visit("/signin?return=%2F")).contains("class=\"who\""), "not once more around");
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        let html = shown(&visit("/x?a=\"><script>"));
        assert!(!html.contains("<script>") && html.contains("A &lt;title&gt; · Freeside"));
    }
}
