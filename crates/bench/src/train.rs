//! Every journey for some seconds, for a program that counts what it does (`make release`). What it measures means nothing.

use std::path::PathBuf;

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
    freeside: PathBuf,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let freeside = options.freeside.as_os_str();
    let arguments = |more: &[&str]| {
        let named = ["train".as_ref(), "--freeside".as_ref(), freeside].map(std::ffi::OsStr::to_owned);
        named.into_iter().chain(more.iter().map(Into::into)).collect::<Vec<_>>()
    };
    let of_path = Defaults::<path::Options>::parse_from(arguments(&["--quick"])).options;
    path::run(of_path).await?;
    let of_payments = Defaults::<payments::Options>::parse_from(arguments(&["--seconds", SECONDS])).options;
    payments::of_notices(&of_payments).await?;
    let of_web = arguments(&["--seconds", SECONDS, "--sockets", SOCKETS]);
    let of_web = Defaults::<web::Options>::parse_from(of_web).options;
    web::run(&[web::Case::Sockets, web::Case::Pages], &of_web).await?;
    Ok(())
}
