//! What the actions on SQLite files share: the path, whether a file is whole, and its companions. It does not know
//! which of several files is wanted.

use serde_json::{Map, Value};

use super::{Call, Ctx, given, shell};
use crate::world::{Answer, Fault};

/// Files that belong to a database while it is in use; they must never stand beside another database.
pub const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Longest time of one statement.
pub const STATEMENT_MS: u64 = 600_000;

/// The database of the step's asset.
pub fn path(ctx: &Ctx<'_>) -> Answer<String> {
    Ok(given::path(ctx.dir, &given::need(&ctx.asset()?.connect, "path")?))
}

/// The same as a word of sh that no tool takes for an option.
pub fn word(call: &Call<'_>) -> String {
    file_word(&call.shown("path"))
}

/// A path as a word of sh that no tool takes for an option.
pub fn file_word(path: &Value) -> String {
    let text = super::template::plain(path);
    // `./` in front also of a variable would break an absolute path, so that only what is seen is changed.
    shell::word(&Value::String(if text.starts_with('-') { format!("./{text}") } else { text }))
}

/// Says `ok` of a database that is intact and holds something, for a person who types: the same as [`whole`].
pub const WHOLE: &str = "\"select case when exists (select * from sqlite_schema) then group_concat(integrity_check) else 'empty' end from pragma_integrity_check\"";

/// Whether a file can be read, is intact and holds something: a backup of nothing is none. The error says what is wrong.
pub async fn whole(ctx: &Ctx<'_>, path: &str) -> Answer<()> {
    intact(ctx, path).await?;
    holds(ctx, path).await
}

/// Whether a database holds anything.
pub async fn holds(ctx: &Ctx<'_>, path: &str) -> Answer<()> {
    let holds = "select exists (select * from sqlite_schema) as holds";
    let rows = ctx.world.sqlite.query(path, holds, &[], true, ctx.exchange_ms(STATEMENT_MS)).await?;
    match rows.first().and_then(first) {
        Some(Value::Number(n)) if n.as_i64() == Some(1) => Ok(()),
        _ => Err(Fault::refused("it is empty: there is not one table in it")),
    }
}

/// Whether a file can be read and is intact; the error says what is wrong with it.
pub async fn intact(ctx: &Ctx<'_>, path: &str) -> Answer<()> {
    let rows = ctx.world.sqlite.query(path, "PRAGMA integrity_check", &[], true, ctx.exchange_ms(STATEMENT_MS)).await?;
    let said: Vec<String> = rows.iter().filter_map(first).map(|v| super::template::plain(&v)).collect();
    match said.as_slice() {
        [ok] if ok == "ok" => Ok(()),
        [] => Err(Fault::refused("the integrity check says nothing")),
        [first, ..] => Err(Fault::refused(format!("it is damaged: {first}"))),
    }
}

/// True if a file is there and holds something.
pub async fn filled(ctx: &Ctx<'_>, path: &str) -> Answer<bool> {
    Ok(ctx.world.files.facts(path).await?.is_some_and(|f| f.size > 0))
}

/// The first column of a row. The world keeps no order of columns, so that a row of several has none.
pub fn first(row: &Map<String, Value>) -> Option<Value> {
    row.values().next().cloned()
}
