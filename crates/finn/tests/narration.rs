//! Properties of the anti-narration filter, against a judge that shares no code with it: it sees the whole text at once.

use finn::narration::{Filter, clean};
use proptest::prelude::*;
use types::narration::{HELD_BYTES_AT_MOST, TERMS};

/// Texts in which terms, their beginnings, their look-alikes and all that may stand between words meet often.
fn text() -> impl Strategy<Value = String> {
    let words: Vec<&'static str> = TERMS.iter().flat_map(|(words, _)| words.iter().copied()).collect();
    let piece = prop_oneof![
        4 => proptest::sample::select(words.clone()).prop_map(str::to_owned),
        2 => proptest::sample::select(words.clone()).prop_map(str::to_uppercase),
        2 => (proptest::sample::select(words), 0..9_usize).prop_map(|(word, cut)| word[..cut.min(word.len())].to_owned()),
        2 => proptest::sample::select(vec!["identity", "personal", "the", "é", "漢", "entity_id", "x", "7", "ai", "Ai"]).prop_map(str::to_owned),
        6 => proptest::sample::select(vec![" ", " ", " ", "-", "  ", "\n", ", ", ". ", "*", "**", "'", "_", "     "]).prop_map(str::to_owned),
        1 => proptest::sample::select(vec!["\u{200b}", "\u{ad}", "\u{301}", "👩\u{200d}💻"]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn streamed(text: &str, cuts: &[usize]) -> String {
    let (mut filter, mut said, mut given) = (Filter::default(), String::new(), 0);
    let mut cuts = cuts.iter().cycle();
    let mut rest = text;
    while !rest.is_empty() {
        let wanted = cuts.next().copied().unwrap_or(1).max(1);
        let end = rest.char_indices().nth(wanted).map_or(rest.len(), |(at, _)| at);
        let (piece, later) = rest.split_at(end);
        let now = filter.push(piece);
        given += piece.len();
        said.push_str(&now);
        rest = later;
        // What is not said yet is the beginning of a term at most; replacements are up to thrice as long as a term.
        assert!(given <= 3 * said.len() + 3 * HELD_BYTES_AT_MOST);
    }
    said.push_str(&filter.finish());
    said
}

fn is_invisible(character: char) -> bool {
    "\u{ad}\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}".contains(character)
}

/// Whether a term stands in the text, by taking the text apart into words first.
fn is_forbidden(text: &str) -> bool {
    let mut words: Vec<(String, String)> = Vec::new();
    for character in text.chars() {
        let belongs = character.is_alphanumeric() || character == '_' || is_invisible(character);
        match (belongs, words.last_mut()) {
            (true, Some((word, gap))) if gap.is_empty() => word.push(character),
            (true, _) => words.push((character.to_string(), String::new())),
            (false, Some((_, gap))) => gap.push(character),
            (false, None) => {}
        }
    }
    let read = |word: &str| {
        let hidden = word.chars().filter(|character| is_invisible(*character)).count();
        let shown = word.chars().filter(|character| !is_invisible(*character));
        let shown: String = shown.flat_map(char::to_lowercase).collect();
        // Past eight, it is somebody's art and no word.
        if hidden > 8 { String::new() } else { shown }
    };
    let joins = |gap: &str| {
        gap.chars().count() <= 4
            && gap.chars().all(|joiner| " \t\n\r\u{a0}-\u{2010}\u{2011}*`\"'".contains(joiner))
    };
    TERMS.iter().any(|(term, _)| {
        words.windows(term.len()).any(|window| {
            let (last, before) = window.split_last().expect("a term has words");
            window.iter().zip(*term).all(|((word, _), wanted)| read(word) == *wanted)
                && before.iter().all(|(_, gap)| joins(gap))
                && !last.0.is_empty()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(text in text(), cuts in proptest::collection::vec(1..9_usize, 1..6)) {
        prop_assert_eq!(streamed(&text, &cuts), clean(&text));
    }

    #[test]
    fn nothing_forbidden_is_said(text in text()) {
        let said = clean(&text);
        prop_assert!(!is_forbidden(&said), "{:?} became {:?}", text, said);
    }

    #[test]
    fn what_is_not_forbidden_is_said_as_it_was(text in text()) {
        prop_assume!(!is_forbidden(&text));
        prop_assert_eq!(clean(&text), text);
    }

    #[test]
    fn any_text_passes(text in any::<String>(), cuts in proptest::collection::vec(1..5_usize, 1..4)) {
        let said = streamed(&text, &cuts);
        prop_assert!(is_forbidden(&text) || said == text);
    }
}

#[test]
fn the_judge_knows_a_term_from_a_look_alike() {
    for text in ["persona", "a Large-Language\nModel", "the ENTITIES' own", "per\u{200b}sona"] {
        assert!(is_forbidden(text), "{text}");
    }
    for text in ["personas_", "identity", "language. model", "language     model", "ai", ""] {
        assert!(!is_forbidden(text), "{text}");
    }
}
