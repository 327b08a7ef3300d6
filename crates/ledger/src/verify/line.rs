//! One audit line, read byte for byte. Pure; its input is hostile.
//!
//! The grammar is the canonical form itself: keys in their order, no white space, one spelling for each value. What
//! differs in one byte is not read, so the text that is hashed is the text that was judged. Nothing is allocated but the
//! hashed text, and a line's length is bounded by who reads it.

use crate::audit_line::sha256;

/// A line's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) seq: i64,
    pub(crate) amount: i64,
    pub(crate) before: i64,
    pub(crate) after: i64,
    pub(crate) kind: &'a str,
    pub(crate) previous: &'a str,
    pub(crate) hash: &'a str,
}

/// Why a line is none: where, and what should stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Byte in the line, from 1.
    pub(crate) column: usize,
    pub(crate) wanted: &'static str,
}

/// What an operation does to the balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Adds,
    Takes,
    Keeps,
}

/// Words of `operation_type`, and what each does to available + held − owed.
const KINDS: [(&str, Effect); 6] = [
    ("mint", Effect::Adds),
    ("settle", Effect::Takes),
    ("expire", Effect::Takes),
    ("reverse", Effect::Takes),
    ("late_settle", Effect::Takes),
    ("repay", Effect::Keeps),
];

/// Words of `pool`.
const POOLS: [&str; 5] = ["cheap", "standard", "reasoning", "architect", "flagship"];

impl<'a> Line<'a> {
    /// Reads a line without its line feed.
    pub(crate) fn read(text: &'a str) -> Result<Self, Malformed> {
        let mut rest = Cursor { text, at: 0 };
        rest.literal("{\"amount_micro\":\"")?;
        let amount = rest.integer()?;
        if amount <= 0 {
            return Err(rest.fault("an amount above 0"));
        }
        rest.literal("\",\"conservation_result\":\"ok\",\"hash\":\"")?;
        let hash = rest.hex()?;
        rest.literal("\",\"operation_type\":\"")?;
        let kind = rest.word(&KINDS.map(|(word, _)| word), "a known operation")?;
        rest.literal("\",\"pool\":")?;
        if !rest.takes("null") {
            rest.literal("\"")?;
            rest.word(&POOLS, "a known pool or null")?;
            rest.literal("\"")?;
        }
        rest.literal(",\"post_balance_micro\":\"")?;
        let after = rest.integer()?;
        rest.literal("\",\"pre_balance_micro\":\"")?;
        let before = rest.integer()?;
        rest.literal("\",\"prev_hash\":\"")?;
        let previous = rest.hex()?;
        rest.literal("\",\"reservation_id\":")?;
        if !rest.takes("null") {
            rest.literal("\"")?;
            rest.pattern("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "a reservation id or null")?;
            rest.literal("\"")?;
        }
        rest.literal(",\"seq\":")?;
        let seq = rest.integer()?;
        rest.literal(",\"timestamp\":\"")?;
        rest.pattern("dddd-dd-ddTdd:dd:dd.ddddddZ", "a time in UTC with six decimals")?;
        rest.literal("\",\"user_wallet\":")?;
        if !rest.takes("null") {
            rest.string()?;
        }
        rest.literal("}")?;
        if rest.at != text.len() {
            return Err(rest.fault("the end of the line"));
        }
        Ok(Self { seq, amount, before, after, kind, previous, hash })
    }

    /// Whether the balances fit the operation and its amount.
    pub(crate) fn adds_up(&self) -> bool {
        let effect = KINDS.iter().find(|(word, _)| *word == self.kind).map(|(_, effect)| *effect);
        let (before, after, amount) =
            (i128::from(self.before), i128::from(self.after), i128::from(self.amount));
        match effect {
            Some(Effect::Adds) => after == before + amount,
            Some(Effect::Takes) => after == before - amount,
            Some(Effect::Keeps) => after == before,
            None => false,
        }
    }

    /// The hash that this text has by its content and the hash that it names before it.
    pub(crate) fn computed(&self, text: &str) -> [u8; 32] {
        let own = self.hash.as_ptr().addr() - text.as_ptr().addr();
        let (before, after) = (own - "\"hash\":\"".len(), own + self.hash.len() + "\",".len());
        let mut hashed = String::with_capacity(64 + text.len());
        hashed.push_str(self.previous);
        hashed.push_str(&text[..before]);
        hashed.push_str(&text[after..]);
        sha256(hashed.as_bytes())
    }
}

/// What is left of a line.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn fault(&self, wanted: &'static str) -> Malformed {
        Malformed { column: self.at + 1, wanted }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Goes past a text that is there.
    fn takes(&mut self, literal: &str) -> bool {
        let is_there = self.rest().starts_with(literal);
        self.at += if is_there { literal.len() } else { 0 };
        is_there
    }

