//! An agent's mark: a small station of its own, drawn from its token. The same everywhere, for ever, in any size.
//!
//! What always holds: it is made of discs, rings and halves on a field from -50 to 50, so that a page and a picture draw
//! the same; it brings its own ground, so that it stands on light and on dark paper.

use std::f32::consts::TAU;
use std::fmt::Write as _;

use types::palette::{Rgb, fingerprint, hex};

use super::Agent;

/// One part, in the colour that it has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// A filled circle.
    Disc { at: (f32, f32), radius: f32, colour: Rgb },
    /// A circle's line.
    Ring { at: (f32, f32), radius: f32, width: f32, colour: Rgb },
    /// Half a filled circle; its straight side runs along `angle`.
    Half { radius: f32, angle: f32, colour: Rgb },
}

/// The parts of an agent's mark, from the ground up.
pub(super) fn shapes(agent: &Agent) -> Vec<Shape> {
    let seed = fingerprint(&[&agent.slug, &agent.token_id, "mark"]);
    let part = |shift: u32, below: u8| {
        u8::try_from((seed >> shift) % u64::from(below)).expect("a remainder below a byte")
    };
    let palette = agent.palette;
    let ground = mix(palette.accent, [8, 14, 13], 40);
    let (light, second) = (palette.accent_dark, palette.second_dark);
    let dim = mix(ground, light, 34);
    let angle = f32::from(part(16, 24)) / 24.0 * TAU;
    let centre = (0.0, 0.0);

    let mut shapes = vec![Shape::Disc { at: centre, radius: 50.0, colour: ground }];
    let lamps = 10 + part(0, 7);
    for lamp in 0..lamps {
        let at = on_circle(39.5, angle + f32::from(lamp) / f32::from(lamps) * TAU);
        let is_lit = (seed >> (24 + lamp)).is_multiple_of(4) || lamp == 0;
        let (radius, colour) = if is_lit { (3.0, light) } else { (2.3, dim) };
        shapes.push(Shape::Disc { at, radius, colour });
    }
    shapes.push(Shape::Ring { at: centre, radius: 26.0, width: 3.2, colour: light });
    match part(8, 4) {
        0 => shapes.push(Shape::Half { radius: 18.0, angle, colour: second }),
        1 => {
            shapes.push(Shape::Disc { at: centre, radius: 18.0, colour: second });
            shapes.push(Shape::Disc { at: on_circle(8.0, angle), radius: 13.0, colour: ground });
        }
        2 => {
            for third in [0.0, 1.0, 2.0] {
                let at = on_circle(10.5, angle + third / 3.0 * TAU);
                shapes.push(Shape::Disc { at, radius: 6.2, colour: second });
            }
        }
        _ => {
            shapes.push(Shape::Disc { at: centre, radius: 9.0, colour: second });
            shapes.push(Shape::Disc { at: on_circle(17.0, angle), radius: 3.6, colour: light });
        }
    }
    shapes
}

/// The mark as a file of its own.
#[must_use]
pub fn svg(agent: &Agent) -> String {
    let mut svg = String::from("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-50 -50 100 100\">");
    for shape in shapes(agent) {
        let _ = match shape {
            Shape::Disc { at: (x, y), radius, colour } => {
                let fill = hex(colour);
                write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{fill}\"/>")
            }
            Shape::Ring { at: (x, y), radius, width, colour } => write!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{width:.1}\"/>",
                hex(colour)
            ),
            Shape::Half { radius, angle, colour } => {
                let ((x, y), fill) = (on_circle(radius, angle), hex(colour));
                let (u, v) = (-x, -y);
                write!(
                    svg,
                    "<path d=\"M{x:.1} {y:.1}A{radius:.1} {radius:.1} 0 0 1 {u:.1} {v:.1}z\" fill=\"{fill}\"/>"
                )
            }
        };
    }
    svg.push_str("</svg>");
    svg
}

pub(super) fn on_circle(radius: f32, angle: f32) -> (f32, f32) {
    (radius * angle.cos(), radius * angle.sin())
}

/// `percent` of the way from one colour to another.
pub(super) fn mix(from: Rgb, to: Rgb, percent: u16) -> Rgb {
    let channel = |index: usize| {
        let mixed = (u16::from(from[index]) * (100 - percent) + u16::from(to[index]) * percent) / 100;
        u8::try_from(mixed).unwrap_or(u8::MAX)
    };
    [channel(0), channel(1), channel(2)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::agent::tests::agent;

    #[test]
    fn a_mark_is_its_tokens_own_and_small() {
        let mut seen = std::collections::BTreeSet::new();
        for token in 0..200 {
            let agent = Agent { token_id: token.to_string(), ..agent("x") };
            let mark = svg(&agent);
            assert_eq!(mark, svg(&agent));
            assert!(mark.len() < 2_048, "{}", mark.len());
            seen.insert(mark);
        }
        assert!(seen.len() > 190, "{}", seen.len());
    }
}
