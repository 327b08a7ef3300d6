//! Why a pool and a model answered: the stable words of the engine, and what they mean.

/// Every word of the engine's, and what it means.
const REASONS: [(&str, &str); 8] = [
    ("requested", "as asked for"),
    ("default", "left to us: the usual pool of the asker\u{2019}s tier"),
    ("affinity", "left to us: the agent\u{2019}s favourite of the allowed pools"),
    ("forbidden_pool", "that pool is above the asker\u{2019}s tier: its usual one"),
    ("forbidden_model", "that model is above the asker\u{2019}s tier: its usual pool"),
    ("unknown_model", "the engine does not know that model: the usual pool"),
    ("model_off", "that model is switched off: another of its pool"),
    ("fallback", "the first model failed before a word: the next of its pool"),
];

/// The word as a sentence; one of a later version stands as it is.
pub(crate) fn in_words(reason: &str) -> String {
    let known = REASONS.iter().find(|(word, _)| *word == reason);
    known.map_or_else(|| reason.replace('_', " "), |(_, words)| (*words).to_owned())
}

/// The choices of a filter by reason.
#[must_use]
pub fn choices() -> Vec<(String, String)> {
    REASONS.iter().map(|(word, _)| ((*word).to_owned(), word.replace('_', " "))).collect()
}
