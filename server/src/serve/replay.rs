//! The replay set in Redis: `SET key NX EXAT`, one round trip, atomic over all engines.

use std::time::Duration;

use finn::{ReplayGuard, verifier::replay};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};

/// A request waits no longer for Redis than this; then the engine's own set decides, and it is counted.
const PATIENCE: Duration = Duration::from_millis(250);

/// Tokens that any engine has seen.
pub(crate) struct RedisReplay(ConnectionManager);

impl RedisReplay {
    /// Connects; the manager reconnects by itself afterwards.
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        let client = redis::Client::open(url)
            .map_err(|_| anyhow::anyhow!("REDIS_URL is no address of a Redis server"))?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(PATIENCE))
            .set_connection_timeout(Some(Duration::from_secs(5)));
        Ok(Self(client.get_connection_manager_with_config(config).await?))
    }
}

impl ReplayGuard for RedisReplay {
    fn first_use<'a>(&'a self, jti: &'a str, _now: i64, until: i64) -> replay::Answer<'a> {
        let mut connection = self.0.clone();
        Box::pin(async move {
            let mut command = redis::cmd("SET");
            command.arg(format!("freeside:jti:{jti}")).arg(1).arg("NX").arg("EXAT").arg(until);
            let set: Option<String> =
                command.query_async(&mut connection).await.map_err(|_| replay::GuardUnavailable)?;
            Ok(if set.is_some() { replay::Use::First } else { replay::Use::Again })
        })
    }
}
