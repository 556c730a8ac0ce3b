//! SQLite files, through the library that is built in. It does not know what a database is for.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use serde_json::{Map, Number, Value};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{Arguments, AssertSqlSafe, Column, ConnectOptions, Connection, Row, TypeInfo, ValueRef};

use super::{ROWS_MAX, blocking, hex, parent, sync_dir, temporary_beside};
use crate::world::{Answer, Fault, Rows, Sqlite};

/// How long a backup waits for a writer that holds the file.
const BACKUP_PATIENCE: Duration = Duration::from_secs(30);

/// SQLite as it is built in.
pub(super) struct Real;

#[async_trait]
impl Sqlite for Real {
    async fn looks_like_one(&self, path: &str) -> Answer<()> {
        let path = std::path::PathBuf::from(path);
        super::blocking(move || {
            let mut head = [0; 16];
            let read = std::fs::File::open(&path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut head));
            match read {
                Ok(()) if &head == b"SQLite format 3\0" => Ok(()),
                Ok(()) => Err(Fault::refused(format!("{} is no SQLite database", path.display()))),
                Err(e) => Err(Fault::refused(format!("cannot read {}: {e}", path.display()))),
            }
        })
        .await
    }

    async fn query(&self, path: &str, sql: &str, params: &[Value], read_only: bool, timeout_ms: u64) -> Answer<Rows> {
        let arguments = arguments(params)?;
        let limit = Duration::from_millis(timeout_ms);
        let mut connection = open(path, read_only, limit).await?;
        let answer = fetch(&mut connection, sql, arguments, limit).await.map_err(|e| match e {
            Stop::Sql(e) => fault(path, &e),
            Stop::Fault(fault) => fault,
        });
        // Closing folds the log back into the file, which a copy of the bare file needs; the answer stands either way.
        let _ = connection.close().await;
        answer
    }

    async fn backup(&self, path: &str, to: &str) -> Answer<()> {
        let target = PathBuf::from(to);
        // SQLite would replay a log of the old database into the new one.
        for side in ["-wal", "-journal"] {
            if Path::new(&format!("{to}{side}")).exists() {
                return Err(Fault::refused(format!("{to}{side} is there: {to} is a database in use, choose another target")));
            }
        }
        let temporary = temporary_beside(&target);
        let mut connection = open(path, true, BACKUP_PATIENCE).await?;
        let made = sqlx::query("VACUUM INTO ?").bind(temporary.to_string_lossy().into_owned()).execute(&mut connection).await;
        let _ = connection.close().await;
        if let Err(e) = made {
            let _ = std::fs::remove_file(&temporary);
            return Err(fault(path, &e));
        }
        blocking(move || {
            let refused = |e: io::Error| {
                let _ = std::fs::remove_file(&temporary);
                Fault::refused(format!("cannot write the copy {}: {e}", target.display()))
            };
            File::open(&temporary).and_then(|file| file.sync_all()).map_err(refused)?;
            std::fs::rename(&temporary, &target).map_err(refused)?;
            sync_dir(parent(&target))
                .map_err(|e| Fault::lost(format!("{} is written, but could not be synced to the disk: {e}", target.display())))
        })
        .await
    }
}

enum Stop {
    Sql(sqlx::Error),
    Fault(Fault),
}

/// Opens an existing file; never creates one.
async fn open(path: &str, read_only: bool, patience: Duration) -> Answer<SqliteConnection> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Err(Fault::refused(format!("{path} is not a file"))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Fault::unreachable(format!("no database file at {path}"))),
        Err(e) => return Err(Fault::unreachable(format!("cannot reach {path}: {e}"))),
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(read_only)
        .create_if_missing(false)
        .busy_timeout(patience)
        .disable_statement_logging();
    SqliteConnection::connect_with(&options).await.map_err(|e| fault(path, &e))
}

/// Runs the statement, interrupted from within when its time is up, so that nothing of it lands afterwards.
async fn fetch(connection: &mut SqliteConnection, sql: &str, arguments: SqliteArguments, limit: Duration) -> Result<Rows, Stop> {
    let deadline = Instant::now() + limit;
    connection.lock_handle().await.map_err(Stop::Sql)?.set_progress_handler(1_000, move || Instant::now() < deadline);
    let mut found = Rows::new();
    {
        let mut rows = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(false).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await.map_err(Stop::Sql)? {
            if found.len() == ROWS_MAX {
                return Err(Stop::Fault(Fault::lost(format!("more than {ROWS_MAX} rows: let the statement ask for fewer"))));
            }
            found.push(object(&row).map_err(Stop::Sql)?);
        }
    }
    connection.lock_handle().await.map_err(Stop::Sql)?.remove_progress_handler();
    Ok(found)
}

fn arguments(params: &[Value]) -> Answer<SqliteArguments> {
    let mut arguments = SqliteArguments::default();
    for (i, value) in params.iter().enumerate() {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Bool(b) => arguments.add(i64::from(*b)),
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(n), _) => arguments.add(n),
                (None, Some(n)) if !n.is_nan() => arguments.add(n),
                _ => return Err(Fault::refused(format!("parameter {} is not a number that SQLite can hold", i + 1))),
            },
            Value::String(s) => arguments.add(s.clone()),
            Value::Array(_) | Value::Object(_) => arguments.add(value.to_string()),
        };
        added.map_err(|_| Fault::refused(format!("parameter {} cannot be bound", i + 1)))?;
    }
    Ok(arguments)
}

fn object(row: &SqliteRow) -> Result<Map<String, Value>, sqlx::Error> {
    row.columns().iter().map(|column| Ok((column.name().to_owned(), value(row, column.ordinal())?))).collect()
}

