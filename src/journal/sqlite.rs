//! The embedded journal: one SQLite file in WAL mode with `synchronous=FULL`. A kernel lock beside it, one file a
//! driver, tells at once that a driver is gone; a driver that is there but silent for 30 s (stopped) has lost its lease.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row as _, SqliteConnection};
use tokio::sync::Mutex;

use super::{End, Entry, Error, Event, Head, LEASE_MS, Lease, Result, Row, RunRow, Stamped, Store, check_row, end_of, rows};

/// The journal.
pub struct Sqlite {
    path: PathBuf,
    connection: Mutex<SqliteConnection>,
}

fn cause(error: sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => e.message().to_owned(),
        other => other.to_string(),
    }
}

fn failed(error: sqlx::Error) -> Error {
    Error::Failed(cause(error))
}

impl Sqlite {
    /// Opens the file, made if it is not there, and brings a new one to the present schema.
    pub async fn open(path: &Path) -> Result<Sqlite> {
        Sqlite::open_with(path, SqliteSynchronous::Full).await
    }

    /// [`Sqlite::open`] with another degree of durability: for measurements, and to see the guards of durability bark.
    pub async fn open_with(path: &Path, synchronous: SqliteSynchronous) -> Result<Sqlite> {
        let at = path.display();
        if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
            std::fs::create_dir_all(dir).map_err(|e| Error::Failed(format!("cannot make {}: {e}", dir.display())))?;
            refuse_network(dir)?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(std::time::Duration::from_secs(10))
            .foreign_keys(true)
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(|e| Error::Failed(format!("cannot open {at}: {}", cause(e))))?;
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut connection).await.map_err(failed)?;
        let sync: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut connection).await.map_err(failed)?;
        if mode != "wal" || (sync != 2 && matches!(synchronous, SqliteSynchronous::Full)) {
            return Err(Error::Failed(format!("{at} cannot be written durably here (journal_mode={mode}, synchronous={sync})")));
        }
        sqlx::migrate!("./schema/journal").run(&mut connection).await.map_err(|e| match e {
            sqlx::migrate::MigrateError::VersionMissing(v) => {
                Error::Failed(format!("{at} was written by a newer drplan (schema {v}); use that one"))
            }
            other => Error::Failed(format!("{at}: {other}")),
        })?;
        Ok(Sqlite { path: path.to_owned(), connection: Mutex::new(connection) })
    }

    /// The lock file of a run's driver with this fence.
    fn lock_path(&self, run: &str, fence: u64) -> PathBuf {
        let name = self.path.file_name().map_or_else(|| "journal".into(), |n| n.to_string_lossy().into_owned());
        self.path.with_file_name(format!("{name}.{run}.{fence}.lock"))
    }

    /// True if the process that held this fence is there.
    fn alive(&self, run: &str, fence: u64) -> bool {
        let Ok(file) = File::open(self.lock_path(run, fence)) else { return false };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }
}

fn refuse_network(dir: &Path) -> Result<()> {
    let facts = rustix::fs::statfs(dir).map_err(|e| Error::Failed(format!("cannot look at {}: {e}", dir.display())))?;
    if remote(facts.f_type as u32) {
        return Err(Error::Failed(format!(
            "{} is on a network file system, where locks and syncs cannot be trusted; use a local path",
            dir.display()
        )));
    }
    Ok(())
}

/// Whether a file system of this type is on another machine, by the magic numbers of statfs(2): NFS, SMB, CIFS, SMB2,
/// AFS, 9P, Ceph. FUSE is allowed: it may be local.
fn remote(magic: u32) -> bool {
    [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x5346_414f, 0x0102_1997, 0x00c3_6400].contains(&magic)
}

fn boot_ms() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    t.tv_sec * 1000 + t.tv_nsec / 1_000_000
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
}

