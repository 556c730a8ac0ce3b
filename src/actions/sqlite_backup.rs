//! `sqlite.backup`: a whole copy of a database that is in use.

use serde_json::{Value, json};

use super::keep::{self, own_file};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, shell, sqlite,
    template, words,
};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "sqlite.backup",
    page: include_str!("sqlite_backup.md"),
    fields: &[Field::required(
        "to",
        Type::Text,
        "the file to write, which must not exist; with a `/` at its end a directory for a new name",
    )],
    outputs: &[
        Output::new("backup", Type::Text, "the file that was written"),
        Output::new("size", Type::Int, "its size in bytes"),
        Output::new("sha256", Type::Text, "its SHA-256 in hexadecimal"),
        Output::new("time", Type::Time, "when it was written"),
    ],
    effect: Effect::Verifiable,
    // A disk that is slow finishes what it was told.
    settles_ms: 10_000,
    kinds: &[AssetKind::Sqlite],
    undo: UndoKind::Auto,
    sentence: |call| {
        format!("Copy {} to {}, whole, while it is in use", words::value(&call.shown("path")), words::value(&call.shown("to")))
    },
    seen: |_| "the copy is there and is whole".to_owned(),
    commands: |call| {
        let copy = format!("{}.copy", call.step);
        let to = target_word(call);
        vec![Manual {
            what: "Copy the database, then give the copy its name".to_owned(),
            script: format!(
                "sqlite3 -batch {} {} &&\n[ \"$(sqlite3 -batch -readonly {copy} {})\" = ok ] &&\nmv -n -- {copy} {to} && [ ! -e {copy} ]",
                sqlite::word(call),
                shell::literal(&format!(".backup {copy}")),
                sqlite::WHOLE,
            ),
            changes: true,
            expect: "no error; the copy is there".to_owned(),
        }]
    },
    undo_commands: |call| {
        vec![Manual {
            what: "Remove the copy".to_owned(),
            script: format!("rm -f -- {}", target_word(call)),
            changes: true,
            expect: "no error".to_owned(),
        }]
    },
    before: |ctx| Box::pin(async { keep::new_file(ctx, &given::need(ctx.with, "to")?, "db").await }),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

fn target_word(call: &Call<'_>) -> String {
    let to = template::plain(&call.shown("to"));
    let to = if to.ends_with('/') { format!("{to}{}.db", call.step) } else { to };
    sqlite::file_word(&Value::String(to))
}

async fn outputs(ctx: &Ctx<'_>, to: &str) -> Answer<Option<Outputs>> {
    let Some(facts) = ctx.world.files.facts(to).await? else { return Ok(None) };
    sqlite::whole(ctx, to).await?;
    let sha = ctx.world.files.sha256(to).await?;
    let fields = [("backup", json!(to)), ("size", json!(facts.size)), ("sha256", json!(sha)), ("time", json!(facts.modified.to_string()))];
    Ok(Some(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    Ok(match own_file(before) {
        Ok(to) => outputs(ctx, to).await?.map_or(Probe::NotThere, Probe::There),
        Err(_) => Probe::NotThere,
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let to = own_file(before)?;
    let size = ctx.world.files.facts(&sqlite::path(ctx)?).await?.map(|f| f.size);
    let size = size.ok_or_else(|| Fault::unreachable("the database is not there"))?;
    Ok(vec![Change { what: format!("file {}", words::code(to)), old: "none".to_owned(), new: format!("a copy of about {size} bytes") }])
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let to = own_file(before)?;
    if let Some(done) = outputs(ctx, to).await? {
        return Ok(done);
    }
    let path = sqlite::path(ctx)?;
    sqlite::holds(ctx, &path).await?;
    ctx.world.sqlite.backup(&path, to).await?;
    outputs(ctx, to).await?.ok_or_else(|| Fault::lost(format!("{} was written, but is not there", words::code(to))))
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    if let Ok(to) = own_file(before) {
        ctx.world.files.remove(to).await?;
    }
    Ok(Probe::NotThere)
}
