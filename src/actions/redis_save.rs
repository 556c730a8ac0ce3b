//! `redis.save`: lets a server write its data to its RDB file, waits until that is done, and copies the file if the
//! plan wants it. It does not know who reads the copy.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::keep::{self, own_file};
use super::redis::{self, place, target};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, shell, template,
    words,
};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "redis.save",
    page: include_str!("redis_save.md"),
    fields: &[Field::optional(
        "to",
        Type::Text,
        "a file to copy the snapshot to, which must not exist; with a `/` at its end a directory for a new name; the server must stand on this machine",
    )],
    outputs: &[
        Output::new("saved_at", Type::Time, "when the server had written it, whole seconds"),
        Output::new("keys", Type::Int, "number of keys in all databases, looked at when it was written"),
        Output::new("backup", Type::Text, "the copy, with `to`"),
        Output::new("size", Type::Int, "its size in bytes"),
        Output::new("sha256", Type::Text, "its SHA-256 in hexadecimal"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Redis],
    undo: UndoKind::Auto,
    settles_ms: 60_000,
    sentence: |call| {
        let copy = call.with.get("to").map(|to| format!(" and copy its file to {}", words::value(to))).unwrap_or_default();
        format!("Let Redis at {} write its data to the disk{copy}", redis::shown(call))
    },
    seen: |_| "the last save is newer than this step, and it succeeded".to_owned(),
    commands,
    undo_commands: |call| match copy_word(call) {
        None => vec![],
        Some(to) => vec![Manual {
            what: "Remove the copy".to_owned(),
            script: format!("rm -f -- {to}"),
            changes: true,
            expect: "no error".to_owned(),
        }],
    },
    check: redis::problems,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

fn copy_word(call: &Call<'_>) -> Option<String> {
    let to = template::plain(call.with.get("to")?);
    let to = if to.ends_with('/') { format!("{to}{}.rdb", call.step) } else { to };
    // A name that begins with `-` or is empty is a name all the same.
    let to = if to.starts_with(['/', '$']) { to } else { format!("./{to}") };
    Some(shell::word(&Value::String(to)))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let cli = redis::cli(call);
    let value = |key: &str| format!("$({})", redis::told("persistence", key));
    let mut script = format!(
        "{cli}BEFORE=$(redis LASTSAVE) && [ -n \"$BEFORE\" ] && while [ \"$(date +%s)\" -le \"$BEFORE\" ]; do sleep 1; done &&\n\
         redis BGSAVE &&\n\
         n=0; while [ \"{}\" = 1 ]; do n=$((n+1)); [ $n -lt 3600 ] || break; sleep 1; done &&\n\
         [ \"{}\" = ok ] && [ \"$(redis LASTSAVE)\" -gt \"$BEFORE\" ]",
        value("rdb_bgsave_in_progress"),
        value("rdb_last_bgsave_status"),
    );
    if let Some(to) = copy_word(call) {
        script.push_str(&format!(
            " &&\nFILE=$(redis CONFIG GET dir | tail -n 1)/$(redis CONFIG GET dbfilename | tail -n 1) &&\n[ ! -e {to} ] && cp -- \"$FILE\" {to} && redis-check-rdb {to}"
        ));
    }
    vec![Manual {
        what: "Save, wait, look whether it succeeded".to_owned(),
        script,
        changes: true,
        expect: "`Background saving started`, and no error".to_owned(),
    }]
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    // A save that was begun earlier would end as if it were this step's, without what was written meanwhile.
    let start = ctx.world.clock.elapsed();
    while saving(ctx).await?.0 {
        if ctx.world.clock.elapsed().saturating_sub(start) >= super::postgres_lag::patience(ctx) {
            return Err(Fault::refused(format!("{} is busy with another save", place(&target(ctx)?))));
        }
        ctx.world.clock.sleep(redis::PAUSE).await;
    }
    let last = last_save(ctx).await?;
    let copy = match given::text(ctx.with, "to").filter(|to| !to.is_empty()) {
        Some(to) => Some(keep::new_file(ctx, &to, "rdb").await?),
        None => None,
    };
    Ok(json!({ "last": last, "copy": copy }))
}

/// The file of the copy, if one is wanted.
fn copy_of(before: &Before) -> Answer<Option<&str>> {
    match before.get("copy") {
        Some(copy) if !copy.is_null() => own_file(copy).map(Some),
        _ => Ok(None),
    }
}

async fn last_save(ctx: &Ctx<'_>) -> Answer<i64> {
    let to = target(ctx)?;
    redis::ask(ctx, &to, &["LASTSAVE"])
        .await?
        .as_i64()
        .ok_or_else(|| Fault::refused(format!("{} did not say when it last saved", place(&to))))
}

fn before_save(before: &Before) -> Answer<i64> {
    before.get("last").and_then(Value::as_i64).ok_or_else(|| Fault::refused("the state before does not say when it last saved"))
}

/// Persistence as the server tells it: whether a save runs, whether the last one succeeded.
async fn saving(ctx: &Ctx<'_>) -> Answer<(bool, bool)> {
    let to = target(ctx)?;
    let said = template::plain(&redis::ask(ctx, &to, &["INFO", "persistence"]).await?);
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    match (value("rdb_bgsave_in_progress"), value("rdb_last_bgsave_status")) {
        (Some(runs), Some(status)) => Ok((runs != "0", status == "ok")),
        _ => Err(Fault::refused(format!("{} did not say whether it saves", place(&to)))),
    }
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let Ok(copy) = copy_of(before) else { return Ok(Probe::NotThere) };
    if last_save(ctx).await? <= before_save(before)? {
        return Ok(match saving(ctx).await?.0 {
            true => Probe::CannotTell("a save runs".to_owned()),
            false => Probe::NotThere,
        });
    }
    let out = outputs(ctx, copy).await?;
    Ok(out.map_or(Probe::NotThere, Probe::There))
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let copy = copy_of(before)?;
    let keys = redis::standing(ctx).await?.keys;
    let mut out = vec![Change {
        what: format!("RDB file of {}", words::code(&place(&target(ctx)?))),
        old: format!("of {}", time(before_save(before)?)),
        new: format!("of now, with {keys} keys"),
    }];
    out.extend(copy.map(|to| Change { what: format!("file {}", words::code(to)), old: "none".to_owned(), new: "a copy of it".to_owned() }));
    Ok(out)
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| "an unknown time".to_owned(), |t| t.to_string())
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let copy = copy_of(before)?;
    let (to, last) = (target(ctx)?, before_save(before)?);
    if last_save(ctx).await? > last
        && let Some(done) = outputs(ctx, copy).await?
    {
        return Ok(done);
    }
    if redis::standing(ctx).await?.keys == 0 {
        return Err(Fault::refused(format!("{} holds no key: a snapshot of nothing is no backup", place(&to))));
    }
    // The time of a save is told in whole seconds: one in the same second as the last could not be told from it. A save
    // that was begun by somebody else may miss what was written since; it is waited for, not taken.
    let start = ctx.world.clock.elapsed();
    loop {
        let late = ctx.world.clock.elapsed().saturating_sub(start) >= super::postgres_lag::patience(ctx);
        let now = redis::ask(ctx, &to, &["LASTSAVE"]).await?.as_i64().unwrap_or(i64::MAX);
        if !saving(ctx).await?.0 && server_seconds(ctx).await? > now {
            break;
        }
        if late {
            return Err(Fault::refused(format!("{} is busy with another save", place(&to))));
        }
        ctx.world.clock.sleep(redis::PAUSE).await;
    }
    let begun = last_save(ctx).await?;
    redis::ask(ctx, &to, &["BGSAVE"]).await?;
    loop {
        let lost = |f: Fault| Fault::lost(format!("the save was begun, but the server cannot be looked at: {f}"));
        let (runs, good) = saving(ctx).await.map_err(lost)?;
        if !runs && !good {
            return Err(Fault::refused(format!(
                "{} could not save: its log says why (no room on the disk, no memory to fork)",
                place(&to)
            )));
        }
        if !runs && last_save(ctx).await.map_err(lost)? > begun {
            break;
        }
        ctx.world.clock.sleep(redis::PAUSE).await;
    }
    if let Some(copy) = copy {
        take(ctx, copy, begun).await?;
    }
    outputs(ctx, copy).await?.ok_or_else(|| Fault::lost("the save is done, but its copy is not there"))
}