/// By what is stored, not by what the column was declared as.
fn value(row: &SqliteRow, i: usize) -> Result<Value, sqlx::Error> {
    let raw = row.try_get_raw(i)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let stored = raw.type_info().name().to_owned();
    Ok(match stored.as_str() {
        "INTEGER" => Value::from(row.try_get_unchecked::<i64, _>(i)?),
        "REAL" => {
            let number = row.try_get_unchecked::<f64, _>(i)?;
            Number::from_f64(number).map_or_else(|| Value::from(number.to_string()), Value::Number)
        }
        "BLOB" => Value::from(hex(&row.try_get_unchecked::<Vec<u8>, _>(i)?)),
        // A text may hold bytes that are none.
        _ => Value::from(String::from_utf8_lossy(&row.try_get_unchecked::<Vec<u8>, _>(i)?).into_owned()),
    })
}

/// A statement that SQLite refuses or breaks off is rolled back whole; only where it could not tell the disk's
/// answer, or its thread is gone, nobody knows.
fn fault(path: &str, e: &sqlx::Error) -> Fault {
    let Some(db) = e.as_database_error() else {
        return Fault::lost(format!("SQLite on {path}: {e}"));
    };
    let extended: i64 = db.code().and_then(|c| c.parse().ok()).unwrap_or(0);
    let cause = format!("SQLite on {path}: {} (code {extended})", db.message());
    match extended & 0xff {
        5 | 6 => Fault::refused(format!("{cause}: another process holds it")),
        9 => Fault::refused(format!("{cause}: its time was up, it was rolled back")),
        10 => Fault::lost(cause),
        11 | 26 => Fault::refused(format!("{cause}: the file is damaged or not a database")),
        _ => Fault::refused(cause),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::world::Landed;

    async fn database(dir: &tempfile::TempDir) -> String {
        let path = dir.path().join("a.db").to_str().unwrap().to_owned();
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut c = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("create table t(i integer, r real, s text, b blob, f boolean, d datetime); pragma journal_mode = wal")
            .execute(&mut c)
            .await
            .unwrap();
        c.close().await.unwrap();
        path
    }

    #[tokio::test]
    async fn values_go_in_and_come_out_as_they_are_stored() {
        let dir = tempfile::tempdir().unwrap();
        let path = database(&dir).await;
        let params = [json!(7), json!(0.5), json!("o'clock"), json!(null), json!(true), json!("2026-11-21T00:00:00Z")];
        let inserted = Real.query(&path, "insert into t values (?1, ?2, ?3, x'00ff', ?5, ?6)", &params, false, 5_000).await;
        assert_eq!(inserted.unwrap(), Rows::new());
        let rows = Real.query(&path, "select *, null as n, 1e999 as inf from t", &[], true, 5_000).await.unwrap();
        let wanted = json!({"i": 7, "r": 0.5, "s": "o'clock", "b": "00ff", "f": 1, "d": "2026-11-21T00:00:00Z", "n": null, "inf": "inf"});
        assert_eq!(Value::from(rows[0].clone()), wanted);
    }

    #[tokio::test]
    async fn a_missing_file_is_unreachable_and_stays_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("none.db").to_str().unwrap().to_owned();
        for read_only in [true, false] {
            let fault = Real.query(&path, "select 1", &[], read_only, 5_000).await.unwrap_err();
            assert!(fault.unreachable && fault.landed == Landed::No, "{fault:?}");
        }
        assert!(Real.backup(&path, &format!("{path}.copy")).await.unwrap_err().unreachable);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn read_only_writes_nothing_and_a_damaged_file_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = database(&dir).await;
        let fault = Real.query(&path, "insert into t(i) values (1)", &[], true, 5_000).await.unwrap_err();
        assert!(fault.cause.contains("readonly") && fault.landed == Landed::No, "{fault:?}");
        std::fs::write(&path, "this is no database, but it is long enough to have been one".repeat(100)).unwrap();
        let fault = Real.query(&path, "select * from t", &[], true, 5_000).await.unwrap_err();
        assert!(fault.cause.contains("damaged or not a database") && !fault.unreachable, "{fault:?}");
    }

    #[tokio::test]
    async fn a_statement_whose_time_is_up_is_broken_off_and_rolled_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = database(&dir).await;
        let endless = "insert into t(i) with recursive n(x) as (select 1 union all select x + 1 from n) select x from n";
        let fault = Real.query(&path, endless, &[], false, 50).await.unwrap_err();
        assert!(fault.cause.contains("time was up") && fault.landed == Landed::No, "{fault:?}");
        let rows = Real.query(&path, "select count(*) as n from t", &[], true, 5_000).await.unwrap();
        assert_eq!(rows[0]["n"], json!(0));
    }

    #[tokio::test]
    async fn a_backup_is_whole_while_the_database_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = database(&dir).await;
        let copy = dir.path().join("copy.db").to_str().unwrap().to_owned();
        let mut writer = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&path)).await.unwrap();
        sqlx::query("insert into t(i) values (1)").execute(&mut writer).await.unwrap();
        // Still in the log, and one more that is not committed.
        sqlx::raw_sql("begin immediate; insert into t(i) values (2)").execute(&mut writer).await.unwrap();
        Real.backup(&path, &copy).await.unwrap();
        let rows = Real.query(&copy, "select count(*) as n, sum(i) as i from t", &[], true, 5_000).await.unwrap();
        assert_eq!(Value::from(rows[0].clone()), json!({"n": 1, "i": 1}));
        let left = std::fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().file_name().as_encoded_bytes()[0] == b'.');
        assert_eq!(left.count(), 0);
        let fault = Real.backup(&copy, &path).await.unwrap_err();
        assert!(fault.cause.contains("is a database in use"), "{fault:?}");
    }
}
