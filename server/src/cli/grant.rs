//! `freeside grant`: the operator gives credits to an account.

use clap::Args;
use types::{AccountId, MicroUsd};

use super::console::Console;
use super::{Exit, block_on, faults, log};
use crate::config::{Source, development};

/// Its arguments.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    /// The account's number, as sign-up and `GET /api/v1/usage` show it.
    #[arg(long)]
    account: AccountId,
    #[command(flatten)]
    amount: Amount,
    /// Why, for the record.
    #[arg(long, default_value = "granted on the command line", value_parser = super::reason)]
    reason: String,
}

#[derive(Clone, Copy, Debug, Args)]
#[group(required = true, multiple = false)]
struct Amount {
    /// US dollars with at most six decimals: 10, 2.50, 0.000001.
    #[arg(long, value_parser = dollars)]
    usd: Option<MicroUsd>,
    /// Micro-USD: 1000000 is one dollar.
    #[arg(long, value_parser = micro)]
    micro: Option<MicroUsd>,
}

pub(super) fn run(arguments: &Arguments, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(mut settings) = faults::settings(source, console)? else { return Ok(Exit::Misconfigured) };
    let amount = arguments.amount.usd.or(arguments.amount.micro).expect("clap demands one of the two");
    log::start(&settings.log)?;
    development::complete(&mut settings)?;
    block_on(crate::serve::grant(settings, arguments.account, amount, &arguments.reason))??;
    Ok(Exit::Done)
}

fn micro(text: &str) -> Result<MicroUsd, &'static str> {
    let amount = text.parse().map_err(|_| "write a whole number of micro-USD")?;
    positive(MicroUsd(amount))
}

/// Decimal text to micro-USD without a float: every digit counts, and a seventh decimal is refused, not rounded.
fn dollars(text: &str) -> Result<MicroUsd, &'static str> {
    const BAD: &str = "write dollars with at most six decimals, for example 2.50";
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 6 {
        return Err(BAD);
    }
    let micro: i64 = format!("{decimals:0<6}").parse().map_err(|_| BAD)?;
    let whole: i64 = whole.parse().map_err(|_| BAD)?;
    let amount = whole.checked_mul(1_000_000).and_then(|whole| whole.checked_add(micro)).ok_or(BAD)?;
    positive(MicroUsd(amount))
}

fn positive(amount: MicroUsd) -> Result<MicroUsd, &'static str> {
    if amount > MicroUsd::ZERO { Ok(amount) } else { Err("a grant is more than nothing") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_become_micro_usd_to_the_last_digit() {
        for (text, amount) in
            [("10", 10_000_000), ("2.50", 2_500_000), ("0.000001", 1), ("9223372036854.775807", i64::MAX)]
        {
            assert_eq!(dollars(text), Ok(MicroUsd(amount)), "{text}");
        }
        for text in ["0", "0.00", "-1", "1.", ".5", "1,5", "0.0000001", "1e3", "9223372036854.775808", ""] {
            assert!(dollars(text).is_err(), "{text}");
        }
        assert_eq!(micro("1"), Ok(MicroUsd(1)));
        assert!(micro("0").is_err() && micro("-5").is_err());
    }
}
