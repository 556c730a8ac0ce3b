//! Versions of the tables: which one a journal has, and which is the newest. It does not know who may change it.
//!
//! A new journal is made in the newest schema. An older one is read and driven as it is, and only `drplan journal
//! migrate` changes it; a newer one is refused. So every statement of a store must work on all schemas that ever were.

use sqlx::migrate::Migrator;

/// The schemas of this program, oldest first: the same text for every dialect.
pub static NEWEST: Migrator = sqlx::migrate!("./schema/journal");

/// Where it is written down which of them were applied, as sqlx does.
pub(super) const TABLE: &str = "_sqlx_migrations";

/// Which schema a journal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// Its own.
    pub is: i64,
    /// The newest that this program knows.
    pub newest: i64,
}

/// The newest of these.
pub(super) fn newest(migrator: &Migrator) -> i64 {
    migrator.iter().map(|m| m.version).max().unwrap_or(0)
}
