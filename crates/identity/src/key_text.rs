//! The text of an API key: `lf_live_` or `lf_test_`, 12 base32 characters of public id, `_`, 32 base62 characters of
//! secret, 6 base62 characters of checksum (SPEC §6, §13).
//!
//! The checksum is the CRC-32 (IEEE) of everything before it, left-padded with `0`. A CRC-32 finds every single wrong
//! character, so a typo is refused without a look-up. Nothing here copies the secret.

use ring::rand::{SecureRandom, SystemRandom};

/// Characters of a whole key.
pub const KEY_CHARACTERS: usize = PREFIX + PUBLIC_ID + 1 + SECRET + CHECKSUM;
/// Characters of a public id: 60 random bits.
pub(crate) const PUBLIC_ID: usize = 12;
/// Characters of a secret: 190 random bits.
pub(crate) const SECRET: usize = 32;
const PREFIX: usize = 8;
const CHECKSUM: usize = 6;

/// RFC 4648's alphabet in lower case.
const BASE32: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// `lf_test_`: free, the cheap pool, small limits.
    Sandbox,
    /// `lf_live_`: pays.
    Live,
}

impl KeyKind {
    /// The first eight characters of such a key.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Sandbox => "lf_test_",
            Self::Live => "lf_live_",
        }
    }

    /// The kind's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Live => "live",
        }
    }

    pub(crate) fn as_db(self) -> i16 {
        match self {
            Self::Sandbox => 0,
            Self::Live => 1,
        }
    }

    pub(crate) fn from_db(number: i16) -> Option<Self> {
        [Self::Sandbox, Self::Live].into_iter().find(|kind| kind.as_db() == number)
    }
}

/// A key's public id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PublicId([u8; PUBLIC_ID]);

impl PublicId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; PUBLIC_ID] = text.as_bytes().try_into().ok()?;
        bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'2'..=b'7')).then_some(Self(bytes))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base32 is ASCII")
    }
}

/// A well-formed key, borrowed from the request.
pub(crate) struct KeyText<'a> {
    pub(crate) kind: KeyKind,
    pub(crate) public_id: PublicId,
    pub(crate) secret: &'a [u8; SECRET],
}

impl<'a> KeyText<'a> {
    /// Reads a key; `None` when a character or the checksum is wrong.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        // All characters are ASCII, checked part by part below, so bytes and characters are the same.
        let bytes: &[u8; KEY_CHARACTERS] = text.as_bytes().try_into().ok()?;
        let (prefix, rest) = bytes.split_first_chunk::<PREFIX>()?;
        let (id, rest) = rest.split_first_chunk::<PUBLIC_ID>()?;
        let (separator, rest) = rest.split_first_chunk::<1>()?;
        let (secret, checksum) = rest.split_first_chunk::<SECRET>()?;
        let kind =
            [KeyKind::Sandbox, KeyKind::Live].into_iter().find(|kind| kind.prefix().as_bytes() == prefix)?;
        let public_id = PublicId::parse(std::str::from_utf8(id).ok()?)?;
        let sound = separator == b"_"
            && secret.iter().all(u8::is_ascii_alphanumeric)
            && *checksum == checksum_of(&bytes[..KEY_CHARACTERS - CHECKSUM]);
        sound.then_some(Self { kind, public_id, secret })
    }
}

/// A fresh key: its public id and its whole text.
pub(crate) fn make(
    kind: KeyKind,
    random: &SystemRandom,
) -> Result<(PublicId, String), ring::error::Unspecified> {
    let mut id = [0; PUBLIC_ID];
    random.fill(&mut id)?;
    let id = id.map(|byte| BASE32[usize::from(byte & 31)]);
    let mut text = String::with_capacity(KEY_CHARACTERS);
    text.push_str(kind.prefix());
    text.extend(id.map(char::from));
    text.push('_');
    for _ in 0..SECRET {
        text.push(char::from(base62_digit(random)?));
    }
    let checksum = checksum_of(text.as_bytes());
    text.extend(checksum.map(char::from));
    Ok((PublicId(id), text))
}

