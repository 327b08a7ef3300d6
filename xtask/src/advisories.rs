//! A snapshot of the RustSec database, for machines that cannot reach the live one.
//!
//! `FREESIDE_ADVISORY_SNAPSHOT` names a folder with `rustsec-….tar.xz` files, or one such file; without it the folder
//! `../shared/advisories` beside the repository is looked at. Where there is none, the live database is used; and when
//! that cannot be reached, the newest snapshot that was unpacked here before.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::install::{self, Need};
use crate::shell::{self, step};

/// The variable that names a snapshot.
pub(crate) const VARIABLE: &str = "FREESIDE_ADVISORY_SNAPSHOT";

/// Where a snapshot is looked for when no variable names one, seen from the root of the repository.
const DEFAULT: &str = "../shared/advisories";

/// The folder that cargo-deny keeps <https://github.com/RustSec/advisory-db> in, below its `db-path`.
const CHECKOUT: &str = "advisory-db-3157b0e258782691";

/// The time of the last fetch, as cargo-deny reads it: written last, so that a half-made checkout is made again.
const FETCHED: &str = ".git/FETCH_HEAD";

/// A snapshot that is ready to use.
pub(crate) struct Snapshot {
    /// Its file name, which has its date.
    pub(crate) name: String,
    /// `deny.toml`, pointed at the unpacked snapshot.
    pub(crate) config: PathBuf,
}

/// The snapshot that a setting or the default place names, unpacked once.
pub(crate) fn named() -> anyhow::Result<Option<Snapshot>> {
    let root = shell::root();
    let archive = match std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        Some(value) => match newest(&root.join(&value)) {
            None => bail!("{VARIABLE}: there is no rustsec-….tar.xz at {}", value.display()),
            found => found,
        },
        None => newest(&root.join(DEFAULT)),
    };
    let Some(archive) = archive else { return Ok(None) };
    let name = archive.file_name().unwrap_or_default();
    let home = homes()?.join(name);
    if !is_complete(&home) {
        unpack(&archive, &home.join(CHECKOUT))?;
    }
    ready(&home).map(Some)
}

/// The newest snapshot that was unpacked before.
pub(crate) fn kept() -> anyhow::Result<Snapshot> {
    let homes = std::fs::read_dir(homes()?).into_iter().flatten().flatten().map(|entry| entry.path());
    let newest = homes.filter(|home| is_complete(home)).max().with_context(|| {
        format!("the live database cannot be reached: name a folder with a rustsec-….tar.xz in {VARIABLE}")
    })?;
    ready(&newest)
}

/// Where unpacked snapshots lie, each in a folder named like its file.
fn homes() -> anyhow::Result<PathBuf> {
    Ok(shell::cache()?.join("advisories"))
}

fn is_complete(home: &Path) -> bool {
    home.join(CHECKOUT).join(FETCHED).is_file()
}

fn ready(home: &Path) -> anyhow::Result<Snapshot> {
    let deny = std::fs::read_to_string(shell::root().join("deny.toml")).context("cannot read deny.toml")?;
    let config = home.join("deny.toml");
    std::fs::write(&config, pointed_at(&deny, home)?)?;
    Ok(Snapshot { name: home.file_name().unwrap_or_default().to_string_lossy().into_owned(), config })
}

/// The newest snapshot of a folder: their names end in their dates. A file stands for itself.
fn newest(place: &Path) -> Option<PathBuf> {
    if place.is_file() {
        return Some(place.to_owned());
    }
    let is_snapshot = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("rustsec-") && name.ends_with(".tar.xz")
    };
    std::fs::read_dir(place).ok()?.flatten().map(|entry| entry.path()).filter(is_snapshot).max()
}

/// cargo-deny wants a git checkout, so the files become one commit.
fn unpack(archive: &Path, checkout: &Path) -> anyhow::Result<()> {
    install::ensure(&[Need::Git])?;
    if checkout.exists() {
        std::fs::remove_dir_all(checkout)?;
    }
    std::fs::create_dir_all(checkout)?;
    step("tar", ["--extract", "--xz", "--file"]).args([archive]).within(checkout).run()?;
    let git = |arguments: &[&str]| {
        let nobody =
            ["-c", "user.name=freeside", "-c", "user.email=freeside@localhost", "-c", "commit.gpgsign=false"];
        step("git", nobody).args(arguments).within(checkout).quiet().run()
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "--all", "--force", "."])?;
    git(&["commit", "--quiet", "--message=snapshot"])?;
    std::fs::write(checkout.join(FETCHED), "")?;
    Ok(())
}

/// The same rules, with the database's place added to `[advisories]`.
fn pointed_at(deny: &str, home: &Path) -> anyhow::Result<String> {
    const TABLE: &str = "[advisories]\n";
    if !deny.contains(TABLE) {
        bail!("deny.toml has no [advisories] table");
    }
    Ok(deny.replacen(TABLE, &format!("{TABLE}db-path = {:?}\n", home.to_string_lossy()), 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_stay_and_the_place_is_added() {
        let text = pointed_at("[advisories]\nyanked = \"deny\"\n", Path::new("/cache")).unwrap();
        assert_eq!(text, "[advisories]\ndb-path = \"/cache\"\nyanked = \"deny\"\n");
        assert!(pointed_at("[bans]\n", Path::new("/cache")).is_err());
    }

    #[test]
    fn no_folder_means_no_snapshot() {
        assert_eq!(newest(Path::new("/no/such/folder")), None);
    }
}
