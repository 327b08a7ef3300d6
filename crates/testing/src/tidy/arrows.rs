//! The arrows between our crates: `cargo metadata` against the table.

use std::path::Path;

use cargo_metadata::{DependencyKind, MetadataCommand};

use super::{ARROWS, Finding, TESTING};

/// One line of a `Cargo.toml` that names another crate of ours.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    /// The file with the line.
    pub(super) manifest: String,
    /// Who names.
    pub(super) from: String,
    /// Who is named.
    pub(super) to: String,
    /// Only for tests.
    pub(super) is_dev: bool,
}

/// Reads the workspace and checks it.
pub(super) fn of_workspace(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let mut command = MetadataCommand::new();
    let metadata = command.manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let mut names = Vec::new();
    let mut edges = Vec::new();
    for package in &metadata.packages {
        let manifest = package.manifest_path.strip_prefix(&metadata.workspace_root)?.to_string();
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            edges.push(Edge {
                manifest: manifest.clone(),
                from: package.name.to_string(),
                to: dependency.name.clone(),
                is_dev: dependency.kind == DependencyKind::Development,
            });
        }
        names.push((package.name.to_string(), manifest));
    }
    let mut findings = check(&edges);
    findings.extend(strangers(&names));
    Ok(findings)
}

/// Every edge that the table does not have.
pub(super) fn check(edges: &[Edge]) -> Vec<Finding> {
    edges.iter().filter(|edge| !is_allowed(edge)).map(refusal).collect()
}

fn is_allowed(edge: &Edge) -> bool {
    let listed = ARROWS.iter().any(|(from, to)| *from == edge.from && to.contains(&edge.to.as_str()));
    listed || (edge.is_dev && edge.to == TESTING)
}

fn refusal(edge: &Edge) -> Finding {
    let mend = if edge.to == TESTING {
        "`testing` is for tests: name it under [dev-dependencies]"
    } else {
        "arrows point inward: move the code, pass a value, or argue for a new arrow in `ARROWS` (crates/testing/src/tidy.rs)"
    };
    let what = format!("`{}` may not depend on `{}`", edge.from, edge.to);
    Finding { file: edge.manifest.clone(), line: 0, what, mend }
}

/// Every crate that the table does not know.
fn strangers(names: &[(String, String)]) -> Vec<Finding> {
    let is_stranger = |name: &str| !ARROWS.iter().any(|(known, _)| *known == name);
    let strangers = names.iter().filter(|(name, _)| is_stranger(name));
    strangers
        .map(|(name, manifest)| Finding {
            file: manifest.clone(),
            line: 0,
            what: format!("nobody has said what the crate `{name}` may depend on"),
            mend: "give it a line in `ARROWS` (crates/testing/src/tidy.rs) and in ARCHITECTURE.md",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, is_dev: bool) -> Edge {
        Edge {
            manifest: format!("crates/{from}/Cargo.toml"),
            from: from.to_owned(),
            to: to.to_owned(),
            is_dev,
        }
    }

    #[test]
    fn arrows_point_inward() {
        assert!(check(&[edge("domain", "ledger", false), edge("server", "finn", false)]).is_empty());
        for (from, to) in [("ledger", "domain"), ("finn", "ledger"), ("types", "cluster"), ("app", "ledger")]
        {
            let findings = check(&[edge(from, to, false)]);
            assert_eq!(findings.len(), 1, "{from} → {to}");
            assert!(findings[0].what.contains(from) && findings[0].what.contains(to));
        }
    }

    #[test]
    fn testing_is_for_tests_only() {
        assert!(check(&[edge("ledger", "testing", true)]).is_empty());
        assert!(check(&[edge("ledger", "testing", false)])[0].mend.contains("dev-dependencies"));
        assert_eq!(check(&[edge("finn", "ledger", true)]).len(), 1, "a test's arrow is an arrow");
    }

    #[test]
    fn a_new_crate_needs_a_line() {
        let names =
            [("types".to_owned(), String::new()), ("utils".to_owned(), "crates/utils/Cargo.toml".to_owned())];
        let findings = strangers(&names);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].file, "crates/utils/Cargo.toml");
    }

    #[test]
    fn the_table_has_no_cycle_and_names_only_what_it_lists() {
        fn reaches(from: &str, to: &str) -> bool {
            let (_, next) =
                ARROWS.iter().find(|(name, _)| *name == from).expect("each name has its own line");
            next.iter().any(|name| *name == to || reaches(name, to))
        }
        for (name, _) in ARROWS {
            assert!(!reaches(name, name), "{name} reaches itself");
        }
    }
}
