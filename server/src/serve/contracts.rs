//! Wallets that are contracts, asked on their chain: the port of `identity::siwe`, filled with `chain`'s nodes.

use std::collections::BTreeMap;

use chain::{BadAddress, Node};
use client::Client;
use identity::siwe::{ContractWallets, Verdict};
use types::Wallet;

/// The chains that can be asked.
#[derive(Debug)]
pub struct Contracts(BTreeMap<u64, Node>);

impl Contracts {
    /// The chains of these addresses; `None`: there are none, and only keys sign.
    ///
    /// # Errors
    /// The first chain whose address is not one.
    pub fn of<'a>(urls: impl IntoIterator<Item = (u64, &'a str)>) -> Result<Option<Self>, (u64, BadAddress)> {
        let client = Client::new();
        let node = |(chain_id, url)| {
            let node = Node::new(chain_id, url, client.clone()).map_err(|bad| (chain_id, bad))?;
            Ok((chain_id, node))
        };
        let nodes = urls.into_iter().map(node).collect::<Result<BTreeMap<_, _>, _>>()?;
        Ok((!nodes.is_empty()).then_some(Self(nodes)))
    }
}

impl ContractWallets for Contracts {
    fn knows(&self, chain_id: u64) -> bool {
        self.0.contains_key(&chain_id)
    }

    fn accepts<'a>(
        &'a self,
        chain_id: u64,
        wallet: Wallet,
        hash: [u8; 32],
        signature: &'a [u8],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let Some(node) = self.0.get(&chain_id) else {
                anyhow::bail!("chain {chain_id} cannot be asked");
            };
            Ok(node.accepts_signature(wallet, hash, signature).await?)
        })
    }
}
