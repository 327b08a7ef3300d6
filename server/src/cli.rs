//! The commands of `freeside`.
//!
//! What always holds: data goes to stdout, words about it to stderr; a bad configuration or command line ends with 2,
//! a failure with 1, success with 0. Each command is a file of its own and does no more than read its arguments, call
//! one function and print. Deliberately absent: settings as options; the environment has them all (`config`).

mod admin_key;
mod admins;
mod audit;
mod books;
mod check;
mod config;
mod console;
mod doctor;
mod faults;
mod flags;
mod grant;
mod keys;
mod log;
mod openapi;
mod reviews;
mod serve;
mod steps;
#[cfg(test)]
mod tests;
mod version;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Source;
use console::Console;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All is well.
    Done = 0,
    /// It failed, `doctor` has warnings, or a check found something.
    Failed = 1,
    /// The configuration is wrong, `doctor` found a failure, or a file could not be read.
    Misconfigured = 2,
}

/// Freeside: a community's NFTs as agents, metered to the micro-dollar.
#[derive(Debug, Parser)]
#[command(name = "freeside", version = version::LINE, after_help = HELP, arg_required_else_help = true)]
struct Cli {
    /// Print data as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "Settings come from the environment: `freeside config env-template` lists them all, \
                    `freeside config check` tells what is wrong with yours.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the services until a signal stops them.
    Serve(serve::Arguments),
    /// Bring the database to this version's schema.
    Migrate,
    /// The keys that sign tokens for the engine.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Fill a development database with a demo community.
    Seed,
    /// Look at everything that Freeside needs, and say what to do next (exit code 0 fine, 1 warnings, 2 failures).
    Doctor,
    #[command(about = "Print the public API as an OpenAPI 3.1 document")]
    Openapi,
    /// The configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// The audit trail.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Do the books agree?
    #[command(subcommand)]
    Books(books::Command),
    /// Switches that are turned while the service runs.
    #[command(subcommand)]
    Flags(flags::Command),
    /// Make a key for the admin API of an account's community.
    AdminKey(admin_key::Arguments),
    /// Who administers a community.
    #[command(subcommand)]
    Admins(admins::Command),
    /// Decisions about payments that administrators asked the operator for.
    #[command(subcommand)]
    Reviews(reviews::Command),
    /// Give credits to an account.
    Grant(grant::Arguments),
    /// Print the version.
    Version,
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let source = Source::of_process();
    let (mut out, mut err) = (io::stdout().lock(), io::stderr());
    let mut console = Console::of_process(&mut out, &mut err, &source);
    let exit = run(cli, source, &mut console).unwrap_or_else(|error| console.failure(&error));
    ExitCode::from(exit as u8)
}

fn run(cli: Cli, source: Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    console.json = cli.json;
    match cli.command {
        Command::Serve(arguments) => serve::run(arguments, source, console),
        Command::Migrate => steps::migrate(&source, console),
        Command::Keys(command) => keys::run(command, &source, console),
        Command::Seed => steps::seed(&source, console),
        Command::Doctor => doctor::run(&source, console),
        Command::Openapi => openapi::run(console),
        Command::Config(command) => config::run(command, &source, console),
        Command::Audit(command) => audit::run(command, &source, console),
        Command::Books(command) => books::run(command, &source, console),
        Command::Flags(command) => flags::run(command, &source, console),
        Command::AdminKey(arguments) => admin_key::run(&arguments, &source, console),
        Command::Admins(command) => admins::run(command, &source, console),
        Command::Reviews(command) => reviews::run(command, &source, console),
        Command::Grant(arguments) => grant::run(&arguments, &source, console),
        Command::Version => version::run(console),
    }
}

/// A runtime for one command.
fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future))
}

/// A reason for the record of what administrators did.
fn reason(text: &str) -> Result<String, String> {
    let most = domain::admin::REASON_CHARACTERS_AT_MOST;
    let text = text.trim();
    match text.chars().count() {
        count if (1..=most).contains(&count) => Ok(text.to_owned()),
        _ => Err(format!("write 1 to {most} characters")),
    }
}
