//! A cluster as an hour of work leaves it: with WAL segments that exist and are written over.
//!
//! In a new cluster each 16 MiB of WAL wait until a file is filled with zeros and synced, here some 50 ms. Under full load
//! that is once a second, enough to be the 99th percentile of everything; in one that has checkpointed it never happens.

use sqlx::{Connection, PgConnection};

/// A run writes up to 400 MiB, so each begins with segments for 640.
const SEGMENTS: usize = 40;

/// Makes the segments and leaves them to be written over. Before each run: what one used, no checkpoint gave back yet.
pub(crate) async fn age(superuser: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(superuser).await?;
    for _ in 0..SEGMENTS {
        sqlx::query("select pg_logical_emit_message(false, 'bench', 'x')").execute(&mut connection).await?;
        sqlx::query("select pg_switch_wal()").execute(&mut connection).await?;
    }
    sqlx::query("checkpoint").execute(&mut connection).await?;
    Ok(())
}
