//! Keccak-256, as Ethereum uses it, for one purpose: the checksum that an address carries in its letters' case.
//!
//! No secret goes through here, and the server computes the same with its own library. Written out because it is forty
//! lines, and a library for all of SHA-3 would weigh more than the rest of the sign-in.

/// Rate of the sponge in bytes: 1088 bits.
const RATE: usize = 136;

/// The hash of a message.
pub fn keccak256(message: &[u8]) -> [u8; 32] {
    let mut state = [0_u64; 25];
    let mut block = [0_u8; RATE];
    let mut chunks = message.chunks_exact(RATE);
    for chunk in &mut chunks {
        block.copy_from_slice(chunk);
        absorb(&mut state, &block);
    }
    let rest = chunks.remainder();
    block = [0; RATE];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = 1;
    block[RATE - 1] |= 0x80;
    absorb(&mut state, &block);
    let mut hash = [0; 32];
    for (bytes, lane) in hash.chunks_exact_mut(8).zip(state) {
        bytes.copy_from_slice(&lane.to_le_bytes());
    }
    hash
}

fn absorb(state: &mut [u64; 25], block: &[u8; RATE]) {
    for (lane, bytes) in state.iter_mut().zip(block.chunks_exact(8)) {
        *lane ^= u64::from_le_bytes(bytes.try_into().expect("chunks of eight"));
    }
    permute(state);
}

fn permute(a: &mut [u64; 25]) {
    // The round constants come from a shift register, bit by bit: that is shorter than writing them down.
    let mut register = 1_u8;
    for _ in 0..24 {
        let mut c = [0; 5];
        for (x, c) in c.iter_mut().enumerate() {
            *c = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        }
        for (index, lane) in a.iter_mut().enumerate() {
            let x = index % 5;
            *lane ^= c[(x + 4) % 5] ^ c[(x + 1) % 5].rotate_left(1);
        }
        let (mut x, mut y, mut moved) = (1, 0, a[1]);
        for t in 0..24_u32 {
            (x, y) = (y, (2 * x + 3 * y) % 5);
            let here = &mut a[x + 5 * y];
            (*here, moved) = (moved.rotate_left((t + 1) * (t + 2) / 2 % 64), *here);
        }
        for row in a.chunks_exact_mut(5) {
            let old: [u64; 5] = [row[0], row[1], row[2], row[3], row[4]];
            for (x, lane) in row.iter_mut().enumerate() {
                *lane = old[x] ^ (!old[(x + 1) % 5] & old[(x + 2) % 5]);
            }
        }
        for j in 0..7 {
            if register & 1 == 1 {
                a[0] ^= 1 << ((1_u32 << j) - 1);
            }
            register = (register << 1) ^ if register & 0x80 == 0 { 0 } else { 0x71 };
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn hashes_as_ethereum_does() {
        let cases = [
            ("", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
            ("abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
            ("testing", "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02"),
        ];
        for (message, hash) in cases {
            assert_eq!(crate::siwe::hex(&keccak256(message.as_bytes()))[2..], *hash);
        }
    }

    #[test]
    fn each_length_around_a_block_is_its_own() {
        let hashes: std::collections::BTreeSet<_> =
            (130..280).map(|length| keccak256(&vec![7; length])).collect();
        assert_eq!(hashes.len(), 150);
    }
}
