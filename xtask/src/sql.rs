//! `make sqlx`: what the database says about our statements, kept in `.sqlx`, so that a build needs no database.
//!
//! `sqlx::query!` and its kin ask a database while they are compiled: is this SQL, and what goes in and comes out?
//! Here that is a fresh one with our migrations, asked as the application's role, so a right that the role lacks fails
//! too. Every other build answers from `.sqlx` (`SQLX_OFFLINE` in `.cargo/config.toml`). `make check` asks anew and
//! compares: an edited migration or statement without its answer is found there.
//!
//! What is deliberately absent: statements in tests, which keep the function form; a test that runs them checks them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail, ensure};

use crate::install::{self, Need};
use crate::shell;
use crate::test_cluster::TestCluster;

/// One statement each, named by the statement's hash.
type Answers = BTreeMap<String, String>;

/// Where our crates lie; none of xtask's statements, as it has none.
const FOLDERS: [&str; 4] = ["app", "crates", "frontend", "server"];

/// What marks a file with statements to ask about.
const MACROS: [&str; 3] = ["query!(", "query_as!(", "query_scalar!("];

/// How far ahead a touched file's time is set: longer than a build, short enough to forget when this process is killed
/// before it can put the time back (until then, cargo compiles the file's crate at every call).
const AHEAD: Duration = Duration::from_mins(10);

/// Brings `.sqlx` up to date.
pub(crate) fn write() -> anyhow::Result<()> {
    let answers = ask()?;
    let folder = kept();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let before = read(&folder)?;
    for name in before.keys().filter(|name| !answers.contains_key(*name)) {
        fs::remove_file(folder.join(name))?;
    }
    for (name, answer) in answers.iter().filter(|(name, answer)| before.get(*name) != Some(answer)) {
        fs::write(folder.join(name), answer)?;
    }
    let changes = differences(&before, &answers);
    for change in &changes {
        println!("{change}");
    }
    println!(".sqlx      {} statements, {} changes", answers.len(), changes.len());
    Ok(())
}

/// Whether `.sqlx` is what the database says today.
pub(crate) fn check() -> anyhow::Result<()> {
    let differences = differences(&read(&kept())?, &ask()?);
    if !differences.is_empty() {
        bail!(".sqlx is out of date: run `make sqlx` and commit .sqlx\n{}", differences.join("\n"));
    }
    Ok(())
}

fn kept() -> PathBuf {
    shell::root().join(".sqlx")
}

/// Compiles every crate with statements against a database, and returns what the macros wrote down.
fn ask() -> anyhow::Result<Answers> {
    install::ensure(&[Need::Postgres])?;
    let (cluster, url) = TestCluster::start_with_database()?;
    let folder = shell::built("sqlx-answers")?;
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    // The whole workspace is selected so that dependencies are those which the other tasks compile. Libraries only:
    // the binaries are a few lines each.
    let check = shell::cargo(["check", "--workspace", "--lib", "--locked", "--quiet"])
        .env("DATABASE_URL", url)
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", &folder);
    let touched = Touched::all(files_with_statements()?)?;
    check.run()?;
    drop(touched);
    drop(cluster);
    let answers = read(&folder)?;
    ensure!(!answers.is_empty(), "the macros wrote nothing down: was anything compiled?");
    Ok(answers)
}

/// Files that cargo takes for changed until this is dropped: a macro writes only when it is expanded.
///
/// Their old times are put back, so that what other builds have compiled from them stays good. The time is in the
/// future because another cargo (an editor's) may come first, and ours must compile them all the same.
struct Touched(Vec<TouchedFile>);

struct TouchedFile {
    file: File,
    before: SystemTime,
    /// As the file system keeps it.
    ahead: SystemTime,
}

impl Touched {
    fn all(paths: Vec<PathBuf>) -> anyhow::Result<Self> {
        let mut touched = Self(Vec::new());
        for path in paths {
            let file = File::options().write(true).open(&path);
            let file = file.with_context(|| format!("cannot open {}", path.display()))?;
            // Later than now: left by a process that was killed.
            let before = file.metadata()?.modified()?.min(now());
            file.set_modified(now() + AHEAD)?;
            let ahead = file.metadata()?.modified()?;
            touched.0.push(TouchedFile { file, before, ahead });
        }
        Ok(touched)
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        for TouchedFile { file, before, ahead } in &self.0 {
            // Another time than ours: somebody wrote to the file meanwhile, and cargo must see that.
            if file.metadata().and_then(|data| data.modified()).is_ok_and(|time| time == *ahead) {
                // A time that stays costs a compilation, and nothing else.
                let _ = file.set_modified(*before);
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "files have the machine's time, and no rule hangs on it")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn files_with_statements() -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|name| shell::root().join(name)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path)?;
                if MACROS.iter().any(|name| text.contains(name)) {
                    found.push(path);
                }
            }
        }
    }
    Ok(found)
}

fn read(folder: &Path) -> anyhow::Result<Answers> {
    if !folder.exists() {
        return Ok(Answers::new());
    }
    let mut answers = Answers::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        answers.insert(entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?);
    }
    Ok(answers)
}

/// One line for each statement that was added, taken away, or is answered in another way.
fn differences(before: &Answers, after: &Answers) -> Vec<String> {
    let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
    let gone = gone.map(|(_, answer)| format!("gone       {}", statement_of(answer)));
    let other = after.iter().filter(|(name, answer)| before.get(*name) != Some(answer));
    let other = other.map(|(name, answer)| {
        let what = if before.contains_key(name) { "changed" } else { "new" };
        format!("{what:<10} {}", statement_of(answer))
    });
    gone.chain(other).collect()
}

/// Enough of a statement to find it by.
fn statement_of(answer: &str) -> String {
    const CHARACTERS: usize = 90;
    let line = answer.lines().find_map(|line| line.trim_start().strip_prefix("\"query\": \""));
    let words = line.unwrap_or_default().trim_end_matches(',').trim_end_matches('"');
    let words = words.replace("\\n", " ").replace("\\\"", "\"");
    words.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_name_the_statement() {
        let answer =
            |query: &str, nullable: &str| format!("{{\n  \"query\": \"{query}\",\n  \"n\": {nullable}\n}}\n");
        let set = |pairs: &[(&str, String)]| {
            pairs.iter().map(|(name, answer)| ((*name).to_owned(), answer.clone())).collect::<Answers>()
        };
        let before = set(&[("a", answer("select 1\\n  from x", "1")), ("b", answer("select 2", "1"))]);
        let after = set(&[("b", answer("select 2", "2")), ("c", answer("select 3", "1"))]);
        let expected = ["gone       select 1 from x", "changed    select 2", "new        select 3"];
        assert_eq!(differences(&before, &after), expected);
        assert!(differences(&after, &after).is_empty());
    }

    #[test]
    fn files_with_statements_are_found() {
        let files = files_with_statements().unwrap();
        assert!(files.iter().any(|file| file.ends_with("crates/identity/src/changes.rs")), "{files:?}");
        assert!(!files.iter().any(|file| file.ends_with("xtask/src/sql.rs")));
    }
}
