//! One run on one journal, of either kind, and what can be done to it behind its driver's back. It does not know what
//! the plan says.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions};

use super::desk::{Desk, Said, said};

/// A file system in memory, where a sync costs nothing; what a disk would make of one is judged by what was asked of it.
pub const LIGHT: &str = "/dev/shm";

/// Where runs are remembered.
pub enum Store {
    /// A file for each.
    File,
    /// Tables for each on the server of a lab.
    #[cfg(feature = "postgres")]
    Server(super::lab::Lab),
}

/// A plan, and a journal of its own.
pub struct Scene {
    /// Its directory.
    pub desk: Desk,
    /// Its journal, as it is typed.
    pub journal: String,
}

impl Scene {
    /// The `n`th one in a store.
    pub fn new(store: &Store, n: usize, plan: &str) -> Scene {
        let (desk, schema) = (Desk::within(Path::new(LIGHT), plan), format!("s{n}"));
        let journal = match store {
            Store::File => desk.path(&format!("{schema}.db")).display().to_string(),
            #[cfg(feature = "postgres")]
            Store::Server(lab) => {
                let server = format!("postgres://dr:{}@127.0.0.1:{}/platform", lab["LAB_DR_PASSWORD"], lab["LAB_PRIMARY_PORT"]);
                let scene = Scene { desk: Desk::within(Path::new(LIGHT), plan), journal: server };
                assert!(scene.change(&format!("CREATE SCHEMA {schema}")));
                format!("{}?options=-c%20search_path%3D{schema}", scene.journal)
            }
        };
        Scene { desk, journal }
    }

    /// The program on this journal.
    pub fn program(&self, words: &[&str]) -> Command {
        let mut command = self.desk.program(words);
        command.env("DRPLAN_JOURNAL", &self.journal).env("XDG_STATE_HOME", self.desk.path("state"));
        command
    }

    /// Runs the program to its end.
    pub fn say(&self, words: &[&str]) -> Said {
        said(&mut self.program(words))
    }

    /// The name of its one run; empty if there is none.
    pub fn run(&self) -> String {
        self.say(&["runs"]).out.split_whitespace().next().unwrap_or_default().to_owned()
    }

    /// As if the holder of the lease had been silent for as long as it lasts. False as of `change`.
    pub fn silence(&self) -> bool {
        self.change("UPDATE run SET beat_ms = beat_ms - 31000")
    }

    /// Behind the back of every driver; false if that cannot be: there is no journal yet, or a driver was stopped in the
    /// middle of a write to a file, and keeps everybody out of it.
    pub fn change(&self, sql: &str) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let sql = AssertSqlSafe(sql.to_owned());
        runtime.block_on(async {
            if !self.journal.starts_with("postgres://") {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&self.journal).busy_timeout(Duration::from_millis(200));
                let Ok(mut connection) = options.connect().await else { return false };
                return sqlx::raw_sql(sql).execute(&mut connection).await.is_ok();
            }
            #[cfg(feature = "postgres")]
            {
                let options: sqlx::postgres::PgConnectOptions = self.journal.parse().expect("it is an address");
                let mut connection = options.connect().await.expect("the lab's server answers");
                sqlx::raw_sql(sql).execute(&mut connection).await.is_ok()
            }
            #[cfg(not(feature = "postgres"))]
            panic!("no server is in this build")
        })
    }
}
