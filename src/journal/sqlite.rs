//! The embedded journal: one SQLite file in WAL mode with `synchronous=FULL`. A kernel lock beside it, one file a
//! driver, tells at once that a driver is gone; a driver that is there but silent for 30 s (stopped) has lost its lease.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rustix::fs::{FlockOperation, flock};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::time::sleep;

use super::base::{Database, Dialect};
use super::door::Sql;
use super::{Archive, Error, Result, schema};

/// How long another process may write before it is said that the file is busy.
const BUSY_MAX: Duration = Duration::from_secs(10);
/// How long it is left alone where SQLite itself does not wait.
const BUSY_REST: Duration = Duration::from_millis(20);

/// Opens the file, made if it is not there, and brings a new one to the present schema.
pub async fn open(path: &Path) -> Result<impl Archive + use<>> {
    open_with(path, SqliteSynchronous::Full, &schema::NEWEST).await
}

/// [`open`] with another degree of durability, for measurements and to see the guards of durability bark, or with
/// other schemas, as an older or a newer program has them.
pub async fn open_with(path: &Path, synchronous: SqliteSynchronous, schemas: &'static Migrator) -> Result<impl Archive + use<>> {
    if let Some(dir) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        make(dir).map_err(|e| Error::Failed(format!("cannot make {}: {e}", dir.display())))?;
        refuse_network(dir)?;
    }
    Database::open(Sqlite { path: path.to_owned(), synchronous }, schemas).await
}

struct Sqlite {
    path: PathBuf,
    synchronous: SqliteSynchronous,
}

impl Sqlite {
    /// The lock file of a run's driver with this fence.
    fn lock_path(&self, run: &str, fence: u64) -> PathBuf {
        beside(&self.path, &format!(".{run}.{fence}.lock"))
    }
}

#[async_trait]
impl Dialect for Sqlite {
    type Connection = SqliteConnection;
    const READ: &'static str = "BEGIN";
    const WRITE: &'static str = "BEGIN IMMEDIATE";
    const MADE: &'static str = "SELECT name FROM sqlite_master WHERE name = '_sqlx_migrations'";
    // `BEGIN IMMEDIATE` does.
    const ALONE: &'static str = "";
    const MOVE_HEAD: &'static str = "UPDATE run SET head = $2, digest = $3, beat_ms = CASE WHEN $6 IS NULL THEN beat_ms ELSE $7 END
        WHERE id = $1 AND head = $4 AND digest = $5 AND fence = COALESCE($6, fence)
        AND (finished IS NULL OR finished NOT IN ('handed_over', 'imported'))";
    const PATIENCE: Option<Duration> = None;

    async fn connect(&self) -> Result<SqliteConnection> {
        let at = self.path.display();
        let cannot = |e: sqlx::Error| match self.meaning(&e) {
            Error::Away(why) => Error::Away(why),
            _ => Error::Failed(format!("cannot open {at}: {}", cause(&e))),
        };
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.synchronous)
            .busy_timeout(BUSY_MAX)
            .foreign_keys(true)
            .disable_statement_logging();
        // Of two that make the file a WAL at once SQLite refuses one without letting it wait.
        let begun = Instant::now();
        let mut connection = loop {
            match options.connect().await {
                Err(e) if matches!(self.meaning(&e), Error::Away(_)) && begun.elapsed() < BUSY_MAX => sleep(BUSY_REST).await,
                connected => break connected.map_err(cannot)?,
            }
        };
        let mode = connection.rows("PRAGMA journal_mode", &[]).await.map_err(cannot)?;
        let sync = connection.rows("PRAGMA synchronous", &[]).await.map_err(cannot)?;
        let (mode, sync) = (mode[0][0].text()?, sync[0][0].int()?);
        if mode != "wal" || (sync != 2 && matches!(self.synchronous, SqliteSynchronous::Full)) {
            return Err(Error::Failed(format!("{at} cannot be written durably here (journal_mode={mode}, synchronous={sync})")));
        }
        Ok(connection)
    }

    fn meaning(&self, error: &sqlx::Error) -> Error {
        let code = error.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<u32>().ok());
        match code.map(|code| code & 0xff) {
            // SQLITE_BUSY, SQLITE_LOCKED: another process writes.
            Some(5 | 6) => Error::Away(format!("{} is busy: {}", self.path.display(), cause(error))),
            _ => Error::Failed(cause(error)),
        }
    }

    fn gone(&self, error: &sqlx::Error) -> bool {
        error.as_database_error().is_none()
    }

    async fn now_ms(&self, _: &mut SqliteConnection) -> sqlx::Result<i64> {
        Ok(boottime_ms())
    }

    fn own_ms(&self) -> Option<i64> {
        Some(boottime_ms())
    }

    fn boot(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default()
    }

    fn alive(&self, run: &str, fence: u64) -> bool {
        let Ok(file) = File::open(self.lock_path(run, fence)) else { return false };
        flock(&file, FlockOperation::NonBlockingLockShared).is_err()
    }

    fn lock(&self, run: &str, fence: u64) -> Result<Option<File>> {
        let path = self.lock_path(run, fence);
        let made = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = made.map_err(|e| Error::Failed(format!("{}: {e}", path.display())))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(_) => Err(Error::Held { holder: "a driver that starts just now".to_owned() }),
        }
    }

    fn unlock(&self, run: &str, fence: u64) {
        // An older lock file says nothing any more; one that cannot be removed does no harm.
        let _ = std::fs::remove_file(self.lock_path(run, fence));
    }

    /// Writes the log again as it stands, and syncs it. Where an earlier sync failed, the kernel shows for written what
    /// the disk does not have, and never tries again: at the next power loss the log would end there, whatever was
    /// synced after it.
    fn renew(&self) -> Result<()> {
        let log = beside(&self.path, "-wal");
        let again = || {
            let mut file = OpenOptions::new().read(true).write(true).open(&log)?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            file.write_all_at(&bytes, 0)?;
            file.sync_all()
        };
        match again() {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::Failed(format!("{}: {e}", log.display()))),
            _ => Ok(()),
        }
    }

    fn leave(connection: SqliteConnection) {
        // Not even closed: that would copy the log into the file.
        std::mem::forget(connection);
    }

    fn caution(&self) -> Option<String> {
        Some("on this machine alone: if it dies, so does what it knows".to_owned())
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

fn boottime_ms() -> i64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    t.tv_sec * 1000 + t.tv_nsec / 1_000_000
}

/// A file beside the journal, whose name begins with the journal's.
fn beside(journal: &Path, end: &str) -> PathBuf {
    let name = journal.file_name().map_or_else(|| "journal".into(), |n| n.to_string_lossy().into_owned());
    journal.with_file_name(format!("{name}{end}"))
}

/// Makes a directory and what it stands in, each name of them synced: a journal outlasts a power loss only if the way to
/// it does.
fn make(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let outer = dir.parent().filter(|outer| !outer.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make(outer)?;
    match std::fs::create_dir(dir) {
        // Another process may have been quicker.
        Err(e) if !dir.is_dir() => Err(e),
        _ => File::open(outer)?.sync_all(),
    }
}

fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(e) => e.message().to_owned(),
        other => other.to_string(),
    }
}

/// Refuses a directory on another machine.
pub fn refuse_network(dir: &Path) -> Result<()> {
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
