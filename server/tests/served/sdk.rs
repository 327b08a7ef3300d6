//! The vendors' own SDKs, from their real packages, against a started `freeside serve`. See `end2end/sdk/README.md`.
//!
//! `make test` installs the packages and names the Python that has them in `FREESIDE_TEST_PYTHON`; a bare `cargo test`
//! makes a virtual environment below the target folder and runs `npm ci`.

use std::path::{Path, PathBuf};

use identity::{KeyKind, KeyLimits};
use tokio::process::Command;

use crate::world::{PLENTY, World};

fn folder() -> PathBuf {
    testing::repository().join("end2end/sdk")
}

/// Runs it to its end and shows what it said; fails when it does.
pub(crate) async fn run(command: &mut Command) {
    let shown = command.as_std().get_program().display().to_string();
    let output = command.output().await.unwrap_or_else(|error| panic!("{shown}: {error}"));
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}\n{said}");
    eprintln!("{said}");
}

/// Runs programs with the four settings that they need, against a binary on a database of its own.
async fn check(commands: impl IntoIterator<Item = Command>) {
    let world = World::new().await;
    let served = world.launch().start().await;
    for mut command in commands {
        let limits = |requests_per_minute| KeyLimits { requests_per_minute, tokens_per_day: 1_000_000 };
        let rich = world.payer_with(PLENTY, KeyKind::Live, limits(1_000)).await;
        let empty = world.payer_with(0, KeyKind::Live, limits(1_000)).await;
        let limited = world.payer_with(PLENTY, KeyKind::Live, limits(1)).await;
        command
            .env("FREESIDE_BASE_URL", format!("http://{}", served.gateway()))
            .env("FREESIDE_TEST_KEY", &rich.key)
            .env("FREESIDE_EMPTY_KEY", &empty.key)
            .env("FREESIDE_LIMITED_KEY", &limited.key);
        run(&mut command).await;
    }
    world.audited().await;
    assert!(served.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_sdks_work_unmodified() {
    let python = if let Some(python) = std::env::var_os("FREESIDE_TEST_PYTHON") {
        PathBuf::from(python)
    } else {
        let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sdk-python");
        run(Command::new("python3").arg("-m").arg("venv").arg(&venv)).await;
        let python = venv.join("bin/python");
        let requirements = folder().join("python/requirements.txt");
        run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements)).await;
        python
    };
    check(["python/openai_checks.py", "python/anthropic_checks.py"].map(|program| {
        let mut command = Command::new(&python);
        command.arg("-B").arg(folder().join(program));
        command
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_sdks_work_unmodified() {
    let folder = folder().join("node");
    if !folder.join("node_modules/openai").exists() || !folder.join("node_modules/@anthropic-ai/sdk").exists()
    {
        run(Command::new("npm").args(["ci", "--no-fund", "--no-audit"]).current_dir(&folder)).await;
    }
    check(["openai.mjs", "anthropic.mjs"].map(|program| {
        let mut command = Command::new("node");
        command.arg(folder.join(program));
        command
    }))
    .await;
}
