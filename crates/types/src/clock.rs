//! The clock and the id maker: the only places that read the time or draw an id.
//!
//! Everything else takes a `&Clock`, so tests own time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use time::OffsetDateTime;

/// Where "now" comes from. Cheap to clone; clones of a fixed clock share one hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still at `at` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn fixed(at: OffsetDateTime) -> Self {
        let micros = i64::try_from(at.unix_timestamp_nanos() / 1_000).expect("a test's year has four digits");
        Self(Source::Fixed(Arc::new(AtomicI64::new(micros))))
    }

    /// Now, UTC, cut to the microsecond, which is what PostgreSQL keeps: a time read back equals the time written.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn now(&self) -> OffsetDateTime {
        match &self.0 {
            Source::System => {
                let now = OffsetDateTime::now_utc();
                let cut = now.nanosecond() / 1_000 * 1_000;
                now.replace_nanosecond(cut).expect("a whole number of microseconds below a second")
            }
            Source::Fixed(micros) => {
                OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros.load(Ordering::SeqCst)) * 1_000)
                    .expect("a test's year has four digits")
            }
        }
    }

    /// Moves a fixed clock forward. The machine's clock cannot be moved, and says so by doing nothing.
    pub fn advance(&self, by: time::Duration) {
        if let Source::Fixed(micros) = &self.0 {
            let step = i64::try_from(by.whole_microseconds()).expect("a test waits less than a lifetime");
            micros.fetch_add(step, Ordering::SeqCst);
        }
    }
}

/// Ids drawn from the clock: sorted by time, so that recent rows lie together.
#[cfg(not(target_arch = "wasm32"))]
impl Clock {
    /// A UUIDv7 at this clock's time.
    #[must_use]
    pub fn uuid_v7(&self) -> uuid::Uuid {
        let now = self.now();
        let seconds = u64::try_from(now.unix_timestamp()).expect("after 1970");
        uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.nanosecond()))
    }

    /// A positive 63-bit id: 42 bits of milliseconds, 21 random bits. A clash hits a primary key and is drawn again.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that draws random bits for an id")]
    pub fn big_id(&self) -> i64 {
        /// 2024-01-01T00:00:00Z: ids start small, and 42 bits last until 2163.
        const EPOCH_MS: i128 = 1_704_067_200_000;
        let milliseconds = self.now().unix_timestamp_nanos() / 1_000_000 - EPOCH_MS;
        let random = uuid::Uuid::now_v7().as_u128() & 0x1f_ffff;
        let id = (u128::try_from(milliseconds.max(0)).unwrap_or(0) & 0x3ff_ffff_ffff) << 21 | random;
        i64::try_from(id).expect("42 + 21 = 63 bits")
    }
}
