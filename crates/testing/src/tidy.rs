//! Tidy: the agreements about the shape of the house that no compiler knows, as one test.
//!
//! It looks at the arrows between our crates, at who writes SQL about which table, and at the text of every file.
//! Each finding says where, what, and how to mend it. The two tables below are the design: to change one is to
//! change the architecture, and is argued for in the commit that does it.
//! What is deliberately absent: anything that rustfmt, clippy or cargo-deny can say.

mod arrows;
mod files;
mod rust;
mod sql;
mod text;

use std::fmt;
use std::path::Path;

/// Our crates, and which of our crates each may name in its `Cargo.toml`. In tests, each may also use `testing`.
const ARROWS: &[(&str, &[&str])] = &[
    ("types", &[]),
    ("client", &[]),
    ("cluster", &[]),
    ("widget", &[]),
    ("ledger", &["types"]),
    ("limits", &["types"]),
    ("identity", &["limits", "types"]),
    ("pay", &["types"]),
    ("chain", &["client", "types"]),
    ("reputation", &["types"]),
    ("finn", &["client", "types"]),
    ("domain", &["client", "ledger", "limits", "identity", "pay", "chain", "reputation", "types"]),
    ("app", &["domain", "types", "widget"]),
    ("frontend", &["domain", "types"]),
    ("discord", &["domain", "types"]),
    ("telegram", &["domain", "types"]),
    (
        "server",
        &[
            "app",
            "chain",
            "client",
            "cluster",
            "discord",
            "domain",
            "finn",
            "frontend",
            "identity",
            "ledger",
            "limits",
            "pay",
            "reputation",
            "telegram",
            "types",
        ],
    ),
    ("bench", &["cluster", "domain", "finn", "identity", "ledger", "pay", "types"]),
    ("testing", &["cluster", "types"]),
    ("xtask", &[]),
];

/// The crate that tests share.
const TESTING: &str = "testing";

/// Never part of the product: they look into the tables of others to check them.
const AUDITORS: &[&str] = &[TESTING, "bench"];

/// Which crate owns which tables: it alone names them in SQL.
const TABLES: &[(&str, &[&str])] = &[
    (
        "ledger",
        &[
            "account",
            "book",
            "guard",
            "hold",
            "journal",
            "loss",
            "lot",
            "owner",
            "price_version",
            "proof",
            "proof_book",
            "usage_mismatch",
            "violation",
        ],
    ),
    ("identity", &["api_key", "changes", "handoff", "siwe_nonce", "wallet_session", "ws_ticket"]),
    (
        "domain",
        &[
            "admin_action",
            "agent",
            "approval_request",
            "chat_chunk",
            "chat_share",
            "chat_turn",
            "collection",
            "community",
            "community_admin",
            "confirmation",
            "developer",
            "embed_origin",
            "flag",
            "holding",
            "idempotency",
            "kept_answer",
            "member",
            "notice",
            "outbox",
            "payment",
            "purchase_order",
            "review_item",
            "signup",
        ],
    ),
];

/// One disagreement with the house.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, seen from the root of the repository.
    pub file: String,
    /// The line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub mend: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, what, mend } = self;
        match line {
            0 => write!(formatter, "{file}: {what}\n    {mend}"),
            _ => write!(formatter, "{file}:{line}: {what}\n    {mend}"),
        }
    }
}

/// Everything that is not in order in the repository at `root`, in the order of files and lines.
///
/// # Errors
/// When cargo cannot describe the workspace or a file cannot be read.
pub fn findings(root: &Path) -> anyhow::Result<Vec<Finding>> {
    let files = files::read(root)?;
    let mut findings = arrows::of_workspace(root)?;
    findings.extend(text::check(&files));
    findings.extend(sql::check(&files));
    findings.sort();
    Ok(findings)
}
