//! The built-in catalog with prices for its scripted models, which cost nothing: most tests of money ask them.

use std::sync::LazyLock;

use types::catalog::DEFAULT_TOML;

/// Micro-USD per million tokens of the prompt and of the answer.
const PRICES: [(&str, i64, i64); 5] = [
    ("scripted-cheap", 100_000, 400_000),
    ("scripted-standard", 1_000_000, 4_000_000),
    ("scripted-reasoning", 2_000_000, 8_000_000),
    ("scripted-architect", 3_000_000, 15_000_000),
    ("scripted-flagship", 5_000_000, 25_000_000),
];

/// The built-in catalog, its scripted models priced like models of their pools.
pub fn priced() -> &'static str {
    static PRICED: LazyLock<String> =
        LazyLock::new(|| PRICES.iter().fold(DEFAULT_TOML.to_owned(), |text, price| with(&text, price)));
    &PRICED
}

fn with(catalog: &str, &(model, input, output): &(&str, i64, i64)) -> String {
    let header = format!("[models.\"{model}\"]");
    let (before, section) = catalog.split_at(catalog.find(&header).expect("the built-in catalog has it"));
    let free = "input_micro_per_million = 0\noutput_micro_per_million = 0\n";
    assert!(section.find(free) < section.find("\n["), "{model} costs nothing in the built-in catalog");
    let priced = format!("input_micro_per_million = {input}\noutput_micro_per_million = {output}\n");
    before.to_owned() + &section.replacen(free, &priced, 1)
}
