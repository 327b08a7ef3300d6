//! The files that pages load: stylesheet, font, icon, and what runs in the browser. Made by `build.rs`.
//!
//! A file's address has its hash in it: what it holds never changes, so it may be kept for ever.

/// A file, ready to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// What the code calls it, without a hash.
    pub name: &'static str,
    /// Its address.
    pub path: &'static str,
    /// Its content type.
    pub kind: &'static str,
    /// For `integrity="…"`.
    pub integrity: &'static str,
    /// As it is.
    pub plain: &'static [u8],
    /// Compressed with brotli; `None` for what is compressed by itself.
    pub brotli: Option<&'static [u8]>,
}

impl Asset {
    /// The hash in its address: other bytes, other hash.
    #[must_use]
    pub fn hash(&self) -> &'static str {
        self.path.split('.').nth(1).unwrap_or_default()
    }
}

/// All of them.
pub static ALL: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The file with this address.
pub fn at(path: &str) -> Option<&'static Asset> {
    ALL.iter().find(|asset| asset.path == path)
}

/// The file of this name; `None` where what runs in the browser was not built.
pub fn named(name: &str) -> Option<&'static Asset> {
    ALL.iter().find(|asset| asset.name == name)
}

/// The stylesheet of every page.
pub fn stylesheet() -> &'static Asset {
    named("freeside.css").expect("build.rs always makes it")
}

/// The headings' font.
pub fn font() -> &'static Asset {
    named("young-serif.woff2").expect("build.rs always makes it")
}

/// The icon in the browser's tab.
pub fn icon() -> &'static Asset {
    named("icon.svg").expect("build.rs always makes it")
}

/// The script that other people's pages load; `None` where what runs in the browser was not built.
pub fn loader() -> Option<&'static Asset> {
    named("loader.js")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stylesheet is in front of every first page: this much comes in one round trip.
    const STYLESHEET_BYTES_AT_MOST: usize = 10 * 1024;

    #[test]
    fn every_file_is_found_by_its_address_and_names_its_hash() {
        for asset in ALL {
            assert_eq!(at(asset.path).map(|found| found.name), Some(asset.name));
            assert!(asset.path.starts_with("/assets/") && asset.integrity.starts_with("sha384-"));
            assert!(asset.path.contains(asset.hash()) && asset.hash().len() == 12);
            assert!(asset.brotli.is_none_or(|small| small.len() < asset.plain.len()), "{}", asset.name);
        }
        assert!(at("/assets/freeside.css").is_none(), "without its hash it is nothing");
    }

    /// What any page of ours may run: wasm and glue, compressed.
    const RUN_BYTES_AT_MOST: usize = 70 * 1024;

    #[test]
    fn what_a_page_runs_keeps_within_its_budget() {
        let runs = ["frontend.js", "frontend_bg.wasm"].into_iter().filter_map(named);
        let bytes: usize = runs.map(|asset| asset.brotli.expect("compressed").len()).sum();
        assert!(bytes <= RUN_BYTES_AT_MOST, "{bytes}");
        if let (Some(glue), Some(wasm)) = (named("frontend.js"), named("frontend_bg.wasm")) {
            let glue = std::str::from_utf8(glue.plain).expect("text");
            assert!(
                glue.contains(wasm.path) && glue.contains(wasm.integrity),
                "the glue asks for what was built"
            );
        }
    }

    #[test]
    fn the_stylesheet_stays_small_and_loads_nothing_from_elsewhere() {
        let sheet = stylesheet();
        let text = std::str::from_utf8(sheet.plain).expect("text");
        assert!(sheet.brotli.expect("compressed").len() <= STYLESHEET_BYTES_AT_MOST);
        for (at, _) in text.match_indices("url(") {
            let address = text[at + 4..].split(')').next().expect("closed");
            assert!(ALL.iter().any(|asset| asset.path == format!("/assets/{address}")), "{address}");
        }
        assert!(!text.contains("@import") && !text.contains("/*"));
    }
}
