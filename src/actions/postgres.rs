//! What the actions on PostgreSQL share: how a server is reached, where a replica stands, and the `psql` line that a
//! person would type. It does not know what a step wants of it.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Call, Ctx, given, shell, template};
use crate::world::{Answer, Fault, PgTarget, Rows};

/// Longest time of one statement that only looks.
pub const LOOK_MS: u64 = 15_000;

/// The protected database.
pub fn database(ctx: &Ctx<'_>) -> Answer<PgTarget> {
    target(ctx, given::need(&ctx.asset()?.connect, "database")?)
}

/// The other database of the same server: the protected one may refuse everybody.
pub fn maintenance(ctx: &Ctx<'_>) -> Answer<PgTarget> {
    let name = given::text(&ctx.asset()?.connect, "maintenance").unwrap_or_else(|| "postgres".to_owned());
    target(ctx, name)
}

fn target(ctx: &Ctx<'_>, database: String) -> Answer<PgTarget> {
    let connect = &ctx.asset()?.connect;
    let port = given::text(connect, "port").map(|p| p.parse::<u16>()).transpose();
    Ok(PgTarget {
        host: given::need(connect, "host")?,
        port: port.map_err(|_| Fault::refused("`port` is not a port"))?,
        database,
        user: given::text(connect, "user"),
        password: given::text(connect, "password"),
        sslmode: given::text(connect, "sslmode"),
        sslrootcert: given::text(connect, "sslrootcert"),
    })
}

/// `HOST:PORT` for words.
pub fn place(target: &PgTarget) -> String {
    target.port.map_or_else(|| target.host.clone(), |port| format!("{}:{port}", target.host))
}

/// A statement that only looks, in a session that can only read.
pub async fn look(ctx: &Ctx<'_>, to: &PgTarget, sql: &str, params: &[Value]) -> Answer<Rows> {
    ctx.world.postgres.query(to, sql, params, true, ctx.exchange_ms(LOOK_MS)).await
}

/// The first row of a statement that always gives one.
pub async fn row(ctx: &Ctx<'_>, to: &PgTarget, sql: &str, params: &[Value]) -> Answer<Map<String, Value>> {
    let rows = look(ctx, to, sql, params).await?;
    rows.into_iter().next().ok_or_else(|| Fault::refused(format!("{} gave no row", place(to))))
}

