//! The connection's states.

/// Where the connection is. Each wait has its end, in ms on the caller's clock.
#[derive(Debug)]
pub(super) enum Link {
    /// Not wanted.
    Off,
    /// Broken: again at `until`.
    Waiting { until: u64 },
    /// A ticket is being fetched.
    Ticketing { until: u64 },
    /// The socket is being opened.
    Connecting { until: u64 },
    /// The ticket is sent; the server has not yet said who we are.
    Greeting { until: u64 },
    /// Talk.
    Ready { heard: u64, ping_until: Option<u64> },
}

impl Link {
    /// When it must be looked at next.
    pub(super) fn due(&self, heartbeat_ms: u64) -> Option<u64> {
        match self {
            Self::Off => None,
            Self::Waiting { until }
            | Self::Ticketing { until }
            | Self::Connecting { until }
            | Self::Greeting { until } => Some(*until),
            Self::Ready { heard, ping_until } => Some(ping_until.unwrap_or(heard + heartbeat_ms)),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }
}

/// What a person should know about the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing is connected, and nothing needs to be.
    Asleep,
    /// The first connection is being made.
    Connecting,
    /// All is well.
    Ready,
    /// Connected, but not allowed to write.
    ReadOnly,
    /// Lost for a moment.
    Reconnecting,
    /// Lost for longer: the person may want to try by hand.
    Away,
    /// The device has no network.
    Offline,
    /// As many tabs as the server allows are talking already.
    TooManyTabs,
    /// The session is over.
    SignedOut,
}
