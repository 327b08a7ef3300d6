//! An agent's colours, derived from its token: the same on every machine, readable in both themes.
//!
//! What always holds: text in `accent` on a light page, and in `accent_dark` on a dark one, has at least WCAG's 4.5 : 1
//! against the page, and so has the text that stands on a surface of either. Deliberately absent: the house's own colours.

use serde::{Deserialize, Serialize};

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// WCAG 2.2 AA for text.
pub const CONTRAST_AT_LEAST: f64 = 4.5;
/// The darkest surface of the light theme that an accent stands on.
pub const LIGHT_SURFACE: Rgb = [0xee, 0xee, 0xea];
/// The lightest surface of the dark theme that an accent stands on.
pub const DARK_SURFACE: Rgb = [0x26, 0x2b, 0x31];

const WHITE: Rgb = [0xff, 0xff, 0xff];
const INK: Rgb = [0x0e, 0x11, 0x14];
/// Where elements lie on the colour circle; a token of another element lies where its name falls.
const ELEMENTS: [(&str, u16); 8] = [
    ("fire", 14),
    ("earth", 92),
    ("wood", 138),
    ("air", 192),
    ("water", 214),
    ("metal", 236),
    ("aether", 272),
    ("shadow", 318),
];
/// Agents of one element differ by so many degrees at most, to either side.
const SPREAD: u16 = 16;

/// An agent's colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Palette {
    /// Where it lies on the colour circle, in degrees.
    pub hue: u16,
    /// For text and surfaces on a light page.
    pub accent: Rgb,
    /// For text on a surface of `accent`.
    pub on_accent: Rgb,
    /// For text and surfaces on a dark page.
    pub accent_dark: Rgb,
    /// For text on a surface of `accent_dark`.
    pub on_accent_dark: Rgb,
    /// A neighbour of `accent` on the circle, for drawings.
    pub second: Rgb,
    /// A neighbour of `accent_dark`.
    pub second_dark: Rgb,
}

impl Palette {
    /// The colours of a token.
    #[must_use]
    pub fn of(slug: &str, token_id: &str, traits: &[(String, String)]) -> Self {
        let seed = fingerprint(&[slug, token_id]);
        let part = |shift: u32, below: u16| {
            u16::try_from((seed >> shift) % u64::from(below)).expect("a remainder below a u16")
        };
        let element = traits.iter().find(|(name, _)| name.eq_ignore_ascii_case("element"));
        let known = element.and_then(|(_, value)| {
            ELEMENTS.iter().find(|(name, _)| value.eq_ignore_ascii_case(name)).map(|(_, hue)| *hue)
        });
        let hue = match known {
            Some(hue) => (hue + 360 - SPREAD + part(0, 2 * SPREAD + 1)) % 360,
            None => part(0, 360),
        };
        let neighbour = (hue + 28 + part(20, 24)) % 360;
        let saturation = 46 + i32::from(part(40, 20));
        Self {
            hue,
            accent: darkened(hue, saturation),
            on_accent: WHITE,
            accent_dark: lightened(hue, saturation),
            on_accent_dark: INK,
            second: darkened(neighbour, saturation),
            second_dark: lightened(neighbour, saturation),
        }
    }
}

/// A colour as CSS writes it: `#1a2b3c`.
#[must_use]
pub fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// WCAG's contrast of two colours, 1 to 21.
#[must_use]
pub fn contrast(one: Rgb, other: Rgb) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

/// FNV-1a over the parts, kept apart: small, and the same everywhere for ever.
#[must_use]
pub fn fingerprint(parts: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // FNV's low bits follow the last byte too closely for short names.
    hash ^ (hash >> 29)
}

/// The lightest of this hue that can be read on a light page.
fn darkened(hue: u16, saturation: i32) -> Rgb {
    let fits =
        |lightness: &i32| contrast(from_hsl(hue, saturation, *lightness), LIGHT_SURFACE) >= CONTRAST_AT_LEAST;
    from_hsl(hue, saturation, (0..=52).rev().find(fits).unwrap_or(0))
}

/// The darkest of this hue that can be read on a dark page.
fn lightened(hue: u16, saturation: i32) -> Rgb {
    let fits =
        |lightness: &i32| contrast(from_hsl(hue, saturation, *lightness), DARK_SURFACE) >= CONTRAST_AT_LEAST;
    from_hsl(hue, saturation, (60..=100).find(fits).unwrap_or(100))
}

/// Saturation and lightness in percent; whole numbers all the way.
fn from_hsl(hue: u16, saturation: i32, lightness: i32) -> Rgb {
    let hue = i32::from(hue) % 360;
    let chroma = (100 - (2 * lightness - 100).abs()) * saturation;
    let side = chroma * (60 - (hue % 120 - 60).abs()) / 60;
    let base = lightness * 100 - chroma / 2;
    let (red, green, blue) = match hue / 60 {
        0 => (chroma, side, 0),
        1 => (side, chroma, 0),
        2 => (0, chroma, side),
        3 => (0, side, chroma),
        4 => (side, 0, chroma),
        _ => (chroma, 0, side),
    };
    [red, green, blue]
        .map(|part| u8::try_from(((part + base) * 255 / 10_000).clamp(0, 255)).expect("clamped to a byte"))
}

fn luminance(colour: Rgb) -> f64 {
    let [red, green, blue] = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(element: &str) -> Vec<(String, String)> {
        vec![("Eyes".to_owned(), "Amber".to_owned()), ("Element".to_owned(), element.to_owned())]
    }

    #[test]
    fn every_palette_can_be_read_in_both_themes() {
        for token in 0..2_000 {
            let palette = Palette::of("demo", &token.to_string(), &[]);
            for (accent, surface, on) in [
                (palette.accent, LIGHT_SURFACE, palette.on_accent),
                (palette.accent_dark, DARK_SURFACE, palette.on_accent_dark),
            ] {
                assert!(contrast(accent, surface) >= CONTRAST_AT_LEAST, "{token}: {}", hex(accent));
                assert!(contrast(accent, on) >= CONTRAST_AT_LEAST, "{token}: {}", hex(accent));
            }
            assert!(contrast(palette.second, LIGHT_SURFACE) >= CONTRAST_AT_LEAST);
            assert!(contrast(palette.second_dark, DARK_SURFACE) >= CONTRAST_AT_LEAST);
        }
    }

    #[test]
    fn one_token_has_one_palette_and_its_element_shows() {
        let water = Palette::of("demo", "4", &traits("WATER"));
        assert_eq!(water, Palette::of("demo", "4", &traits("water")));
        assert!((198..=230).contains(&water.hue), "{}", water.hue);
        assert_ne!(Palette::of("demo", "4", &[]), Palette::of("demo", "5", &[]));
        assert_ne!(fingerprint(&["a", "bc"]), fingerprint(&["ab", "c"]));
        let fire = Palette::of("demo", "1", &traits("Fire"));
        assert!(fire.hue <= 30 || fire.hue >= 358, "{}", fire.hue);
    }

    #[test]
    fn known_colours_come_out_as_css_has_them() {
        assert_eq!(from_hsl(0, 100, 50), [255, 0, 0]);
        assert_eq!(from_hsl(120, 100, 25), [0, 127, 0]);
        assert_eq!(from_hsl(240, 0, 100), WHITE);
        assert_eq!(hex([1, 171, 255]), "#01abff");
        assert!((contrast(WHITE, [0, 0, 0]) - 21.0).abs() < 1e-9);
    }
}
