//! The text of files: their length, their first line, and what must not stand in them.

use super::Finding;
use super::files::File;
use super::rust;

/// The longest file that needs no excuse, in lines.
const LONGEST: usize = 600;

/// The line that excuses a longer one.
const EXCUSE: &str = "//! Long because";

/// Documents that are read in one sitting, and how many lines that is.
const DOCUMENTS: &[(&str, usize)] = &[("ARCHITECTURE.md", 299), ("README.md", 200), ("CONTRIBUTING.md", 150)];

/// Macros and attributes that do not land; compared with code only, not with comments or literals.
const NOT_IN_CODE: &[(&str, &str)] = &[
    ("todo!", "finish it, or leave it out and say in the module's doc what is absent"),
    ("unimplemented!", "finish it, or leave it out and say in the module's doc what is absent"),
    ("dbg!", "take it out; what is worth seeing goes through `tracing`"),
    ("[allow(", "write #[expect(lint, reason = \"…\")]: an exception should expire"),
];

/// Everything that the text of the files says wrong.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    files.iter().flat_map(check_one).collect()
}

fn check_one(file: &File) -> Vec<Finding> {
    let mut findings = words(file);
    findings.extend(length(file));
    if file.is_rust() {
        findings.extend(first_line(file));
        findings.extend(code(file));
    }
    findings
}

fn finding(file: &File, line: usize, what: String, mend: &'static str) -> Finding {
    Finding { file: file.path.clone(), line, what, mend }
}

fn length(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    if let Some((_, most)) = DOCUMENTS.iter().find(|(path, _)| *path == file.path) {
        let mend = "it is read in one sitting: move detail to docs/ or to the module it is about";
        return (lines > *most)
            .then(|| finding(file, *most + 1, format!("{lines} lines, the limit is {most}"), mend));
    }
    let is_excused = || file.text.lines().any(|line| line.starts_with(EXCUSE));
    let mend = "split it by subject, or give the reason in its doc: `//! Long because …`";
    let is_long = file.is_rust() && lines > LONGEST && !is_excused();
    is_long.then(|| finding(file, LONGEST + 1, format!("{lines} lines, the limit is {LONGEST}"), mend))
}

fn first_line(file: &File) -> Option<Finding> {
    let is_module = file.path.contains("/src/") || file.path.starts_with("src/");
    let has_doc = file.text.lines().next().is_some_and(|line| line.starts_with("//! "));
    let mend = "begin with `//!`: what it is for, what always holds, what is deliberately absent";
    (is_module && !has_doc)
        .then(|| finding(file, 1, "a module without a doc on its first line".to_owned(), mend))
}

fn code(file: &File) -> Vec<Finding> {
    let code = rust::take_apart(&file.text).code;
    let mut findings = second_network(file, &code);
    for (index, line) in code.lines().enumerate() {
        for (pattern, mend) in NOT_IN_CODE.iter().filter(|(pattern, _)| has_word(line, pattern)) {
            findings.push(finding(file, index + 1, format!("`{pattern}` in code"), mend));
        }
    }
    findings
}

/// The one file that says what network an address belongs to.
const NETWORKS: &str = "crates/types/src/network.rs";

/// A second way to count addresses: the networks of IPv6 cut out by hand, or a function of the same name.
fn second_network(file: &File, code: &str) -> Vec<Finding> {
    let mend = "count addresses by `types::network_of`: a second function would count other networks";
    let is_second = |line: &str| {
        let bits = line.contains("to_bits()") && (line.contains(">> 64") || line.contains("u64::MAX"));
        let segments = line.contains(".segments()") && line.contains("..4");
        bits || segments || line.contains("fn network_of")
    };
    if file.path == NETWORKS {
        return Vec::new();
    }
    let lines = code.lines().enumerate().filter(|(_, line)| is_second(line));
    lines
        .map(|(index, _)| finding(file, index + 1, "a second network of an address".to_owned(), mend))
        .collect()
}

/// Whether the pattern stands there by itself, not as the end of a longer name.
fn has_word(line: &str, pattern: &str) -> bool {
    line.match_indices(pattern)
        .any(|(at, _)| !line[..at].ends_with(|last: char| last.is_alphanumeric() || last == '_'))
}

