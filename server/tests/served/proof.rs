//! The operator's commands on the books, as a shell sees them: words, JSON and exit codes.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use types::Clock;

use crate::world::World;

struct Shell<'a> {
    world: &'a World,
    folder: tempfile::TempDir,
}

impl Shell<'_> {
    /// Runs `freeside` with a database and a folder, and nothing else in its environment.
    fn freeside(&self, line: &str) -> Output {
        let mut command = bare(line);
        command.env("DATABASE_URL", self.world.database.url()).env("FREESIDE_DATA_DIR", self.folder.path());
        command.env("FREESIDE_LOG", "error").current_dir(self.folder.path());
        command.output().expect("it starts")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn bare(line: &str) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_freeside"));
    command.env_clear().env("NO_COLOR", "1").args(line.split_whitespace());
    command
}

fn verify(folder: &Path, line: &str) -> (i32, String) {
    let output = bare(&format!("audit verify {line}")).current_dir(folder).output().expect("it starts");
    (output.status.code().expect("an exit code"), text(&output))
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn expect(output: &Output, code: i32, words: &str) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(words), "{words}: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trail_is_exported_sealed_and_proven_offline() {
    let world = World::new().await;
    let payer = world.payer(1_000).await;
    let clock = Clock::system();
    for number in 0..20 {
        let mut tx = world.database.pool.begin().await.expect("a transaction");
        let words = format!("grant {number}");
        ledger::grant(&mut tx, &clock, payer.account, &words, 5, ledger::NEVER).await.expect("granted");
        tx.commit().await.expect("committed");
    }
    let shell = Shell { world: &world, folder: tempfile::tempdir().expect("a folder") };
    let folder = shell.folder.path();
    expect(&shell.freeside("keys bootstrap"), 0, "signs");
    let keys = identity::ServiceKeys::load(&shell.path("keys"), clock.clone()).expect("it was made just now");
    std::fs::write(shell.path("jwks.json"), keys.jwks().json).expect("written");

    let community = payer.account.community;
    expect(&shell.freeside(&format!("audit export {community} --out trail.jsonl")), 0, "");
    let (code, said) = verify(folder, "trail.jsonl --jwks jwks.json");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("sound: 21 lines") && said.contains(keys.active_kid()), "{said}");
    let (code, head) = verify(folder, "trail.jsonl --json");
    assert_eq!(code, 0);
    let json: Value = serde_json::from_str(&head).expect("JSON");
    assert_eq!((json["lines"].as_u64(), json["signature"].as_str()), (Some(21), Some("not checked")));
    std::fs::write(shell.path("head.json"), head).expect("written");

    // On standard output, held against both kinds of saved head.
    let again = shell.freeside(&format!("audit export {community}"));
    std::fs::write(shell.path("later.jsonl"), &again.stdout).expect("written");
    for since in ["head.json", "trail.jsonl"] {
        let (code, said) = verify(folder, &format!("later.jsonl --since {since} --jwks jwks.json"));
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("the past is as it was"), "{said}");
    }

    let sound = std::fs::read_to_string(shell.path("trail.jsonl")).expect("readable");
    std::fs::write(shell.path("bad.jsonl"), sound.replacen("\"seq\":7,", "\"seq\":8,", 1)).expect("written");
    let (code, said) = verify(folder, "bad.jsonl");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("broken: line 8"), "{said}");
    let (code, said) = verify(folder, "bad.jsonl --json");
    let json: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((code, json["line"].as_u64(), json["ok"].as_bool()), (1, Some(8), Some(false)));

    for line in ["nowhere.jsonl", "trail.jsonl --jwks trail.jsonl", "trail.jsonl --since jwks.json"] {
        let (code, said) = verify(folder, line);
        assert_eq!(code, 2, "{line}: {said}");
    }
    expect(&shell.freeside("audit export 77"), 1, "there is no community 77");
    let pool = shell.freeside(&format!("audit export {community} --pool cheap --from 2026-01-01"));
    assert!(text(&pool).contains("\"chained\":false"), "{}", text(&pool));
    let csv = shell.freeside(&format!("audit export {community} --format csv"));
    assert_eq!(text(&csv).lines().count(), 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_violation_is_listed_and_resolved_once_it_is_mended() {
    let world = World::new().await;
    let payer = world.payer(1_000).await;
    let shell = Shell { world: &world, folder: tempfile::tempdir().expect("a folder") };
    expect(&shell.freeside("books check"), 0, "the books agree: 1 accounts");
    expect(&shell.freeside("books violations"), 0, "none");

    let change = async |sql: &'static str| {
        let superuser = world.database.pool_for("postgres");
        sqlx::query(sql).bind(payer.account.account.0).execute(&superuser).await.expect("changed");
    };
    change("update lot set remaining = remaining - 1 where account_id = $1").await;
    expect(&shell.freeside("books check"), 1, "open lots: 999, but 1000");
    let listed = shell.freeside("books violations --json");
    let json: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    let id = json["violations"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(json["violations"][0]["account"], payer.account.account.to_string());

    expect(&shell.freeside(&format!("books resolve {id} --note looked")), 1, "open lots: 999");
    change("update lot set remaining = remaining + 1 where account_id = $1").await;
    let account = payer.account.account;
    expect(
        &shell.freeside(&format!("books resolve {id} --note put-back --who jane")),
        0,
        &format!("account {account} may be used again"),
    );
    expect(&shell.freeside("books violations"), 0, "none");
    expect(&shell.freeside("books violations --all"), 0, "jane: put-back");
    expect(&shell.freeside(&format!("books resolve {id} --note again")), 1, "resolved already");
    expect(&shell.freeside("books check --json"), 0, "\"ok\": true");
}
