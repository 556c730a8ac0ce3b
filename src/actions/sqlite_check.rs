//! `sqlite.check`: whether a database is whole, and what a query finds in it.

use serde_json::{Value, json};

use super::{Action, AssetKind, Call, Ctx, Field, Manual, Output, Outputs, Type, given, rows, shell, sqlite, template, words};
use crate::world::Answer;

pub(super) static ACTION: Action = Action {
    name: "sqlite.check",
    page: include_str!("sqlite_check.md"),
    fields: &[
        Field::default("integrity", Type::Bool, "true", "read the whole file and see that it is not damaged"),
        Field::optional("query", Type::Text, "a query; the file is opened for reading only"),
        Field::optional("expect", Type::Matcher, "what the query finds: its one column in its first row"),
        Field::optional("rows", Type::Matcher, "how many rows the query finds"),
    ],
    outputs: &[
        Output::new("integrity", Type::Bool, "true if the file was read whole and is not damaged; absent if it was not looked at"),
        Output::new("value", Type::Any, "what the query finds: its one column in its first row"),
        Output::new("row", Type::Any, "its first row, by column"),
        Output::new("rows", Type::Int, "how many rows the query finds"),
    ],
    kinds: &[AssetKind::Sqlite],
    sentence: |call| format!("Look into {} and see that {}", words::value(&call.shown("path")), wanted(call)),
    seen: wanted,
    commands,
    check: rows::problems,
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn looks_whole(call: &Call<'_>) -> bool {
    given::bool(call.with, "integrity", true)
}

fn wanted(call: &Call<'_>) -> String {
    let mut out = Vec::new();
    if looks_whole(call) {
        out.push("it is whole".to_owned());
    }
    if call.with.contains_key("query") {
        out.push(rows::wanted(call));
    }
    if out.is_empty() { "it can be opened".to_owned() } else { words::list(&out) }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let path = sqlite::word(call);
    let mut out = Vec::new();
    let query = call.with.get("query");
    if looks_whole(call) || query.is_none() {
        out.push(Manual {
            what: "Read the whole file".to_owned(),
            script: format!("[ \"$(sqlite3 -batch -readonly {path} 'PRAGMA integrity_check' | tee /dev/stderr)\" = ok ]"),
            changes: false,
            expect: "`ok`, and nothing else".to_owned(),
        });
    }
    if let Some(query) = query {
        // A word that begins with a dot would be a command of the tool's own.
        let text = Value::String(format!(" {}", template::plain(query)));
        let script = rows::script(call, &format!("sqlite3 -batch -safe -readonly {path} {}", shell::word(&text)));
        out.push(Manual { what: "Ask the database".to_owned(), script, changes: false, expect: rows::wanted(call) });
    }
    out
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let path = sqlite::path(ctx)?;
    let mut out = Outputs::new();
    if given::bool(ctx.with, "integrity", true) {
        sqlite::intact(ctx, &path).await?;
        out.insert("integrity".to_owned(), json!(true));
    }
    // Without a query too, the file must be one that can be read.
    let query = given::text(ctx.with, "query").unwrap_or_else(|| "select count(*) from sqlite_schema".to_owned());
    let found = ctx.world.sqlite.query(&path, &query, &[], true, ctx.exchange_ms(sqlite::STATEMENT_MS)).await?;
    if !ctx.with.contains_key("query") {
        return Ok(out);
    }
    out.extend(rows::judged(ctx, &found)?);
    Ok(out)
}
