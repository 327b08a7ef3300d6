//! `freeside openapi`: the public API as a document, made from the code that serves it.

use super::Exit;
use super::console::Console;

pub(super) fn run(console: &mut Console<'_>) -> anyhow::Result<Exit> {
    console.text(crate::routes::openapi::pretty())?;
    Ok(Exit::Done)
}
