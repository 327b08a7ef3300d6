//! An agent as pages show it, and the addresses of what belongs to it.
//!
//! What always holds: what an address shows is in its `v`, so that it may be kept for ever; every text has a bound, so that
//! no token's metadata makes a page heavy.

use types::Palette;
use types::palette::fingerprint;

use crate::parts;

/// Raise it when the drawings or the colours of all agents change.
const RECIPE: &str = "1";

/// An agent.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its collection's slug.
    pub slug: String,
    /// Its token, decimal.
    pub token_id: String,
    /// What people call it.
    pub name: String,
    /// Its collection's name.
    pub collection: String,
    /// What it is: a wayfinder, a sage.
    pub nature: Option<String>,
    /// A few sentences; may be empty.
    pub about: String,
    /// A path on our origin; `None`: its mark is drawn.
    pub image: Option<String>,
    /// Names and values.
    pub traits: Vec<(String, String)>,
    /// Its colours.
    pub palette: Palette,
    /// Only its holder may talk to it.
    pub holder_only: bool,
    /// Conversations may be read without a login, where their people share them.
    pub public_history: bool,
}

impl Agent {
    /// Its page.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/chat/{}/{}", self.slug, self.token_id)
    }

    /// `{slug}:{token}`.
    #[must_use]
    pub fn nft_id(&self) -> String {
        format!("{}:{}", self.slug, self.token_id)
    }

    /// What the `v` of its files' addresses has to be now.
    #[must_use]
    pub fn version(&self) -> String {
        let palette = self.palette;
        let colours = format!("{:?}{:?}", palette.accent, palette.second);
        let nature = self.nature.as_deref().unwrap_or_default();
        let parts = [RECIPE, &self.slug, &self.token_id, &self.name, &self.collection, nature, &colours];
        format!("{:016x}", fingerprint(&parts))
    }

    /// The address of one of its files.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        format!("{}/{name}?v={}", self.path(), self.version())
    }

    /// Its picture, or its drawn mark.
    #[must_use]
    pub fn likeness(&self) -> String {
        self.image.clone().unwrap_or_else(|| self.file("mark.svg"))
    }

    /// Its token's number, short enough for a line.
    #[must_use]
    pub fn number(&self) -> String {
        match self.token_id.len() {
            0..=12 => format!("#{}", self.token_id),
            length => format!("#{}…{}", &self.token_id[..4], &self.token_id[length - 4..]),
        }
    }

    /// What one could ask it first.
    #[must_use]
    pub fn suggestions(&self) -> Vec<String> {
        /// What fits on a button of a phone.
        const LONGEST: usize = 60;
        let nature = self.nature.as_ref().map(|nature| format!("What does a {} do?", nature.to_lowercase()));
        let said = ["element", "era", "voice"];
        let is_told = |name: &str| said.iter().any(|said| name.eq_ignore_ascii_case(said));
        let further = self.traits.iter().rev().find(|(name, value)| {
            !is_told(name) && Some(value) != self.nature.as_ref() && value.chars().count() > 12
        });
        let story = further.map(|(_, value)| format!("What is the story of “{value}”?"));
        let fits = |text: &String| text.chars().count() <= LONGEST && !text.contains('|');
        let own = [nature, story].into_iter().flatten().filter(fits);
        let usual = ["What are you good at?", "Tell me something I don’t know"].map(str::to_owned);
        std::iter::once("Who are you?".to_owned()).chain(own).chain(usual).take(3).collect()
    }

    /// The stylesheet of its page: its accent in both themes, where the chat's own stylesheet expects it.
    #[must_use]
    pub fn colours(&self) -> String {
        let Palette { accent, on_accent, accent_dark, on_accent_dark, .. } = self.palette;
        let [light, on_light, dark, on_dark] =
            [accent, on_accent, accent_dark, on_accent_dark].map(types::palette::hex);
        format!(
            ":root{{--fs-accent-light:{light};--fs-on-accent-light:{on_light};--fs-accent-dark:{dark};--fs-on-accent-dark:{on_dark}}}\n"
        )
    }
}

/// The start of a text that takes at most `bytes` in HTML, with a sign that it was cut.
pub(super) fn fitting(text: &str, bytes: usize) -> String {
    let mut taken = 0;
    let end = text.char_indices().find(|(_, c)| {
        taken += parts::escape(c.encode_utf8(&mut [0; 4])).len();
        taken > bytes
    });
    match end {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An agent like those of the demo.
    pub(crate) fn agent(name: &str) -> Agent {
        let traits =
            [("Calling", "Wayfinder"), ("Element", "Air"), ("Keepsake", "A compass that points home")];
        let traits = traits.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Agent {
            slug: "demo".to_owned(),
            token_id: "1".to_owned(),
            name: name.to_owned(),
            collection: "Lantern Street".to_owned(),
            nature: Some("Wayfinder".to_owned()),
            about: "Draws maps of places that have moved since.".to_owned(),
            image: None,
            palette: Palette::of("demo", "1", &traits),
            traits,
            holder_only: false,
            public_history: false,
        }
    }

    #[test]
    fn an_address_changes_with_what_it_shows() {
        let one = agent("Marrow Finch");
        assert_eq!(one.file("og.png"), agent("Marrow Finch").file("og.png"));
        assert_ne!(one.file("og.png"), agent("Marrow Fink").file("og.png"));
        assert!(one.file("og.png").starts_with("/chat/demo/1/og.png?v="));
    }

    #[test]
    fn what_one_could_ask_comes_from_what_it_is() {
        let asked = agent("Marrow Finch").suggestions();
        let story = "What is the story of “A compass that points home”?";
        assert_eq!(asked, ["Who are you?", "What does a wayfinder do?", story]);
        let bare = Agent { traits: vec![("x".into(), "a|b and so on".into())], nature: None, ..agent("x") };
        assert_eq!(bare.suggestions().len(), 3);
        assert!(bare.suggestions().iter().all(|text| !text.contains('|')));
    }

    #[test]
    fn a_long_number_and_a_long_text_are_cut() {
        let agent = Agent { token_id: "9".repeat(78), ..agent("x") };
        assert_eq!(agent.number(), "#9999…9999");
        assert_eq!(fitting("a<b", 5), "a<…");
        assert_eq!(fitting("a<b", 6), "a<b");
        assert_eq!(fitting("字字", 3), "字…");
    }
}
