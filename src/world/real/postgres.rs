//! PostgreSQL servers: one statement on a connection of its own. It does not know what a statement is for.
//!
//! A statement is first only prepared, which finds its mistakes and refuses a second one hidden behind a semicolon
//! before anything is executed; so a session that was made read-only stays so. It is then executed by the simple
//! protocol, in which every type of the server has a text, and parameters are literals whose types the server infers.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::TryStreamExt;
use serde_json::{Map, Value};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgRow, PgSeverity, PgSslMode};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection, Executor, Row, SqlSafeStr, TypeInfo, ValueRef};
use tokio::time::timeout;

use super::{ROWS_MAX, pg_text};
use crate::world::{Answer, Fault, PgTarget, Postgres, Rows};

/// The longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The longest time-out of a statement that the server takes, in milliseconds.
const STATEMENT_MAX: u128 = i32::MAX as u128;
/// How long after the server should have ended a statement its word for that is awaited.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The network.
pub(super) struct Real;

#[async_trait]
impl Postgres for Real {
    async fn query(&self, to: &PgTarget, sql: &str, params: &[Value], read_only: bool, timeout_ms: u64) -> Answer<Rows> {
        let place = format!("{}:{}", to.host, to.port.unwrap_or(5432));
        let statement = statement(sql, params)?;
        let limit = Duration::from_millis(timeout_ms);
        let begun = Instant::now();
        let options = options(to)?;
        let mut connection = match timeout(limit.min(CONNECT_MAX), PgConnection::connect_with(&options)).await {
            Ok(connected) => connected.map_err(|e| not_connected(&place, &e))?,
            Err(_) => return Err(Fault::unreachable(format!("PostgreSQL at {place} did not answer in time"))),
        };
        let left = limit.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
        let ready = timeout(left, prepare(&mut connection, sql, params, read_only, left)).await;
        ready
            .map_err(|_| Fault::unreachable(format!("PostgreSQL at {place} did not answer in time; the statement was not sent")))?
            .map_err(|e| not_executed(&place, params, &e))?;
        let left = limit.saturating_sub(begun.elapsed()) + LAST_WORDS;
        let rows = match timeout(left, fetch(&mut connection, &statement)).await {
            Ok(rows) => rows.map_err(|e| executed(&place, params, read_only, &e))?,
            Err(_) => return Err(Fault::lost(format!("PostgreSQL at {place} did not answer in {timeout_ms} ms"))),
        };
        // The answer stands, however the farewell goes.
        let _ = timeout(LAST_WORDS, connection.close()).await;
        rows.ok_or_else(|| {
            let cause = format!("more than {ROWS_MAX} rows came from {place}: let the statement ask for fewer");
            if read_only { Fault::refused(cause) } else { Fault::lost(cause) }
        })
    }
}

/// As `psql` would connect: what the target does not say comes from `PG…` variables and `.pgpass`.
fn options(to: &PgTarget) -> Answer<PgConnectOptions> {
    let port = to.port.unwrap_or(5432);
    let user = to.user.as_ref().map(|user| format!("{}@", percent(user))).unwrap_or_default();
    // Only an address makes the driver look into `.pgpass`.
    let url = format!("postgres://{user}{}:{port}/{}", percent(&to.host), percent(&to.database));
    let mut options: PgConnectOptions =
        url.parse().map_err(|_| Fault::refused(format!("`{}` is not a host of a PostgreSQL server", to.host)))?;
    options = options.host(&to.host).port(port).database(&to.database).application_name("drplan").disable_statement_logging();
    if let Some(user) = &to.user {
        options = options.username(user);
    }
    if let Some(password) = &to.password {
        options = options.password(password);
    }
    if let Some(mode) = &to.sslmode {
        let mode: PgSslMode = mode.parse().map_err(|_| Fault::refused(format!("`{mode}` is not an sslmode")))?;
        options = options.ssl_mode(mode);
    }
    if let Some(file) = &to.sslrootcert {
        options = options.ssl_root_cert(file);
    }
    Ok(options)
}

