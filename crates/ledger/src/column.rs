//! Columns of a multi-row statement, and rows of an answer, for both drivers.
//!
//! The writer speaks tokio-postgres (it pipelines: one round trip for all reads of a batch, one for all writes), the
//! transaction entrance speaks sqlx (it lives in its caller's transaction). Statements and decoding are shared; what
//! differs is how a list of values is bound and how a cell is fetched, and that is all that stands here.

use time::{Date, OffsetDateTime};
use tokio_postgres::types::{IsNull, ToSql, Type};
use uuid::Uuid;

/// One array parameter: a column of the rows to read or write.
#[derive(Clone, Debug)]
pub(crate) enum Column {
    Big(Vec<i64>),
    OptBig(Vec<Option<i64>>),
    Int(Vec<i32>),
    Small(Vec<i16>),
    OptSmall(Vec<Option<i16>>),
    Bool(Vec<bool>),
    Text(Vec<String>),
    OptText(Vec<Option<String>>),
    Uuid(Vec<Uuid>),
    OptUuid(Vec<Option<Uuid>>),
    Hash(Vec<Vec<u8>>),
    Time(Vec<OffsetDateTime>),
    OptTime(Vec<Option<OffsetDateTime>>),
    Date(Vec<Date>),
    /// A single value, not an array.
    One(i64),
}

macro_rules! each_column {
    ($column:expr, $values:ident => $body:expr) => {
        match $column {
            Column::Big($values) => $body,
            Column::OptBig($values) => $body,
            Column::Int($values) => $body,
            Column::Small($values) => $body,
            Column::OptSmall($values) => $body,
            Column::Bool($values) => $body,
            Column::Text($values) => $body,
            Column::OptText($values) => $body,
            Column::Uuid($values) => $body,
            Column::OptUuid($values) => $body,
            Column::Hash($values) => $body,
            Column::Time($values) => $body,
            Column::OptTime($values) => $body,
            Column::Date($values) => $body,
            Column::One($values) => $body,
        }
    };
}

impl ToSql for Column {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        each_column!(self, values => values.to_sql(ty, out))
    }

    fn accepts(_: &Type) -> bool {
        true // the statements are ours, and each is run by a test; a mismatch fails in the inner `to_sql_checked`
    }

    fn to_sql_checked(
        &self,
        ty: &Type,
        out: &mut tokio_postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        each_column!(self, values => values.to_sql_checked(ty, out))
    }
}

/// A query of sqlx with its parameters bound.
pub(crate) type SqlxQuery = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// Binds a column to a query of sqlx.
pub(crate) fn bind(query: SqlxQuery, column: Column) -> SqlxQuery {
    each_column!(column, values => query.bind(values))
}

/// A row of either driver, read by position. Our own statements fix the types, so a mismatch is our bug.
pub(crate) trait Row {
    fn big(&self, index: usize) -> i64;
    fn opt_big(&self, index: usize) -> Option<i64>;
    fn small(&self, index: usize) -> i16;
    fn flag(&self, index: usize) -> bool;
    fn opt_text(&self, index: usize) -> Option<String>;
    fn uuid(&self, index: usize) -> Uuid;
    fn hash(&self, index: usize) -> [u8; 32];
    fn time(&self, index: usize) -> OffsetDateTime;
    fn date(&self, index: usize) -> Date;
}

macro_rules! row_of {
    ($row:ty, $($get:tt)+) => {
        impl Row for $row {
            fn big(&self, index: usize) -> i64 {
                $($get)+(self, index)
            }
            fn opt_big(&self, index: usize) -> Option<i64> {
                $($get)+(self, index)
            }
            fn small(&self, index: usize) -> i16 {
                $($get)+(self, index)
            }
            fn flag(&self, index: usize) -> bool {
                $($get)+(self, index)
            }
            fn opt_text(&self, index: usize) -> Option<String> {
                $($get)+(self, index)
            }
            fn uuid(&self, index: usize) -> Uuid {
                $($get)+(self, index)
            }
            fn hash(&self, index: usize) -> [u8; 32] {
                let bytes: &[u8] = $($get)+(self, index);
                bytes.try_into().expect("a CHECK keeps hashes at 32 bytes")
            }
            fn time(&self, index: usize) -> OffsetDateTime {
                $($get)+(self, index)
            }
            fn date(&self, index: usize) -> Date {
                $($get)+(self, index)
            }
        }
    };
}

row_of!(tokio_postgres::Row, tokio_postgres::Row::get);
row_of!(sqlx::postgres::PgRow, sqlx::Row::get);
