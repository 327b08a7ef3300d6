//! The commands that prove the books or tell of them: check, violations, resolve, audit export. Each opens the database for
//! a moment, also beside a running service.

use std::io::Write;

use anyhow::Context;
use futures_util::TryStreamExt as _;
use identity::ServiceKeys;
use ledger::audit::{Request, Signer};
use ledger::{Checker, Pass, ResolveError, Resolved, Violation, Which};
use types::Clock;

use super::database;
use crate::config::Settings;

/// Recomputes every account and every chain, and acts on what is found as the guard does.
pub async fn check_books(settings: Settings) -> anyhow::Result<Pass> {
    let books = database::open(&settings).await?;
    let pass = Checker::default().examine(&books.pool, &Clock::system()).await?;
    books.close().await?;
    Ok(pass)
}

/// A page of violations, newest first.
pub async fn violations(settings: Settings, which: Which, limit: i64) -> anyhow::Result<Vec<Violation>> {
    let books = database::open(&settings).await?;
    let mut connection = books.pool.acquire().await?;
    let found = ledger::violations(&mut connection, which, limit).await?;
    drop(connection);
    books.close().await?;
    Ok(found)
}

/// Resolves a violation once its books agree.
pub async fn resolve_violation(
    settings: Settings,
    id: i64,
    who: &str,
    note: &str,
) -> anyhow::Result<Result<Resolved, ResolveError>> {
    let books = database::open(&settings).await?;
    let mut connection = books.pool.acquire().await?;
    let resolved = ledger::resolve_violation(&mut connection, &Clock::system(), id, who, note).await;
    drop(connection);
    books.close().await?;
    Ok(resolved)
}

/// Writes an export to `out`, piece by piece.
pub async fn export_audit(settings: Settings, request: Request, out: &mut dyn Write) -> anyhow::Result<()> {
    let clock = Clock::system();
    let keys = ServiceKeys::load(settings.signing_keys.path(), clock.clone())?;
    let community = request.community;
    let books = database::open(&settings).await?;
    let export = ledger::audit::export(&books.pool, &clock, request, audit_signer(&keys)).await?;
    let mut export = std::pin::pin!(export.with_context(|| format!("there is no community {community}"))?);
    while let Some(piece) = export.try_next().await? {
        out.write_all(&piece)?;
    }
    out.flush()?;
    books.close().await
}

/// Seals exports with the key that signs tokens: its public half is in the JWKS.
pub(crate) fn audit_signer(keys: &ServiceKeys) -> Signer {
    let signing = keys.clone();
    Signer {
        kid: keys.active_kid().to_owned(),
        sign: std::sync::Arc::new(move |text| signing.sign_bytes(text)),
    }
}
