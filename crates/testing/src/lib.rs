//! What tests share: a server to start, fakes, audits; a dev-dependency only.
//!
//! [`postgres`]: a fresh, migrated database per test, and clusters that may be killed. [`served`]: the real binary.
//! [`catalog`]: models with prices. [`books`]: what an auditor asks of them. [`repository`]: where the files are.

pub mod books;
pub mod catalog;
pub mod postgres;
pub mod served;
pub mod tidy;

use std::path::{Path, PathBuf};

/// The root of the repository that runs, which is not always the one that was compiled: copies of a repository may share a
/// target folder, and cargo does not compile anew for another place.
pub fn repository() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map_or(built, PathBuf::from);
    let is_root = |folder: &&Path| folder.join("Cargo.lock").is_file() && folder.join("migrations").is_dir();
    match package.ancestors().find(is_root) {
        Some(root) => root.to_owned(),
        None => panic!("there is no repository around {}", package.display()),
    }
}
