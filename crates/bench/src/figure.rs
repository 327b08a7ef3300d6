//! One figure and what is promised of it, as a line on the screen and as a row of the page.

use std::io::Write as _;

use serde::Serialize;

/// One figure.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) limit: Option<Limit>,
}

/// What is promised.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Figure {
    pub(crate) fn at_most(what: impl Into<String>, value: f64, limit: f64) -> Self {
        Self { what: what.into(), value, limit: Some(Limit::AtMost(limit)) }
    }

    pub(crate) fn at_least(what: impl Into<String>, value: f64, limit: f64) -> Self {
        Self { what: what.into(), value, limit: Some(Limit::AtLeast(limit)) }
    }

    /// Nothing is promised of it.
    pub(crate) fn plain(what: impl Into<String>, value: f64) -> Self {
        Self { what: what.into(), value, limit: None }
    }

    /// Whether the promise is kept; `None`: there is none.
    fn is_kept(&self) -> Option<bool> {
        Some(match self.limit? {
            Limit::AtMost(limit) => self.value <= limit,
            Limit::AtLeast(limit) => self.value >= limit,
        })
    }

    /// For the screen.
    pub(crate) fn line(&self) -> String {
        let (what, value, limit) = (&self.what, number(self.value), self.limit_text());
        match self.is_kept() {
            Some(true) => format!("{what:75} {value:>10}  promised {limit:>8}  kept"),
            Some(false) => format!("{what:75} {value:>10}  promised {limit:>8}  MISSED"),
            None => format!("{what:75} {value:>10}"),
        }
    }

    /// A row of [`TABLE`].
    pub(crate) fn row(&self) -> String {
        let kept = self.is_kept().map_or("", word);
        format!("| {} | {} | {} | {kept} |\n", self.what, number(self.value), self.limit_text())
    }

    fn limit_text(&self) -> String {
        match self.limit {
            Some(Limit::AtMost(limit)) => format!("≤ {limit:.0}"),
            Some(Limit::AtLeast(limit)) => format!("≥ {limit:.0}"),
            None => String::new(),
        }
    }
}

/// The head of a table of figures.
pub(crate) const TABLE: &str = "| what | figure | promised | |\n|---|--:|--:|---|\n";

/// Whether a promise is kept, in a table.
pub(crate) fn word(is_kept: bool) -> &'static str {
    if is_kept { "kept" } else { "**missed**" }
}

/// Shows a line.
pub(crate) fn say(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{text}")
}

/// As many decimals as say something.
fn number(figure: f64) -> String {
    match figure.abs() {
        whole if whole >= 10.0 && whole.fract() == 0.0 => format!("{figure:.0}"),
        less if less < 10.0 => format!("{figure:.2}"),
        less if less < 1_000.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_on_its_side_of_the_limit() {
        assert_eq!(Figure::at_most("a", 50.0, 50.0).row(), "| a | 50 | ≤ 50 | kept |\n");
        assert_eq!(Figure::at_most("a", 50.1, 50.0).row(), "| a | 50.1 | ≤ 50 | **missed** |\n");
        assert_eq!(Figure::at_least("b", 94.0, 95.0).row(), "| b | 94 | ≥ 95 | **missed** |\n");
        assert_eq!(Figure::plain("c", 1_234.5).row(), "| c | 1234 |  |  |\n");
        assert!(Figure::at_least("b", 95.0, 95.0).line().ends_with("kept"));
    }
}
