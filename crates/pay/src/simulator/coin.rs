//! The coins on offer, their fixed prices, and amounts in a coin's smallest units.
//!
//! Prices stand still, so that a test can name an amount. No float: an amount is whole units and a number of decimals,
//! and its text is what JavaScript would print, because the original is written in it (`0.00005`, `2.75e-7`, `15`).

/// What every price is quoted in. The original knows more; we sell in dollars.
pub(super) const FIAT: &str = "usd";

/// Micro-USD have six decimals.
pub(super) const MICRO_DECIMALS: u32 = 6;

/// The most digits before the point: with eight decimals and the dearest price, the products stay within 128 bits.
const MAX_WHOLE_DIGITS: usize = 15;

/// A coin.
#[derive(Debug)]
pub(super) struct Coin {
    /// As it stands on the wire, lower case.
    pub(super) code: &'static str,
    /// For people.
    pub(super) name: &'static str,
    /// Where it lives.
    pub(super) network: &'static str,
    /// Decimals of one coin, at most eight, as the original cuts them.
    pub(super) decimals: u32,
    /// What one coin costs, in micro-USD.
    pub(super) price_micro: u128,
    /// The smallest payment, in micro-USD.
    pub(super) minimum_micro: u128,
    /// Whether a deposit needs a memo (`payin_extra_id`), without which it is lost.
    pub(super) has_memo: bool,
}

/// Prices that make round amounts; minimums such that not every coin fits every pack.
pub(super) const COINS: &[Coin] = &[
    Coin {
        code: "btc",
        name: "Bitcoin",
        network: "btc",
        decimals: 8,
        price_micro: 100_000_000_000,
        minimum_micro: 3_200_000,
        has_memo: false,
    },
    Coin {
        code: "eth",
        name: "Ethereum",
        network: "eth",
        decimals: 8,
        price_micro: 4_000_000_000,
        minimum_micro: 6_000_000,
        has_memo: false,
    },
    Coin {
        code: "ltc",
        name: "Litecoin",
        network: "ltc",
        decimals: 8,
        price_micro: 80_000_000,
        minimum_micro: 500_000,
        has_memo: false,
    },
    Coin {
        code: "sol",
        name: "Solana",
        network: "sol",
        decimals: 8,
        price_micro: 160_000_000,
        minimum_micro: 1_000_000,
        has_memo: false,
    },
    Coin {
        code: "xrp",
        name: "XRP",
        network: "xrp",
        decimals: 6,
        price_micro: 620_000,
        minimum_micro: 1_000_000,
        has_memo: true,
    },
    Coin {
        code: "xlm",
        name: "Stellar Lumens",
        network: "xlm",
        decimals: 7,
        price_micro: 110_000,
        minimum_micro: 500_000,
        has_memo: true,
    },
    Coin {
        code: "trx",
        name: "Tron",
        network: "trx",
        decimals: 6,
        price_micro: 250_000,
        minimum_micro: 1_500_000,
        has_memo: false,
    },
    Coin {
        code: "usdcbase",
        name: "USD Coin (Base)",
        network: "base",
        decimals: 6,
        price_micro: 1_000_000,
        minimum_micro: 250_000,
        has_memo: false,
    },
    Coin {
        code: "usdttrc20",
        name: "Tether USD (Tron)",
        network: "trx",
        decimals: 6,
        price_micro: 1_000_000,
        minimum_micro: 11_000_000,
        has_memo: false,
    },
];

/// The coin of that code; the original does not mind upper case.
pub(super) fn find(code: &str) -> Option<&'static Coin> {
    COINS.iter().find(|coin| coin.code.eq_ignore_ascii_case(code))
}

impl Coin {
    /// What costs so many micro-USD, in the coin's smallest units, rounded up.
    pub(super) fn units_of(&self, micro: u128) -> u128 {
        (micro * 10_u128.pow(self.decimals)).div_ceil(self.price_micro)
    }

