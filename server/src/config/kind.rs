//! What a variable's text may be. Every kind checks with the same parser that later reads the value.

use std::net::SocketAddr;
use std::str::FromStr;

use super::network::Networks;
use super::role::Roles;
use super::url::{self, BadUrl, HttpUrl};

/// The kind of a variable.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text on one line, of at least this many characters.
    Text {
        /// Fewer characters are refused: a secret that can be guessed is none.
        min_chars: usize,
    },
    /// A file or a folder; relative ones begin at the working folder.
    Path,
    /// An IP address and a port.
    Listen,
    /// `http(s)://host[:port]`, no path.
    Origin,
    /// `http(s)://host[:port][/path]`, no credentials.
    HttpUrl,
    /// `http(s)://…` as a vendor hands it out: the key may stand in it, so it is a secret.
    RpcUrl,
    /// `postgres://…`
    PostgresUrl,
    /// `redis://…`
    RedisUrl,
    /// `nats://…` or `tls://…`, several with commas.
    NatsUrl,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Count {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A `tracing` filter.
    LogFilter,
    /// IP addresses and networks.
    Networks,
    /// Roles.
    Roles,
}

/// What is wrong with a text, and what would be right. Holds nothing of a secret.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) problem: String,
    pub(super) fix: String,
}

fn problem(problem: impl Into<String>, fix: impl Into<String>) -> Problem {
    Problem { problem: problem.into(), fix: fix.into() }
}

/// A value is quoted up to this many characters: enough to recognise it, too few to flood a terminal.
const QUOTED_CHARS: usize = 60;

fn quote(text: &str) -> String {
    let shown: String = text.chars().take(QUOTED_CHARS).collect();
    let rest = if shown.len() < text.len() { "…" } else { "" };
    format!("{:?}", shown + rest)
}

impl Kind {
    /// Checks a text.
    pub(super) fn check(self, text: &str) -> Result<(), Problem> {
        match self {
            Self::Text { min_chars } => plain_text(text, min_chars),
            Self::Path => Ok(()),
            Self::Listen => listen(text),
            Self::Origin => match text.parse::<HttpUrl>() {
                Ok(url) if url.is_origin() => Ok(()),
                Ok(_) => Err(problem(
                    "has a path",
                    "Write scheme, host and port only: https://agents.example.org.",
                )),
                Err(bad) => Err(url_problem(&bad)),
            },
            Self::HttpUrl => text.parse::<HttpUrl>().map(drop).map_err(|bad| url_problem(&bad)),
            Self::RpcUrl => url::check(text, &["http", "https"]).map(drop).map_err(|bad| url_problem(&bad)),
            Self::PostgresUrl => postgres(text),
            Self::RedisUrl => redis(text),
            Self::NatsUrl => text
                .split(',')
                .try_for_each(|server| url::check(server.trim(), &["nats", "tls"]).map(drop))
                .map_err(|bad| url_problem(&bad)),
            Self::Flag => text.parse::<Flag>().map(drop).map_err(|()| {
                problem(format!("is {}, which is neither yes nor no", quote(text)), "Write true or false.")
            }),
            Self::Count { min, max } => match text.parse::<u64>() {
                Ok(number) if (min..=max).contains(&number) => Ok(()),
                Ok(number) => Err(problem(format!("is {number}"), format!("Choose from {min} to {max}."))),
                Err(_) => {
                    let fix = format!("Write a whole number from {min} to {max}.");
                    Err(problem(format!("is {}, which is no whole number", quote(text)), fix))
                }
            },
            Self::Choice(words) if words.contains(&text) => Ok(()),
            Self::Choice(words) => {
                Err(problem(format!("is {}", quote(text)), format!("Choose {}.", words.join(" or "))))
            }
            Self::LogFilter => log_filter(text),
            Self::Networks => text.parse::<Networks>().map(drop).map_err(|bad| {
                problem(
                    format!("is refused: {bad}"),
                    "Write addresses or networks with commas: 10.0.0.0/8,fd00::/8.",
                )
            }),
            Self::Roles => text
                .parse::<Roles>()
                .map(drop)
                .map_err(|bad| problem(format!("is refused: {bad}"), "Write a list such as gateway,worker.")),
        }
    }

    /// The kind in a few words, for people.
    pub fn describe(self) -> String {
        match self {
            Self::Text { .. } => "text".into(),
            Self::Path => "path".into(),
            Self::Listen => "address and port".into(),
            Self::Origin => "origin (http or https, no path)".into(),
            Self::HttpUrl | Self::RpcUrl => "address (http or https)".into(),
            Self::PostgresUrl => "address (postgres)".into(),
            Self::RedisUrl => "address (redis)".into(),
            Self::NatsUrl => "addresses (nats or tls), with commas".into(),
            Self::Flag => "true or false".into(),
            Self::Count { min, max } => format!("number, {min} to {max}"),
            Self::Choice(words) => words.join(" or "),
            Self::LogFilter => "log filter".into(),
            Self::Networks => "addresses or networks, with commas".into(),
            Self::Roles => "roles, with commas".into(),
        }
    }
}

/// A yes or a no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flag(pub(super) bool);

impl FromStr for Flag {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Self(true)),
            "false" | "0" | "no" | "off" => Ok(Self(false)),
            _ => Err(()),
        }
    }
}

fn plain_text(text: &str, min_chars: usize) -> Result<(), Problem> {
    if text.trim() != text || text.contains(char::is_control) {
        let fix = "Take it out; it was probably copied along.";
        return Err(problem("begins or ends with a blank, or holds a line break", fix));
    }
    if text.chars().count() >= min_chars {
        return Ok(());
    }
    let fix = format!("Use at least {min_chars} characters, for example of `openssl rand -base64 48`.");
    Err(problem("is too short to be a secret", fix))
}

