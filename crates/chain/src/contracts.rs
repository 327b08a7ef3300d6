//! Wallets that are contracts, asked on the chains that this deployment reads.
//!
//! What always holds: a contract's word counts on its own chain alone, and a test chain's word counts nowhere but in
//! development: whoever wants to may deploy anything at any address there.

use std::collections::BTreeMap;

use client::Client;
use types::Wallet;

use crate::node::{BadAddress, Node, NodeError};

/// Chains whose coins are given away, and the usual development chains. A chain that is missing here and is configured by
/// an operator counts as a real one.
const TEST_CHAINS: [u64; 36] = [
    3, 4, 5, 97, 280, 300, 338, 420, 919, 1_301, 1_337, 2_442, 4_002, 4_801, 5_001, 5_003, 10_143, 10_200,
    17_000, 31_337, 43_113, 44_787, 59_140, 59_141, 80_001, 80_002, 80_069, 80_084, 84_531, 84_532, 421_613,
    421_614, 534_351, 560_048, 11_155_111, 11_155_420,
];

/// Whether a chain is for trying only.
#[must_use]
pub fn is_test_chain(chain_id: u64) -> bool {
    TEST_CHAINS.contains(&chain_id)
}

/// Which chains may vouch for a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Networks {
    /// Real ones: in production.
    Real,
    /// Test chains, too: in development.
    RealAndTest,
}

/// The chains that can be asked.
#[derive(Debug)]
pub struct Contracts(BTreeMap<u64, Node>);

impl Contracts {
    /// The chains of these addresses, as far as `networks` goes; `None`: none is left, and only keys sign.
    ///
    /// # Errors
    /// The first chain whose address is not one.
    pub fn of<'a>(
        urls: impl IntoIterator<Item = (u64, &'a str)>,
        networks: Networks,
    ) -> Result<Option<Self>, (u64, BadAddress)> {
        let client = Client::new();
        let may_vouch = |chain_id: u64| match networks {
            Networks::Real => !is_test_chain(chain_id),
            Networks::RealAndTest => true,
        };
        let node = |(chain_id, url)| {
            let node = Node::new(chain_id, url, client.clone()).map_err(|bad| (chain_id, bad))?;
            Ok((chain_id, node))
        };
        let urls = urls.into_iter().filter(|(chain_id, _)| may_vouch(*chain_id));
        let nodes = urls.map(node).collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok((!nodes.is_empty()).then_some(Self(nodes)))
    }

    /// The chains that can be asked.
    pub fn chain_ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.keys().copied()
    }

    /// Whether the contract at `wallet` on this chain accepts `signature` for `hash`. `None`: this chain is not asked.
    pub async fn accepts(
        &self,
        chain_id: u64,
        wallet: Wallet,
        hash: [u8; 32],
        signature: &[u8],
    ) -> Option<Result<bool, NodeError>> {
        let node = self.0.get(&chain_id)?;
        Some(node.accepts_signature(wallet, hash, signature).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_chain_vouches_in_development_alone() {
        let urls = || [1, 8_453, 84_532, 11_155_111, 31_337].map(|chain_id| (chain_id, "http://127.0.0.1:9"));
        let chains = |networks| {
            let contracts = Contracts::of(urls(), networks).expect("URLs").expect("some are left");
            contracts.chain_ids().collect::<Vec<_>>()
        };
        assert_eq!(chains(Networks::Real), [1, 8_453]);
        assert_eq!(chains(Networks::RealAndTest), [1, 8_453, 31_337, 84_532, 11_155_111]);
        let none = Contracts::of([(84_532, "http://127.0.0.1:9")], Networks::Real).expect("a URL");
        assert!(none.is_none());
        let bad = Contracts::of([(1, "rpc.example.org")], Networks::Real).expect_err("no URL");
        assert_eq!(bad, (1, BadAddress));
    }

    #[test]
    fn the_list_of_test_chains_is_in_order_and_has_no_real_one() {
        assert!(TEST_CHAINS.is_sorted());
        for real in [1, 10, 56, 137, 8_453, 42_161, 43_114, 59_144, 80_094, 534_352] {
            assert!(!is_test_chain(real), "{real}");
        }
    }
}
