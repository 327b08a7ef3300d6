//! The audit trail on its way out: exports as JSONL or CSV, pages, and the check of a chain against the journal.
//!
//! An export is a stream of pieces that a response body or a file takes. It reads the journal in pages by number, one
//! short statement each, and holds no connection between them: memory stays the same for ten lines and ten million.
//! Rows are append-only, so it needs no snapshot; where it ends is fixed when it begins.
//!
//! A chained export (no filter but time) proves itself: each line's hash covers the one before. A filtered one says that
//! it is unchained; its seal still covers every line in it. Times are translated into numbers, so the lines at the edges
//! are those of the journal's order, also where two machines' clocks differ.

mod csv;
mod rows;
pub(crate) mod seal;

use bytes::Bytes;
use futures_util::{Stream, stream};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use types::{Clock, CommunityId};

use crate::audit_line::{self, hex, push_whole};
pub use rows::{AuditRow, Filter};
use seal::{Closing, Opening};
pub use seal::{Sign, Signer};

use rows::Span;
pub(crate) use rows::{first_at, last};

/// Lines of one piece: about a quarter of a megabyte.
const LINES_AT_ONCE: i64 = 500;

/// What to export.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whose journal.
    pub community: CommunityId,
    /// Not before.
    pub from: Option<OffsetDateTime>,
    /// Before.
    pub to: Option<OffsetDateTime>,
    /// Only some lines: an unchained export.
    pub filter: Filter,
    /// How it is written.
    pub format: Format,
}

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, sealed.
    Jsonl,
    /// For a spreadsheet: the same fields, without a seal.
    Csv,
}

/// Starts an export; `None`: no such community. An error in the stream ends it without its last line, and a verifier
/// then says that it is not whole.
pub async fn export(
    pool: &PgPool,
    clock: &Clock,
    request: Request,
    signer: Signer,
) -> Result<Option<impl Stream<Item = Result<Bytes, sqlx::Error>> + Send + 'static + use<>>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let community = request.community;
    let Some(last) = last(&mut connection, community).await? else { return Ok(None) };
    let (from_seq, to_seq) = range(&mut connection, community, last, request.from, request.to).await?;
    let previous = rows::hash_of(&mut connection, community, from_seq - 1).await?;
    let opening = Opening {
        account_id: request.filter.account.map(|account| account.to_string()),
        chained: request.filter.is_empty(),
        community_id: community.to_string(),
        exported_at: text_of(clock.now()),
        format: seal::FORMAT.to_owned(),
        from: request.from.map(text_of),
        from_seq,
        hash: String::new(),
        pool: request.filter.pool.map(|pool| pool.to_string()),
        prev_hash: hex(&previous),
        to: request.to.map(text_of),
    }
    .seal();
    let head = if opening.chained { opening.prev_hash.clone() } else { opening.hash.clone() };
    let exporting = Exporting {
        pool: pool.clone(),
        span: Span { after: from_seq - 1, after_own: 0, until: to_seq },
        count: 0,
        last_seq: from_seq - 1,
        head,
        opening,
        signer,
        request,
        stage: Stage::Opening,
    };
    Ok(Some(stream::try_unfold(exporting, Exporting::next)))
}

