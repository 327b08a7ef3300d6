//! Named places where a test can stop the world: kill the process, or run code of its own.
//!
//! In a release build [`reach`] is empty. In a debug build `FREESIDE_FAILPOINTS="name,other"` kills the process with
//! SIGKILL when it reaches one of the names (`name@3`: the third time), and a test in the same process can [`arm`] a
//! name with a future. This is the one place besides the configuration that reads the environment.

/// Where a test may strike. Costs nothing in a release build.
#[cfg(not(debug_assertions))]
pub async fn reach(_name: &'static str) {}

/// Whether a test has planted a fault of this name. Never in a release build.
#[cfg(not(debug_assertions))]
pub fn is_planted(_name: &'static str) -> bool {
    false
}

#[cfg(debug_assertions)]
pub use armed::{arm, disarm, is_armed, is_planted, plant, reach};

#[cfg(debug_assertions)]
mod armed {
    use std::collections::HashMap;
    use std::pin::Pin;
    use std::sync::{Arc, LazyLock, Mutex, PoisonError};

    type Strike = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

    static ARMED: LazyLock<Mutex<HashMap<String, Strike>>> = LazyLock::new(|| Mutex::new(from_environment()));

    /// Where a test may strike.
    pub async fn reach(name: &'static str) {
        let strike = ARMED.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(strike) = strike {
            strike().await;
        }
    }

    /// Whether anything waits at `name`.
    #[must_use]
    pub fn is_armed(name: &str) -> bool {
        ARMED.lock().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    /// The faults that tests have planted.
    static PLANTED: LazyLock<Mutex<Vec<&'static str>>> = LazyLock::new(Mutex::default);

    /// Whether a test has planted a fault of this name.
    #[must_use]
    pub fn is_planted(name: &'static str) -> bool {
        PLANTED.lock().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }

    /// Plants exactly these faults in this process, in place of those before: a test that should catch one needs it.
    pub fn plant(names: &[&'static str]) {
        *PLANTED.lock().unwrap_or_else(PoisonError::into_inner) = names.to_vec();
    }

    /// Runs `strike` each time `name` is reached, until [`disarm`].
    pub fn arm<F, Fut>(name: &str, strike: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let strike: Strike = Arc::new(move || Box::pin(strike()));
        ARMED.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), strike);
    }

    /// Forgets `name`.
    pub fn disarm(name: &str) {
        ARMED.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn from_environment() -> HashMap<String, Strike> {
        let names = std::env::var("FREESIDE_FAILPOINTS").unwrap_or_default();
        let names = names.split(',').filter(|name| !name.is_empty());
        names
            .map(|name| {
                let (name, count) = name.split_once('@').unwrap_or((name, "1"));
                let left = Arc::new(Mutex::new(count.parse::<u32>().unwrap_or(1)));
                let strike: Strike = Arc::new(move || {
                    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        kill();
                    }
                    Box::pin(std::future::ready(()))
                });
                (name.to_owned(), strike)
            })
            .collect()
    }

    /// Ends this process as a power cut would: no destructor, no flush.
    fn kill() {
        let _ = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
        std::process::abort();
    }
}
