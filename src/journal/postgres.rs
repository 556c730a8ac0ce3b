//! The shared journal: tables of one PostgreSQL database, for every machine that reaches it. Leases are counted by the
//! server's clock, so that no machine's own matters. It does not wait: whoever drives does, while the lease lasts.

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::time::timeout;

use super::base::{Database, Dialect};
use super::door::{Cell, Sql, fixed};
use super::place::Address;
use super::{Archive, Error, Result, schema};

/// The longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A journal's session: a statement that waits for a lock gives up before its client does, and a client that is stopped
/// or cut off in the middle of a transaction keeps nobody else from the run. Durable, whatever the role's default.
const SESSION: &str = "SET application_name = 'drplan journal'; SET statement_timeout = '9s'; SET lock_timeout = '8s';
    SET idle_in_transaction_session_timeout = '5s'; SET client_min_messages = 'warning';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// Connects, and makes a journal where there is none.
pub async fn open(address: &Address) -> Result<impl Archive + use<>> {
    open_with(address, &schema::NEWEST).await
}

/// [`open`] with other schemas, as an older or a newer program has them.
pub async fn open_with(address: &Address, schemas: &'static Migrator) -> Result<impl Archive + use<>> {
    Database::open(server(address)?, schemas).await
}

/// Whether a journal was made there. Changes nothing.
pub async fn made(address: &Address) -> Result<bool> {
    let server = server(address)?;
    let mut connection = server.connect().await?;
    let found = timeout(ANSWER_MAX, connection.rows(Postgres::MADE, &[])).await;
    let found = found.map_err(|_| Error::Away(format!("{}: no answer in {} s", server.place, ANSWER_MAX.as_secs())))?;
    Ok(!found.map_err(|e| server.meaning(&e))?.is_empty())
}

fn server(address: &Address) -> Result<Postgres> {
    let parsed = address.whole().parse::<PgConnectOptions>();
    // What the parser says may quote the address.
    let options = parsed
        .map_err(|_| Error::Failed(format!("{address} is no address of a PostgreSQL server; write postgres://USER@HOST:PORT/DATABASE")))?;
    Ok(Postgres { place: address.to_string(), options: options.disable_statement_logging(), unsynced: OnceLock::new() })
}

struct Postgres {
    place: String,
    options: PgConnectOptions,
    /// Whether the server acknowledges what is not on its disk.
    unsynced: OnceLock<bool>,
}

#[async_trait]
impl Dialect for Postgres {
    type Connection = PgConnection;
    const READ: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    const WRITE: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED";
    const MADE: &'static str = "SELECT relname::text FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')";
    // Two that make the same journal wait for each other here, and so do two that change one. The number is drplan's.
    const ALONE: &'static str = "SELECT pg_advisory_xact_lock(7211703224915);
        DO $$ BEGIN IF to_regclass('run') IS NOT NULL THEN LOCK TABLE run IN ACCESS EXCLUSIVE MODE; END IF; END $$";
    const MOVE_HEAD: &'static str = "UPDATE run SET head = $2, digest = $3, beat_ms = CASE WHEN $6 IS NULL THEN beat_ms
        ELSE COALESCE($7, CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)) END
        WHERE id = $1 AND head = $4 AND digest = $5 AND fence = COALESCE($6, fence)
        AND (finished IS NULL OR finished NOT IN ('handed_over', 'imported'))";
    const PATIENCE: Option<Duration> = Some(ANSWER_MAX);

    async fn connect(&self) -> Result<PgConnection> {
        let late = || Error::Away(format!("{}: no connection in {} s", self.place, CONNECT_MAX.as_secs()));
        let connected = timeout(CONNECT_MAX, PgConnection::connect_with(&self.options)).await.map_err(|_| late())?;
        let mut connection = connected.map_err(|e| self.meaning(&e))?;
        let ready = async {
            connection.script(fixed(SESSION)).await?;
            connection.rows("SELECT setting FROM pg_settings WHERE name = 'fsync'", &[]).await
        };
        let ready = timeout(CONNECT_MAX, ready).await.map_err(|_| late())?;
        let fsync = ready.map_err(|e| self.meaning(&e))?;
        let _ = self.unsynced.set(fsync.first().is_some_and(|row| row[0] == Cell::Text("off".to_owned())));
        Ok(connection)
    }

    fn meaning(&self, error: &sqlx::Error) -> Error {
        let at = &self.place;
        let Some(said) = error.as_database_error() else {
            return match error {
                sqlx::Error::Tls(why) => Error::Failed(format!("{at}: no secure connection: {why}")),
                // What TLS refuses, a certificate above all, is refused again.
                sqlx::Error::Io(why) if why.kind() == io::ErrorKind::InvalidData => {
                    Error::Failed(format!("{at}: no secure connection: {why}"))
                }
                sqlx::Error::Io(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                    Error::Away(format!("{at}: it closed the connection"))
                }
                sqlx::Error::Io(why) => Error::Away(format!("{at}: {why}")),
                // Its first byte never came.
                sqlx::Error::Protocol(why) if why.contains("SSLRequest: 0x00") => Error::Away(format!("{at}: it closed the connection")),
                sqlx::Error::Configuration(why) => Error::Failed(format!("{at}: {why}")),
                sqlx::Error::Migrate(why) => Error::Failed(format!("{at}: {why}")),
                other => Error::Away(format!("{at}: {other}")),
            };
        };
        let code = said.code().unwrap_or_default();
        let words = format!("{at}: {} ({code})", said.message());
        match &*code {
            // A standby, or a server that was just made one: the primary may be back.
            "25006" => Error::Away(words),
            // A statement that waited too long for another's lock, a deadlock, a transaction that lay idle.
            "55P03" | "57014" | "40001" | "40P01" | "25P03" => Error::Away(words),
            // Connections; a server that ends, starts or is full; disks and memory of it.
            other if ["08", "53", "57P"].iter().any(|class| other.starts_with(class)) => Error::Away(words),
            _ => Error::Failed(words),
        }
    }

    fn gone(&self, error: &sqlx::Error) -> bool {
        let Some(said) = error.as_database_error() else { return true };
        let code = said.code().unwrap_or_default();
        code == "25P03" || code == "25006" || ["08", "57P"].iter().any(|class| code.starts_with(class))
    }

    async fn now_ms(&self, connection: &mut PgConnection) -> sqlx::Result<i64> {
        let rows = connection.rows("SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)", &[]).await?;
        match rows.first().and_then(|row| row.first()) {
            Some(Cell::Int(now)) => Ok(*now),
            other => Err(sqlx::Error::Protocol(format!("the server's time is {other:?}"))),
        }
    }

    fn own_ms(&self) -> Option<i64> {
        None
    }

    fn boot(&self) -> String {
        "server".to_owned()
    }

    fn alive(&self, _: &str, _: u64) -> bool {
        true
    }

    fn lock(&self, _: &str, _: u64) -> Result<Option<File>> {
        Ok(None)
    }

    fn unlock(&self, _: &str, _: u64) {}

    fn renew(&self) -> Result<()> {
        // A server whose sync fails ends, and recovers from what its disk has.
        Ok(())
    }

    fn leave(connection: PgConnection) {
        // Closed, so that the server takes back what was not committed.
        drop(connection);
    }

    fn caution(&self) -> Option<String> {
        let unsynced = self.unsynced.get().copied().unwrap_or(false);
        unsynced.then(|| "its server does not sync (fsync = off): after a power loss there, what it said may be gone".to_owned())
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}
