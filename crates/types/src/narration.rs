//! Anti-narration: an agent never recites its own machinery (SPEC §5).
//!
//! A filter that a streamed answer passes through, and that a profile's texts pass through whole: one list for both. It
//! puts another word in the place of each forbidden one, so that the sentence stays one.
//!
//! What always holds: whole words only, so "identity", "personal" and `entity_id` are left alone; the outcome does not
//! depend on where a stream was cut; text without a forbidden term comes out byte for byte; what is held back is the
//! beginning of a term, and never more than [`HELD_BYTES_AT_MOST`]. Deliberately absent: judging what is meant. Whoever
//! wants to say "persona" in another alphabet can.

/// The forbidden terms, word by word and in lower case, and what is said instead. Of two that fit, the longer one wins.
/// No word of a replacement stands in a term, so a replacement never makes a new one; each takes the same article.
pub const TERMS: &[(&[&str], &str)] = &[
    (&["persona"], "character"),
    (&["personas"], "characters"),
    (&["entity"], "individual"),
    (&["entities"], "individuals"),
    (&["archetype"], "original"),
    (&["archetypes"], "originals"),
    (&["chatbot"], "companion"),
    (&["chatbots"], "companions"),
    (&["llm"], "intellect"),
    (&["llms"], "intellects"),
    (&["language", "model"], "mind"),
    (&["language", "models"], "minds"),
    (&["large", "language", "model"], "mind"),
    (&["large", "language", "models"], "minds"),
    (&["ai", "language", "model"], "intellect"),
    (&["ai", "language", "models"], "intellects"),
    (&["ai", "model"], "intellect"),
    (&["ai", "models"], "intellects"),
    (&["ai", "assistant"], "able companion"),
    (&["ai", "assistants"], "able companions"),
    (&["ai", "chatbot"], "able companion"),
    (&["ai", "chatbots"], "able companions"),
    (&["system", "prompt"], "nature"),
    (&["system", "prompts"], "natures"),
    (&["system", "message"], "nature"),
    (&["training", "data"], "memory"),
];

/// Between the words of a term: spaces, a line end, marks of emphasis, a hyphen. A sentence's end is never among them.
const JOINERS: &[char] = &[' ', '\t', '\n', '\r', '\u{a0}', '-', '\u{2010}', '\u{2011}', '*', '`', '"', '\''];
/// More of them than this part two words.
const JOINERS_AT_MOST: usize = 4;
/// Characters without a shape; a word with more of them than this is somebody's art, and bounds what is held back.
const INVISIBLE_AT_MOST: usize = 8;
/// The longest term with all its gaps and invisible characters, generously.
pub const HELD_BYTES_AT_MOST: usize = 256;

/// The filter of one stream.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The beginning of what may become a term; starts with a word.
    held: String,
    /// The text so far ends inside a word that is no term.
    in_word: bool,
}

impl Filter {
    /// Takes the next piece, and gives what can be said now.
    pub fn push(&mut self, text: &str) -> String {
        self.held.push_str(text);
        self.scan(Ending::Open)
    }

    /// Gives what was held back: nothing more follows.
    pub fn finish(&mut self) -> String {
        self.scan(Ending::Ended)
    }

    fn scan(&mut self, ending: Ending) -> String {
        let held = std::mem::take(&mut self.held);
        let mut said = String::with_capacity(held.len());
        let mut rest = held.as_str();
        loop {
            if self.in_word {
                let end = word_end(rest);
                let (word, later) = rest.split_at(end.unwrap_or(rest.len()));
                said.push_str(word);
                rest = later;
                self.in_word = end.is_none();
            }
            let (gap, later) = rest.split_at(rest.find(is_of_a_word).unwrap_or(rest.len()));
            said.push_str(gap);
            rest = later;
            if rest.is_empty() {
                return said;
            }
            match look(rest, ending) {
                Sight::Term { bytes, instead } => {
                    let (term, later) = rest.split_at(bytes);
                    said.push_str(&in_the_case_of(term, instead));
                    rest = later;
                }
                Sight::Other => self.in_word = true,
                Sight::Undecided => {
                    rest.clone_into(&mut self.held);
                    return said;
                }
            }
        }
    }
}

/// A whole text, filtered.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut filter = Filter::default();
    let mut said = filter.push(text);
    said.push_str(&filter.finish());
    said
}

/// Whether more text may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Open,
    Ended,
}

/// What stands at the beginning of a text that begins with a word.
enum Sight {
    /// A term of so many bytes.
    Term { bytes: usize, instead: &'static str },
    /// No term.
    Other,
    /// It takes more text to say.
    Undecided,
}

/// How a text and one term compare.
enum Fit {
    Whole(usize),
    SoFar,
    No,
}

fn look(text: &str, ending: Ending) -> Sight {
    let mut best = Sight::Other;
    let mut longest = 0;
    for (words, instead) in TERMS {
        match fit(text, words, ending) {
            Fit::SoFar => return Sight::Undecided,
            Fit::Whole(bytes) if bytes > longest => {
                longest = bytes;
                best = Sight::Term { bytes, instead };
            }
            Fit::Whole(_) | Fit::No => {}
        }
    }
    best
}

fn fit(text: &str, words: &[&str], ending: Ending) -> Fit {
    let mut at = 0;
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            let gap = text[at..].find(is_of_a_word).unwrap_or(text.len() - at);
            let joins = |gap: &str| {
                gap.chars().all(|joiner| JOINERS.contains(&joiner)) && gap.chars().count() <= JOINERS_AT_MOST
            };
            if !joins(&text[at..at + gap]) {
                return Fit::No;
            }
            at += gap;
            if at == text.len() {
                return if ending == Ending::Ended { Fit::No } else { Fit::SoFar };
            }
        }
        let end = word_end(&text[at..]);
        let found = &text[at..at + end.unwrap_or(text.len() - at)];
        match (begins(found, word), end, ending) {
            (Begins::No, ..) | (Begins::Partly, Some(_), _) | (Begins::Partly, None, Ending::Ended) => {
                return Fit::No;
            }
            (Begins::Partly | Begins::Wholly, None, Ending::Open) => return Fit::SoFar,
            (Begins::Wholly, Some(_), _) | (Begins::Wholly, None, Ending::Ended) => at += found.len(),
        }
    }
    Fit::Whole(at)
}

