//! The offline verifier against every kind of damage to a large file, and against a past that was written anew.

use ledger::verify::{Fault, Head, KeySet, LINE_AT_MOST, Options, Seal, Verified, VerifyError, verify};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::seal::{chain, closed_elsewhere, filtered, key_set, signer, stranger};

fn prove(lines: &[Vec<u8>], options: &Options) -> Result<Verified, VerifyError> {
    verify(Joined { lines: lines.iter(), rest: &[], is_break: false }, options)
}

/// Lines as a file, without a copy of a file of 60 MB for each damage.
struct Joined<'a> {
    lines: std::slice::Iter<'a, Vec<u8>>,
    rest: &'a [u8],
    is_break: bool,
}

impl std::io::Read for Joined<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = std::io::BufRead::fill_buf(self)?;
        let length = read.len().min(into.len());
        into[..length].copy_from_slice(&read[..length]);
        std::io::BufRead::consume(self, length);
        Ok(length)
    }
}

impl std::io::BufRead for Joined<'_> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        if self.rest.is_empty() {
            if self.is_break {
                (self.rest, self.is_break) = (b"\n", false);
            } else if let Some(line) = self.lines.next() {
                (self.rest, self.is_break) =
                    if line.is_empty() { (b"\n".as_slice(), false) } else { (line.as_slice(), true) };
            }
        }
        Ok(self.rest)
    }

    fn consume(&mut self, amount: usize) {
        self.rest = &self.rest[amount..];
    }
}

