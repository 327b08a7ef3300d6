//! An agent's accent, made readable on light and on dark paper.
//!
//! What always holds: text in the accent and text on the accent have a contrast of at least 4.5 (WCAG AA) in both
//! themes, whatever colour comes in.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// The least contrast of text that we accept; a little more than WCAG's 4.5, for rounding.
const CONTRAST: f64 = 4.6;

/// The accent in one theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accent {
    /// Of lines, links and surfaces.
    pub colour: Rgb,
    /// Of text on it.
    pub ink: Rgb,
}

/// A colour as `#rgb` or `#rrggbb`.
pub fn parse(text: &str) -> Option<Rgb> {
    let digits = text.trim().strip_prefix('#')?;
    let nibbles: Vec<u8> =
        digits.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    match nibbles[..] {
        [r, g, b] => Some([r * 17, g * 17, b * 17]),
        [_, _, _, _, _, _] => Some([0, 2, 4].map(|at| nibbles[at] * 16 + nibbles[at + 1])),
        _ => None,
    }
}

/// As CSS writes it.
pub fn css([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// The accent nearest to `colour` that can be read on all of `papers`.
pub fn accent(colour: Rgb, papers: &[Rgb]) -> Accent {
    let paper_is_dark = papers.iter().all(|paper| luminance(*paper) < 0.2);
    let towards: Rgb = if paper_is_dark { [255; 3] } else { [0; 3] };
    let is_readable = |colour: Rgb| papers.iter().all(|paper| contrast(colour, *paper) >= CONTRAST);
    let steps = (0..=40_u16).map(|step| mix(colour, towards, step));
    let colour = steps.into_iter().find(|colour| is_readable(*colour)).unwrap_or(towards);
    let dark = [16, 19, 24];
    let ink = if contrast(colour, [255; 3]) >= CONTRAST { [255; 3] } else { dark };
    Accent { colour, ink }
}

/// `step` fortieths of the way from one colour to another.
fn mix(from: Rgb, to: Rgb, step: u16) -> Rgb {
    let channel = |index: usize| {
        let mixed = (u16::from(from[index]) * (40 - step) + u16::from(to[index]) * step) / 40;
        u8::try_from(mixed).unwrap_or(u8::MAX)
    };
    [channel(0), channel(1), channel(2)]
}

fn luminance(colour: Rgb) -> f64 {
    let channel = |value: u8| {
        let value = f64::from(value) / 255.0;
        if value <= 0.040_45 {
            return value / 12.92;
        }
        // x^2.4 without a library: x^2 times the fifth root of x^2, by Newton's rule.
        let x = (value + 0.055) / 1.055;
        let square = x * x;
        let mut root = x.max(0.1);
        for _ in 0..12 {
            root = (4.0 * root + square / (root * root * root * root)) / 5.0;
        }
        square * root
    };
    0.2126 * channel(colour[0]) + 0.7152 * channel(colour[1]) + 0.0722 * channel(colour[2])
}

/// From 1 (none) to 21 (black on white).
pub fn contrast(a: Rgb, b: Rgb) -> f64 {
    let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
    if a > b { a / b } else { b / a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_contrasts() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 0.01);
        assert!((contrast([0x76; 3], [255; 3]) - 4.54).abs() < 0.01);
        assert!((contrast([255, 0, 0], [255; 3]) - 3.998).abs() < 0.01);
    }

    #[test]
    fn every_colour_becomes_readable() {
        let papers: [&[Rgb]; 2] =
            [&[[0xfb, 0xfa, 0xf7], [255; 3]], &[[0x14, 0x17, 0x1d], [0x1d, 0x22, 0x2b]]];
        for papers in papers {
            for seed in 0..512_u16 {
                let channel = |shift: u16| u8::try_from((seed >> shift & 7) * 36).unwrap();
                let made = accent([channel(0), channel(3), channel(6)], papers);
                assert!(papers.iter().all(|paper| contrast(made.colour, *paper) >= 4.5), "{made:?}");
                assert!(contrast(made.colour, made.ink) >= 4.5, "{made:?}");
            }
        }
    }

    #[test]
    fn colours_are_read_strictly() {
        assert_eq!(parse("#0b6b5d"), Some([0x0b, 0x6b, 0x5d]));
        assert_eq!(parse("#fff"), Some([255; 3]));
        for bad in ["", "#", "red", "#12", "#1234567", "#zzz", "url(x)", "#fff;x"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(css([1, 2, 255]), "#0102ff");
    }
}
