//! `freeside admins list|add|remove`: who administers a community, for an operator to whom nobody else can say.
//!
//! Administrators change the list on their own pages, two of them together where there are two. This is the way when
//! one has lost their wallet.

use clap::Subcommand;
use domain::community::Admin;
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use types::WalletId;

use super::console::{Console, Tone};
use super::{Exit, block_on, faults, log};
use crate::config::{Source, development};
use crate::serve::Right;

/// Its commands.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Command {
    /// Show a community's administrators, the earliest first.
    List {
        /// The community, by its slug.
        community: String,
    },
    /// Make a wallet an administrator.
    Add(Arguments),
    /// Take the right away again.
    Remove(Arguments),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// The community, by its slug.
    community: String,
    /// The wallet's address: 0x and 40 digits; of a contract with its chain, eip155:8453:0x….
    wallet: WalletId,
    /// Why, for the record.
    #[arg(long, default_value = "changed on the command line", value_parser = super::reason)]
    reason: String,
}

pub(super) fn run(command: Command, source: &Source, console: &mut Console<'_>) -> anyhow::Result<Exit> {
    let Some(mut settings) = faults::settings(source, console)? else { return Ok(Exit::Misconfigured) };
    log::start(&settings.log)?;
    development::complete(&mut settings)?;
    let (right, Arguments { community, wallet, reason }) = match command {
        Command::List { community } => {
            print(&block_on(crate::serve::admins(settings, &community))??, console)?;
            return Ok(Exit::Done);
        }
        Command::Add(arguments) => (Right::Give, arguments),
        Command::Remove(arguments) => (Right::Take, arguments),
    };
    let is_changed = block_on(crate::serve::set_admin(settings, &community, right, wallet, &reason))??;
    if console.json {
        console.json(&json!({"wallet": wallet, "is_admin": right == Right::Give, "changed": is_changed}))?;
    } else {
        let line = match (right, is_changed) {
            (Right::Give, true) => format!("{wallet} administers {community} from now on"),
            (Right::Give, false) => format!("{wallet} administered {community} already"),
            (Right::Take, true) => format!("{wallet} administers {community} no longer"),
            (Right::Take, false) => format!("{wallet} did not administer {community}"),
        };
        console.line(&line)?;
    }
    Ok(Exit::Done)
}

fn print(admins: &[Admin], console: &mut Console<'_>) -> anyhow::Result<()> {
    if console.json {
        let row = |admin: &Admin| -> Value {
            json!({"wallet": admin.wallet, "added_by": admin.added_by, "at": admin.at.format(&Rfc3339).ok()})
        };
        return console.json(&json!({"admins": admins.iter().map(row).collect::<Vec<_>>()}));
    }
    if admins.is_empty() {
        return Ok(console.line("nobody administers it yet: freeside admins add COMMUNITY WALLET")?);
    }
    for Admin { wallet, added_by, at } in admins {
        let since = format!("since {}, by {added_by}", at.format(&Rfc3339)?);
        console.line(&format!("{wallet}  {}", console.paint(Tone::Quiet, &since)))?;
    }
    Ok(())
}
