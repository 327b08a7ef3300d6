//! What people call a coin, and what a wallet's camera wants to read.

/// The vendor's word, the coin's name, its unit, the chain when the name does not say it, the scheme of BIP 21 when
/// wallets of that coin read one; the last two may be empty.
const KNOWN: &[[&str; 5]] = &[
    ["btc", "Bitcoin", "BTC", "", "bitcoin"],
    ["ltc", "Litecoin", "LTC", "", "litecoin"],
    ["doge", "Dogecoin", "DOGE", "", "dogecoin"],
    ["eth", "Ether", "ETH", "Ethereum", ""],
    ["ethbase", "Ether", "ETH", "Base", ""],
    ["usdttrc20", "Tether", "USDT", "TRON", ""],
    ["usdterc20", "Tether", "USDT", "Ethereum", ""],
    ["usdc", "USD Coin", "USDC", "Ethereum", ""],
    ["usdcbase", "USD Coin", "USDC", "Base", ""],
    ["usdcsol", "USD Coin", "USDC", "Solana", ""],
    ["usdcmatic", "USD Coin", "USDC", "Polygon", ""],
    ["sol", "Solana", "SOL", "", ""],
    ["xrp", "XRP", "XRP", "", ""],
    ["xlm", "Stellar", "XLM", "", ""],
    ["trx", "TRON", "TRX", "", ""],
    ["ton", "Toncoin", "TON", "", ""],
    ["xmr", "Monero", "XMR", "", ""],
];

/// A coin by the vendor's word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// For people: `Tether on TRON`.
    pub(crate) name: String,
    /// Beside an amount: `USDT`.
    pub(crate) unit: String,
    scheme: Option<&'static str>,
}

/// What is known of a coin. One that we have no words for keeps the vendor's.
pub(crate) fn known(code: &str) -> Known {
    match KNOWN.iter().find(|row| row[0] == code) {
        Some([_, name, unit, chain, scheme]) => Known {
            name: if chain.is_empty() { (*name).to_owned() } else { format!("{name} on {chain}") },
            unit: (*unit).to_owned(),
            scheme: (!scheme.is_empty()).then_some(*scheme),
        },
        None => Known { name: code.to_uppercase(), unit: code.to_uppercase(), scheme: None },
    }
}

impl Known {
    /// What the code of a payment holds: the address with the amount where wallets agree how to say that, and the
    /// address alone elsewhere, since a wallet that misreads an amount is worse than one that asks for it.
    pub(crate) fn to_scan(&self, address: &str, amount: Option<&str>) -> String {
        match (self.scheme, amount) {
            (Some(scheme), Some(amount)) => format!("{scheme}:{address}?amount={amount}"),
            (Some(scheme), None) => format!("{scheme}:{address}"),
            (None, _) => address.to_owned(),
        }
    }
}

/// Dollars with two decimals at least, as people write prices.
pub(crate) fn cents(usd: &str) -> String {
    match usd.split_once('.') {
        Some((_, part)) if part.len() >= 2 => usd.to_owned(),
        Some((whole, part)) => format!("{whole}.{part:0<2}"),
        None => format!("{usd}.00"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_has_cents() {
        assert_eq!(["3.2", "6", "0.125"].map(cents).join(" "), "3.20 6.00 0.125");
    }

    #[test]
    fn a_coin_says_its_chain_and_an_unknown_one_keeps_its_word() {
        assert_eq!(known("usdttrc20").name, "Tether on TRON");
        assert_eq!(known("zec").unit, "ZEC");
    }

    #[test]
    fn a_code_holds_the_amount_only_where_wallets_agree_on_it() {
        assert_eq!(known("btc").to_scan("bc1q", Some("0.10")), "bitcoin:bc1q?amount=0.10");
        assert_eq!(known("eth").to_scan("0xab", Some("0.10")), "0xab");
    }
}
