//! One throwaway cluster for many test processes: `cargo xtask test` starts it, and names its socket to all of them.
//!
//! It prints the socket's file on one line when PostgreSQL is ready, and ends with its input, so that it never outlives
//! whoever started it. With `--database` it makes a migrated database too, and prints its URL on the next line: that is
//! how `cargo xtask sqlx` asks about statements.

use std::io::{Read as _, Write as _};

use testing::postgres::TestCluster;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let cluster = TestCluster::start(cluster::Durability::Throwaway).await?;
    let mut output = std::io::stdout();
    writeln!(output, "{}", cluster.address().socket_file().display())?;
    output.flush()?;
    let database =
        if std::env::args().any(|word| word == "--database") { Some(cluster.database().await) } else { None };
    if let Some(database) = &database {
        writeln!(output, "{}", database.url())?;
        output.flush()?;
    }
    // Nothing is sent: the end is the message. The watcher of the cluster clears up.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
