//! How a statement reaches a database: text and values in, cells out, the same for every dialect. It knows neither what
//! a statement is for nor what an error means.

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Row as _, SqlStr, TypeInfo as _, ValueRef as _};

use super::{Error, Result};

/// A value for a statement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Arg<'a> {
    Text(&'a str),
    Int(i64),
    MaybeInt(Option<i64>),
    MaybeText(Option<&'a str>),
}

/// A value from a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Null,
    Int(i64),
    Text(String),
    /// Neither, or bytes that are no text: nothing that a journal writes.
    Strange,
}

impl Cell {
    /// A whole number. What cannot be read is damaged, not failed: asking again will not help.
    pub(super) fn int(&self) -> Result<i64> {
        match self {
            Cell::Int(n) => Ok(*n),
            other => Err(other.strange("a number")),
        }
    }

    /// A count, which is never negative.
    pub(super) fn count(&self) -> Result<u64> {
        u64::try_from(self.int()?).map_err(|_| self.strange("a count"))
    }

    /// A text.
    pub(super) fn text(&self) -> Result<&str> {
        match self {
            Cell::Text(text) => Ok(text),
            other => Err(other.strange("a text")),
        }
    }

    /// A text, if there is one.
    pub(super) fn maybe_text(&self) -> Result<Option<&str>> {
        if *self == Cell::Null { Ok(None) } else { self.text().map(Some) }
    }

    fn strange(&self, wanted: &str) -> Error {
        Error::Damaged(format!("a row cannot be read: {self:?} stands where {wanted} should"))
    }
}

/// Something that takes statements.
#[async_trait]
pub(super) trait Sql: Send {
    /// Executes a statement; the number of rows that it changed.
    async fn execute(&mut self, sql: SqlStr, args: &[Arg<'_>]) -> sqlx::Result<u64>;
    /// The rows of a query.
    async fn rows(&mut self, sql: &'static str, args: &[Arg<'_>]) -> sqlx::Result<Vec<Vec<Cell>>>;
    /// Executes several statements without values.
    async fn script(&mut self, sql: SqlStr) -> sqlx::Result<()>;
}

/// Both drivers do the same by the same names, and no trait says so.
macro_rules! speaks {
    ($connection:ty, $int:literal) => {
        #[async_trait]
        impl Sql for $connection {
            async fn execute(&mut self, sql: SqlStr, args: &[Arg<'_>]) -> sqlx::Result<u64> {
                Ok(bound!(sqlx::query(sql), args).execute(self).await?.rows_affected())
            }

            async fn rows(&mut self, sql: &'static str, args: &[Arg<'_>]) -> sqlx::Result<Vec<Vec<Cell>>> {
                let found = bound!(sqlx::query(sql), args).fetch_all(self).await?;
                let cell = |row: &<<Self as sqlx::Connection>::Database as sqlx::Database>::Row, i: usize| -> sqlx::Result<Cell> {
                    let raw = row.try_get_raw(i)?;
                    if raw.is_null() {
                        return Ok(Cell::Null);
                    }
                    let read = match raw.type_info().name() {
                        $int => row.try_get(i).map(Cell::Int),
                        "TEXT" => row.try_get(i).map(Cell::Text),
                        _ => return Ok(Cell::Strange),
                    };
                    Ok(read.unwrap_or(Cell::Strange))
                };
                found.iter().map(|row| (0..row.len()).map(|i| cell(row, i)).collect()).collect()
            }

            async fn script(&mut self, sql: SqlStr) -> sqlx::Result<()> {
                sqlx::raw_sql(sql).execute(self).await.map(drop)
            }
        }
    };
}

macro_rules! bound {
    ($query:expr, $args:expr) => {
        $args.iter().fold($query, |query, arg| match *arg {
            Arg::Text(text) => query.bind(text.to_owned()),
            Arg::Int(n) => query.bind(n),
            Arg::MaybeInt(n) => query.bind(n),
            Arg::MaybeText(text) => query.bind(text.map(str::to_owned)),
        })
    };
}

speaks!(sqlx::SqliteConnection, "INTEGER");
#[cfg(feature = "postgres")]
speaks!(sqlx::PgConnection, "INT8");

/// A fixed statement as the drivers want it.
pub(super) fn fixed(sql: &'static str) -> SqlStr {
    sqlx::SqlSafeStr::into_sql_str(AssertSqlSafe(sql))
}