/// A name as SQL writes it, whatever it holds.
pub fn identifier(name: &str) -> Answer<String> {
    if name.is_empty() || name.contains('\0') {
        return Err(Fault::refused("the name of a database is empty or holds a NUL"));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

/// Where a server stands in its replication.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// It replays another's log and takes no writes.
    pub in_recovery: bool,
    /// Replay is paused.
    pub paused: bool,
    /// Log received and synced, as a position; none if none came by streaming.
    pub received: Option<String>,
    /// Log replayed.
    pub replayed: Option<String>,
    /// Bytes received and not yet replayed.
    pub unreplayed: i64,
    /// Commit time of the last transaction that was replayed.
    pub last_commit: Option<Timestamp>,
    /// Bytes between the primary's own end, as last told, and what is replayed; none if the primary does not stream.
    pub behind: Option<i64>,
    /// Milliseconds since the primary's last word; none if it does not stream.
    pub silence_ms: Option<i64>,
    /// The server's clock.
    pub now: Timestamp,
    /// Whether the protected database accepts connections; none if there is no such database.
    pub accepts: Option<bool>,
    /// The timeline of the log that is being written; none in recovery.
    pub timeline: Option<i64>,
    /// Milliseconds since the last replayed commit, by the server's clock.
    pub age_ms: Option<i64>,
}

/// Everything about a replica in one look. The lag columns of `pg_stat_replication` are not among it: they stand still
/// while replay is paused. `pg_walfile_name` has the timeline right after a promotion, `pg_control_checkpoint` has not.
const STANDING: &str = r#"
select pg_is_in_recovery() as in_recovery,
       case when pg_is_in_recovery() then pg_is_wal_replay_paused() else false end as paused,
       pg_last_wal_receive_lsn()::text as received,
       pg_last_wal_replay_lsn()::text as replayed,
       coalesce(greatest(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0), 0)::bigint as unreplayed,
       to_char(pg_last_xact_replay_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as last_commit,
       (extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint as age_ms,
       (select greatest(pg_wal_lsn_diff(greatest(latest_end_lsn, flushed_lsn), pg_last_wal_replay_lsn()), 0)::bigint
          from pg_stat_wal_receiver where status = 'streaming') as behind,
       (select (extract(epoch from clock_timestamp() - last_msg_receipt_time) * 1000)::bigint
          from pg_stat_wal_receiver where status = 'streaming') as silence_ms,
       to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as now,
       (select datallowconn from pg_database where datname = $1::text) as accepts,
       case when pg_is_in_recovery() then null
            else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint end as timeline"#;

/// Where the step's server stands, seen through the maintenance database.
pub async fn standing(ctx: &Ctx<'_>) -> Answer<Standing> {
    let to = maintenance(ctx)?;
    let name = given::need(&ctx.asset()?.connect, "database")?;
    let row = row(ctx, &to, STANDING, &[Value::String(name)]).await?;
    let text = |key: &str| row.get(key).filter(|v| !v.is_null()).map(template::plain);
    let number = |key: &str| row.get(key).and_then(Value::as_i64);
    let time = |key: &str| text(key).and_then(|t| t.parse::<Timestamp>().ok());
    let said = |key: &str| Fault::refused(format!("{} did not say `{key}`", place(&to)));
    Ok(Standing {
        in_recovery: row.get("in_recovery").and_then(Value::as_bool).ok_or_else(|| said("in_recovery"))?,
        paused: row.get("paused").and_then(Value::as_bool).ok_or_else(|| said("paused"))?,
        received: text("received"),
        replayed: text("replayed"),
        unreplayed: number("unreplayed").ok_or_else(|| said("unreplayed"))?,
        last_commit: time("last_commit"),
        behind: number("behind"),
        silence_ms: number("silence_ms").map(|ms| ms.max(0)),
        now: time("now").ok_or_else(|| said("now"))?,
        accepts: row.get("accepts").and_then(Value::as_bool),
        timeline: number("timeline"),
        age_ms: number("age_ms"),
    })
}

/// Variables, a blank behind each, that say where and as whom a program of PostgreSQL connects: no value can be taken
/// for an option or a connection string, and no password is seen in a list of processes.
pub fn environment(call: &Call<'_>, database: &str) -> String {
    let mut line = String::new();
    let name = if database == "maintenance" && call.field("maintenance").is_none() {
        Value::String("postgres".to_owned())
    } else {
        call.shown(database)
    };
    let port = call.field("port").cloned().unwrap_or(Value::from(5432));
    let mut set = |variable: &str, value: &Value| line.push_str(&format!("{variable}={} ", shell::word(value)));
    set("PGHOST", &call.shown("host"));
    set("PGPORT", &port);
    set("PGDATABASE", &name);
    for (key, variable) in [("user", "PGUSER"), ("password", "PGPASSWORD"), ("sslmode", "PGSSLMODE"), ("sslrootcert", "PGSSLROOTCERT")] {
        if let Some(value) = call.field(key) {
            set(variable, value);
        }
    }
    line
}

/// `psql` for the step's server.
pub fn psql(call: &Call<'_>, database: &str, options: &str) -> String {
    format!("{}\\\n  PGCONNECT_TIMEOUT=10 psql -X -v ON_ERROR_STOP=1{options}", environment(call, database))
}

/// Statements for [`psql`] on standard input. They are ours alone: values of a plan come in as `-v` and stand in them as
/// `:'name'`, which `psql` quotes.
pub fn statements(psql: &str, values: &[(&str, Value)], sql: &str) -> String {
    let values: String = values.iter().map(|(name, value)| format!(" -v {name}={}", shell::word(value))).collect();
    format!("{psql}{values} <<'SQL'\n{sql}\nSQL")
}

/// The line of a query of the plan with its parameters. The query goes in by `-c`, where `psql` neither obeys its own
/// commands nor fills in variables.
pub fn query_line(call: &Call<'_>, options: &str) -> String {
    // A text that began with a backslash would be a command of the tool's own.
    let query = call.with.get("query").map(template::plain).unwrap_or_default();
    let params = given::list(call.with, "params");
    let psql = psql(call, "database", &format!(" -qAt{options}"));
    if params.is_empty() {
        return format!("{psql} -c {}", shell::word(&Value::String(format!(" {query}"))));
    }
    let prepare = shell::word(&Value::String(format!("PREPARE drplan AS {query}")));
    let named: Vec<String> = (1..=params.len()).map(|i| format!("p{i}")).collect();
    let values: Vec<(&str, Value)> =
        named.iter().zip(params).filter(|(_, v)| !v.is_null()).map(|(name, value)| (name.as_str(), value.clone())).collect();
    let bound: Vec<String> =
        named.iter().zip(params).map(|(name, v)| if v.is_null() { "NULL".to_owned() } else { format!(":'{name}'") }).collect();
    statements(&format!("{psql} -c {prepare} -f -"), &values, &format!("EXECUTE drplan({});", bound.join(", ")))
}
