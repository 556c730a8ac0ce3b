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

/// Whether a file can be read and is whole; the error says what is wrong with it.
pub async fn whole(ctx: &Ctx<'_>, path: &str) -> Answer<()> {
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
