//! A database of some dialect, one connection at a time: a use of it ends whole or leaves nothing, and an error that
//! breaks the connection takes it away. It knows no table.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::SqlStr;
use sqlx::migrate::{Migrate, Migrator};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use super::door::{Arg, Cell, Sql, fixed};
use super::{Error, Result};

/// What the dialects differ in.
#[async_trait]
pub(super) trait Dialect: Send + Sync + 'static {
    /// A connection.
    type Connection: Sql + Migrate + 'static;
    /// Begins one view of everything, for reading.
    const READ: &'static str;
    /// Begins a change.
    const WRITE: &'static str;
    /// One row if a journal, or a part of one, was made here.
    const MADE: &'static str;
    /// Keeps every other writer out until the end of the transaction.
    const ALONE: &'static str;
    /// Moves a run's head, from `$4`, `$5` to `$2`, `$3`, for the holder of fence `$6` or for a voice (null); what a holder
    /// says is a sign of life, at `$7` or at the server's own time.
    const MOVE_HEAD: &'static str;
    /// The longest that an answer is waited for; none where nobody else can be to blame.
    const PATIENCE: Option<Duration>;

    /// A new connection, as durable as it must be.
    async fn connect(&self) -> Result<Self::Connection>;
    /// What an error means: whether asking again may help, and in words.
    fn meaning(&self, error: &sqlx::Error) -> Error;
    /// Whether the connection is of no more use.
    fn gone(&self, error: &sqlx::Error) -> bool;
    /// The clock that leases are counted by, in milliseconds.
    async fn now_ms(&self, connection: &mut Self::Connection) -> sqlx::Result<i64>;
    /// The same where it is this machine's own; none where a server has to tell.
    fn own_ms(&self) -> Option<i64>;
    /// What must be the same for two readings of that clock to be compared.
    fn boot(&self) -> String;
    /// False if the process that held this fence is surely gone.
    fn alive(&self, run: &str, fence: u64) -> bool;
    /// What tells others that this process is there; an error if another has it.
    fn lock(&self, run: &str, fence: u64) -> Result<Option<File>>;
    /// Nobody needs that any more.
    fn unlock(&self, run: &str, fence: u64);
    /// Before the first write of this handle, with every other writer kept out: what an earlier one left unsure is made
    /// sure.
    fn renew(&self) -> Result<()>;
    /// What becomes of a connection whose write failed.
    fn leave(connection: Self::Connection);
    /// What a run on this journal must know.
    fn caution(&self) -> Option<String>;
    /// Where it is, for people.
    fn place(&self) -> String;
}

/// A journal in a database.
pub(super) struct Database<D: Dialect> {
    pub(super) dialect: D,
    pub(super) migrator: &'static Migrator,
    connection: Mutex<Option<D::Connection>>,
    /// Why nothing more is written by this handle: a write failed, and nobody knows what of it is there.
    spoilt: OnceLock<String>,
    /// Whether this handle has written.
    renewed: OnceLock<()>,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Mode {
    /// One statement after the other.
    Bare,
    /// One view of everything.
    Read,
    /// All or nothing.
    Write,
}

/// One use of the connection. Dropped before its end, it takes the connection along, and the database rolls it back.
pub(super) struct Use<'a, D: Dialect> {
    base: &'a Database<D>,
    slot: MutexGuard<'a, Option<D::Connection>>,
    mode: Mode,
    ended: bool,
}

impl<D: Dialect> Drop for Use<'_, D> {
    fn drop(&mut self) {
        if self.ended || self.mode == Mode::Bare {
            return;
        }
        let Some(connection) = self.slot.take() else { return };
        if self.base.spoilt.get().is_some() {
            D::leave(connection);
        }
    }
}

async fn in_time<T>(limit: Option<Duration>, work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    let Some(limit) = limit else { return work.await };
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", limit.as_secs()));
    timeout(limit, work).await.unwrap_or_else(|_| Err(late().into()))
}

impl<D: Dialect> Use<'_, D> {
    pub(super) fn connection(&mut self) -> &mut D::Connection {
        self.slot.as_mut().expect("a use begins with a connection, and an error that takes it ends the use")
    }

    /// Judges an error; a connection that broke is dropped.
    pub(super) fn judged<T>(&mut self, done: sqlx::Result<T>) -> Result<T> {
        done.map_err(|error| {
            if self.base.dialect.gone(&error) {
                *self.slot = None;
                self.ended = true;
            }
            let error = self.base.dialect.meaning(&error);
            if let (Mode::Write, Error::Failed(why)) = (self.mode, &error) {
                let _ = self.base.spoilt.set(why.clone());
            }
            error
        })
    }

    pub(super) async fn execute(&mut self, sql: &'static str, args: &[Arg<'_>]) -> Result<u64> {
        self.execute_made(fixed(sql), args).await
    }

    /// [`Use::execute`] of a statement that was put together here, of nothing but numbers.
    pub(super) async fn execute_made(&mut self, sql: SqlStr, args: &[Arg<'_>]) -> Result<u64> {
        let done = in_time(D::PATIENCE, self.connection().execute(sql, args)).await;
        self.judged(done)
    }

    pub(super) async fn rows(&mut self, sql: &'static str, args: &[Arg<'_>]) -> Result<Vec<Vec<Cell>>> {
        let done = in_time(D::PATIENCE, self.connection().rows(sql, args)).await;
        self.judged(done)
    }

    pub(super) async fn row(&mut self, sql: &'static str, args: &[Arg<'_>]) -> Result<Option<Vec<Cell>>> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    pub(super) async fn script(&mut self, sql: &'static str) -> Result<()> {
        let done = in_time(D::PATIENCE, self.connection().script(fixed(sql))).await;
        self.judged(done)
    }

    pub(super) async fn now_ms(&mut self) -> Result<i64> {
        let base = self.base;
        let done = in_time(D::PATIENCE, base.dialect.now_ms(self.connection())).await;
        self.judged(done)
    }

    /// Commits what went well, and takes back what did not.
    pub(super) async fn end<T>(mut self, out: Result<T>) -> Result<T> {
        if self.mode == Mode::Bare || self.ended {
            return out;
        }
        let last = if out.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let done = self.script(last).await;
        if done.is_ok() {
            self.ended = true;
        }
        // Why it was taken back counts more than whether that went well: the connection goes if it did not.
        out.and_then(|value| done.map(|()| value))
    }
}

impl<D: Dialect> Database<D> {
    pub(super) fn new(dialect: D, migrator: &'static Migrator) -> Database<D> {
        Database { dialect, migrator, connection: Mutex::new(None), spoilt: OnceLock::new(), renewed: OnceLock::new() }
    }

    /// Begins a use, with a new connection if the last one broke.
    pub(super) async fn begin(&self, mode: Mode) -> Result<Use<'_, D>> {
        if let (Mode::Write, Some(why)) = (mode, self.spoilt.get()) {
            return Err(Error::Failed(format!("nothing more is written here since an earlier write failed: {why}")));
        }
        let mut slot = self.connection.lock().await;
        if slot.is_none() {
            *slot = Some(self.dialect.connect().await?);
        }
        let mut use_ = Use { base: self, slot, mode, ended: mode == Mode::Bare };
        match mode {
            Mode::Bare => {}
            Mode::Read => use_.script(D::READ).await?,
            Mode::Write => use_.script(D::WRITE).await?,
        }
        if mode == Mode::Write && self.renewed.get().is_none() {
            if let Err(error) = self.dialect.renew() {
                let _ = self.spoilt.set(error.to_string());
                return Err(error);
            }
            let _ = self.renewed.set(());
        }
        Ok(use_)
    }
}
