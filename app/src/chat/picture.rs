//! What a link to an agent looks like elsewhere: its name and its mark in its colours, as a picture of 1200 by 630.
//!
//! What always holds: the same agent gives the same bytes; any name gives a picture: a sign that the font lacks becomes a
//! lamp, and a name that is nothing but such signs gives way to the token's number. Deliberately absent: shaping and
//! right-to-left runs (the page itself has both), and a general renderer: two kinds of outline are all that is drawn.

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::outline::{DrawSettings, OutlineGlyphCollection, OutlinePen};
use skrifa::{FontRef, GlyphId, MetadataProvider as _};
use types::palette::Rgb;

use super::Agent;
use super::mark::{self, Shape, mix};

/// What the networks show without cutting.
pub const WIDTH: usize = 1_200;
/// See [`WIDTH`].
pub const HEIGHT: usize = 630;
/// Young Serif, Latin and extended Latin, under the Open Font License (`style/fonts/YoungSerif-OFL.txt`).
static FONT: &[u8] = include_bytes!("../../../style/fonts/young-serif.ttf");
/// Where text begins, and how far it may go.
const LEFT: f32 = 84.0;
const TEXT_WIDTH: f32 = 590.0;
/// The name's sizes, of which the largest that fits is taken, and the most lines.
const SIZES: [f32; 5] = [104.0, 88.0, 74.0, 62.0, 52.0];
const LINES: usize = 3;
/// A circle of radius 1 from four curves.
const KAPPA: f32 = 0.552_284_8;
/// How wide a lamp stands in a line, in parts of the size.
const LAMP: f32 = 0.52;

/// The picture as a PNG.
///
/// # Errors
/// When the encoder fails, which it does not for pictures of this size.
pub fn png(agent: &Agent) -> Result<Vec<u8>, png::EncodingError> {
    let pixels = draw(agent);
    let mut bytes = Vec::new();
    let size = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut encoder = png::Encoder::new(&mut bytes, size(WIDTH), size(HEIGHT));
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels.as_flattened())?;
    writer.finish()?;
    Ok(bytes)
}

fn draw(agent: &Agent) -> Vec<Rgb> {
    let light = agent.palette.accent_dark;
    let paper = mix(agent.palette.accent, [9, 15, 14], 76);
    let (ink, quiet) = (mix(light, [255, 253, 246], 84), mix(light, paper, 18));
    let mut canvas = vec![paper; WIDTH * HEIGHT];
    let centre = (934.0, 315.0);
    // The lamps of the street around it, and then the station.
    let mut lamps = Layer::everywhere();
    for (radius, count) in [(268.0, 56_u8), (318.0, 66), (368.0, 76)] {
        for lamp in 0..count {
            let (x, y) = mark::on_circle(radius, f32::from(lamp) / f32::from(count) * std::f32::consts::TAU);
            let at = (centre.0 + x, centre.1 + y);
            // None behind the name, and none that the edge would cut.
            if (LEFT + TEXT_WIDTH + 12.0..small(WIDTH) - 8.0).contains(&at.0)
                && (8.0..small(HEIGHT) - 8.0).contains(&at.1)
            {
                lamps.circle(at, 3.4, Way::On);
            }
        }
    }
    lamps.paint(&mut canvas, mix(paper, light, 26));
    for shape in mark::shapes(agent) {
        Layer::shape(&mut canvas, shape, centre, 4.5);
    }

    let Ok(font) = FontRef::new(FONT) else { return canvas };
    let text = Text::new(&font);
    let collection = format!("{} · {}", agent.collection, agent.number());
    let mut quietly = Layer::everywhere();
    quietly.text(&text, &text.cut(&collection, 34.0), (LEFT, 118.0), 34.0);
    if let Some(nature) = &agent.nature {
        quietly.text(&text, &text.cut(nature, 38.0), (LEFT, 512.0), 38.0);
    }
    quietly.paint(&mut canvas, quiet);
    let mut loudly = Layer::everywhere();
    let (size, lines) = text.headline(agent);
    let leading = size * 1.08;
    let count = u8::try_from(lines.len()).unwrap_or(1);
    let mut baseline = 322.0 - f32::from(count - 1) * leading / 2.0 + size * 0.3;
    for line in &lines {
        loudly.text(&text, line, (LEFT, baseline), size);
        baseline += leading;
    }
    loudly.text(&text, "Freeside", (LEFT + 44.0, 570.0), 30.0);
    loudly.paint(&mut canvas, ink);
    // The house's own sign beside its name.
    let place = (LEFT + 15.0, 560.0);
    Layer::shape(
        &mut canvas,
        Shape::Ring { at: (0.0, 0.0), radius: 12.5, width: 2.6, colour: quiet },
        place,
        1.0,
    );
    let lit = Shape::Half { radius: 7.8, angle: -std::f32::consts::FRAC_PI_2, colour: [0xf2, 0xab, 0x5e] };
    Layer::shape(&mut canvas, lit, place, 1.0);
    canvas
}

