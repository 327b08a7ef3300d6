//! Reads the settings for a command, or says everything that is wrong with them.

use std::io;

use super::console::{Console, Tone};
use crate::config::{Faults, Finding, Settings, Source};

/// The settings of a service, with its warnings; after a fault the words are printed already and the command has
/// nothing left to do.
pub(super) fn settings(source: &Source, console: &mut Console<'_>) -> io::Result<Option<Settings>> {
    let settings = unless_faulty(Settings::read(source), console)?;
    if let Some(settings) = &settings {
        warnings(&settings.warnings, console)?;
    }
    Ok(settings)
}

/// The settings of a step that prepares a service, which need not be complete; the service will warn by itself.
pub(super) fn settings_for_preparation(
    source: &Source,
    console: &mut Console<'_>,
) -> io::Result<Option<Settings>> {
    unless_faulty(Settings::read_for_preparation(source), console)
}

fn unless_faulty(read: Result<Settings, Faults>, console: &mut Console<'_>) -> io::Result<Option<Settings>> {
    match read {
        Ok(settings) => Ok(Some(settings)),
        Err(faults) => print(&faults, console).map(|()| None),
    }
}

/// Prints the faults to stderr.
pub(super) fn print(faults: &Faults, console: &mut Console<'_>) -> io::Result<()> {
    let count = match faults.0.len() {
        1 => "one fault".to_owned(),
        many => format!("{many} faults"),
    };
    let name = console.paint_note(Tone::Bad, "freeside:");
    console.note(&format!("{name} {count} in the configuration:"))?;
    for fault in &faults.0 {
        finding(fault, console)?;
    }
    console.note("\nAll variables: freeside config env-template")
}

/// Prints warnings to stderr.
fn warnings(warnings: &[Finding], console: &mut Console<'_>) -> io::Result<()> {
    if warnings.is_empty() {
        return Ok(());
    }
    let name = console.paint_note(Tone::Warning, "freeside:");
    console.note(&format!("{name} worth a look:"))?;
    warnings.iter().try_for_each(|warning| finding(warning, console))
}

fn finding(finding: &Finding, console: &mut Console<'_>) -> io::Result<()> {
    let variable = console.paint_note(Tone::Strong, &finding.variable);
    // A parser's message may have lines of its own: they stand under the first.
    let problem = finding.problem.replace('\n', "\n    ");
    console.note(&format!("\n  {variable} {problem}.\n    {}", finding.fix))
}