/// One unbiased digit: 248 is the largest multiple of 62 in a byte, and what lies above is drawn again.
fn base62_digit(random: &SystemRandom) -> Result<u8, ring::error::Unspecified> {
    loop {
        let mut byte = [0];
        random.fill(&mut byte)?;
        if byte[0] < 248 {
            return Ok(BASE62[usize::from(byte[0] % 62)]);
        }
    }
}

fn checksum_of(text: &[u8]) -> [u8; CHECKSUM] {
    let mut value = crc32fast::hash(text);
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[usize::try_from(value % 62).expect("below 62")];
        value /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// CRC-32 (IEEE 802.3) bit by bit, from the definition.
    fn plain_crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |mut crc, byte| {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            }
            crc
        })
    }

    fn fresh(kind: KeyKind) -> String {
        make(kind, &SystemRandom::new()).expect("random bytes").1
    }

    #[test]
    fn the_checksum_follows_the_written_rule() {
        assert_eq!(plain_crc32(b"123456789"), 0xcbf4_3926, "the standard's own check value");
        // 0xcbf43926 = 3421780262, whose base62 digits are 3, 45, 35, 27, 22, 14.
        assert_eq!(&checksum_of(b"123456789"), b"3jZRME");
        assert_eq!(&checksum_of(b""), b"000000", "a small value is padded on the left");
        let key = fresh(KeyKind::Live);
        let (body, checksum) = key.split_at(53);
        let value = checksum.bytes().fold(0_u64, |value, digit| {
            value * 62 + BASE62.iter().position(|each| *each == digit).expect("base62") as u64
        });
        assert_eq!(value, u64::from(plain_crc32(body.as_bytes())));
    }

    #[test]
    fn a_fresh_key_has_the_written_form_and_reads_back() {
        for kind in [KeyKind::Sandbox, KeyKind::Live] {
            let (id, text) = make(kind, &SystemRandom::new()).expect("random bytes");
            assert_eq!(text.len(), 59);
            assert_eq!(text.split('_').map(str::len).collect::<Vec<_>>(), [2, 4, 12, 38]);
            let read = KeyText::parse(&text).expect("our own key");
            assert_eq!((read.kind, read.public_id), (kind, id));
            assert_eq!(read.secret.as_slice(), &text.as_bytes()[21..53]);
        }
    }

    #[test]
    fn every_single_character_typo_is_refused() {
        let key = fresh(KeyKind::Sandbox);
        for position in 0..key.len() {
            for wrong in (0_u8..128).filter(|wrong| *wrong != key.as_bytes()[position]) {
                let mut typo = key.clone().into_bytes();
                typo[position] = wrong;
                let typo = String::from_utf8(typo).expect("ASCII");
                assert!(KeyText::parse(&typo).is_none(), "character {position} as {wrong}");
            }
            let mut shorter = key.clone();
            shorter.remove(position);
            assert!(KeyText::parse(&shorter).is_none());
        }
        assert!(KeyText::parse(&format!("{key} ")).is_none());
        assert!(
            KeyText::parse(&key.replace("lf_test_", "lf_live_")).is_none(),
            "the checksum covers the prefix"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}") {
            prop_assert!(KeyText::parse(&text).is_none());
        }

        #[test]
        fn what_parses_is_exactly_what_was_made(noise in proptest::collection::vec(any::<u8>(), 59)) {
            let key = fresh(KeyKind::Live);
            let mixed: Vec<u8> = key.bytes().zip(&noise).map(|(ours, noise)| if noise % 16 == 0 { noise / 2 } else { ours }).collect();
            let mixed = String::from_utf8(mixed).expect("ASCII");
            prop_assert_eq!(KeyText::parse(&mixed).is_some(), mixed == key);
        }

        #[test]
        fn a_well_formed_body_needs_its_own_checksum(id in "[a-z2-7]{12}", secret in "[0-9A-Za-z]{32}", checksum in "[0-9A-Za-z]{6}") {
            let body = format!("lf_live_{id}_{secret}");
            let right = String::from_utf8(checksum_of(body.as_bytes()).to_vec()).expect("ASCII");
            let with_right = format!("{body}{right}");
            prop_assert!(KeyText::parse(&with_right).is_some());
            let with_other = format!("{body}{checksum}");
            prop_assert_eq!(KeyText::parse(&with_other).is_some(), checksum == right);
        }
    }
}
