//! The assets of our pages, made while `app` is compiled: one stylesheet of all parts, fonts, the icon, and whatever
//! `cargo xtask assets` left in `dist/` (wasm, its glue, and what lies beside it).
//!
//! Each gets a name with its hash (so that it may be kept for ever), an integrity value, and a copy compressed as
//! far as brotli goes. Deliberately absent: wasm itself is not built here, and a missing `dist/` is no error: pages
//! work without it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha384};

/// The parts of the stylesheet, in the order of the cascade.
const STYLES: &[&str] = &[
    "tokens",
    "base",
    "shell",
    "parts",
    "code",
    "form",
    "table",
    "home",
    "docs",
    "trouble",
    "developers",
    "checkout",
    "account",
    "admin",
    "chat",
];

/// The headings' font, in `style/fonts`.
const FONT: &str = "young-serif.woff2";

/// Seen from the root of the repository: what xtask builds for the browser.
const DIST: &str = "dist";

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("..");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=../style");
    println!("cargo::rerun-if-changed=../{DIST}");

    let mut table = String::from("&[\n");
    let font = asset(&out, FONT, &read(&root.join("style/fonts").join(FONT))?)?;
    table.push_str(&font.row);
    table.push_str(&asset(&out, "icon.svg", &read(&root.join("style/icon.svg"))?)?.row);
    let mut css = String::new();
    for part in STYLES {
        let text = read(&root.join(format!("style/{part}.css")))?;
        css.push_str(&smaller(std::str::from_utf8(&text)?));
    }
    css = css.replace(&format!("url({FONT})"), &format!("url({})", font.file));
    table.push_str(&asset(&out, "freeside.css", css.as_bytes())?.row);
    let mut modules = Vec::new();
    for path in built(&root.join(DIST))? {
        let name = path.file_name().and_then(|name| name.to_str()).context("a file's name is text")?;
        let bytes = read(&path)?;
        let made = if is(&path, "js") {
            asset(&out, name, glue(std::str::from_utf8(&bytes)?, &modules).as_bytes())?
        } else {
            asset(&out, name, &bytes)?
        };
        table.push_str(&made.row);
        if is(&path, "wasm") {
            modules.push((name.to_owned(), made));
        }
    }
    table.push_str("]\n");
    std::fs::write(out.join("assets.rs"), table)?;
    Ok(())
}

/// An asset: the name that it is served under, its integrity, and its row in the table of `assets.rs`.
struct Made {
    file: String,
    integrity: String,
    row: String,
}

/// A module's glue: it fetches its wasm by the name with the hash, and only if it is what was built.
fn glue(text: &str, modules: &[(String, Made)]) -> String {
    let mut text = text.to_owned();
    for (wasm, Made { file, integrity, .. }) in modules {
        let fetched = format!("fetch(\"/assets/{file}\", {{ integrity: \"{integrity}\" }})");
        text = text.replace(&format!("new URL('{wasm}', import.meta.url)"), &fetched);
    }
    text
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
    Ok(Made { file, integrity, row })
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
        if path.is_file() && ["js", "wasm", "css"].iter().any(|extension| is(&path, extension)) {
            files.push(path);
        }
    }
    // Wasm first: its glue has to know its name.
    files.sort_by_key(|path| (!is(path, "wasm"), path.clone()));
    Ok(files)
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
