//! Programs of PostgreSQL: how they are told where and as whom to connect, what their ends mean, and what a dump says of
//! itself. It does not know what a step wants of them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Ctx, Earlier, command, words};
use crate::world::{Answer, Command, Exit, Fault, Found, PgTarget};

/// How much of what a program says is read: the list of a large database is long.
const KEEP_BYTES: usize = 4 << 20;

/// A program of PostgreSQL; where and as whom it connects goes by the environment.
pub fn program(ctx: &Ctx<'_>, to: &PgTarget, argv: &[&str]) -> Command {
    let to = to.clone();
    let fields = [
        ("PGCONNECT_TIMEOUT", Some("10".to_owned())),
        // A dump tells when it was made by the clock on the wall where it was made.
        ("TZ", Some("UTC".to_owned())),
        ("PGHOST", Some(to.host)),
        ("PGPORT", to.port.map(|p| p.to_string())),
        ("PGDATABASE", Some(to.database)),
        ("PGUSER", to.user),
        ("PGPASSWORD", to.password),
        ("PGSSLMODE", to.sslmode),
        ("PGSSLROOTCERT", to.sslrootcert),
    ];
    Command {
        ticket: ctx.ticket.to_owned(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<BTreeMap<_, _>>(),
        cwd: Some(ctx.dir.to_owned()).filter(|dir| !dir.is_empty()),
        stdin: None,
        begin_by: ctx.begin_by,
        timeout_ms: ctx.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
        keep_bytes: KEEP_BYTES,
        secrets: ctx.secrets.to_vec(),
    }
}

/// A program ended well; what it said else.
pub fn good(ctx: &Ctx<'_>, exit: Exit, what: &str) -> Answer<Exit> {
    match (exit.code, exit.timed_out) {
        (Some(0), false) => Ok(exit),
        (Some(code), false) => Err(Fault::refused(format!("{what} ended with exit code {code}{}", command::last_words(ctx, &exit)))),
        _ => Err(Fault::lost(format!("{what} was ended before its time{}", command::last_words(ctx, &exit)))),
    }
}

/// What became of an attempt whose work is made anew if nobody looked at its end.
pub async fn earlier(ctx: &Ctx<'_>, program: &str) -> Answer<Earlier> {
    Ok(match ctx.world.process.find(ctx.ticket).await? {
        Found::NeverStarted => Earlier::NeverStarted,
        Found::Running => Earlier::Running,
        Found::Ended(_) => Earlier::CannotTell { why: format!("`{program}` ended while nobody looked at what it wrote"), gone: true },
        Found::Unknown { why, gone } => Earlier::CannotTell { why, gone },
    })
}

/// What a dump says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// How many tables' data are in it; never none.
    pub tables: u64,
    /// When it was begun, if it was made where clocks go by UTC.
    pub begun: Option<Timestamp>,
}

/// Reads a dump to its end, every compressed part of it, and counts the tables whose data are in it.
pub async fn whole(ctx: &Ctx<'_>, file: &str) -> Answer<Dump> {
    let nobody = PgTarget::default();
    let read = program(ctx, &nobody, &["pg_restore", "--file=/dev/null", "--", file]);
    good(ctx, ctx.world.process.ask(&read).await?, "`pg_restore`, which reads it to its end,")?;
    listed(ctx, file).await
}

/// What a dump says of itself in its list, which is there even if its end is missing.
pub async fn listed(ctx: &Ctx<'_>, file: &str) -> Answer<Dump> {
    let nobody = PgTarget::default();
    let list = program(ctx, &nobody, &["pg_restore", "--list", "--", file]);
    let said = good(ctx, ctx.world.process.ask(&list).await?, "`pg_restore --list`")?;
    let tables = said.stdout.lines().filter(|line| !line.starts_with(';') && line.contains(" TABLE DATA ")).count();
    match tables {
        0 => Err(Fault::refused(format!("{} holds no table's data: a dump of nothing is no backup", words::code(file)))),
        tables => Ok(Dump { tables: u64::try_from(tables).unwrap_or(u64::MAX), begun: begun(&said.stdout) }),
    }
}

/// `; Archive created at 2026-11-22 01:00:00 UTC`, of which the name of the zone is the reader's own.
fn begun(list: &str) -> Option<Timestamp> {
    let text = list.lines().find_map(|line| line.strip_prefix("; Archive created at "))?;
    let text = text.get(.."2026-11-22 01:00:00".len())?;
    let wall = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", text).ok()?;
    Some(wall.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}
