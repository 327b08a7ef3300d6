//! The repository against its own agreements: see `testing::tidy`.

use std::path::Path;

#[test]
fn the_repository_is_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let findings = testing::tidy::findings(&root).expect("the workspace can be read");
    let list = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(findings.is_empty(), "{} to mend:\n{list}\n", findings.len());
}
