//! Who owns a table owns its SQL.
//!
//! A naive reading: string literals of our crates that look like SQL, and the word after `from`, `into`, `update`,
//! `join` or `table`. Tests may look at any table; so may `testing` and `bench`, which check the books.

use super::files::File;
use super::rust::{self, Literal};
use super::{AUDITORS, Finding, TABLES};

/// Words that SQL begins with, whole statements and pieces of them.
const OPENINGS: &[&str] = &[
    "alter", "copy", "delete", "from", "insert", "join", "left", "lock", "merge", "select", "truncate",
    "update", "with",
];

/// Words that a table follows.
const BEFORE_A_TABLE: &[&str] = &["from", "into", "update", "join", "table", "using"];

/// Every touch of a table outside its owner, and every table without one.
pub(super) fn check(files: &[File]) -> Vec<Finding> {
    files
        .iter()
        .flat_map(|file| if file.path.starts_with("migrations/") { unowned(file) } else { trespasses(file) })
        .collect()
}

fn trespasses(file: &File) -> Vec<Finding> {
    let Some((name, inner)) = file.in_crate() else { return Vec::new() };
    if AUDITORS.contains(&name) || !is_product(inner) {
        return Vec::new();
    }
    let literals = if file.is_sql() {
        vec![Literal { line: 1, text: file.text.clone() }]
    } else if file.is_rust() {
        let source = rust::take_apart(&file.text);
        let tests = rust::tests_begin(&source.code).unwrap_or(usize::MAX);
        source
            .literals
            .into_iter()
            .filter(|literal| literal.line < tests && looks_like_sql(&literal.text))
            .collect()
    } else {
        Vec::new()
    };
    let tables = literals.iter().flat_map(|literal| tables_of(&literal.text, literal.line));
    tables
        .filter_map(|(line, table)| {
            owner_of(&table).filter(|owner| *owner != name).map(|owner| (line, table, owner))
        })
        .map(|(line, table, owner)| Finding {
            file: file.path.clone(),
            line,
            what: format!("SQL about `{table}`, which belongs to `{owner}`"),
            mend: "call a function of the owner, and write it there if it is missing",
        })
        .collect()
}

/// Code that ships: not a folder or a file of tests.
fn is_product(inner: &str) -> bool {
    inner.starts_with("src/") && !inner.split('/').any(|part| part == "tests" || part == "tests.rs")
}

/// Every table that a migration makes and nobody owns.
fn unowned(file: &File) -> Vec<Finding> {
    let words = words_of(&file.text, 1);
    let made = words.iter().enumerate().filter_map(|(index, (line, word))| {
        let makes =
            word == "table" && index > 0 && matches!(words[index - 1].1.as_str(), "create" | "unlogged");
        let name =
            words[index + 1..].iter().find(|(_, word)| !["if", "not", "exists"].contains(&word.as_str()));
        makes.then_some(()).and(name).map(|(_, name)| (*line, name.clone()))
    });
    made.filter(|(_, table)| owner_of(table).is_none())
        .map(|(line, table)| Finding {
            file: file.path.clone(),
            line,
            what: format!("nobody owns the table `{table}`"),
            mend: "give it to one crate in `TABLES` (crates/testing/src/tidy.rs)",
        })
        .collect()
}

fn owner_of(table: &str) -> Option<&'static str> {
    TABLES.iter().find(|(_, tables)| tables.contains(&table)).map(|(owner, _)| *owner)
}

fn looks_like_sql(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    OPENINGS.contains(&first) && text.split_whitespace().nth(1).is_some()
}

/// The tables that a text names, with their lines.
fn tables_of(text: &str, first_line: usize) -> Vec<(usize, String)> {
    let words = words_of(text, first_line);
    let pairs = words.windows(2).filter(|pair| BEFORE_A_TABLE.contains(&pair[0].1.as_str()));
    pairs.map(|pair| pair[1].clone()).collect()
}

/// Words and their lines, `--` comments passed over; quotes and a schema before a name are taken off.
fn words_of(text: &str, first_line: usize) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split("--").next().unwrap_or_default().replace("public.", "");
        for word in line.split(|character: char| !character.is_alphanumeric() && character != '_') {
            // `only` stands between `from` and a name.
            if !word.is_empty() && word != "only" {
                words.push((first_line + index, word.to_lowercase()));
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn the_owner_may_and_others_may_not() {
        let text = "//! Doc.\nconst SQL: &str = \"select a.id\n  from account a\n  join lot on true\";\n";
        assert!(check(&[file("crates/ledger/src/a.rs", text)]).is_empty());
        let findings = check(&[file("crates/domain/src/a.rs", text), file("server/src/a.rs", text)]);
        let places: Vec<_> = findings.iter().map(|finding| (finding.file.as_str(), finding.line)).collect();
        assert_eq!(
            places,
            [
                ("crates/domain/src/a.rs", 3),
                ("crates/domain/src/a.rs", 4),
                ("server/src/a.rs", 3),
                ("server/src/a.rs", 4)
            ]
        );
        assert!(findings[0].what.contains("`account`") && findings[0].what.contains("`ledger`"));
    }

    #[test]
    fn each_kind_of_statement_is_seen() {
        for sql in [
            "insert into api_key (id) values ($1)",
            "update only api_key set a = 1",
            "delete from public.api_key where true",
            "with gone as (delete from \\\"api_key\\\" returning *) select 1",
            "truncate table api_key",
        ] {
            let text = format!("let q = \"{sql}\";");
            assert_eq!(check(&[file("crates/domain/src/a.rs", &text)]).len(), 1, "{sql}");
        }
    }

    #[test]
    fn prose_tests_and_look_alikes_are_left_alone() {
        let text = "// select from account\nlet a = \"nothing from account\"; let b = \"select 1 from accounting\";\n\
                    #[cfg(test)]\nmod tests {\n  const Q: &str = \"select 1 from account\";\n}\n";
        assert!(check(&[file("crates/domain/src/a.rs", text)]).is_empty());
        let sql = "let q = \"select 1 from account\";";
        assert!(
            check(&[file("crates/domain/tests/a.rs", sql), file("crates/testing/src/a.rs", sql)]).is_empty()
        );
    }

    #[test]
    fn a_new_table_needs_an_owner() {
        let sql = "-- create table ghost\ncreate table account (id int);\ncreate table if not exists orphan (id int);\n";
        let findings = check(&[file("migrations/0009_x.sql", sql)]);
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((findings[0].line, findings[0].what.as_str()), (3, "nobody owns the table `orphan`"));
    }
}
