//! The assets of our pages, made while `app` is compiled: one stylesheet of all parts, fonts, the icon, and whatever
//! `cargo xtask assets` left in `dist/` (wasm and its glue).
//!
//! Each gets a name with its hash (so that it may be kept for ever), an integrity value, and a copy compressed as
//! far as brotli goes. Deliberately absent: wasm itself is not built here, and a missing `dist/` is no error: pages
//! work without it.

#![expect(clippy::print_stdout, reason = "cargo listens there")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha384};

/// The parts of the stylesheet, in the order of the cascade.
const STYLES: &[&str] =
    &["tokens", "base", "shell", "parts", "code", "form", "table", "home", "docs", "trouble", "developers"];

/// Seen from the root of the repository: what xtask builds for the browser.
const DIST: &str = "dist";

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("..");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=../style");
    println!("cargo::rerun-if-changed=../{DIST}");

    let mut table = String::from("&[\n");
    let mut fonts = BTreeMap::new();
    for name in ["young-serif.woff2"] {
        let made = asset(&out, name, &read(&root.join("style/fonts").join(name))?)?;
        fonts.insert(name, made.file.clone());
        table.push_str(&made.row);
    }
    table.push_str(&asset(&out, "icon.svg", &read(&root.join("style/icon.svg"))?)?.row);
    let mut css = String::new();
    for part in STYLES {
        let text = read(&root.join(format!("style/{part}.css")))?;
        css.push_str(&smaller(std::str::from_utf8(&text)?));
    }
    for (name, file) in &fonts {
        css = css.replace(&format!("url({name})"), &format!("url({file})"));
    }
    table.push_str(&asset(&out, "freeside.css", css.as_bytes())?.row);
    for path in built(&root.join(DIST))? {
        let name = path.file_name().and_then(|name| name.to_str()).context("a file's name is text")?;
        table.push_str(&asset(&out, name, &read(&path)?)?.row);
    }
    table.push_str("]\n");
    std::fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// An asset: the name that it is served under, and its row in the table of `assets.rs`.
struct Made {
    file: String,
    row: String,
}

fn asset(out: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<Made> {
    let digest = Sha384::digest(bytes);
    let integrity = format!("sha384-{}", STANDARD.encode(digest));
    let hash = digest.iter().take(6).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let (stem, extension) = name.split_once('.').context("an asset has an extension")?;
    let file = format!("{stem}.{hash}.{extension}");
    std::fs::write(out.join(&file), bytes)?;
    let kind = match extension {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        other => anyhow::bail!("{name}: what type of content is {other}?"),
    };
    let plain = format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))");
    // A font is compressed already.
    let brotli = if extension == "woff2" {
        "None".to_owned()
    } else {
        std::fs::write(out.join(format!("{file}.br")), compressed(bytes)?)?;
        format!("Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}.br\")))")
    };
    let row = format!(
        "Asset {{ name: {name:?}, path: \"/assets/{file}\", kind: {kind:?}, integrity: {integrity:?}, plain: {plain}, brotli: {brotli} }},\n"
    );
    Ok(Made { file, row })
}

fn compressed(bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    const QUALITY: u32 = 11;
    const WINDOW: u32 = 22;
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 64 * 1024, QUALITY, WINDOW);
    writer.write_all(bytes)?;
    writer.flush()?;
    Ok(writer.into_inner())
}

/// CSS without comments, indents and line ends. Our own files hold no string with a comment's mark in it.
fn smaller(css: &str) -> String {
    let mut text = String::new();
    let mut rest = css;
    while let Some((before, after)) = rest.split_once("/*") {
        text.push_str(before);
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The files of a folder by name; none when it is not there.
fn built(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let is_served = path.extension().is_some_and(|extension| extension == "js" || extension == "wasm");
        if path.is_file() && is_served {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