/// Which way an outline runs: one inside another, the other way round, is a hole.
#[derive(Clone, Copy)]
enum Way {
    On,
    Back,
}

/// Everything of one colour, within a part of the picture.
struct Layer {
    raster: Rasterizer,
    left: usize,
    top: usize,
}

impl Layer {
    fn everywhere() -> Self {
        Self { raster: Rasterizer::new(WIDTH, HEIGHT), left: 0, top: 0 }
    }

    /// The part around a place, which lies within the picture.
    fn around((x, y): (f32, f32), reach: f32) -> Self {
        let (left, top) = (whole(x - reach - 1.0).min(WIDTH), whole(y - reach - 1.0).min(HEIGHT));
        let (right, bottom) = (whole(x + reach + 2.0).min(WIDTH), whole(y + reach + 2.0).min(HEIGHT));
        Self { raster: Rasterizer::new(right - left, bottom - top), left, top }
    }

    fn shape(canvas: &mut [Rgb], shape: Shape, centre: (f32, f32), scale: f32) {
        let place = |(x, y): (f32, f32)| (centre.0 + x * scale, centre.1 + y * scale);
        let (layer, colour) = match shape {
            Shape::Disc { at, radius, colour } => {
                let mut layer = Self::around(place(at), radius * scale);
                layer.circle(place(at), radius * scale, Way::On);
                (layer, colour)
            }
            Shape::Ring { at, radius, width, colour } => {
                let outer = (radius + width / 2.0) * scale;
                let mut layer = Self::around(place(at), outer);
                layer.circle(place(at), outer, Way::On);
                layer.circle(place(at), outer - width * scale, Way::Back);
                (layer, colour)
            }
            Shape::Half { radius, angle, colour } => {
                let mut layer = Self::around(centre, radius * scale);
                for quarter in [0.0, 1.0] {
                    let angle = angle + quarter * std::f32::consts::FRAC_PI_2;
                    layer.quarter(centre, radius * scale, angle, Way::On);
                }
                let (x, y) = mark::on_circle(radius, angle);
                let (from, to) = (layer.dot(place((-x, -y))), layer.dot(place((x, y))));
                layer.raster.draw_line(from, to);
                (layer, colour)
            }
        };
        layer.paint(canvas, colour);
    }

    /// A place of the picture, as this part counts.
    fn dot(&self, (x, y): (f32, f32)) -> Point {
        point(x - small(self.left), y - small(self.top))
    }

    fn circle(&mut self, centre: (f32, f32), radius: f32, way: Way) {
        for quarter in [0.0, 1.0, 2.0, 3.0] {
            self.quarter(centre, radius, quarter * std::f32::consts::FRAC_PI_2, way);
        }
    }

    fn quarter(&mut self, (x, y): (f32, f32), radius: f32, angle: f32, way: Way) {
        let (c, s) = (angle.cos() * radius, angle.sin() * radius);
        let at = |u: f32, v: f32| self.dot((x + u * c - v * s, y + u * s + v * c));
        let curve = [at(1.0, 0.0), at(1.0, KAPPA), at(KAPPA, 1.0), at(0.0, 1.0)];
        match way {
            Way::On => self.raster.draw_cubic(curve[0], curve[1], curve[2], curve[3]),
            Way::Back => self.raster.draw_cubic(curve[3], curve[2], curve[1], curve[0]),
        }
    }

