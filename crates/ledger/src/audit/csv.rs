//! Audit lines as CSV (RFC 4180): the fields of the JSONL form, for spreadsheets. No seal: the proof is the JSONL file.

use std::fmt::Write as _;

use types::Pool;

use super::rows::AuditRow;
use crate::audit_line::{hex, push_time};
use crate::model::Bucket;

/// The first line.
pub(super) const HEADER: &str = "seq,timestamp,operation_type,amount_micro,pool,user_wallet,reservation_id,\
    pre_balance_micro,post_balance_micro,conservation_result,prev_hash,hash\r\n";

/// Appends one line.
pub(super) fn push(text: &mut String, row: &AuditRow) {
    let entry = &row.entry;
    // Writing to a String cannot fail, so the results of `write!` say nothing.
    let _ = write!(text, "{},", entry.seq);
    push_time(text, entry.at);
    let _ = write!(text, ",{},{},", entry.kind.as_str(), entry.amount);
    if let Some(pool) = entry.pool.and_then(Pool::from_db) {
        let _ = write!(text, "{pool}");
    }
    text.push(',');
    push_cell(text, row.holder.as_deref().unwrap_or_default());
    text.push(',');
    if let Some(id) = entry.reference.filter(|_| entry.credit == Bucket::Spent) {
        let _ = write!(text, "{}", id.as_hyphenated());
    }
    let _ = write!(
        text,
        ",{},{},ok,{},{}\r\n",
        entry.balance_before,
        entry.balance_after,
        hex(&row.previous),
        hex(&entry.hash)
    );
}

/// A cell of foreign text: quoted where RFC 4180 asks, and never the beginning of a spreadsheet's formula.
fn push_cell(text: &mut String, cell: &str) {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !is_formula && !cell.contains([',', '"', '\r', '\n']) {
        text.push_str(cell);
        return;
    }
    text.push('"');
    if is_formula {
        text.push('\'');
    }
    text.push_str(&cell.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_neither_two_cells_nor_a_formula() {
        let cell = |text: &str| {
            let mut written = String::new();
            push_cell(&mut written, text);
            written
        };
        assert_eq!(cell("0xabc"), "0xabc");
        assert_eq!(cell("a,b"), "\"a,b\"");
        assert_eq!(cell("say \"x\"\n"), "\"say \"\"x\"\"\n\"");
        assert_eq!(cell("=1+1"), "\"'=1+1\"");
        assert_eq!(cell(""), "");
    }
}
