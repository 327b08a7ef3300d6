//! The text of EIP-4361, there and back.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use types::Wallet;

use super::MessageFault;

/// Ours have about 400 bytes; a wallet shows no more than a page.
pub const MAX_MESSAGE_BYTES: usize = 4_096;
/// Resources are shown to the signer and mean nothing to us.
const MAX_RESOURCES: usize = 16;
const ASKS: &str = " wants you to sign in with your Ethereum account:";

/// A time as it stands in a message: the text is kept, since the signature is over the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    text: String,
    at: OffsetDateTime,
}

impl Moment {
    /// A time of our own, to the second, in UTC.
    pub fn new(at: OffsetDateTime) -> Self {
        let at = at.to_offset(time::UtcOffset::UTC);
        let at = at.replace_nanosecond(0).expect("0 is a nanosecond");
        Self { text: at.format(&Rfc3339).expect("a year of four digits"), at }
    }

    /// When.
    pub fn at(&self) -> OffsetDateTime {
        self.at
    }

    fn parse(text: &str) -> Option<Self> {
        // RFC 3339 would also take a small t and z.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"-+:.TZ".contains(&byte));
        let at = OffsetDateTime::parse(text, &Rfc3339).ok().filter(|_| plain)?;
        Some(Self { text: text.to_owned(), at })
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A message. [`fmt::Display`] is its one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Host and port of the page that asks.
    pub domain: String,
    /// Who is to sign.
    pub wallet: Wallet,
    /// One line for the person who signs.
    pub statement: Option<String>,
    /// The page that asks.
    pub uri: String,
    /// `1`.
    pub version: String,
    /// The chain on which the wallet lives.
    pub chain_id: u64,
    /// Works once.
    pub nonce: String,
    /// When it was made.
    pub issued_at: Moment,
    /// When it stops to hold.
    pub expiration_time: Option<Moment>,
    /// When it begins to hold.
    pub not_before: Option<Moment>,
    /// The asker's own name for it.
    pub request_id: Option<String>,
    /// Shown to whoever signs.
    pub resources: Vec<String>,
}

impl fmt::Display for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, wallet, uri, version, chain_id, nonce, issued_at, .. } = self;
        write!(formatter, "{domain}{ASKS}\n{wallet}\n\n")?;
        if let Some(statement) = &self.statement {
            writeln!(formatter, "{statement}")?;
        }
        write!(
            formatter,
            "\nURI: {uri}\nVersion: {version}\nChain ID: {chain_id}\nNonce: {nonce}\nIssued At: {issued_at}"
        )?;
        if let Some(end) = &self.expiration_time {
            write!(formatter, "\nExpiration Time: {end}")?;
        }
        if let Some(begin) = &self.not_before {
            write!(formatter, "\nNot Before: {begin}")?;
        }
        if let Some(id) = &self.request_id {
            write!(formatter, "\nRequest ID: {id}")?;
        }
        if !self.resources.is_empty() {
            write!(formatter, "\nResources:")?;
        }
        self.resources.iter().try_for_each(|resource| write!(formatter, "\n- {resource}"))
    }
}

impl Message {
    /// Reads a message. What would print otherwise is refused, whatever the reader below made of it.
    pub fn parse(text: &str) -> Result<Self, MessageFault> {
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(MessageFault::Form { what: "it is too long" });
        }
        if !text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
            let what = "it holds a character that is neither printable ASCII nor a line feed";
            return Err(MessageFault::Form { what });
        }
        let message = read(text).map_err(|what| MessageFault::Form { what })?;
        if message.to_string() == text { Ok(message) } else { Err(MessageFault::NotCanonical) }
    }
}

/// The nonce that a text seems to name, whether or not the rest of it is a message: it is used up either way.
pub fn claimed_nonce(text: &str) -> Option<&str> {
    let lines = text.get(..text.len().min(MAX_MESSAGE_BYTES))?.split('\n');
    lines.filter_map(|line| line.strip_prefix("Nonce: ")).map(str::trim).find(|nonce| is_nonce(nonce))
}

fn read(text: &str) -> Result<Message, &'static str> {
    let mut lines = Lines { rest: text.split('\n').peekable() };
    let domain =
        lines.next("its first line is missing")?.strip_suffix(ASKS).ok_or("its first line is another one")?;
    if domain.is_empty()
        || !domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte))
    {
        return Err("its domain is not a host with or without a port");
    }
    let wallet =
        lines.next("the address is missing")?.parse().map_err(|_| "its second line is not an address")?;
    lines.blank("the line after the address is not empty")?;
    let statement = match lines.next("it ends after the address")? {
        "" => None,
        statement => {
            lines.blank("the line after the statement is not empty")?;
            Some(statement.to_owned())
        }
    };
    let uri = lines.field("URI: ", "the URI is missing or out of place")?;
    if uri.is_empty() || uri.contains(' ') {
        return Err("its URI is not one");
    }
    let version = lines.field("Version: ", "the version is missing or out of place")?;
    if version.is_empty() || !version.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("its version is not a number");
    }
    let chain_id = lines.field("Chain ID: ", "the chain is missing or out of place")?;
    let nonce = lines.field("Nonce: ", "the nonce is missing or out of place")?;
    if !is_nonce(nonce) {
        return Err("its nonce is not made of 8 to 64 letters and digits");
    }
    let issued_at = lines.field("Issued At: ", "the time is missing or out of place")?;
    let expiration_time = lines.optional("Expiration Time: ").map(moment).transpose()?;
    let not_before = lines.optional("Not Before: ").map(moment).transpose()?;
    let request_id = lines.optional("Request ID: ").map(str::to_owned);
    let mut resources = Vec::new();
    if lines.optional("Resources:").is_some() {
        while let Some(resource) = lines.optional("- ").filter(|_| resources.len() < MAX_RESOURCES) {
            resources.push(resource.to_owned());
        }
    }
    if lines.rest.next().is_some() {
        return Err("there is something after its end");
    }
    Ok(Message {
        domain: domain.to_owned(),
        wallet,
        statement,
        uri: uri.to_owned(),
        version: version.to_owned(),
        chain_id: chain_id.parse().map_err(|_| "its chain is not a number")?,
        nonce: nonce.to_owned(),
        issued_at: moment(issued_at)?,
        expiration_time,
        not_before,
        request_id,
        resources,
    })
}

struct Lines<'a> {
    rest: std::iter::Peekable<std::str::Split<'a, char>>,
}

impl<'a> Lines<'a> {
    fn next(&mut self, what: &'static str) -> Result<&'a str, &'static str> {
        self.rest.next().ok_or(what)
    }

    fn blank(&mut self, what: &'static str) -> Result<(), &'static str> {
        if self.rest.next() == Some("") { Ok(()) } else { Err(what) }
    }

    fn field(&mut self, name: &'static str, missing: &'static str) -> Result<&'a str, &'static str> {
        self.optional(name).ok_or(missing)
    }

    fn optional(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.rest.peek()?.strip_prefix(name)?;
        self.rest.next();
        Some(value)
    }
}

fn is_nonce(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn moment(text: &str) -> Result<Moment, &'static str> {
    Moment::parse(text).ok_or("one of its times is not RFC 3339")
}
