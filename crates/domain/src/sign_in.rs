//! Who signed a sign-in message: a wallet by its key, or a contract on one chain.
//!
//! What always holds: what a contract proves, it proves on the chain that the message names and on no other; a chain that
//! cannot be asked vouches for nobody. Deliberately absent: what the message has to say (`identity::siwe`), and sessions.

use chain::Contracts;
use identity::siwe::{self, Message, SignatureFault};
use types::WalletId;

/// The wallet that signed `text`, which reads as `message`: the one that it names, proved by its key or, where its chain
/// can be asked, by its contract (ERC-1271).
pub async fn signer(
    contracts: Option<&Contracts>,
    text: &str,
    message: &Message,
    signature: &[u8],
) -> Result<WalletId, SignatureFault> {
    let by_key = siwe::verify_signature(text, signature);
    if by_key.as_ref().is_ok_and(|signer| *signer == message.wallet) {
        return Ok(WalletId::by_key(message.wallet));
    }
    let refused = || by_key.err().unwrap_or(SignatureFault::OtherSigner);
    let Some(contracts) = contracts else { return Err(refused()) };
    match contracts.accepts(message.chain_id, message.wallet, siwe::hash(text), signature).await {
        Some(Ok(true)) => Ok(WalletId::by_contract(message.wallet, message.chain_id)),
        Some(Ok(false)) | None => Err(refused()),
        Some(Err(error)) => Err(SignatureFault::Unasked(error.into())),
    }
}
