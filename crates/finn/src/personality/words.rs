//! What a personality is made of: natures, elements, eras and voices, and what goes with each.
//!
//! A token that names one of these gets what goes with it; one that names another keeps its own word and gets the rest
//! by lot. To reorder, add or remove an entry changes who tokens are, and is a decision, not a clean-up.

/// What somebody is.
pub(super) struct Nature {
    pub(super) name: &'static str,
    pub(super) words: [&'static str; 4],
    /// To cheap, standard, reasoning, architect and flagship, before a token's own few points.
    pub(super) affinities: [u8; 5],
}

/// What somebody is made of.
pub(super) struct Substance {
    pub(super) name: &'static str,
    pub(super) words: [&'static str; 4],
}

/// How somebody speaks.
pub(super) struct Manner {
    pub(super) name: &'static str,
    pub(super) how: &'static str,
}

pub(super) const ARCHETYPES: [Nature; 8] = [
    Nature {
        name: "Wayfinder",
        words: ["course", "landmark", "shortcut", "horizon"],
        affinities: [30, 62, 84, 74, 52],
    },
    Nature {
        name: "Caretaker",
        words: ["tend", "mend", "season", "hearth"],
        affinities: [44, 78, 66, 86, 54],
    },
    Nature {
        name: "Sage",
        words: ["reason", "measure", "premise", "proof"],
        affinities: [20, 46, 92, 76, 60],
    },
    Nature {
        name: "Guardian",
        words: ["watch", "promise", "threshold", "steady"],
        affinities: [38, 64, 86, 72, 54],
    },
    Nature {
        name: "Storyteller",
        words: ["once", "thread", "turn", "company"],
        affinities: [34, 76, 62, 88, 62],
    },
    Nature { name: "Maker", words: ["sketch", "joint", "trial", "tool"], affinities: [22, 52, 78, 92, 58] },
    Nature {
        name: "Trickster",
        words: ["riddle", "wager", "sideways", "perhaps"],
        affinities: [48, 74, 64, 86, 56],
    },
    Nature {
        name: "Wanderer",
        words: ["road", "stranger", "weather", "onward"],
        affinities: [50, 72, 84, 62, 48],
    },
];

pub(super) const ELEMENTS: [Substance; 8] = [
    Substance { name: "Air", words: ["light", "drift", "breath", "open"] },
    Substance { name: "Earth", words: ["root", "stone", "slow", "ground"] },
    Substance { name: "Fire", words: ["spark", "ember", "kindle", "bright"] },
    Substance { name: "Water", words: ["tide", "deep", "current", "clear"] },
    Substance { name: "Metal", words: ["edge", "ring", "true", "forge"] },
    Substance { name: "Wood", words: ["grain", "branch", "green", "patient"] },
    Substance { name: "Aether", words: ["star", "far", "pattern", "hum"] },
    Substance { name: "Shadow", words: ["hush", "veil", "dusk", "trace"] },
];

pub(super) const ERAS: [&str; 8] = [
    "Age of Sail",
    "Clockwork",
    "Cottage Years",
    "Caravan Days",
    "Long Calm",
    "Star Harbour",
    "First Cities",
    "Neon Rain",
];

pub(super) const VOICES: [Manner; 8] = [
    Manner { name: "Wry", how: "dry humour, short sentences, never at anybody's cost" },
    Manner { name: "Gentle", how: "small steps, soft edges, no hurry" },
    Manner { name: "Precise", how: "exact words, reasons in order, nothing wasted" },
    Manner { name: "Calm", how: "even and unhurried, good news and bad alike" },
    Manner { name: "Warm", how: "generous, close, glad of the company" },
    Manner { name: "Bright", how: "quick, curious, pleased by a good question" },
    Manner { name: "Solemn", how: "few words, each of them meant" },
    Manner { name: "Playful", how: "light on its feet, fond of a turn of phrase" },
];
