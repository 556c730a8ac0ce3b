//! Journals of every kind, fresh for each test, and what can be done to them behind their back.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drplan::journal::memory::Memory;
use drplan::journal::{self, Archive, Head, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tempfile::TempDir;

use super::{said, started};

pub const RUN: &str = "plan-20261121-031500-1a2b";
pub const OTHER: &str = "plan-20261121-031501-3c4d";

/// A journal of one kind, and another handle to it whenever one is wanted.
#[derive(Clone)]
pub enum Place {
    Memory(Arc<Memory>),
    File(Arc<TempDir>),
    #[cfg(feature = "postgres")]
    Server(String),
}

impl Place {
    pub fn all() -> Vec<Place> {
        vec![
            Place::Memory(Arc::default()),
            Place::file(),
            #[cfg(feature = "postgres")]
            Place::server(),
        ]
    }

    pub fn file() -> Place {
        Place::File(Arc::new(tempfile::tempdir().unwrap()))
    }

    /// A schema of its own on the server of this program's lab.
    #[cfg(feature = "postgres")]
    pub fn server() -> Place {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let schema = format!("j{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let place = Place::Server(format!("{}?options=-c%20search_path%3D{schema}", server()));
        std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(place.change(&format!("CREATE SCHEMA {schema}")));
            });
            made.join().unwrap();
        });
        place
    }

    pub fn path(&self) -> PathBuf {
        match self {
            Place::File(dir) => dir.path().join("journal.db"),
            _ => panic!("only a file has a path"),
        }
    }

    /// As it would be typed.
    pub fn typed(&self) -> OsString {
        match self {
            Place::Memory(_) => panic!("a journal in memory cannot be named"),
            Place::File(_) => self.path().into(),
            #[cfg(feature = "postgres")]
            Place::Server(url) => url.into(),
        }
    }

    pub async fn store(&self) -> Arc<dyn Archive> {
        match self {
            Place::Memory(memory) => memory.clone(),
            _ => journal::open(&journal::Place::typed(&self.typed())).await.unwrap(),
        }
    }

    /// One that holds a run of five events: its start, and four words.
    pub async fn begun(&self) -> (Arc<dyn Archive>, Head) {
        let store = self.store().await;
        let mut head = store.create(RUN, started("plan")).await.unwrap();
        for n in 2..=5 {
            head = store.append(RUN, &head, None, &[said(n)]).await.unwrap();
        }
        (store, head)
    }

    /// As if the holder had given no sign of life for this long.
    pub async fn silence(&self, ms: u64) {
        match self {
            Place::Memory(memory) => memory.bury(RUN),
            _ => self.change(&format!("UPDATE run SET beat_ms = beat_ms - {ms}")).await,
        }
    }

    pub async fn change(&self, sql: &str) {
        match self {
            Place::Memory(_) => panic!("nobody gets behind the back of a journal in memory"),
            Place::File(_) => change(&self.path(), sql).await,
            #[cfg(feature = "postgres")]
            Place::Server(url) => {
                let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
                let mut connection = options.connect().await.unwrap();
                sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
            }
        }
    }
}

/// Keeps what the tables hold, and lets them be changed in every way.
#[cfg(feature = "postgres")]
pub const SAVE: &str = "ALTER TABLE event DROP CONSTRAINT event_run_fkey;
    CREATE TABLE saved_run AS TABLE run; CREATE TABLE saved_event AS TABLE event";

/// Brings it back.
#[cfg(feature = "postgres")]
pub const RESTORE: &str = "DELETE FROM event; DELETE FROM run;
    INSERT INTO run SELECT * FROM saved_run; INSERT INTO event SELECT * FROM saved_event";

/// The server of one lab for the whole program.
#[cfg(feature = "postgres")]
pub fn server() -> String {
    use super::lab::Lab;
    static LAB: std::sync::OnceLock<Lab> = std::sync::OnceLock::new();
    let lab = LAB.get_or_init(|| Lab::up(&["--servers"]));
    format!("postgres://dr:{}@127.0.0.1:{}/platform", lab["LAB_DR_PASSWORD"], lab["LAB_PRIMARY_PORT"])
}

pub async fn open(path: &Path) -> Result<Arc<dyn Archive>> {
    journal::open(&journal::Place::File(path.to_owned())).await
}

pub async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).foreign_keys(false).connect().await.unwrap()
}

pub async fn change(path: &Path, sql: &str) {
    let done = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut raw(path).await).await.unwrap();
    let rows = ["INSERT", "UPDATE", "DELETE"].iter().any(|word| sql.starts_with(word));
    assert!(done.rows_affected() > 0 || !rows, "{sql} changed nothing");
}