    /// Goes past a text that must be there; the fault is at the first byte that differs.
    fn literal(&mut self, literal: &'static str) -> Result<(), Malformed> {
        if self.takes(literal) {
            return Ok(());
        }
        let same = self.rest().bytes().zip(literal.bytes()).take_while(|(is, should)| is == should).count();
        Err(Malformed { column: self.at + same + 1, wanted: literal })
    }

    /// A decimal integer as `i64` prints it: no plus, no leading zero, no minus zero.
    fn integer(&mut self) -> Result<i64, Malformed> {
        const WANTED: &str = "a whole number";
        let length = self.rest().bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'-').count();
        let text = &self.rest()[..length];
        let value: i64 = text.parse().map_err(|_| self.fault(WANTED))?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let is_canonical = text == "0" || !digits.starts_with('0');
        if !is_canonical {
            return Err(self.fault(WANTED));
        }
        self.at += length;
        Ok(value)
    }

    /// 64 lower-case hex digits.
    fn hex(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        self.pattern(
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "64 lower-case hex digits",
        )?;
        Ok(&self.text[start..self.at])
    }

    /// One of some words, up to the closing quote.
    fn word(&mut self, words: &[&str], wanted: &'static str) -> Result<&'a str, Malformed> {
        let end = self.rest().find('"').ok_or_else(|| self.fault(wanted))?;
        let word = &self.rest()[..end];
        if !words.contains(&word) {
            return Err(self.fault(wanted));
        }
        self.at += end;
        Ok(word)
    }

    /// `x`: a lower-case hex digit, `d`: a decimal digit, anything else: itself.
    fn pattern(&mut self, pattern: &str, wanted: &'static str) -> Result<(), Malformed> {
        let bytes = self.rest().as_bytes();
        for (index, expected) in pattern.bytes().enumerate() {
            let fits = bytes.get(index).is_some_and(|byte| match expected {
                b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                b'd' => byte.is_ascii_digit(),
                other => *byte == other,
            });
            if !fits {
                return Err(Malformed { column: self.at + index + 1, wanted });
            }
        }
        self.at += pattern.len();
        Ok(())
    }

    /// A JSON string in the one spelling that a writer of canonical JSON has for it.
    fn string(&mut self) -> Result<(), Malformed> {
        const WANTED: &str = "a JSON string or null";
        if !self.rest().starts_with('"') {
            return Err(self.fault(WANTED));
        }
        let mut escaped = false;
        let inner = self.rest()[1..].find(|next: char| {
            let ends = next == '"' && !escaped;
            escaped = next == '\\' && !escaped;
            ends
        });
        let length = inner.ok_or_else(|| self.fault(WANTED))? + 2;
        let text = &self.rest()[..length];
        let value: String = serde_json::from_str(text).map_err(|_| self.fault(WANTED))?;
        if serde_json::to_string(&value).is_ok_and(|printed| printed == text) {
            self.at += length;
            Ok(())
        } else {
            Err(self.fault(WANTED))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;
    use types::{AccountId, CommunityId};

    use super::*;
    use crate::audit_line::{hash, hex, push_whole};
    use crate::model::{AccountKey, Bucket, Entry, Kind};

    fn line(entry: &mut Entry, holder: Option<&str>, previous: &[u8; 32]) -> String {
        entry.hash = hash(previous, entry, holder);
        let mut text = String::new();
        push_whole(&mut text, entry, holder, previous);
        text
    }

    fn settle(amount: i64, before: i64) -> Entry {
        Entry {
            key: AccountKey { community: CommunityId(1), account: AccountId(2) },
            seq: 17,
            account_seq: 3,
            kind: Kind::Settle,
            debit: Bucket::Held,
            credit: Bucket::Spent,
            amount,
            balance_before: before,
            balance_after: before - amount,
            reference: Some(uuid::Uuid::from_u128(7)),
            pool: Some(2),
            at: datetime!(2026-02-03 04:05:06.000007 UTC),
            hash: [0; 32],
        }
    }

    #[test]
    fn every_byte_of_a_line_counts() {
        let mut entry = settle(40, 100);
        let text = line(&mut entry, Some("0xAb\"\\\u{e9}\u{1}"), &[9; 32]);
        let read = Line::read(&text).unwrap();
        assert_eq!((read.seq, read.amount, read.before, read.after), (17, 40, 100, 60));
        assert!(read.adds_up());
        assert_eq!(hex(&read.computed(&text)), read.hash);
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let Ok(damaged) = String::from_utf8(bytes) else { continue };
                let is_seen =
                    Line::read(&damaged).map_or(true, |read| hex(&read.computed(&damaged)) != read.hash);
                assert!(is_seen, "byte {at}, bit {bit}: {damaged}");
            }
        }
    }

    #[test]
    fn one_value_has_one_spelling() {
        let text = line(&mut settle(40, 100), None, &[9; 32]);
        for (is, other) in [
            ("\"40\"", "\"+40\""),
            ("\"40\"", "\"040\""),
            ("\"40\"", "\"0\""),
            ("\"40\"", "\"-40\""),
            ("\"100\"", "\"-0\""),
            ("\"seq\":17", "\"seq\": 17"),
            ("\"seq\":17", "\"seq\":9223372036854775808"),
            ("settle", "SETTLE"),
            ("reasoning", "reasonin"),
            ("04:05:06.000007Z", "04:05:06.000007+00:00"),
            ("null}", "null}\r"),
            ("null}", "null} "),
            ("null}", "\"\\u0041\"}"),
            ("null}", "\"a}"),
            ("null}", "\"a\\\"}"),
        ] {
            let changed = text.replacen(is, other, 1);
            assert_ne!(changed, text, "{is}");
            assert!(Line::read(&changed).is_err(), "{changed}");
        }
        let fault = Line::read(&text.replacen("\"pool\"", "\"pond\"", 1)).unwrap_err();
        assert_eq!(fault.wanted, "\",\"pool\":");
        assert_eq!(fault.column, text.find("pool").unwrap() + 3);
    }

    /// At the byte itself, or at the beginning of the word or the string that it is in or ends.
    #[test]
    fn a_fault_says_where_it_is() {
        let text = line(&mut settle(40, 100), Some("0xAb"), &[9; 32]);
        let within = |value: &str| {
            let start = text.find(value).expect("it is there");
            (start, start + value.len())
        };
        let whole = [within("settle\""), within("reasoning\""), within("\"0xAb\"")];
        for at in 0..text.len() {
            let changed = format!("{}\u{1}{}", &text[..at], &text[at + 1..]);
            let begins =
                whole.iter().find(|(start, end)| (*start..*end).contains(&at)).map(|(start, _)| *start);
            let fault = Line::read(&changed).unwrap_err();
            assert_eq!(fault.column, begins.unwrap_or(at) + 1, "byte {at}: {changed}");
        }
    }

    #[test]
    fn balances_must_fit_the_operation() {
        for (kind, change) in [
            (Kind::Mint, 5),
            (Kind::Settle, -5),
            (Kind::LateSettle, -5),
            (Kind::Expire, -5),
            (Kind::Reverse, -5),
            (Kind::Repay, 0),
        ] {
            for wrong in [-1, 0, 1] {
                let mut entry = settle(5, 100);
                (entry.kind, entry.balance_after) = (kind, 100 + change + wrong);
                let text = line(&mut entry, None, &[0; 32]);
                assert_eq!(Line::read(&text).unwrap().adds_up(), wrong == 0, "{kind:?} {wrong}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            amount in 1..=i64::MAX, before in any::<i64>(), seq in 1..i64::MAX,
            holder in proptest::option::of(any::<String>()), previous in any::<[u8; 32]>(), pool in proptest::option::of(0_i16..5),
        ) {
            let mut entry = settle(amount, 0);
            (entry.seq, entry.pool, entry.balance_before) = (seq, pool, before);
            entry.balance_after = before.saturating_sub(amount);
            let text = line(&mut entry, holder.as_deref(), &previous);
            let read = Line::read(&text).expect("its own writing");
            prop_assert_eq!((read.seq, read.amount, read.before), (seq, amount, before));
            let previous = hex(&previous);
            prop_assert_eq!(read.previous, previous.as_str());
            prop_assert_eq!(hex(&read.computed(&text)), read.hash);
        }

        #[test]
        fn anything_else_is_refused_and_nothing_panics(text in any::<String>()) {
            prop_assert!(Line::read(&text).is_err());
        }

        #[test]
        fn a_line_that_is_cut_or_patched_is_refused_or_has_another_hash(
            at in 0_usize..400, length in 0_usize..40, patch in "[ -~é]{0,12}",
        ) {
            let mut entry = settle(40, 100);
            let text = line(&mut entry, Some("0xabc"), &[9; 32]);
            let start = at.min(text.len());
            let end = (start + length).min(text.len());
            let patched = format!("{}{patch}{}", &text[..start], &text[end..]);
            prop_assume!(patched != text);
            if let Ok(read) = Line::read(&patched) {
                prop_assert_ne!(hex(&read.computed(&patched)), read.hash);
            }
        }
    }
}