/// Hosts and folders that belong in no file. Put together here, so that this file passes its own test.
fn words(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        if line.to_lowercase().contains(concat!("fly", ".io")) {
            let mend = "we deploy to AWS ECS only (infra/): take it out";
            findings.push(finding(file, index + 1, format!("names {}", concat!("fly", ".io")), mend));
        }
        if let Some(folder) = folder_of_a_developer(line) {
            let mend = "no machine but yours has it: use a relative path, a temporary folder or a setting";
            findings.push(finding(
                file,
                index + 1,
                format!("names the folder {folder} of somebody's machine"),
                mend,
            ));
        }
    }
    findings
}

fn folder_of_a_developer(line: &str) -> Option<&'static str> {
    const FOLDERS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/")];
    let begins_a_path = |at: usize| {
        let before = line[..at].chars().last();
        !before.is_some_and(|last| last.is_alphanumeric() || "_-.~/}".contains(last))
    };
    let goes_on = |end: usize| {
        line[end..].starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '.')
    };
    let stands = |folder: &&&str| {
        let mut places = line.match_indices(**folder);
        places.any(|(at, _)| begins_a_path(at) && goes_on(at + folder.len()))
    };
    FOLDERS.iter().find(stands).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(path: &str, text: &str) -> Vec<(usize, String)> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check(&[file]).into_iter().map(|finding| (finding.line, finding.what)).collect()
    }

    #[test]
    fn what_is_not_finished_does_not_land() {
        let text = "//! Doc.\nfn f() { todo!() }\nfn g() { dbg!(1); unimplemented!() }\n#[allow(dead_code)]\nfn h() {}\n";
        let lines: Vec<usize> = one("server/src/a.rs", text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 3, 3, 4]);
        let harmless = "//! Doc.\n// todo!() and #[allow(x)]\nconst A: &str = \"dbg!()\"; my_dbg!();\n#[expect(dead_code)]\nfn h() {}\n";
        assert!(one("server/src/a.rs", harmless).is_empty());
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        assert_eq!(one("server/src/a.rs", "fn f() {}\n").len(), 1);
        assert_eq!(one("server/src/a.rs", "//!\nfn f() {}\n").len(), 1, "an empty doc says nothing");
        assert_eq!(one("server/src/a.rs", "").len(), 1);
        assert!(one("server/tests/a.rs", "fn f() {}\n").is_empty());
    }

    #[test]
    fn a_long_file_gives_its_reason() {
        let lines = "fn f() {}\n".repeat(LONGEST);
        assert_eq!(one("server/src/a.rs", &format!("//! Doc.\n{lines}"))[0].0, LONGEST + 1);
        assert!(
            one("server/src/a.rs", &format!("//! Doc.\n//! Long because it is a table.\n{lines}")).is_empty()
        );
        assert!(
            one("server/src/a.rs", &format!("//! Doc.\n{}", "fn f() {}\n".repeat(LONGEST - 1))).is_empty()
        );
        assert_eq!(one("ARCHITECTURE.md", &"line\n".repeat(300)).len(), 1);
        assert!(one("ARCHITECTURE.md", &"line\n".repeat(299)).is_empty());
    }

    #[test]
    fn no_file_names_a_machine() {
        for path in [concat!("/ro", "ot/.cargo"), concat!("/ho", "me/jane/x"), concat!("/wo", "rk/main")] {
            assert_eq!(one("Makefile", &format!("cd {path}\n")).len(), 1, "{path}");
            assert!(one("Makefile", &format!("curl https://example.com{path}\n")).is_empty(), "{path}");
        }
        assert!(one("Makefile", concat!("$HOME/.cache and /ho", "me/$USER\n")).is_empty());
    }

    #[test]
    fn addresses_are_counted_by_one_function() {
        let by_hand = [
            "Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)",
            "address.to_bits() & !u128::from(u64::MAX)",
            "let head = &address.segments()[..4];",
            "fn network_of(ip: IpAddr) -> IpAddr { ip }",
        ];
        for line in by_hand {
            let text = format!("//! Doc.\n{line}\n");
            assert_eq!(one("server/src/a.rs", &text).len(), 1, "{line}");
            assert!(one(NETWORKS, &text).is_empty(), "{line}");
        }
        assert!(one("server/src/a.rs", "//! Doc.\nuse types::network_of; // fn network_of\n").is_empty());
    }

    #[test]
    fn we_deploy_to_one_place() {
        assert_eq!(one("README.md", concat!("Deploy to FLY", ".io\n")).len(), 1);
    }
}