/// How a written word relates to one of a term.
enum Begins {
    /// It is the word.
    Wholly,
    /// It is a beginning of the word.
    Partly,
    No,
}

fn begins(written: &str, word: &str) -> Begins {
    if written.chars().filter(|character| is_invisible(*character)).count() > INVISIBLE_AT_MOST {
        return Begins::No;
    }
    let mut wanted = word.chars();
    let shown = written.chars().filter(|character| !is_invisible(*character));
    for letter in shown.flat_map(char::to_lowercase) {
        if wanted.next() != Some(letter) {
            return Begins::No;
        }
    }
    if wanted.next().is_none() { Begins::Wholly } else { Begins::Partly }
}

/// Where the word that a text begins with ends; `None`: the text may end inside it.
fn word_end(text: &str) -> Option<usize> {
    text.find(|character| !is_of_a_word(character))
}

/// An underscore belongs to a word: `entity_id` is somebody's code.
fn is_of_a_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_' || is_invisible(character)
}

/// Soft hyphen, zero-width spaces and joiners, the byte order mark: inside a word they change nothing that is read.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
}

/// The replacement, with a capital where the term has one and goes on in small letters.
fn in_the_case_of(term: &str, instead: &str) -> String {
    let mut letters = term.chars().filter(|character| character.is_alphabetic());
    let begins_large = letters.next().is_some_and(char::is_uppercase);
    if !begins_large || letters.next().is_some_and(char::is_uppercase) {
        return instead.to_owned();
    }
    let mut characters = instead.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says a text in pieces of as many characters as `piece` gives.
    fn streamed(text: &str, mut piece: impl FnMut() -> usize) -> String {
        let (mut filter, mut said) = (Filter::default(), String::new());
        let mut characters = text.chars().peekable();
        while characters.peek().is_some() {
            let chunk: String = characters.by_ref().take(piece().max(1)).collect();
            said.push_str(&filter.push(&chunk));
            assert!(filter.held.len() <= HELD_BYTES_AT_MOST, "{:?}", filter.held);
        }
        said + &filter.finish()
    }

    #[test]
    fn forbidden_terms_are_said_otherwise() {
        for (text, said) in [
            ("My persona is wry.", "My character is wry."),
            ("Personas, plural", "Characters, plural"),
            ("an entity's archetype", "an individual's original"),
            ("As an AI language model, I", "As an intellect, I"),
            ("as a large\n  language **model**!", "as a mind**!"),
            ("LLM", "intellect"),
            ("AI-assistant", "able companion"),
            ("A System Prompt told me", "A Nature told me"),
            ("per\u{200b}sona", "character"),
            ("(entity)", "(individual)"),
            ("a language model", "a mind"),
            ("non-entity", "non-individual"),
        ] {
            assert_eq!(clean(text), said, "{text}");
            assert_eq!(streamed(text, || 1), said, "{text}, letter by letter");
        }
    }

    #[test]
    fn look_alikes_are_left_alone() {
        for text in [
            "identity",
            "Identities differ",
            "personal, personable, impersonate, personae",
            "entity_id and my_entity, EntityManager, nonentity",
            "architecture, archetypal",
            "a language. Model trains run on time",
            "the model of a language",
            "language, model",
            "llama and llmx",
            "system / prompt",
            "large language",
            "training dataset",
            "ai",
            "pe\u{301}rsona",
            "",
            "\u{200b}\u{200b}",
            "👩\u{200d}💻 says hi_there",
            "mind, character, individual",
        ] {
            assert_eq!(clean(text), text);
            assert_eq!(streamed(text, || 1), text, "letter by letter");
        }
    }

    #[test]
    fn a_replacement_never_makes_a_term() {
        let in_terms = |word: &str| TERMS.iter().any(|(words, _)| words.contains(&word));
        for (words, instead) in TERMS {
            assert!(instead.split(' ').all(|word| !in_terms(word)), "{instead}");
            assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())));
            assert_eq!(clean(&words.join(" ")), *instead);
            let vowel = |word: &str| word.starts_with(['a', 'e', 'i', 'o', 'u']);
            // "an LLM" is said with a vowel.
            let sounds_open = vowel(words[0]) || words[0].starts_with("llm");
            assert_eq!(sounds_open, vowel(instead), "{words:?}: the article before it stays right");
        }
    }

    #[test]
    fn what_is_held_back_is_bounded_however_a_word_is_stretched() {
        let stretched =
            format!("per{}sona and lan{}guage    model", "\u{200b}".repeat(999), "\u{ad}".repeat(999));
        assert_eq!(streamed(&stretched, || 1), stretched);
        assert_eq!(
            streamed("large language     model", || 3),
            "large language     model",
            "five spaces part"
        );
    }
}
