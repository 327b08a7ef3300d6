//! Every journey for some seconds, for a program that counts what it does (`make release`). What it measures means nothing.

use clap::Parser as _;

use crate::page::Defaults;
use crate::{path, payments, web};

/// Long enough that what every request needs stands out, and short enough for each build.
const SECONDS: &str = "3";
/// Idle sockets; the counts of one are like those of another.
const SOCKETS: &str = "500";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The program that counts.
    #[arg(long)]
    freeside: String,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let program = ["train", "--freeside", &options.freeside];
    let of_path = Defaults::<path::Options>::parse_from(program.iter().chain(&["--quick"])).options;
    path::run(of_path).await?;
    let short = [&program[..], &["--seconds", SECONDS]].concat();
    payments::notices::measure(&Defaults::<payments::Options>::parse_from(&short).options).await?;
    let of_web = Defaults::<web::Options>::parse_from(short.iter().chain(&["--sockets", SOCKETS])).options;
    web::run(&[web::Case::Sockets, web::Case::Pages], &of_web).await?;
    Ok(())
}