/// First and last number of a time range; the last is one less than the first when nothing lies in it.
pub(crate) async fn range(
    connection: &mut PgConnection,
    community: CommunityId,
    last: i64,
    from: Option<OffsetDateTime>,
    to: Option<OffsetDateTime>,
) -> Result<(i64, i64), sqlx::Error> {
    let first = match from {
        Some(from) => first_at(connection, community, last, from).await?,
        None => 1,
    };
    let end = match to {
        Some(to) => first_at(connection, community, last, to).await? - 1,
        None => last,
    };
    Ok((first, end.max(first - 1)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Opening,
    Lines,
    Closed,
}

/// An export that is under way.
struct Exporting {
    pool: PgPool,
    request: Request,
    opening: Opening,
    signer: Signer,
    stage: Stage,
    span: Span,
    count: u64,
    last_seq: i64,
    head: String,
}

impl Exporting {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, sqlx::Error> {
        let is_sealed = self.request.format == Format::Jsonl;
        if self.stage == Stage::Opening {
            self.stage = Stage::Lines;
            let text = if is_sealed { self.opening.line() + "\n" } else { csv::HEADER.to_owned() };
            return Ok(Some((text.into(), self)));
        }
        if self.stage == Stage::Lines {
            if let Some(text) = self.lines().await? {
                return Ok(Some((text.into(), self)));
            }
            self.stage = Stage::Closed;
            if is_sealed {
                return Ok(Some(((self.closing() + "\n").into(), self)));
            }
        }
        Ok(None)
    }

    /// The next page; `None` after the last.
    async fn lines(&mut self) -> Result<Option<String>, sqlx::Error> {
        if self.span.after >= self.span.until {
            return Ok(None);
        }
        let mut connection = self.pool.acquire().await?;
        let Request { community, filter, .. } = self.request;
        let rows = rows::ascending(&mut connection, community, self.span, filter, LINES_AT_ONCE).await?;
        drop(connection);
        let Some(last) = rows.last() else { return Ok(None) };
        self.span.after = last.entry.seq;
        self.span.after_own = last.entry.account_seq;
        self.last_seq = last.entry.seq;
        self.count += u64::try_from(rows.len()).expect("a page is small");
        let mut text = String::with_capacity(rows.len() * 560);
        for row in &rows {
            let hash = hex(&row.entry.hash);
            self.head = if self.opening.chained { hash } else { seal::fold(&self.head, &hash) };
            match self.request.format {
                Format::Jsonl => {
                    push_whole(&mut text, &row.entry, row.holder.as_deref(), &row.previous);
                    text.push('\n');
                }
                Format::Csv => csv::push(&mut text, row),
            }
        }
        Ok(Some(text))
    }

    fn closing(&self) -> String {
        Closing {
            count: self.count,
            hash: String::new(),
            head_hash: self.head.clone(),
            kid: String::new(),
            opening_hash: self.opening.hash.clone(),
            signature: String::new(),
            to_seq: self.last_seq,
        }
        .seal(&self.signer)
        .line()
    }
}

fn text_of(at: OffsetDateTime) -> String {
    let mut text = String::new();
    audit_line::push_time(&mut text, at);
    text
}

/// A page of the trail, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Only lines with a smaller number: the next page.
    pub before: Option<i64>,
    /// Not before.
    pub from: Option<OffsetDateTime>,
    /// Before.
    pub to: Option<OffsetDateTime>,
    /// Only some lines.
    pub filter: Filter,
    /// Lines at most.
    pub limit: i64,
}

/// Lines of a community's trail, newest first; `None`: no such community.
pub async fn page(
    connection: &mut PgConnection,
    community: CommunityId,
    page: &Page,
) -> Result<Option<Vec<AuditRow>>, sqlx::Error> {
    let Some(last) = last(connection, community).await? else { return Ok(None) };
    let (first, end) = range(connection, community, last, page.from, page.to).await?;
    let before = page.before.unwrap_or(i64::MAX).min(end + 1);
    rows::descending(connection, community, (first - 1, before), page.filter, page.limit).await.map(Some)
}

impl AuditRow {
    /// The line as an export carries it.
    #[must_use]
    pub fn line(&self) -> String {
        let mut text = String::with_capacity(560);
        push_whole(&mut text, &self.entry, self.holder.as_deref(), &self.previous);
        text
    }
}

/// Where a community's chain breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("community {community}, journal row {seq}: {what}")]
pub struct ChainFault {
    /// Whose.
    pub community: CommunityId,
    /// The first row that does not fit.
    pub seq: i64,
    /// Why.
    pub what: &'static str,
}

/// Reads a community's journal from the first row on and hashes it anew. Keyset pages, no long snapshot.
pub async fn check_chain(
    connection: &mut PgConnection,
    community: CommunityId,
) -> Result<Option<ChainFault>, sqlx::Error> {
    let fault = |seq, what| Ok(Some(ChainFault { community, seq, what }));
    let Some(last) = last(connection, community).await? else { return Ok(None) };
    let (mut seq, mut head) = (0, rows::GENESIS);
    while seq < last {
        let span = Span { after: seq, after_own: 0, until: last };
        let page = rows::ascending(connection, community, span, Filter::default(), LINES_AT_ONCE).await?;
        if page.is_empty() {
            return fault(seq + 1, "it is not there, though the book counts it");
        }
        for row in page {
            let entry = &row.entry;
            if entry.seq != seq + 1 {
                return fault(seq + 1, "it is not there");
            }
            if audit_line::hash(&head, entry, row.holder.as_deref()) != entry.hash {
                return fault(entry.seq, "its hash is not that of its content and the row before");
            }
            (seq, head) = (entry.seq, entry.hash);
        }
    }
    let book: Option<(i64, Vec<u8>)> = sqlx::query_as("select seq, head from book where community_id = $1")
        .bind(community.0)
        .fetch_optional(connection)
        .await?;
    match book {
        // It went on in the meantime: what came later is the next check's.
        Some((now, stored)) if now == last && stored != head => {
            fault(last, "the book's head is not its hash")
        }
        _ => Ok(None),
    }
}

/// The chain of one community, or of all: the first fault of each.
pub async fn check_chains(
    pool: &PgPool,
    community: Option<CommunityId>,
) -> Result<Vec<ChainFault>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let communities: Vec<i64> = sqlx::query_scalar(
        "select community_id from book where $1::bigint is null or community_id = $1 order by community_id",
    )
    .bind(community.map(|community| community.0))
    .fetch_all(&mut *connection)
    .await?;
    let mut faults = Vec::new();
    for community in communities {
        faults.extend(check_chain(&mut connection, CommunityId(community)).await?);
    }
    Ok(faults)
}