fn broken(lines: &[Vec<u8>], what: &str) -> Fault {
    match prove(lines, &Options::default()) {
        Err(VerifyError::Broken(fault)) => fault,
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn any_damage_to_one_line_of_a_hundred_thousand_is_found_where_it_is() {
    const LINES: usize = 100_000;
    let mut lines = chain(LINES, 1, [0; 32]);
    assert_eq!(lines.len(), LINES + 2);
    let sound = prove(&lines, &Options { keys: Some(key_set()), since: None }).unwrap();
    assert_eq!((sound.lines, sound.seal), (LINES as u64, Seal::Checked));

    let mut random = StdRng::seed_from_u64(11);
    let rounds = if std::env::var_os("FREESIDE_TEST_LONG").is_some() { 300 } else { 3 };
    let mut positions: Vec<usize> = vec![0, 1, 2, LINES / 2, LINES - 1, LINES, LINES + 1];
    positions.extend((0..rounds).map(|_| random.random_range(0..lines.len())));
    damage(&mut lines, positions, &mut random);
}

#[test]
fn damage_to_each_line_of_a_small_file_is_found_where_it_is() {
    let mut lines = chain(7, 1, [0; 32]);
    let (positions, mut random) = ((0..lines.len()).collect(), StdRng::seed_from_u64(12));
    damage(&mut lines, positions, &mut random);
}

/// Every kind of damage to each of these lines is found, and found there.
fn damage(lines: &mut Vec<Vec<u8>>, positions: Vec<usize>, random: &mut StdRng) {
    for position in positions {
        let number = position as u64 + 1;
        // Flipped: one bit, anywhere in the line.
        let kept = lines[position].clone();
        let (at, bit) = (random.random_range(0..kept.len()), random.random_range(0..8));
        lines[position][at] ^= 1 << bit;
        let fault = broken(lines, "flipped");
        assert_eq!(fault.line, number, "byte {at}, bit {bit}: {fault:?}");
        lines[position] = kept;

        // Dropped: what comes next does not follow.
        let kept = lines.remove(position);
        assert_eq!(broken(lines, "dropped").line, number);
        lines.insert(position, kept);

        // Repeated: the second of the two does not follow.
        let kept = lines[position].clone();
        lines.insert(position, kept);
        assert_eq!(broken(lines, "repeated").line, number + 1);
        lines.remove(position);

        // Moved to another place: what took its place does not follow, or it does not follow there.
        let other = (position + 1 + random.random_range(0..lines.len() - 1)) % lines.len();
        if other != position {
            lines.swap(position, other);
            assert_eq!(broken(lines, "reordered").line, position.min(other) as u64 + 1);
            lines.swap(position, other);
        }
        // Emptied, and cut in half.
        let kept = std::mem::take(&mut lines[position]);
        assert_eq!(broken(lines, "emptied").line, number);
        lines[position] = kept[..kept.len() / 2].to_vec();
        assert_eq!(broken(lines, "cut").line, number);
        lines[position] = kept;
    }
    prove(lines, &Options::default()).unwrap();
}

#[test]
fn what_is_wrong_with_a_chain_is_said_in_words() {
    let says = |lines: &[Vec<u8>]| {
        let fault = broken(lines, "a chain");
        (fault.line, fault.what.chars().take(22).collect::<String>())
    };
    let lines = chain(6, 1, [0; 32]);
    let with = |act: fn(&mut Vec<Vec<u8>>)| {
        let mut lines = lines.clone();
        act(&mut lines);
        says(&lines)
    };
    let missing = "lines are missing befo";
    assert_eq!(with(|lines| drop(lines.remove(3))), (4, missing.to_owned()));
    assert_eq!(with(|lines| drop(lines.drain(2..5))), (3, missing.to_owned()));
    assert_eq!(with(|lines| lines.insert(4, lines[3].clone())), (5, "this line stands here ".to_owned()));
    assert_eq!(with(|lines| lines.insert(5, lines[2].clone())), (6, "this line is out of it".to_owned()));
    assert_eq!(with(|lines| lines.insert(5, lines[1].clone())), (6, "this line is out of it".to_owned()));
    // A closing line that is whole and sealed, and closes something else.
    for (wrong_head, to_seq) in [(true, 3), (false, 4), (true, 4)] {
        let (line, what) = says(&closed_elsewhere(wrong_head, to_seq));
        assert_eq!((line, what.as_str()), (5, "the closing line close"), "{wrong_head}, {to_seq}");
    }
    prove(&closed_elsewhere(false, 3), &Options::default()).unwrap();
}

#[test]
fn a_filtered_export_says_what_it_is_and_keeps_its_order() {
    let options = Options { keys: Some(key_set()), since: None };
    let sound = prove(&filtered(&[1, 4, 5, 9]), &options).unwrap();
    assert!(!sound.chained);
    assert_eq!((sound.filter.as_deref(), sound.lines, sound.to_seq), (Some("pool cheap"), 4, 9));
    assert_eq!(prove(&chain(3, 1, [0; 32]), &options).unwrap().filter, None);
    // Sealed as they stand: a line that comes twice or too late is found by its number alone.
    for (numbers, line) in [([1, 4, 4, 9], 4), ([1, 5, 4, 9], 4), ([4, 1, 5, 9], 3)] {
        let fault = broken(&filtered(&numbers), "out of order");
        assert_eq!(fault.line, line, "{numbers:?}: {fault:?}");
        assert!(fault.what.contains("out of its order"), "{fault:?}");
    }
    let mut lines = filtered(&[1, 4, 5, 9]);
    lines.remove(2);
    assert!(broken(&lines, "a line less").what.contains("before the closing line"));
    let head = Head { community_id: None, to_seq: 1, head_hash: "0".repeat(64) };
    let options = Options { keys: None, since: Some(head) };
    let Err(VerifyError::Broken(fault)) = prove(&filtered(&[1]), &options) else { panic!("unchained") };
    assert!(fault.what.contains("unchained"), "{fault:?}");
}

#[test]
fn every_bit_of_a_small_file_counts() {
    let file: Vec<u8> = chain(3, 1, [0; 32]).join(&b'\n');
    verify(file.as_slice(), &Options::default()).unwrap();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[at] ^= 1 << bit;
            let expected = file[..at].split(|byte| *byte == b'\n').count() as u64;
            match verify(damaged.as_slice(), &Options::default()) {
                Err(VerifyError::Broken(fault)) => {
                    assert_eq!(fault.line, expected, "byte {at}, bit {bit}: {fault:?}");
                }
                other => panic!("byte {at}, bit {bit}: {other:?}"),
            }
        }
    }
    // A file that ends too early is never whole; only its last line feed may be missing.
    for length in 0..file.len() {
        assert!(verify(&file[..length], &Options::default()).is_err(), "{length} bytes");
    }
}

