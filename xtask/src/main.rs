//! The tasks behind the Makefile: install what is missing, run, test, check, bench, take pictures, format, ask about SQL.
//!
//! What always holds: a task prints what it does before it does it, and its exit code is the truth.
//! When nothing is missing, nothing is installed and no package manager is called.
//! What is deliberately absent: anything the server needs at run time, and any rule of the product.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

mod advisories;
mod assets;
mod bench;
mod check;
mod fuzz;
mod install;
mod mutants;
mod release;
mod run;
mod screenshots;
mod sdk;
mod shell;
mod sql;
mod test;
mod test_cluster;
mod weigh;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Install, build, run, test, check and bench, in one place")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing, build, and start everything: `freeside serve`
    Run {
        /// Passed on to `freeside serve`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every test; the last line is the sum
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run every test at its full length
    TestLong {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Format check, clippy, wasm, docs, SQL, dependencies, tidy
    Check,
    /// Build what browsers run into `dist/`; `run`, `test`, `check` and `bench` do it by themselves
    Assets,
    /// Weigh what browsers load, as `make check` does
    Weigh,
    /// Build `freeside` as it is shipped, guided by what a first one did under load
    Release,
    /// Measure, on `freeside` as it is shipped
    Bench {
        /// Passed on to the benchmark
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Take pictures of every page into `docs/screenshots`
    Screenshots {
        /// Only these scenes
        scenes: Vec<String>,
    },
    /// Throw made-up input at every reader of foreign input
    Fuzz {
        /// For each target
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Only these targets
        targets: Vec<String>,
    },
    /// Break the money rules on purpose and see whether a test notices
    Mutants {
        /// Only this package's rules; may be given more than once
        #[arg(long = "package", short)]
        packages: Vec<String>,
        /// Passed on to cargo-mutants
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Format the code
    Fmt,
    /// Ask a database about every statement, and keep its answers in `.sqlx`
    Sqlx {
        /// Only say whether `.sqlx` is up to date
        #[arg(long)]
        check: bool,
    },
    /// Install the vendors' SDKs that the tests speak to the server with
    SetupSdk,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Run { arguments } => run::run(&arguments),
        Task::Test { arguments } => return exit(test::test(test::Length::Short, &arguments)),
        Task::TestLong { arguments } => return exit(test::test(test::Length::Long, &arguments)),
        Task::Check => check::check(),
        Task::Assets => assets::build(),
        Task::Weigh => weigh::weigh(),
        Task::Release => release::release(),
        Task::Bench { arguments } => bench::bench(&arguments),
        Task::Screenshots { scenes } => screenshots::screenshots(&scenes),
        Task::Fuzz { seconds, targets } => fuzz::fuzz(seconds, &targets),
        Task::Mutants { packages, arguments } => mutants::mutants(&packages, &arguments),
        Task::Fmt => shell::cargo(["fmt", "--all"]).run(),
        Task::Sqlx { check: true } => sql::check(),
        Task::Sqlx { check: false } => sql::write(),
        Task::SetupSdk => sdk::setup(),
    };
    exit(done.map(|()| ExitCode::SUCCESS))
}

fn exit(done: anyhow::Result<ExitCode>) -> ExitCode {
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
