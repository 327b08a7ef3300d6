//! The message that a wallet signs to sign in (EIP-4361), and what to say when it will not.
//!
//! The server writes the message; what is filled in is an address with its checksum and a number, so a wallet cannot
//! bring a line of its own. Deliberately absent: parsing; only the server believes or disbelieves a message.

use alloc::string::String;
use alloc::string::ToString as _;

use crate::keccak::keccak256;

/// The text to sign: the server's own, with the wallet's address and chain where it says `{address}` and `{chain_id}`. None
/// if either is none, or the server's text has no place for them or more than one.
pub fn message(template: &str, address: &str, chain_id: u64) -> Option<String> {
    let address = checksummed(address)?;
    let mut pieces = template.split('{');
    let mut text = String::from(pieces.next()?);
    let (mut addresses, mut chains) = (0, 0);
    for piece in pieces {
        if let Some(rest) = piece.strip_prefix("address}") {
            addresses += 1;
            text.push_str(&address);
            text.push_str(rest);
        } else if let Some(rest) = piece.strip_prefix("chain_id}") {
            chains += 1;
            text.push_str(&chain_id.to_string());
            text.push_str(rest);
        } else {
            text.push('{');
            text.push_str(piece);
        }
    }
    (addresses == 1 && chains == 1).then_some(text)
}

/// An address in the spelling of EIP-55, whatever case it came in.
pub fn checksummed(address: &str) -> Option<String> {
    let digits = address.strip_prefix("0x")?.to_ascii_lowercase();
    if digits.len() != 40 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let hash = keccak256(digits.as_bytes());
    let letter = |(index, c): (usize, char)| {
        let nibble = hash[index / 2] >> (4 * (1 - index % 2)) & 15;
        if nibble >= 8 { c.to_ascii_uppercase() } else { c }
    };
    Some(core::iter::once('0').chain(['x']).chain(digits.chars().enumerate().map(letter)).collect())
}

/// A chain id as wallets answer it, `0x1` or `1`.
pub fn chain_id(text: &str) -> Option<u64> {
    text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u64::from_str_radix(hex, 16).ok())
}

/// Bytes as wallets take them.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(2 + 2 * bytes.len());
    out.push_str("0x");
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// What a wallet's error code means to the person in front of it, and what to do.
pub fn refusal(code: i32) -> &'static str {
    match code {
        4001 => {
            "You declined in your wallet. Nothing was signed; choose the wallet again when you are ready."
        }
        4100 => {
            "Your wallet does not let this page use that account. Allow it in the wallet, then try again."
        }
        4200 => "This wallet cannot sign messages. Choose another one.",
        4900 | 4901 => "Your wallet is not connected to its network. Check its connection, then try again.",
        -32002 => "A request is already waiting in your wallet. Open it and answer there.",
        _ => "Your wallet could not sign. Unlock it and try again, or choose another one.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "a.example wants you to sign in with your Ethereum account:\n{address}\n\nURI: https://a.example\nChain ID: {chain_id}\nNonce: 12345678";

    #[test]
    fn the_wallet_s_part_is_filled_in() {
        let text = message(TEMPLATE, "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", 8453).unwrap();
        assert!(text.contains("\n0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n"));
        assert!(text.contains("\nChain ID: 8453\n") && !text.contains('{'));
    }

    #[test]
    fn a_wallet_brings_no_line_of_its_own() {
        assert_eq!(message(TEMPLATE, "0x5aae\nURI: https://evil.example", 1), None);
        assert_eq!(message("nothing to fill in", "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed", 1), None);
    }

    #[test]
    fn addresses_are_spelled_as_eip_55_says() {
        for address in [
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
            "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
            "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
            "0x52908400098527886E0F7030069857D2E4169EE7",
            "0xde709f2102306220921060314715629080e2fb77",
        ] {
            assert_eq!(checksummed(&address.to_lowercase()).as_deref(), Some(address));
            assert_eq!(checksummed(address).as_deref(), Some(address));
        }
        for bad in [
            "",
            "0x",
            "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
            "0xzaAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        ] {
            assert_eq!(checksummed(bad), None);
        }
    }

    #[test]
    fn wallets_say_chains_in_two_ways() {
        assert_eq!((chain_id("0x2105"), chain_id("8453"), chain_id("x")), (Some(8453), Some(8453), None));
        assert_eq!(hex(b"\x00\xffA"), "0x00ff41");
    }
}