    fn text(&mut self, text: &Text<'_>, line: &str, (mut x, y): (f32, f32), size: f32) {
        for sign in line.chars() {
            match text.glyph(sign) {
                Glyph::Nothing => {}
                Glyph::Lamp => self.circle((x + size * LAMP / 2.0, y - size * 0.25), size * 0.17, Way::On),
                Glyph::Letter(id) => {
                    let scale = size / text.units;
                    let mut pen =
                        Pen { into: &mut self.raster, x, y, scale, at: point(x, y), start: point(x, y) };
                    if let Some(outline) = text.outlines.get(id) {
                        // A font that cannot be drawn leaves a gap; ours can, as a test shows.
                        let _ = outline.draw(as_drawn(), &mut pen);
                    }
                }
            }
            x += text.advance(sign, size);
        }
    }

    fn paint(self, canvas: &mut [Rgb], colour: Rgb) {
        let Self { raster, left, top } = self;
        raster.for_each_pixel_2d(|x, y, cover| {
            if cover > 0.0 {
                let cover = cover.min(1.0);
                let index = (top + y as usize) * WIDTH + left + x as usize;
                for (under, over) in canvas[index].iter_mut().zip(colour) {
                    *under = byte(f32::from(*under) * (1.0 - cover) + f32::from(over) * cover);
                }
            }
        });
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a picture; none is negative"
)]
fn whole(value: f32) -> usize {
    value.max(0.0) as usize
}

#[expect(clippy::cast_precision_loss, reason = "a place in a picture of a thousand pixels")]
fn small(value: usize) -> f32 {
    value as f32
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between two bytes there are bytes"
)]
fn byte(value: f32) -> u8 {
    (value + 0.5) as u8
}

/// What stands for a sign.
#[derive(Clone, Copy, PartialEq)]
enum Glyph {
    Letter(GlyphId),
    /// The font has none.
    Lamp,
    /// It is not seen by itself.
    Nothing,
}

struct Text<'f> {
    letters: Charmap<'f>,
    outlines: OutlineGlyphCollection<'f>,
    metrics: GlyphMetrics<'f>,
    /// The font's own units in one size.
    units: f32,
}

/// In the font's own units, without hints: what is large needs none.
fn as_drawn() -> DrawSettings<'static> {
    DrawSettings::unhinted(Size::unscaled(), LocationRef::default())
}

impl<'f> Text<'f> {
    fn new(font: &FontRef<'f>) -> Self {
        let here = LocationRef::default();
        Self {
            letters: font.charmap(),
            outlines: font.outline_glyphs(),
            metrics: font.glyph_metrics(Size::unscaled(), here),
            units: f32::from(font.metrics(Size::unscaled(), here).units_per_em),
        }
    }

    fn glyph(&self, sign: char) -> Glyph {
        let is_silent = sign.is_control()
            || matches!(sign, '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{1f3fb}'..='\u{1f3ff}'
                | '\u{e0000}'..='\u{e0fff}');
        match self.letters.map(sign) {
            _ if is_silent => Glyph::Nothing,
            Some(id) => Glyph::Letter(id),
            None if sign.is_whitespace() => self.letters.map(' ').map_or(Glyph::Nothing, Glyph::Letter),
            None => Glyph::Lamp,
        }
    }

    fn advance(&self, sign: char, size: f32) -> f32 {
        match self.glyph(sign) {
            Glyph::Nothing => 0.0,
            Glyph::Lamp => size * LAMP,
            Glyph::Letter(id) => self.metrics.advance_width(id).unwrap_or_default() * size / self.units,
        }
    }

    fn width(&self, line: &str, size: f32) -> f32 {
        line.chars().map(|sign| self.advance(sign, size)).sum()
    }

    /// The start of a line that fits, with a sign that it was cut.
    fn cut(&self, line: &str, size: f32) -> String {
        if self.width(line, size) <= TEXT_WIDTH {
            return line.to_owned();
        }
        let mut kept = String::new();
        let mut room = TEXT_WIDTH - self.advance('…', size);
        for sign in line.chars() {
            room -= self.advance(sign, size);
            if room < 0.0 {
                break;
            }
            kept.push(sign);
        }
        format!("{}…", kept.trim_end())
    }

