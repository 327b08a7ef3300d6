//! Weighs what browsers load, as it goes over the wire: brotli at its highest level, as `app` embeds it.
//!
//! What always holds: a thing that is missing is a failure, not a light thing. The limits are promises to whoever puts
//! the widget on their page (SPEC §8); one is raised by an argument, not by a build that does not fit.

use std::io::Write as _;

use anyhow::{Context as _, bail};

use crate::shell;

/// What is weighed together, and how much it may be.
struct Load {
    what: &'static str,
    files: &'static [&'static str],
    bytes_at_most: usize,
}

const LOADS: &[Load] = &[
    // In front of somebody else's page, for every visitor: two packets.
    Load { what: "loader", files: &["loader.js"], bytes_at_most: 2 * 1024 },
    // At the first opening: the whole chat, with wallets and markdown.
    Load { what: "panel", files: &["widget_bg.wasm", "widget.js", "panel.css"], bytes_at_most: 60 * 1024 },
    // A page of ours runs one module: the panel, or its islands.
    Load { what: "islands", files: &["frontend_bg.wasm", "frontend.js"], bytes_at_most: 70 * 1024 },
];

/// Prints a small table, and fails with what is too heavy.
pub(crate) fn weigh() -> anyhow::Result<()> {
    let mut faults = Vec::new();
    println!("{:<16}{:>9}{:>9}", "", "bytes", "at most");
    for load in LOADS {
        let mut sum = 0;
        for file in load.files {
            let path = shell::root().join("dist").join(file);
            let bytes = std::fs::read(&path)
                .with_context(|| format!("cannot weigh {}: `cargo xtask assets` makes it", path.display()))?;
            sum += compressed(&bytes)?.len();
        }
        println!("{}", row(load, sum));
        faults.extend(fault(load, sum));
    }
    if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("; ")) }
}

fn row(load: &Load, bytes: usize) -> String {
    let verdict = if bytes > load.bytes_at_most { "  TOO HEAVY" } else { "" };
    format!("{:<16}{bytes:>9}{:>9}{verdict}", load.what, load.bytes_at_most)
}

fn fault(load: &Load, bytes: usize) -> Option<String> {
    let over = bytes.checked_sub(load.bytes_at_most).filter(|over| *over > 0)?;
    Some(format!(
        "{} ({}) has {bytes} bytes after brotli, {over} more than its {}: take something out of it",
        load.what,
        load.files.join(" + "),
        load.bytes_at_most
    ))
}

/// As `app/build.rs` does it.
fn compressed(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    const QUALITY: u32 = 11;
    const WINDOW: u32 = 22;
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 64 * 1024, QUALITY, WINDOW);
    writer.write_all(bytes)?;
    writer.flush()?;
    Ok(writer.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load = Load { what: "a thing", files: &["a.js", "b.css"], bytes_at_most: 100 };

    #[test]
    fn a_byte_too_much_is_told_with_what_to_do() {
        assert_eq!(fault(&LOAD, 100), None);
        let told = fault(&LOAD, 107).expect("too heavy");
        assert_eq!(
            told,
            "a thing (a.js + b.css) has 107 bytes after brotli, 7 more than its 100: take something out of it"
        );
        assert!(row(&LOAD, 107).ends_with("TOO HEAVY") && !row(&LOAD, 100).contains("HEAVY"));
    }

    #[test]
    fn the_scales_are_those_of_the_wire() {
        let text = "the same words again and again, ".repeat(100);
        assert!(compressed(text.as_bytes()).expect("into memory").len() < 80);
    }
}
