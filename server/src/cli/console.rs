//! Where commands print: plain, calm, aligned; coloured on a terminal only, and not when `NO_COLOR` is set.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::Exit;
use crate::config::Source;

/// What a piece of text says beyond its words. The words say it too: colour alone is not for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Warning,
    Bad,
    Quiet,
    Strong,
}

/// Two streams and how to write to them.
pub(super) struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    out_is_coloured: bool,
    err_is_coloured: bool,
    /// Print data as JSON.
    pub(super) json: bool,
}

impl<'a> Console<'a> {
    /// The process's own streams.
    pub(super) fn of_process(out: &'a mut dyn Write, err: &'a mut dyn Write, source: &Source) -> Self {
        let colour = source.get("NO_COLOR").is_none() && source.get("TERM") != Some("dumb");
        Self {
            out,
            err,
            out_is_coloured: colour && io::stdout().is_terminal(),
            err_is_coloured: colour && io::stderr().is_terminal(),
            json: false,
        }
    }

    /// Streams without colour.
    #[cfg(test)]
    pub(super) fn plain(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, out_is_coloured: false, err_is_coloured: false, json: false }
    }

    /// A line of data.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{}", text.trim_end())
    }

    /// Text as it is.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Where data goes, for a stream of it.
    pub(super) fn data(&mut self) -> &mut dyn Write {
        self.out
    }

    /// Data as indented JSON.
    pub(super) fn json(&mut self, data: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(data)?;
        Ok(self.line(&text)?)
    }

    /// A line about what went wrong, or is worth a look.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.err, "{}", text.trim_end())
    }

    /// `text` as it looks on stdout.
    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        if self.out_is_coloured { painted(tone, text) } else { text.to_owned() }
    }

    /// `text` as it looks on stderr.
    pub(super) fn paint_note(&self, tone: Tone, text: &str) -> String {
        if self.err_is_coloured { painted(tone, text) } else { text.to_owned() }
    }

    /// Says why a command failed. A reader that left early (`| head`) is no failure.
    pub(super) fn failure(&mut self, error: &anyhow::Error) -> Exit {
        let left_early = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        if error.downcast_ref::<io::Error>().is_some_and(left_early) {
            return Exit::Done;
        }
        let name = self.paint_note(Tone::Bad, "freeside:");
        // With stderr gone there is nobody left to tell.
        let _ = self.note(&format!("{name} {error:#}"));
        Exit::Failed
    }
}

fn painted(tone: Tone, text: &str) -> String {
    let code = match tone {
        Tone::Good => "32",
        Tone::Warning => "33",
        Tone::Bad => "31",
        Tone::Quiet => "2",
        Tone::Strong => "1",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// The width of a column: the longest text in it.
pub(super) fn width<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}
