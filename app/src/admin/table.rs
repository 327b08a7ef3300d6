//! Tables and amounts: one way to write them, so that every column of figures stands alike.

use leptos::prelude::*;
use types::MicroUsd;

use crate::parts::{self, Precision, time, zone};

/// What a cell holds.
pub(super) enum Cell {
    /// What the row is about.
    Head(String),
    /// Words.
    Text(String),
    /// A sentence, which wants some room.
    Words(String),
    /// Something to be copied.
    Code(String),
    /// A wallet, as people compare it; its whole address where a pointer rests.
    Wallet(Option<String>),
    /// A figure.
    Number(String),
    /// Words that may name wallets; they stand short, and whole where a pointer rests.
    Named(String),
    /// A moment, RFC 3339.
    Time(String),
    /// Anything else.
    View(AnyView),
}

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    /// Words.
    Words(&'static str),
    /// Figures.
    Figures(&'static str),
}

/// A table that scrolls in itself where it is wide. Every row has a cell for each column.
pub(super) fn table(
    name: &'static str,
    caption: String,
    columns: &[Column],
    rows: Vec<Vec<Cell>>,
) -> impl IntoView + use<> {
    let heads: Vec<_> = columns
        .iter()
        .map(|column| {
            let (text, kind) = match column {
                Column::Words(text) => (*text, None),
                Column::Figures(text) => (*text, Some("number")),
            };
            view! { <th scope="col" class=kind>{text}</th> }
        })
        .collect();
    let is_timed = rows.iter().flatten().any(|cell| matches!(cell, Cell::Time(_)));
    let timed = is_timed.then(|| view! { ", times in "{zone()} });
    let rows: Vec<_> = rows
        .into_iter()
        .map(|cells| {
            let cells: Vec<_> = cells.into_iter().map(cell).collect();
            view! { <tr>{cells}</tr> }
        })
        .collect();
    view! {
        <div class="scroll" tabindex="0" role="group" aria-label=name>
            <table>
                <caption>{caption}{timed}</caption>
                <thead><tr>{heads}</tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
}

fn cell(cell: Cell) -> AnyView {
    match cell {
        Cell::Head(text) => view! { <th scope="row">{text}</th> }.into_any(),
        Cell::Text(text) => view! { <td>{text}</td> }.into_any(),
        Cell::Words(text) => view! { <td class="words">{text}</td> }.into_any(),
        Cell::Wallet(None) => view! { <td>"no wallet"</td> }.into_any(),
        Cell::Wallet(Some(wallet)) => {
            let short = wallet.parse().map_or_else(|_| wallet.clone(), parts::short);
            view! { <td><code title=wallet>{short}</code></td> }.into_any()
        }
        Cell::Code(text) => view! { <td><code>{text}</code></td> }.into_any(),
        Cell::Named(text) => {
            let short = shortened(&text);
            view! { <td title=text>{short}</td> }.into_any()
        }
        Cell::Number(text) => view! { <td class="number">{text}</td> }.into_any(),
        Cell::Time(at) => view! { <td class="when">{time(&at, Precision::Second)}</td> }.into_any(),
        Cell::View(view) => view! { <td>{view}</td> }.into_any(),
    }
}

/// A text with its wallets' addresses as people compare them.
pub(super) fn shortened(text: &str) -> String {
    const DIGITS: usize = 40;
    let mut pieces = text.split("0x");
    let mut short = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let address = piece.get(..DIGITS).and_then(|digits| format!("0x{digits}").parse().ok());
        if let Some(address) = address {
            short.push_str(&parts::short(address));
            short.push_str(&piece[DIGITS..]);
        } else {
            short.push_str("0x");
            short.push_str(piece);
        }
    }
    short
}

/// An amount in dollars, to the micro-dollar where there is one.
pub(super) fn dollars(amount: MicroUsd) -> String {
    match amount.0 {
        negative @ ..0 => format!("−${}", MicroUsd(negative.saturating_neg()).to_usd()),
        _ => format!("${}", amount.to_usd()),
    }
}

/// A figure with its thousands apart.
pub(super) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "−".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of a whole, in per cent with one place, rounded down.
pub(super) fn per_cent(part: i64, whole: i64) -> String {
    let tenths = i128::from(part.max(0)) * 1_000 / i128::from(whole.max(1));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_figures_read_alike() {
        assert_eq!(
            (dollars(MicroUsd(1_500_000)), dollars(MicroUsd(-7))),
            ("$1.50".into(), "−$0.000007".into())
        );
        assert_eq!(
            (grouped(0), grouped(1_234_567), grouped(-1_000)),
            ("0".into(), "1,234,567".into(), "−1,000".into())
        );
        assert_eq!(
            (per_cent(1, 3), per_cent(5, 5), per_cent(0, 0)),
            ("33.3 %".into(), "100.0 %".into(), "0.0 %".into())
        );
    }

    #[test]
    fn wallets_in_a_text_stand_short_and_all_else_as_it_is() {
        let wallet = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
        let text = format!("wallet:{wallet}, approved by wallet:{wallet}.");
        assert_eq!(shortened(&text), "wallet:0x5aAe…eAed, approved by wallet:0x5aAe…eAed.");
        for plain in ["", "operator", "0x", "0x12", "key:0xé0x", "payment 57"] {
            assert_eq!(shortened(plain), plain);
        }
    }

    #[test]
    fn a_table_has_a_caption_a_head_and_escaped_cells() {
        let columns = [Column::Words("Who"), Column::Figures("Cost")];
        let rows = vec![vec![Cell::Head("<a>".into()), Cell::Number("1".into())]];
        let html = Owner::new().with(|| table("Users", "By user".into(), &columns, rows).to_html());
        assert!(html.contains("<caption>By user") && html.contains("<th scope=\"row\">&lt;a&gt;"), "{html}");
        assert!(html.contains("<td class=\"number\">1") && html.contains("aria-label=\"Users\""), "{html}");
    }
}
