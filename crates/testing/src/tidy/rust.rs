//! Just enough of Rust's grammar to tell code, comments and string literals apart.

/// A source file, taken apart.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The code, line for line as it stood, with comments and the insides of literals taken out.
    pub(super) code: String,
    /// Every string literal.
    pub(super) literals: Vec<Literal>,
}

/// A string literal.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// Where it begins, from 1.
    pub(super) line: usize,
    /// What stands between the quotes, escapes as they are written.
    pub(super) text: String,
}

/// Takes a file apart. Text that does not compile gives nonsense, but no panic.
pub(super) fn take_apart(text: &str) -> Source {
    let mut reader = Reader { rest: text, line: 1, source: Source::default() };
    while !reader.rest.is_empty() {
        reader.step();
    }
    reader.source
}

/// The line of the unit tests at the end of a file (`#[cfg(test)]` before a `mod`), from 1.
pub(super) fn tests_begin(code: &str) -> Option<usize> {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let is_start = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ");
    lines.windows(2).position(is_start).map(|index| index + 1)
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    source: Source,
}

impl<'a> Reader<'a> {
    /// Reads one thing: a comment, a literal, or a character of code.
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.take(end);
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if let Some(hashes) = self.raw_string() {
            let head = hashes + 2; // r, the hashes, the quote
            let close = format!("\"{}", "#".repeat(hashes));
            let length = self.rest[head..].find(&close).unwrap_or(self.rest.len() - head);
            self.literal(head, length, close.len());
        } else if self.rest.starts_with('"') {
            self.literal(1, escaped_length(&self.rest[1..], '"'), 1);
        } else if let Some(length) = char_literal(self.rest) {
            self.take(length);
            self.source.code.push_str("' '");
        } else {
            let taken = self.take(self.rest.chars().next().map_or(1, char::len_utf8));
            if taken != "\n" {
                self.source.code.push_str(taken);
            }
        }
    }

    /// Moves on, keeping count of lines; line ends stay in the code, so that its lines keep their numbers.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        for _ in taken.matches('\n') {
            self.line += 1;
            self.source.code.push('\n');
        }
        taken
    }

    fn literal(&mut self, head: usize, length: usize, tail: usize) {
        let line = self.line;
        self.source.code.push('"');
        self.take(head);
        let text = self.take(length).to_owned();
        self.take(tail);
        self.source.code.push('"');
        self.source.literals.push(Literal { line, text });
    }

    /// Comments in blocks nest.
    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
            } else {
                self.take(self.rest.chars().next().map_or(0, char::len_utf8));
            }
            if depth == 0 || self.rest.is_empty() {
                return;
            }
        }
    }

    /// The number of hashes of a raw string that begins here.
    fn raw_string(&self) -> Option<usize> {
        let after = self.rest.strip_prefix('r')?;
        // The `r` of an identifier such as `for` is not the start of anything.
        if self
            .source
            .code
            .chars()
            .last()
            .is_some_and(|last| last.is_alphanumeric() && last != 'b' && last != 'c')
        {
            return None;
        }
        let quoted = after.trim_start_matches('#');
        quoted.starts_with('"').then_some(after.len() - quoted.len())
    }
}

/// The length up to the closing quote, in bytes; a backslash protects the next character.
fn escaped_length(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return index;
        }
    }
    text.len()
}

/// The length of a character literal that begins here; `'a` of a lifetime is none.
fn char_literal(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    let first = inside.chars().next()?;
    let length = if first == '\\' { escaped_length(inside, '\'') } else { first.len_utf8() };
    inside[length.min(inside.len())..].starts_with('\'').then_some(length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(text: &str) -> Vec<(usize, String)> {
        take_apart(text).literals.into_iter().map(|literal| (literal.line, literal.text)).collect()
    }

    #[test]
    fn literals_are_found_with_their_lines() {
        let text =
            "let a = \"one\";\n// \"not this\"\nlet b = r#\"two \" and\nmore\"#; let c = \"th\\\"ree\";\n";
        let expected = [(1, "one"), (3, "two \" and\nmore"), (4, "th\\\"ree")];
        assert_eq!(literals(text), expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn quotes_that_open_nothing_are_passed_over() {
        let text = "fn f<'a>(x: &'a str) -> char { '\"' } // it's\n/* \" /* \" */ */ let y = '\\''; let z = \"end\";";
        assert_eq!(literals(text), [(2, "end".to_owned())]);
    }

    #[test]
    fn code_keeps_its_line_numbers() {
        let source = take_apart("a(); // b()\nlet t = \"c()\nd()\";\ne();\n");
        let lines: Vec<&str> = source.code.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[0].trim_end(), lines[3]), ("a();", "e();"));
        assert!(!source.code.contains("b()") && !source.code.contains("c()") && !source.code.contains("d()"));
    }

    #[test]
    fn nonsense_does_not_panic() {
        for text in ["\"", "r#\"", "'", "/*", "'\\", "r", "\"\\", "é'é\"é"] {
            take_apart(text);
        }
    }

    #[test]
    fn the_tests_of_a_file_are_found() {
        assert_eq!(tests_begin("a\n#[cfg(test)]\nmod tests {\n"), Some(2));
        assert_eq!(tests_begin("#[cfg(test)]\nuse x;\n"), None);
    }
}