/// The server's clock.
async fn server_seconds(ctx: &Ctx<'_>) -> Answer<i64> {
    let to = target(ctx)?;
    let said = redis::ask(ctx, &to, &["TIME"]).await?;
    let seconds = said.get(0).and_then(Value::as_str).and_then(|s| s.parse().ok());
    seconds.ok_or_else(|| Fault::refused(format!("{} did not say what time it is", place(&to))))
}

/// Copies the server's file, if that file lies on this machine and is surely the one of this save.
async fn take(ctx: &Ctx<'_>, copy: &str, begun: i64) -> Answer<()> {
    let to = target(ctx)?;
    let mut parts = Vec::new();
    for name in ["dir", "dbfilename"] {
        let said = redis::ask(ctx, &to, &["CONFIG", "GET", name]).await?;
        let value = said.get(1).and_then(Value::as_str).filter(|v| !v.is_empty());
        parts.push(value.ok_or_else(|| Fault::refused(format!("{} does not say its `{name}`", place(&to))))?.to_owned());
    }
    let file = format!("{}/{}", parts[0].trim_end_matches('/'), parts[1]);
    let saved = last_save(ctx).await?;
    let Some(facts) = ctx.world.files.facts(&file).await? else {
        let why = "it does not stand on this machine; leave out `to`, and fetch the file there";
        return Err(Fault::refused(format!("{} saved, but there is no {} here: {why}", place(&to), words::code(&file))));
    };
    let written = facts.modified.as_second();
    if written < begun || written > saved + 1 {
        return Err(Fault::refused(format!(
            "{} saved at {}, but {} is of {}: it is another server's file",
            place(&to),
            time(saved),
            words::code(&file),
            facts.modified
        )));
    }
    ctx.world.files.copy(&file, copy).await
}

/// None if the copy that is wanted is not there.
async fn outputs(ctx: &Ctx<'_>, copy: Option<&str>) -> Answer<Option<Outputs>> {
    let mut out = Outputs::new();
    out.insert("saved_at".to_owned(), json!(time(last_save(ctx).await?)));
    out.insert("keys".to_owned(), json!(redis::standing(ctx).await?.keys));
    if let Some(copy) = copy {
        let (Some(facts), Some(sha)) = (ctx.world.files.facts(copy).await?, ctx.world.files.sha256(copy).await?) else { return Ok(None) };
        out.insert("backup".to_owned(), json!(copy));
        out.insert("size".to_owned(), json!(facts.size));
        out.insert("sha256".to_owned(), json!(sha));
    }
    Ok(Some(out))
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    if let Ok(Some(to)) = copy_of(before) {
        ctx.world.files.remove(to).await?;
    }
    Ok(Probe::NotThere)
}
