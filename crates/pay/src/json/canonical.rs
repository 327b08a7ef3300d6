//! The print that signatures are made over.

use super::{Json, Text};

/// What becomes of arrays: two kinds of sorters are in use, and both have signed notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrays {
    /// `[a, b]` stays `[a, b]`; what is inside is sorted.
    Kept,
    /// `[a, b]` becomes `{"0": a, "1": b}`, as the vendor's published sorter does.
    AsObjects,
}

/// Prints `json` as JavaScript prints it after sorting the keys at every depth: array indices first, ascending, then
/// by UTF-16 code units; numbers by their text; no spaces.
#[must_use]
pub fn canonical(json: &Json, arrays: Arrays) -> String {
    let mut out = String::new();
    print(json, arrays, &mut out);
    out
}

/// Recursion ends with the value: [`super::parse()`] bounds the depth of what strangers send.
fn print(json: &Json, arrays: Arrays, out: &mut String) {
    match (json, arrays) {
        (Json::Null, _) => out.push_str("null"),
        (Json::Bool(true), _) => out.push_str("true"),
        (Json::Bool(false), _) => out.push_str("false"),
        (Json::Number(number), _) => out.push_str(number.as_str()),
        (Json::String(text), _) => text.print(out),
        (Json::Array(items), Arrays::Kept) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                separate(position, out);
                print(item, arrays, out);
            }
            out.push(']');
        }
        (Json::Array(items), Arrays::AsObjects) => {
            out.push('{');
            for (position, item) in items.iter().enumerate() {
                separate(position, out);
                out.push('"');
                out.push_str(&position.to_string());
                out.push_str("\":");
                print(item, arrays, out);
            }
            out.push('}');
        }
        (Json::Object(members), _) => {
            out.push('{');
            for (position, (key, value)) in sorted(members).into_iter().enumerate() {
                separate(position, out);
                key.print(out);
                out.push(':');
                print(value, arrays, out);
            }
            out.push('}');
        }
    }
}

fn separate(position: usize, out: &mut String) {
    if position > 0 {
        out.push(',');
    }
}

fn sorted(members: &[(Text, Json)]) -> Vec<&(Text, Json)> {
    let mut sorted: Vec<_> = members.iter().map(|member| (rank(&member.0), member)).collect();
    sorted.sort_by(|(left_rank, left), (right_rank, right)| {
        left_rank.cmp(right_rank).then_with(|| left.0.compare_units(&right.0))
    });
    sorted.into_iter().map(|(_, member)| member).collect()
}

/// Array indices by their number, all others behind them.
fn rank(key: &Text) -> u32 {
    key.array_index().unwrap_or(u32::MAX)
}