fn listen(text: &str) -> Result<(), Problem> {
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    let port_alone = text.trim_start_matches(':').parse::<u16>();
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
    let fix = match (port_alone, local) {
        (Ok(port), _) => {
            format!("Write 127.0.0.1:{port} for this machine or 0.0.0.0:{port} for every network.")
        }
        (_, Some(port)) => format!("Write 127.0.0.1:{port}."),
        _ => "Write an IP address and a port, for example 127.0.0.1:3000.".into(),
    };
    Err(problem(format!("is {}, which is no address to listen on", quote(text)), fix))
}

fn url_problem(bad: &BadUrl) -> Problem {
    let fix = match bad {
        BadUrl::NoScheme(scheme) => format!("Begin with {scheme}://, then the host."),
        BadUrl::Scheme(schemes) => format!("Use {schemes}."),
        BadUrl::NoHost => "Write the host after the two slashes.".into(),
        BadUrl::Malformed => "Write scheme://host:port, with a port from 1 to 65535.".into(),
        BadUrl::Credentials => "Take them out; keys have variables of their own.".into(),
        BadUrl::Query => "End with the path.".into(),
    };
    problem(bad.to_string(), fix)
}

/// A socket folder may stand in the query instead of a host, so the driver's own parser has the last word.
fn postgres(text: &str) -> Result<(), Problem> {
    if let Err(bad @ (BadUrl::NoScheme(_) | BadUrl::Scheme(_))) =
        url::check(text, &["postgres", "postgresql"])
    {
        return Err(url_problem(&bad));
    }
    let options = text.parse::<sqlx::postgres::PgConnectOptions>().map_err(|_| {
        // The driver's own message is left out: it can quote a part of the address.
        problem(
            "cannot be read as a PostgreSQL address",
            "Write postgres://user:password@host:5432/database; percent-encode special characters.",
        )
    })?;
    if options.get_database().is_none() {
        return Err(problem("names no database", "End it with /database."));
    }
    Ok(())
}

/// The driver's own parser has the last word: it also refuses what this build cannot speak.
fn redis(text: &str) -> Result<(), Problem> {
    url::check(text, &["redis", "rediss"]).map_err(|bad| url_problem(&bad))?;
    // Its message is left out: it can quote a part of the address.
    ::redis::Client::open(text).map(drop).map_err(|_| {
        problem(
            "is refused by the driver",
            "Write redis://:password@host:6379/0; this build speaks no TLS to Redis.",
        )
    })
}

/// `EnvFilter` takes any word for a module's name, so `FREESIDE_LOG=inof` would silence everything: words alone must be levels.
fn log_filter(text: &str) -> Result<(), Problem> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let fix = "Write a level (error, warn, info, debug, trace, off) or pairs such as info,ledger=debug.";
    for part in text.split(',').map(str::trim).filter(|part| !part.contains(['=', '['])) {
        if !LEVELS.contains(&part.to_ascii_lowercase().as_str()) {
            return Err(problem(format!("holds {}, which is no level", quote(part)), fix));
        }
    }
    let read = tracing_subscriber::EnvFilter::builder().parse(text);
    read.map(drop).map_err(|bad| problem(format!("is refused: {bad}"), fix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_takes_what_is_right_and_refuses_what_is_wrong() {
        let cases: [(Kind, &[&str], &[&str]); 11] = [
            (
                Kind::Listen,
                &["127.0.0.1:3000", "[::]:0"],
                &["localhost:3000", "3000", ":3000", "127.0.0.1", ""],
            ),
            (Kind::Origin, &["https://a.example"], &["https://a.example/path", "a.example"]),
            (Kind::HttpUrl, &["https://a.example/v1"], &["https://key@a.example"]),
            (Kind::RpcUrl, &["https://a.example/v2/key?x=1"], &["wss://a.example"]),
            (
                Kind::PostgresUrl,
                &["postgres://u:p@db/freeside", "postgresql:///freeside?host=/run/postgresql"],
                &["mysql://db/freeside", "db/freeside", "postgres://u:p@db:port/freeside"],
            ),
            (
                Kind::RedisUrl,
                &["redis://cache:6379/1", "redis://:p@cache"],
                &["cache:6379", "http://cache", "redis://cache/first"],
            ),
            (Kind::NatsUrl, &["nats://a:4222, nats://b:4222"], &["nats://a,b:4222", "a:4222"]),
            (Kind::Flag, &["true", "OFF", "1"], &["ja", "2"]),
            (Kind::Count { min: 0, max: 10 }, &["0", "10"], &["11", "-1", "1.5", "ten"]),
            (Kind::LogFilter, &["info", "warn,ledger=debug"], &["inof", "info,ledger", "ledger=loud"]),
            (Kind::Text { min_chars: 4 }, &["abcd", "äöüß", "a cd"], &["abc", " abcd", "ab\ncd"]),
        ];
        for (kind, right, wrong) in cases {
            for text in right {
                assert!(kind.check(text).is_ok(), "{kind:?} should take {text:?}");
            }
            for text in wrong {
                assert!(kind.check(text).is_err(), "{kind:?} should refuse {text:?}");
            }
        }
    }

    #[test]
    fn a_fix_for_a_port_alone_can_be_pasted() {
        let refused = Kind::Listen.check(":8080").expect_err("no address");
        assert_eq!(refused.fix, "Write 127.0.0.1:8080 for this machine or 0.0.0.0:8080 for every network.");
    }
}
