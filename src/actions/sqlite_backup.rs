//! `sqlite.backup`: a whole copy of a database that is in use.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

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
                "sqlite3 -batch {} {} &&\n[ \"$(sqlite3 -batch -readonly {copy} 'PRAGMA integrity_check')\" = ok ] &&\nmv -n -- {copy} {to} && [ ! -e {copy} ]",
                sqlite::word(call),
                shell::literal(&format!(".backup {copy}")),
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
    before: |ctx| Box::pin(before(ctx)),
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

/// The name is settled once, before the first attempt, so that each attempt writes the same file.
async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let to = given::path(ctx.dir, &given::need(ctx.with, "to")?);
    let to = if to.ends_with('/') {
        let digest: String = Sha256::digest(ctx.key.as_bytes()).iter().take(4).map(|b| format!("{b:02x}")).collect();
        let time = ctx.world.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        format!("{to}{}-{time}-{digest}.db", ctx.asset()?.asset)
    } else {
        to
    };
    let exists = ctx.world.files.facts(&to).await?.is_some();
    Ok(json!({ "to": to, "exists": exists }))
}

fn target(before: &Before) -> Answer<String> {
    let to = before.get("to").and_then(Value::as_str).ok_or_else(|| Fault::refused("the state before names no file"))?;
    if before.get("exists") == Some(&Value::Bool(true)) {
        return Err(Fault::refused(format!("{} was there before this step: it is not written over", words::code(to))));
    }
    Ok(to.to_owned())
}

async fn outputs(ctx: &Ctx<'_>, to: &str) -> Answer<Option<Outputs>> {
    let Some(facts) = ctx.world.files.facts(to).await? else { return Ok(None) };
    sqlite::whole(ctx, to).await?;
    let sha = ctx.world.files.sha256(to).await?;
    let fields = [("backup", json!(to)), ("size", json!(facts.size)), ("sha256", json!(sha)), ("time", json!(facts.modified.to_string()))];
    Ok(Some(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    Ok(match target(before) {
        Ok(to) => outputs(ctx, &to).await?.map_or(Probe::NotThere, Probe::There),
        Err(_) => Probe::NotThere,
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let to = target(before)?;
    let size = ctx.world.files.facts(&sqlite::path(ctx)?).await?.map(|f| f.size);
    let size = size.ok_or_else(|| Fault::unreachable("the database is not there"))?;
    Ok(vec![Change { what: format!("file {}", words::code(&to)), old: "none".to_owned(), new: format!("a copy of about {size} bytes") }])
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let to = target(before)?;
    if let Some(done) = outputs(ctx, &to).await? {
        return Ok(done);
    }
    ctx.world.sqlite.backup(&sqlite::path(ctx)?, &to).await?;
    outputs(ctx, &to).await?.ok_or_else(|| Fault::lost(format!("{} was written, but is not there", words::code(&to))))
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    if let Ok(to) = target(before) {
        ctx.world.files.remove(&to).await?;
    }
    Ok(Probe::NotThere)
}