fn end_word(end: End) -> String {
    serde_json::to_value(end).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn timestamp(micros: i64) -> Result<Timestamp> {
    Timestamp::from_microsecond(micros).map_err(|_| Error::Damaged(format!("{micros} is not a time")))
}

/// What cannot be read is damaged, not failed: asking again will not help.
fn event_row(row: &SqliteRow) -> Result<Row> {
    let damaged = |e: sqlx::Error| Error::Damaged(format!("an event cannot be read: {e}"));
    Ok(Row {
        seq: row.try_get::<i64, _>("seq").map_err(damaged)? as u64,
        at: timestamp(row.try_get("at").map_err(damaged)?)?,
        body: row.try_get("body").map_err(damaged)?,
        digest: row.try_get("digest").map_err(damaged)?,
    })
}

async fn head_of(connection: &mut SqliteConnection, run: &str) -> Result<Head> {
    let row = sqlx::query("SELECT head, digest FROM run WHERE id = $1").bind(run).fetch_optional(connection).await.map_err(failed)?;
    let row = row.ok_or_else(|| Error::NoRun(run.to_owned()))?;
    Ok(Head { seq: row.try_get::<i64, _>("head").map_err(failed)? as u64, digest: row.try_get("digest").map_err(failed)? })
}

/// Events after a number, each checked against the one before, and the head to which they lead.
async fn chain(connection: &mut SqliteConnection, run: &str, after: u64) -> Result<(Vec<Entry>, Head)> {
    let found = sqlx::query("SELECT seq, at, body, digest FROM event WHERE run = $1 AND seq >= $2 ORDER BY seq")
        .bind(run)
        .bind(after.max(1) as i64)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    if found.is_empty() {
        head_of(connection, run).await?;
        return Err(Error::Damaged(format!("run {run}: event {} is gone", after.max(1))));
    }
    let mut last = Head::default();
    let mut out = Vec::with_capacity(found.len());
    for (n, row) in found.iter().enumerate() {
        let row = event_row(row)?;
        if n > 0 || after == 0 {
            out.push(check_row(run, &last, &row)?);
        } else if row.seq != after {
            return Err(Error::Damaged(format!("run {run}: event {after} is gone")));
        }
        last = Head { seq: row.seq, digest: row.digest };
    }
    Ok((out, last))
}

fn run_row(row: &SqliteRow) -> Result<RunRow> {
    let finished: Option<String> = row.try_get("finished").map_err(failed)?;
    Ok(RunRow {
        id: row.try_get("id").map_err(failed)?,
        plan: row.try_get("plan").map_err(failed)?,
        scenario: row.try_get("scenario").map_err(failed)?,
        started_at: timestamp(row.try_get("started_at").map_err(failed)?)?,
        head: Head { seq: row.try_get::<i64, _>("head").map_err(failed)? as u64, digest: row.try_get("digest").map_err(failed)? },
        finished: finished.and_then(|f| serde_json::from_value(serde_json::Value::String(f)).ok()),
        holder: row.try_get("holder").map_err(failed)?,
    })
}

async fn insert(tx: &mut SqliteConnection, run: &str, head: &Head, events: &[Stamped]) -> Result<Head> {
    let mut last = head.clone();
    for row in rows(run, head, events) {
        sqlx::query("INSERT INTO event (run, seq, at, body, digest) VALUES ($1, $2, $3, $4, $5)")
            .bind(run)
            .bind(row.seq as i64)
            .bind(row.at.as_microsecond())
            .bind(&row.body)
            .bind(&row.digest)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        last = Head { seq: row.seq, digest: row.digest };
    }
    if let Some(end) = end_of(events) {
        sqlx::query("UPDATE run SET finished = $2 WHERE id = $1").bind(run).bind(end_word(end)).execute(&mut *tx).await.map_err(failed)?;
        sqlx::query("DELETE FROM held WHERE run = $1").bind(run).execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(last)
}

#[async_trait]
impl Store for Sqlite {
    async fn create(&self, run: &str, first: Stamped) -> Result<Head> {
        let Event::RunStarted { plan, scenario, .. } = &first.1 else {
            return Err(Error::Damaged(format!("run {run} does not begin with its start")));
        };
        let mut connection = self.connection.lock().await;
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        sqlx::query("INSERT INTO run (id, plan, scenario, started_at, head, digest, fence) VALUES ($1, $2, $3, $4, 0, '', 0)")
            .bind(run)
            .bind(plan)
            .bind(scenario)
            .bind(first.0.as_microsecond())
            .execute(&mut *tx)
            .await
            .map_err(|e| if e.as_database_error().is_some_and(|d| d.is_unique_violation()) { Error::Moved } else { failed(e) })?;
        let head = insert(&mut tx, run, &Head::default(), &[first]).await?;
        sqlx::query("UPDATE run SET head = $2, digest = $3 WHERE id = $1")
            .bind(run)
            .bind(head.seq as i64)
            .bind(&head.digest)
            .execute(&mut *tx)
            .await
            .map_err(failed)?;
        tx.commit().await.map_err(failed)?;
        Ok(head)
    }

    async fn runs(&self) -> Result<Vec<RunRow>> {
        let mut connection = self.connection.lock().await;
        let found = sqlx::query("SELECT * FROM run ORDER BY started_at DESC, id DESC").fetch_all(&mut *connection).await.map_err(failed)?;
        drop(connection);
        let mut all =
            found.iter().map(|row| Ok((run_row(row)?, row.try_get::<i64, _>("fence").map_err(failed)?))).collect::<Result<Vec<_>>>()?;
        for (row, fence) in &mut all {
            if !self.alive(&row.id, *fence as u64) {
                row.holder = None;
            }
        }
        Ok(all.into_iter().map(|(row, _)| row).collect())
    }

    async fn head(&self, run: &str) -> Result<Head> {
        let mut connection = self.connection.lock().await;
        head_of(&mut connection, run).await
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Entry>> {
        let mut connection = self.connection.lock().await;
        Ok(chain(&mut connection, run, after).await?.0)
    }

    async fn append(&self, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head> {
        let mut connection = self.connection.lock().await;
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        let new = insert_checked(&mut tx, run, head, fence, events).await?;
        tx.commit().await.map_err(failed)?;
        Ok(new)
    }

    async fn take(&self, run: &str, holder: &str) -> Result<Lease> {
        let mut connection = self.connection.lock().await;
        let row = sqlx::query("SELECT fence, holder, boot, beat_ms FROM run WHERE id = $1")
            .bind(run)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed)?;
        let row = row.ok_or_else(|| Error::NoRun(run.to_owned()))?;
        let fence = row.try_get::<i64, _>("fence").map_err(failed)? as u64;
        let other: Option<String> = row.try_get("holder").map_err(failed)?;
        let boot: Option<String> = row.try_get("boot").map_err(failed)?;
        let beat: Option<i64> = row.try_get("beat_ms").map_err(failed)?;
        let silent = boot.as_deref() != Some(&boot_id()) || beat.is_none_or(|b| boot_ms() - b > LEASE_MS as i64);
        if self.alive(run, fence) && !silent {
            return Err(Error::Held { holder: other.unwrap_or_else(|| "another process".to_owned()) });
        }
        // The lock is held before the fence is seen, so that nobody finds a holder without one.
        let path = self.lock_path(run, fence + 1);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::Failed(format!("{}: {e}", path.display())))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(Error::Held { holder: "a driver that starts just now".to_owned() });
        }
        let taken = sqlx::query("UPDATE run SET fence = $2, holder = $3, boot = $4, beat_ms = $5 WHERE id = $1 AND fence = $6")
            .bind(run)
            .bind(fence as i64 + 1)
            .bind(holder)
            .bind(boot_id())
            .bind(boot_ms())
            .bind(fence as i64)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        if taken.rows_affected() != 1 {
            return Err(Error::Held { holder: "a driver that starts just now".to_owned() });
        }
        // An older lock file says nothing any more; one that cannot be removed does no harm.
        let _ = std::fs::remove_file(self.lock_path(run, fence));
        Ok(Lease { run: run.to_owned(), fence: fence + 1, from: other, _lock: Some(file) })
    }

    async fn beat(&self, lease: &Lease) -> Result<()> {
        let mut connection = self.connection.lock().await;
        let beaten = sqlx::query("UPDATE run SET beat_ms = $3 WHERE id = $1 AND fence = $2")
            .bind(&lease.run)
            .bind(lease.fence as i64)
            .bind(boot_ms())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        if beaten.rows_affected() == 1 { Ok(()) } else { Err(Error::Fenced) }
    }

    async fn give(&self, lease: Lease) -> Result<()> {
        let mut connection = self.connection.lock().await;
        sqlx::query("UPDATE run SET holder = NULL, beat_ms = NULL WHERE id = $1 AND fence = $2")
            .bind(&lease.run)
            .bind(lease.fence as i64)
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
        let _ = std::fs::remove_file(self.lock_path(&lease.run, lease.fence));
        Ok(())
    }

    async fn hold(&self, run: &str, targets: &[String]) -> Result<()> {
        let mut connection = self.connection.lock().await;
        let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        for target in targets {
            let other: Option<String> =
                sqlx::query_scalar("SELECT run FROM held WHERE target = $1").bind(target).fetch_optional(&mut *tx).await.map_err(failed)?;
            match other {
                Some(other) if other != run => return Err(Error::AssetHeld { target: target.clone(), run: other }),
                Some(_) => {}
                None => {
                    sqlx::query("INSERT INTO held (target, run) VALUES ($1, $2)")
                        .bind(target)
                        .bind(run)
                        .execute(&mut *tx)
                        .await
                        .map_err(failed)?;
                }
            }
        }
        tx.commit().await.map_err(failed)
    }

    async fn verify(&self, run: &str) -> Result<u64> {
        let mut connection = self.connection.lock().await;
        // One view of both: a driver may append meanwhile.
        let mut tx = connection.begin().await.map_err(failed)?;
        let head = head_of(&mut tx, run).await?;
        let (_, last) = chain(&mut tx, run, 0).await?;
        if head != last {
            return Err(Error::Damaged(format!(
                "run {run}: the last event is number {}, and the run's head says {}: events were cut, added or changed",
                last.seq, head.seq
            )));
        }
        Ok(head.seq)
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

/// Moves the head, compared first, and inserts: in the caller's transaction.
async fn insert_checked(tx: &mut SqliteConnection, run: &str, head: &Head, fence: Option<u64>, events: &[Stamped]) -> Result<Head> {
    let row = sqlx::query("SELECT head, digest, fence FROM run WHERE id = $1").bind(run).fetch_optional(&mut *tx).await.map_err(failed)?;
    let row = row.ok_or_else(|| Error::NoRun(run.to_owned()))?;
    if fence.is_some_and(|f| row.get::<i64, _>("fence") as u64 != f) {
        return Err(Error::Fenced);
    }
    if row.get::<i64, _>("head") as u64 != head.seq || row.get::<String, _>("digest") != head.digest {
        return Err(Error::Moved);
    }
    let new = insert(tx, run, head, events).await?;
    sqlx::query("UPDATE run SET head = $2, digest = $3 WHERE id = $1")
        .bind(run)
        .bind(new.seq as i64)
        .bind(&new.digest)
        .execute(&mut *tx)
        .await
        .map_err(failed)?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::remote;

    #[test]
    fn file_systems_of_other_machines_are_known_by_their_numbers() {
        let (nfs, cifs, smb2, ceph) = (0x6969, 0xff53_4d42, 0xfe53_4d42, 0x00c3_6400);
        assert!([nfs, cifs, smb2, ceph].into_iter().all(remote));
        let (ext4, xfs, btrfs, tmpfs, overlay, zfs) = (0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1);
        assert!(![ext4, xfs, btrfs, tmpfs, overlay, zfs].into_iter().any(remote));
    }
}
