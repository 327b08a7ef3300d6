//! Where texts come from: the environment, or for a secret the file that `<NAME>_FILE` names.
//!
//! What always holds: a text that stands in [`Values`] has passed its check. Deliberately absent: a `.env` file in the
//! working folder. What a shell or a container does not show in its environment does not count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::finding::Finding;
use super::kind::Kind;
use super::table::{self, Unset, Variable};

/// A secret's file is read up to this size: a key is a few lines, and a mistaken path may be a device.
const SECRET_FILE_MAX_BYTES: u64 = 64 * 1024;

/// Variables and the folder in which relative paths begin.
#[derive(Clone, Default)]
pub struct Source {
    values: BTreeMap<String, String>,
    unreadable: Vec<String>,
    folder: PathBuf,
}

impl Source {
    /// A source of its own, for tests and tools.
    pub fn new(values: BTreeMap<String, String>, folder: impl Into<PathBuf>) -> Self {
        Self { values, unreadable: Vec::new(), folder: folder.into() }
    }

    /// This process's environment and working folder.
    pub fn of_process() -> Self {
        let mut source = Self { folder: std::env::current_dir().unwrap_or_default(), ..Self::default() };
        for (name, value) in std::env::vars_os() {
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => {
                    source.values.insert(name, value);
                }
                Err(_) => source.unreadable.push(name),
            }
        }
        source
    }

    /// The text of `name`; an empty one counts as not set, as compose files write it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Sets `name`, as a command-line option does.
    pub fn set(&mut self, name: &str, text: impl Into<String>) {
        self.values.insert(name.to_owned(), text.into());
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The path seen from the working folder, without `.` on the way: it is shown to people.
    pub(super) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path).components().collect()
    }
}

/// Where a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the variable itself.
    Environment,
    /// In the file that `<NAME>_FILE` names.
    File,
}

/// A checked text. It may be a secret: no `Debug`.
struct Given {
    text: String,
    origin: Origin,
}

/// The checked texts, and what was wrong with the others.
pub(super) struct Values<'a> {
    pub(super) source: &'a Source,
    given: BTreeMap<String, Given>,
    pub(super) faults: Vec<Finding>,
}

impl<'a> Values<'a> {
    /// Reads every variable of the table.
    pub(super) fn read(source: &'a Source) -> Self {
        let mut values = Self { source, given: BTreeMap::new(), faults: Vec::new() };
        for variable in table::TABLE {
            if variable.name.contains('<') {
                for name in family(source, variable) {
                    values.read_one(&name, variable.kind, variable.secret);
                }
            } else {
                values.read_one(variable.name, variable.kind, variable.secret);
            }
        }
        for name in &source.unreadable {
            if table::find(name).is_some() {
                values.faults.push(Finding::new(name, "is not UTF-8", "Write it again."));
            }
        }
        values
    }

    /// Reads one variable, from the table or named by the catalog.
    pub(super) fn read_one(&mut self, name: &str, kind: Kind, secret: bool) {
        let Some((text, origin)) = self.fetch(name, secret) else { return };
        match kind.check(&text) {
            Ok(()) => {
                self.given.insert(name.to_owned(), Given { text, origin });
            }
            Err(bad) => self.fault(&label(name, origin), bad.problem, bad.fix),
        }
    }

    fn fetch(&mut self, name: &str, secret: bool) -> Option<(String, Origin)> {
        let direct = self.source.get(name);
        let file_name = format!("{name}_FILE");
        match (direct, self.source.get(&file_name).filter(|_| secret)) {
            (None, None) => None,
            // A blank around a plain value is never meant; a secret is taken as it is.
            (Some(text), None) if secret => Some((text.to_owned(), Origin::Environment)),
            (Some(text), None) => Some((text.trim().to_owned(), Origin::Environment)),
            (Some(_), Some(_)) => {
                self.fault(name, format!("and {file_name} are both set"), "Keep one of the two.");
                None
            }
            (None, Some(path)) => match read_secret_file(&self.source.path(path)) {
                Ok(text) => Some((text, Origin::File)),
                Err((problem, fix)) => {
                    self.fault(&file_name, problem, fix);
                    None
                }
            },
        }
    }

    pub(super) fn fault(&mut self, name: &str, problem: impl Into<String>, fix: impl Into<String>) {
        self.faults.push(Finding::new(name, problem, fix));
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|given| given.text.as_str())
    }

    /// Was the variable given, rightly or wrongly? A refused text is one fault, not also a missing one.
    pub(super) fn was_given(&self, name: &str) -> bool {
        self.source.get(name).is_some() || self.source.get(&format!("{name}_FILE")).is_some()
    }

    /// The value given, if any.
    pub(super) fn optional<T: FromStr>(&self, name: &str) -> Option<T> {
        self.text(name).and_then(|text| text.parse().ok())
    }

    /// The value given, or the table's default.
    pub(super) fn required<T: FromStr>(&self, name: &str) -> T {
        let default = table::find(name).map(|variable| variable.default);
        let text = match (self.text(name), default) {
            (Some(text), _) | (None, Some(Unset::Is(text))) => text,
            (None, _) => "",
        };
        text.parse().ok().expect("given texts passed their check, and a test checks the table's defaults")
    }

    pub(super) fn names_with_text(&self, text: &str) -> Vec<String> {
        self.given.iter().filter(|(_, given)| given.text == text).map(|(name, _)| name.clone()).collect()
    }

    /// The given variables with their origin, and their text unless it is secret.
    pub(super) fn overview(&self) -> BTreeMap<String, (Origin, Option<String>)> {
        let show = |name: &String, given: &Given| {
            let secret = table::find(name).is_none_or(|variable| variable.secret);
            (given.origin, (!secret).then(|| given.text.clone()))
        };
        self.given.iter().map(|(name, given)| (name.clone(), show(name, given))).collect()
    }

    /// The given members of a numbered family: number and text.
    pub(super) fn numbered(&self, prefix: &str) -> impl Iterator<Item = (u64, &str)> {
        self.given.iter().filter_map(move |(name, given)| {
            Some((name.strip_prefix(prefix).and_then(table::number)?, given.text.as_str()))
        })
    }
}

fn label(name: &str, origin: Origin) -> String {
    match origin {
        Origin::Environment => name.to_owned(),
        Origin::File => format!("{name}_FILE"),
    }
}

/// The names of a numbered family that the source holds, with `_FILE` taken off.
fn family(source: &Source, variable: &Variable) -> Vec<String> {
    let mut names: Vec<_> = source
        .names()
        .map(|(name, _)| name.strip_suffix("_FILE").unwrap_or(name))
        .filter(|name| variable.is_named(name))
        .map(str::to_owned)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The file's text without one newline at its end: editors and `echo` add one that is no part of the secret.
fn read_secret_file(path: &Path) -> Result<String, (String, &'static str)> {
    let unreadable = |error: std::io::Error| {
        (
            format!("names {}, which cannot be read: {}", path.display(), error.kind()),
            "Name a file that this user may read.",
        )
    };
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > SECRET_FILE_MAX_BYTES {
        return Err((
            format!("names {}, which is no small file", path.display()),
            "Name a file that holds the secret alone.",
        ));
    }
    let bytes = std::fs::read(path).map_err(unreadable)?;
    let Ok(text) = String::from_utf8(bytes) else {
        return Err((
            format!("names {}, which is not UTF-8", path.display()),
            "Save the secret as plain text.",
        ));
    };
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        return Err((format!("names {}, which is empty", path.display()), "Write the secret into it."));
    }
    Ok(text.to_owned())
}
