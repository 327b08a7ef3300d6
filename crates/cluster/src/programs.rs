//! Finds the programs of PostgreSQL.
//!
//! The order: the folder that the operator names; Debian's versioned folders, newest first; `PATH`. Debian's come before
//! `PATH` because copies or links of single programs in `/usr/local/bin` start and then miss their share files.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// The oldest major version that the migrations are written for.
pub const OLDEST_MAJOR: u32 = 15;

/// Where Debian's packages put each major version: `<here>/<major>/bin`.
const DEBIAN: &str = "/usr/lib/postgresql";

/// All three must be there: a folder with two of them is a broken installation, better refused than half used.
const NEEDED: [&str; 3] = ["initdb", "postgres", "pg_ctl"];

/// Where to look. The default looks in Debian's folders only.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// The folder that `FREESIDE_POSTGRES_BIN` names: when given, no other is looked at.
    pub folder: Option<PathBuf>,
    /// The value of `PATH`.
    pub path: Option<OsString>,
}

/// A folder that holds a usable set of programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The folder.
    pub folder: PathBuf,
    /// The major version, 15 or more.
    pub major: u32,
}

impl Programs {
    /// The full path of one program.
    pub(crate) fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }
}

/// The newest usable PostgreSQL, or [`Error::NoPrograms`], which says what to install.
pub fn find_binaries(search: &Search) -> Result<Programs, Error> {
    find(search, Path::new(DEBIAN), None)
}

/// As [`find_binaries`], of exactly the major version that made the data in `folder`.
pub(crate) fn find_for(search: &Search, folder: &Path, made_by: u32) -> Result<Programs, Error> {
    match find(search, Path::new(DEBIAN), Some(made_by)) {
        Err(Error::NoPrograms { .. }) => match find_binaries(search) {
            Ok(_) => Err(Error::OtherVersion { folder: folder.to_owned(), made_by }),
            Err(none) => Err(none),
        },
        found => found,
    }
}

fn find(search: &Search, debian: &Path, major: Option<u32>) -> Result<Programs, Error> {
    if let Some(folder) = &search.folder {
        let programs =
            inspect(folder).map_err(|fault| Error::BadPrograms { folder: folder.clone(), fault })?;
        return match major {
            Some(wanted) if wanted != programs.major => Err(Error::BadPrograms {
                folder: folder.clone(),
                fault: format!("it holds PostgreSQL {}, and the data were made by {wanted}", programs.major),
            }),
            _ => Ok(programs),
        };
    }
    let on_path = search.path.iter().flat_map(std::env::split_paths);
    newest_first(debian)
        .into_iter()
        .chain(on_path)
        .filter_map(|folder| inspect(&folder).ok())
        .find(|programs| major.is_none_or(|wanted| wanted == programs.major))
        .ok_or_else(|| {
            let path = if search.path.is_some() { " and on PATH" } else { "" };
            Error::NoPrograms { looked: format!("{}{path}", debian.display()) }
        })
}

/// `<debian>/<major>/bin`, the highest number first.
fn newest_first(debian: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(debian) else { return Vec::new() };
    let mut majors: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    majors.sort_unstable_by(|left, right| right.cmp(left));
    majors.into_iter().map(|major| debian.join(major.to_string()).join("bin")).collect()
}

/// A usable set, or what is wrong with the folder.
fn inspect(folder: &Path) -> Result<Programs, String> {
    for program in NEEDED {
        let runs = std::fs::metadata(folder.join(program))
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        if !runs {
            return Err(format!("there is no program `{program}` in it"));
        }
    }
    let answer = Command::new(folder.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`postgres --version` does not run: {error}"))?;
    let words = String::from_utf8_lossy(&answer.stdout);
    let major = major_of(&words).ok_or_else(|| "`postgres --version` names no version".to_owned())?;
    if major < OLDEST_MAJOR {
        return Err(format!("it holds PostgreSQL {major}"));
    }
    Ok(Programs { folder: folder.to_owned(), major })
}

/// 15, from `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)`.
fn major_of(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
    number.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(folder: &Path, name: &str, version: &str) {
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join(name);
        std::fs::write(&file, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn installation(folder: &Path, version: &str) {
        for name in NEEDED {
            program(folder, name, version);
        }
    }

    #[test]
    fn missing_programs_name_the_package() {
        let empty = tempfile::tempdir().unwrap();
        let search = Search { folder: None, path: Some(empty.path().into()) };
        let words = find(&search, &empty.path().join("none"), None).unwrap_err().to_string();
        assert!(words.contains("apt-get install postgresql"), "{words}");
        assert!(words.contains("FREESIDE_POSTGRES_BIN") && words.contains("on PATH"), "{words}");
    }

    #[test]
    fn the_newest_of_debians_folders_wins_and_path_comes_last() {
        let root = tempfile::tempdir().unwrap();
        let on_path = root.path().join("local");
        installation(&on_path, "19.1");
        let search = Search { folder: None, path: Some(on_path.clone().into()) };
        assert_eq!(find(&search, root.path(), None).unwrap().folder, on_path);
        for (major, version) in [("9", "9.6.24"), ("15", "15.13 (Debian)"), ("17", "17beta1")] {
            installation(&root.path().join(major).join("bin"), version);
        }
        program(&root.path().join("18/bin"), "postgres", "18.0");
        let found = find(&search, root.path(), None).unwrap();
        assert_eq!(found, Programs { folder: root.path().join("17/bin"), major: 17 });
        assert_eq!(find(&search, root.path(), Some(15)).unwrap().major, 15);
    }

    #[test]
    fn a_named_folder_is_taken_or_refused_but_never_replaced() {
        let root = tempfile::tempdir().unwrap();
        let search = Search { folder: Some(root.path().join("old")), path: None };
        installation(&root.path().join("old"), "14.2");
        installation(&root.path().join("17/bin"), "17.0");
        let words = find(&search, root.path(), None).unwrap_err().to_string();
        assert!(words.contains("it holds PostgreSQL 14"), "{words}");
        std::fs::remove_file(root.path().join("old/initdb")).unwrap();
        let words = find(&search, root.path(), None).unwrap_err().to_string();
        assert!(words.contains("no program `initdb`"), "{words}");
    }
}