fn percent(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// What is sent: the statement itself, or, for parameters, its preparation and its execution with them.
fn statement(sql: &str, params: &[Value]) -> Answer<Vec<String>> {
    if sql.contains('\0') {
        return Err(Fault::refused("a statement cannot hold a zero byte"));
    }
    if params.is_empty() {
        return Ok(vec![sql.to_owned()]);
    }
    let literals: Result<Vec<String>, Fault> = params.iter().map(literal).collect();
    Ok(vec![format!("prepare drplan_statement as {sql}"), format!("execute drplan_statement({})", literals?.join(", "))])
}

/// A literal of unknown type, as in `'5'`: the server gives it the type that its place asks for.
fn literal(value: &Value) -> Answer<String> {
    let text = match value {
        Value::Null => return Ok("null".to_owned()),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.contains('\0') {
        return Err(Fault::refused("a parameter cannot hold a zero byte"));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

/// Makes the session as it must be and lets the server look at the statement, without executing it.
async fn prepare(connection: &mut PgConnection, sql: &str, params: &[Value], read_only: bool, limit: Duration) -> Result<(), sqlx::Error> {
    let session = format!(
        "set statement_timeout = {}; set standard_conforming_strings = on; set intervalstyle = 'postgres'; set bytea_output = 'hex'{}",
        limit.as_millis().min(STATEMENT_MAX),
        if read_only { "; set session characteristics as transaction read only" } else { "" }
    );
    connection.execute(sqlx::raw_sql(AssertSqlSafe(session))).await?;
    let described = connection.prepare(AssertSqlSafe(sql).into_sql_str()).await?;
    let wanted = match sqlx::Statement::parameters(&described) {
        Some(sqlx::Either::Left(types)) => types.len(),
        Some(sqlx::Either::Right(count)) => count,
        None => 0,
    };
    if wanted == params.len() {
        return Ok(());
    }
    Err(sqlx::Error::InvalidArgument(format!("the statement has {wanted} parameters, {} are given", params.len())))
}

/// None if there are too many rows.
async fn fetch(connection: &mut PgConnection, statements: &[String]) -> Result<Option<Rows>, sqlx::Error> {
    let mut found = Rows::new();
    for sql in statements {
        let mut rows = sqlx::raw_sql(AssertSqlSafe(sql.as_str())).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            if found.len() == ROWS_MAX {
                return Ok(None);
            }
            found.push(object(&row)?);
        }
    }
    Ok(Some(found))
}

fn object(row: &PgRow) -> Result<Map<String, Value>, sqlx::Error> {
    let value = |i: usize| -> Result<Value, sqlx::Error> {
        let raw = row.try_get_raw(i)?;
        if raw.is_null() {
            return Ok(Value::Null);
        }
        let text = raw.as_str().map_err(sqlx::Error::Decode)?;
        Ok(pg_text::value(raw.type_info().name(), text))
    };
    row.columns().iter().map(|column| Ok((column.name().to_owned(), value(column.ordinal())?))).collect()
}

/// Nothing was asked yet. A server that says that it cannot take connections now is not there; one that says no is.
fn not_connected(place: &str, e: &sqlx::Error) -> Fault {
    match e {
        sqlx::Error::Database(db) if db.code().as_deref() != Some("57P03") => Fault::refused(said(place, &[], e)),
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => {
            Fault::refused(format!("no secure connection to PostgreSQL at {place}: {e}"))
        }
        sqlx::Error::Database(_) => Fault::unreachable(said(place, &[], e)),
        _ => Fault::unreachable(format!("PostgreSQL at {place} cannot be reached: {}", plain(e))),
    }
}

/// It was looked at and not executed.
fn not_executed(place: &str, params: &[Value], e: &sqlx::Error) -> Fault {
    match e {
        sqlx::Error::Database(_) => Fault::refused(said(place, params, e)),
        sqlx::Error::InvalidArgument(why) => Fault::refused(why.clone()),
        _ => Fault::unreachable(format!("the connection to PostgreSQL at {place} broke before the statement was sent: {}", plain(e))),
    }
}

/// An error rolls the statement back; but one that was broken off may have had an effect that no transaction holds,
/// as a promotion has, and of a server that goes down nobody knows what it still did.
fn executed(place: &str, params: &[Value], read_only: bool, e: &sqlx::Error) -> Fault {
    let Some(db) = e.as_database_error().and_then(|db| db.try_downcast_ref::<PgDatabaseError>()) else {
        return Fault::lost(format!("the connection to PostgreSQL at {place} broke before the answer came: {}", plain(e)));
    };
    let fatal = matches!(db.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    let broken_off = matches!(db.code(), "57014" | "40003") || ["57P", "08"].iter().any(|class| db.code().starts_with(class));
    let cause = said(place, params, e);
    if !read_only && (fatal || broken_off) { Fault::lost(cause) } else { Fault::refused(cause) }
}

/// What the server said, with its code and without the values of parameters that it quotes.
fn said(place: &str, params: &[Value], e: &sqlx::Error) -> String {
    let Some(db) = e.as_database_error() else {
        return format!("PostgreSQL at {place}: {}", plain(e));
    };
    let mut message = db.message().to_owned();
    for value in params {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        message = message.replace(&format!("\"{text}\""), "\"(a parameter)\"");
    }
    format!("PostgreSQL at {place}: {message} ({})", db.code().unwrap_or_default())
}

fn plain(e: &sqlx::Error) -> String {
    match e {
        sqlx::Error::Io(e) => e.to_string(),
        e => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn literals_hold_whatever_they_are_given() {
        let given = [json!(null), json!(5), json!(true), json!("o'clock\\'; drop table t; --"), json!({"a": ["'"]})];
        let wanted = "execute drplan_statement(null, '5', 'true', 'o''clock\\''; drop table t; --', '{\"a\":[\"''\"]}')";
        assert_eq!(statement("select $1", &given).unwrap()[1], wanted);
        assert!(statement("select $1", &[json!("a\0b")]).is_err());
    }

    #[test]
    fn a_target_says_where_and_as_whom() {
        let to = PgTarget { host: "::1".to_owned(), database: "a b/c".to_owned(), user: Some("u@x".to_owned()), ..PgTarget::default() };
        let options = options(&to).unwrap();
        assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("::1", 5432, "u@x"));
        assert_eq!(options.get_database(), Some("a b/c"));
        let wrong = PgTarget { sslmode: Some("maybe".to_owned()), ..to };
        assert!(super::options(&wrong).unwrap_err().cause.contains("`maybe` is not an sslmode"));
    }
}