    /// What so many units cost, in micro-USD, rounded down.
    pub(super) fn micro_of(&self, units: u128) -> u128 {
        units * self.price_micro / 10_u128.pow(self.decimals)
    }

    /// The smallest payment in units.
    pub(super) fn minimum_units(&self) -> u128 {
        self.units_of(self.minimum_micro)
    }

    /// An amount of this coin as JavaScript prints it.
    pub(super) fn text(&self, units: u128) -> String {
        text(units, self.decimals)
    }

    /// Another coin that somebody could send by mistake, the same network's if there is one.
    pub(super) fn mistaken_for(&self) -> &'static Coin {
        let is_other = |coin: &&Coin| coin.code != self.code;
        let mut others = COINS.iter().filter(is_other);
        let neighbour = others.clone().find(|coin| coin.network == self.network);
        neighbour.or_else(|| others.next()).expect("there are more coins than one")
    }
}

/// Units with that many decimals as `Number.prototype.toString` prints them.
pub(super) fn text(units: u128, decimals: u32) -> String {
    if units == 0 {
        return "0".to_owned();
    }
    let all = units.to_string();
    let digits = all.trim_end_matches('0');
    let count = i64::try_from(digits.len()).expect("at most 39 digits");
    // The value is 0.digits × 10^point.
    let point = i64::try_from(all.len()).expect("at most 39 digits") - i64::from(decimals);
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    match point {
        1..=21 if count <= point => format!("{digits}{}", zeros(point - count)),
        1..=21 => {
            let (whole, part) = digits.split_at(usize::try_from(point).expect("it is at least 1"));
            format!("{whole}.{part}")
        }
        -5..=0 => format!("0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            let sign = if point > 0 { "+" } else { "" };
            format!("{first}{dot}{rest}e{sign}{}", point - 1)
        }
    }
}

/// A plain decimal text in units of that many decimals; `None` for anything else, also for more decimals than fit.
pub(super) fn read(amount: &str, decimals: u32) -> Option<u128> {
    let (whole, part) = amount.split_once('.').unwrap_or((amount, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() > MAX_WHOLE_DIGITS || !is_digits(whole) || !is_digits(part) {
        return None;
    }
    let part = part.trim_end_matches('0');
    let missing = usize::try_from(decimals).ok()?.checked_sub(part.len())?;
    format!("{whole}{part}{}", "0".repeat(missing)).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_as_javascript_prints_them() {
        let cases = [
            (0, 8, "0"),
            (5_000, 8, "0.00005"),
            (1, 6, "0.000001"),
            (1, 7, "1e-7"),
            (275, 9, "2.75e-7"),
            (15_000_000, 6, "15"),
            (15_500_000, 6, "15.5"),
            (8_064_517, 6, "8.064517"),
            (1_000_000_000_000_000_000_000, 0, "1e+21"),
            (100_000_000_000_000_000_000, 0, "100000000000000000000"),
        ];
        for (units, decimals, expected) in cases {
            assert_eq!(text(units, decimals), expected);
        }
    }

    #[test]
    fn only_plain_decimals_are_read() {
        assert_eq!(read("10", 6), Some(10_000_000));
        assert_eq!(read("0.5000000", 6), Some(500_000));
        for bad in ["", "-1", "1e3", ".5", "5.", "0.0000001", "1 ", "١", "9999999999999999999999999"] {
            assert_eq!(read(bad, 6), None, "{bad}");
        }
    }

    #[test]
    fn five_dollars_are_the_amount_that_others_print_wrongly() {
        let coin = find("BTC").unwrap();
        assert_eq!(coin.text(coin.units_of(5_000_000)), "0.00005");
        assert_eq!(coin.micro_of(coin.units_of(5_000_000)), 5_000_000);
        assert!(COINS.iter().all(|coin| coin.mistaken_for().code != coin.code && coin.decimals <= 8));
    }
}
