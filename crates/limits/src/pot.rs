//! What is limited, as the metrics name it.

/// Refusals, by what was limited and whose limit it was.
const REFUSED: &str = "freeside_refused_total";

/// Something that is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pot {
    /// Memory for the bodies of inference requests.
    Prompts,
    /// Memory for payment notices.
    Notices,
    /// Memory for all other bodies.
    Bodies,
    /// Open connections.
    Connections,
    /// Open WebSockets.
    Sockets,
    /// Answers in flight.
    Answers,
    /// Requests in a minute.
    Requests,
    /// Tokens in a day.
    Tokens,
    /// Keys made in a day.
    Keys,
    /// Sign-ups in an hour.
    SignUps,
    /// Payment notices that say nothing new.
    Repeats,
}

/// Whose limit refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The client's own share.
    Client,
    /// What all clients share is used up.
    All,
}

impl Pot {
    /// Every pot.
    pub const ALL: [Self; 11] = [
        Self::Prompts,
        Self::Notices,
        Self::Bodies,
        Self::Connections,
        Self::Sockets,
        Self::Answers,
        Self::Requests,
        Self::Tokens,
        Self::Keys,
        Self::SignUps,
        Self::Repeats,
    ];

    /// The word in the metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompts => "prompts",
            Self::Notices => "notices",
            Self::Bodies => "bodies",
            Self::Connections => "connections",
            Self::Sockets => "sockets",
            Self::Answers => "answers",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Keys => "keys",
            Self::SignUps => "sign_ups",
            Self::Repeats => "repeats",
        }
    }

    /// Counts a refusal.
    pub fn refused(self, by: By) {
        metrics::counter!(REFUSED, "pot" => self.as_str(), "by" => by.as_str()).increment(1);
    }

    /// Makes every counter known at 0: a counter that is born at 1 never shows as an increase.
    pub fn describe_all() {
        for pot in Self::ALL {
            for by in [By::Client, By::All] {
                metrics::counter!(REFUSED, "pot" => pot.as_str(), "by" => by.as_str()).increment(0);
            }
        }
    }
}

impl By {
    fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::All => "all",
        }
    }
}
