//! The text files of the repository.

use std::path::Path;

use anyhow::Context as _;

/// A file and its text.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Seen from the root, with `/` between folders.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
}

impl File {
    /// Whether it is Rust.
    pub(super) fn is_rust(&self) -> bool {
        has_extension(&self.path, &["rs"])
    }

    /// Whether it is SQL.
    pub(super) fn is_sql(&self) -> bool {
        has_extension(&self.path, &["sql"])
    }

    /// The crate that it belongs to and its path in there, if it is part of one.
    pub(super) fn in_crate(&self) -> Option<(&str, &str)> {
        let path = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        let (name, inner) = path.split_once('/')?;
        super::ARROWS.iter().any(|(known, _)| *known == name).then_some((name, inner))
    }
}

/// What is made by tools, or is not ours, wherever it lies.
const PASSED_OVER: &[&str] = &[".git", ".sqlx", ".venv", "__pycache__", "node_modules"];

/// What is made by running and building, at the root.
const PASSED_OVER_AT_ROOT: &[&str] = &["data", "dist", "target"];

/// What people write. Files without an extension (Makefile, Dockerfile, scripts) are read too.
const WRITTEN: &[&str] = &[
    "css", "html", "js", "json", "jsonl", "md", "mjs", "py", "rs", "sh", "sql", "tf", "toml", "ts", "txt",
    "yaml", "yml",
];

/// Reads them all, sorted by path. What is not UTF-8 is no text.
pub(super) fn read(root: &Path) -> anyhow::Result<Vec<File>> {
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let kind = entry.file_type()?;
        let is_ours = !PASSED_OVER.contains(&name.as_str()) && !PASSED_OVER_AT_ROOT.contains(&path.as_str());
        if kind.is_dir() && is_ours {
            walk(&entry.path(), &path, files)?;
        } else if kind.is_file() && (!name.contains('.') || has_extension(&name, WRITTEN)) {
            // A file may vanish between the listing and the reading: then it is not there.
            if let Ok(text) = std::fs::read_to_string(entry.path()) {
                files.push(File { path, text });
            }
        }
    }
    Ok(())
}

fn has_extension(path: &str, extensions: &[&str]) -> bool {
    Path::new(path).extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_knows_its_crate() {
        let of = |path: &str| {
            let file = File { path: path.to_owned(), text: String::new() };
            file.in_crate().map(|(name, inner)| (name.to_owned(), inner.to_owned()))
        };
        assert_eq!(of("crates/ledger/src/lib.rs"), Some(("ledger".to_owned(), "src/lib.rs".to_owned())));
        assert_eq!(of("server/src/main.rs"), Some(("server".to_owned(), "src/main.rs".to_owned())));
        assert_eq!(of("migrations/0001_ledger.sql"), None);
        assert_eq!(of("README.md"), None);
    }
}