    /// The name at the largest size that fits; the token's number where the font has nothing of the name.
    fn headline(&self, agent: &Agent) -> (f32, Vec<String>) {
        let is_read = |sign: char| sign.is_alphanumeric() && matches!(self.glyph(sign), Glyph::Letter(_));
        let name =
            if agent.name.chars().any(is_read) { agent.name.trim().to_owned() } else { agent.number() };
        for size in SIZES {
            let lines = self.wrap(&name, size);
            if lines.len() <= LINES && lines.iter().all(|line| self.width(line, size) <= TEXT_WIDTH) {
                return (size, lines);
            }
        }
        let size = SIZES[SIZES.len() - 1];
        let mut lines = self.wrap(&name, size);
        if lines.len() > LINES {
            lines.truncate(LINES);
            lines[LINES - 1].push('…');
        }
        (size, lines.iter().map(|line| self.cut(line, size)).collect())
    }

    fn wrap(&self, text: &str, size: f32) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let line = lines.last_mut().expect("there is a first line");
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if line.is_empty() || self.width(&longer, size) <= TEXT_WIDTH {
                *line = longer;
            } else {
                lines.push(word.to_owned());
            }
        }
        lines
    }
}

/// Draws a letter's outline where it stands.
struct Pen<'r> {
    into: &'r mut Rasterizer,
    x: f32,
    y: f32,
    scale: f32,
    at: Point,
    start: Point,
}

impl Pen<'_> {
    fn place(&self, x: f32, y: f32) -> Point {
        point(self.x + x * self.scale, self.y - y * self.scale)
    }
}

impl OutlinePen for Pen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.at = self.place(x, y);
        self.start = self.at;
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.place(x, y);
        self.into.draw_line(self.at, to);
        self.at = to;
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (by, to) = (self.place(x1, y1), self.place(x, y));
        self.into.draw_quad(self.at, by, to);
        self.at = to;
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (one, two, to) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.into.draw_cubic(self.at, one, two, to);
        self.at = to;
    }

    fn close(&mut self) {
        self.into.draw_line(self.at, self.start);
        self.at = self.start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::agent::tests::agent;

    #[test]
    fn any_name_gives_a_picture_and_the_same_one_each_time() {
        let long = "Ærøskøbing ".repeat(7);
        let unbroken = "W".repeat(80);
        for name in [
            "Marrow Finch",
            "月の灯台守",
            "علي بابا",
            "👩‍🚀🌊",
            "Zoë\u{301} Ślązak",
            "\u{202e}\u{0}",
            " ",
            &long,
            &unbroken,
        ] {
            let agent = agent(name);
            let bytes = png(&agent).expect("encoded");
            assert!(
                bytes.starts_with(b"\x89PNG\r\n\x1a\n") && bytes.len() < 120 * 1024,
                "{name}: {}",
                bytes.len()
            );
            assert_eq!(bytes[16..24], [0, 0, 4, 176, 0, 0, 2, 118], "1200 by 630");
        }
        let again = || png(&agent("Nim")).expect("encoded");
        assert_eq!(again(), again());
    }

    #[test]
    fn a_name_takes_the_room_it_has() {
        let text = Text::new(&FontRef::new(FONT).expect("our own font"));
        for name in [
            "Nim",
            "Juno of the Tides",
            "The Very Long Name of a Lighthouse Keeper From Far Away",
            &"W".repeat(80),
        ] {
            let (size, lines) = text.headline(&agent(name));
            assert!(!lines.is_empty() && lines.len() <= LINES, "{name}");
            assert!(lines.iter().all(|line| text.width(line, size) <= TEXT_WIDTH), "{name}: {lines:?}");
        }
        assert_eq!(text.headline(&agent("月の灯台守")).1, ["#1"]);
        assert!((text.headline(&agent("Nim")).0 - SIZES[0]).abs() < 0.1, "a short name is large");
    }
}