#[test]
fn a_forger_who_hashes_anew_is_found_by_the_seal_and_by_a_saved_head() {
    let kept = chain(50, 1, [0; 32]);
    let head = Head::parse(std::str::from_utf8(kept.last().unwrap()).unwrap()).unwrap();
    assert_eq!(head.to_seq, 50);

    // The same journal, longer: it contains the head.
    let longer = chain(80, 1, [0; 32]);
    let since = |head: &Head| Options { keys: Some(key_set()), since: Some(head.clone()) };
    assert_eq!(prove(&longer, &since(&head)).unwrap().since, Some(50));
    // A later part that begins right behind it continues it.
    let previous = hash_of(&kept[50]);
    let later = chain(30, 51, previous);
    assert_eq!(prove(&later, &since(&head)).unwrap().since, Some(50));

    // The same community's head serves, another's is told apart.
    let of = |community: &str| Head { community_id: Some(community.to_owned()), ..head.clone() };
    assert_eq!(prove(&longer, &since(&of("1"))).unwrap().since, Some(50));
    let Err(VerifyError::Broken(fault)) = prove(&longer, &since(&of("2"))) else { panic!("another's head") };
    assert!(fault.line == 1 && fault.what.contains("another community"), "{fault:?}");
    // A head is read from the last line of an export, whatever empty lines follow it.
    let export = String::from_utf8(kept.join(&b'\n')).unwrap();
    assert_eq!(Head::parse(&format!("{export}\n \n\n")), Ok(head.clone()));

    // Another past: whole in itself, and sealed by the real key, but not what was saved.
    let forged = chain(80, 1, [3; 32]);
    prove(&forged, &Options::default()).unwrap();
    let Err(VerifyError::Broken(fault)) = prove(&forged, &since(&head)) else { panic!("the past changed") };
    assert_eq!(fault.line, 51);
    assert!(fault.what.contains("written anew"), "{fault:?}");

    // Its end cut off, sealed anew; and a file that begins too late.
    let short = chain(40, 1, [0; 32]);
    let Err(VerifyError::Broken(fault)) = prove(&short, &since(&head)) else { panic!("the end is gone") };
    assert!(fault.what.contains("cut off"), "{fault:?}");
    let late = chain(10, 60, [5; 32]);
    let Err(VerifyError::Broken(fault)) = prove(&late, &since(&head)) else { panic!("a gap") };
    assert!(fault.what.contains("does not reach back"), "{fault:?}");

    // A key that is not in the set.
    let options = Options { keys: Some(stranger()), since: None };
    let Err(VerifyError::Broken(fault)) = prove(&kept, &options) else { panic!("a strange key") };
    assert!(fault.what.contains("key set does not have"), "{fault:?}");
    assert_eq!(fault.line, 52);
}

fn hash_of(line: &[u8]) -> [u8; 32] {
    let text = std::str::from_utf8(line).unwrap();
    let hex = &text.split_once("\"hash\":\"").unwrap().1[..64];
    let byte = |at: usize| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
    std::array::from_fn(byte)
}

#[test]
fn foreign_files_are_refused_in_words() {
    let word = |bytes: &[u8]| match verify(bytes, &Options::default()) {
        Err(VerifyError::Broken(fault)) => (fault.line, fault.what),
        other => panic!("{other:?}"),
    };
    assert_eq!(word(b""), (1, "the file is empty".to_owned()));
    for text in ["\n", "{}", "hello", "{\"count\":1}", "\u{feff}{}", "[1,2]\n[3]"] {
        let (line, what) = word(text.as_bytes());
        assert!(line == 1 && what.contains("not the opening line"), "{text}: {what}");
    }
    assert!(word(&[0xff, 0xfe, 0x00]).1.contains("UTF-8"));
    let endless = vec![b'{'; LINE_AT_MOST * 3];
    assert!(word(&endless).1.contains("longer than"));
    assert!(word(&endless[..=LINE_AT_MOST]).1.contains("longer than"));
    assert!(word(&endless[..LINE_AT_MOST]).1.contains("not the opening line"));
    let mut lines = chain(2, 1, [0; 32]);
    lines[1] = endless;
    let fault = broken(&lines, "an endless line");
    assert!(fault.line == 2 && fault.what.contains("longer than"), "{fault:?}");

    let windows = chain(2, 1, [0; 32]).join(b"\r\n".as_slice());
    assert_eq!(word(&windows).0, 1);
    let mut more = chain(2, 1, [0; 32]);
    more.push(b"one more".to_vec());
    let (line, what) = word(&more.join(&b'\n'));
    assert!(line == 5 && what.contains("after the closing line"), "{line}: {what}");
    more[4] = vec![b'x'; LINE_AT_MOST * 2];
    let (line, what) = word(&more.join(&b'\n'));
    assert!(line == 5 && what.contains("longer than"), "{line}: {what}");

    for bad in ["", "{}", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"RSA\"}]}", "[]"] {
        assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    for bad in ["", "{}", "{\"to_seq\":1,\"head_hash\":\"00\"}", "{\"to_seq\":-1,\"head_hash\":\"\"}"] {
        assert!(Head::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(format!("{:?}", signer()), "Signer { kid: \"test key\", .. }");
}
