//! The repository against its own agreements: see `testing::tidy`.

#[test]
fn the_repository_is_tidy() {
    let findings = testing::tidy::findings(&testing::repository()).expect("the workspace can be read");
    let list = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(findings.is_empty(), "{} to mend:\n{list}\n", findings.len());
}
