//! Journeys through the pages in a real browser, from `end2end/browser`, each against a started `freeside serve` on a
//! database of its own: what one does, another cannot see.
//!
//! `make test` installs Chromium and the packages; a bare `cargo test` runs `npm ci` and looks for a browser on the path
//! or in `FREESIDE_CHROMIUM`. A journey that fails leaves pictures and HTML below the target folder, and says where.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::sync::Mutex;

use crate::sdk::run;
use crate::world::World;

/// Opens the operator's routes to a journey.
const OPERATOR: &str = "an operator token for tests that is long enough";
/// A browser takes a processor for itself: one after the other.
static TURN: Mutex<()> = Mutex::const_new(());

/// A test for each journey; `pages_read` is `journeys/pages-read.mjs`.
macro_rules! journeys {
    ($($name:ident,)+) => {
        const NAMES: &[&str] = &[$(stringify!($name)),+];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                journey(stringify!($name)).await;
            }
        )+
    };
}

journeys! {
    admin_audit,
    admin_caps,
    admin_overview,
    admin_repair,
    calm,
    chat_reads,
    chat_states,
    chat_talk,
    checkout_paid,
    checkout_troubles,
    developers_first_call,
    developers_keys,
    keyboard,
    pages_read,
    signin_burner,
    signin_refused,
    signin_sessions,
    signin_wallet,
    signin_window,
    times_local,
    watched,
    widget_away,
    widget_blocked,
    widget_chat,
    widget_isolated,
    widget_refused,
}

fn folder() -> PathBuf {
    testing::repository().join("end2end/browser")
}

async fn journey(name: &str) {
    let _turn = TURN.lock().await;
    let folder = folder();
    if !folder.join("node_modules/playwright-core").exists() {
        run(Command::new("npm").args(["ci", "--no-fund", "--no-audit"]).current_dir(&folder)).await;
    }
    let world = World::new().await;
    let served = world.launch().with("FREESIDE_OPERATOR_TOKEN", OPERATOR).start().await;
    let failures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    let mut command = Command::new("node");
    command
        .arg(folder.join("run.mjs"))
        .args(["--base", &format!("http://{}", served.gateway())])
        .args(["--simulator", &format!("http://{}", served.simulator())])
        .arg("--failures")
        .arg(failures)
        .arg(name.replace('_', "-"))
        .env("FREESIDE_OPERATOR_TOKEN", OPERATOR)
        .env("FREESIDE_BINARY", env!("CARGO_BIN_EXE_freeside"))
        .kill_on_drop(true);
    run(&mut command).await;
    world.audited().await;
    assert!(served.stop().await.success());
}

#[test]
fn each_journey_has_a_test() {
    let files = std::fs::read_dir(folder().join("journeys")).expect("they lie there");
    let files: BTreeSet<String> = files
        .filter_map(|file| Some(file.ok()?.file_name().to_str()?.strip_suffix(".mjs")?.replace('-', "_")))
        .collect();
    let tests: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(files, tests, "a line of `journeys!` for each file");
}
