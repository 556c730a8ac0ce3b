//! `sqlite.restore`: puts a backup where the database stands, at once and whole, and keeps what stood there. It does
//! not stop whoever writes to it: that is a step of its own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::backups::{self, Kind};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, keep, sqlite,
    template, words,
};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "sqlite.restore",
    page: include_str!("sqlite_restore.md"),
    fields: &[
        Field::optional(
            "backup",
            Type::Text,
            "`latest` (the newest that can be read and is whole), a file's path, or a bare name in the backup's directory; this or `until`",
        ),
        Field::optional("until", Type::Time, "the newest whole backup that is not later than this time; this or `backup`"),
    ],
    outputs: &[
        Output::new("restored_to", Type::Time, "when the backup was written"),
        Output::new("backup", Type::Text, "the file that was restored"),
        Output::new("kept", Type::Text, "where the file that stood there is kept; absent if there was none"),
    ],
    effect: Effect::Verifiable,
    // A disk that is slow finishes what it was told.
    settles_ms: 10_000,
    kinds: &[AssetKind::Sqlite],
    deed: Deed::PutsData,
    undo: UndoKind::Auto,
    sentence: |call| format!("Put {} in the place of {}", backups::which(call), words::value(&call.shown("path"))),
    seen: |call| format!("{} is the backup, whole, and the file that stood there is kept beside it", words::value(&call.shown("path"))),
    commands,
    undo_commands,
    check,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

const KIND: Kind =
    Kind { passes: |name| !sqlite::COMPANIONS.iter().any(|c| name.ends_with(c)), whole: |ctx, path| Box::pin(sqlite::whole(ctx, path)) };

/// The state before, and with it what will be done: settled once, so that each attempt does the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Choice {
    /// The database.
    path: String,
    /// Its SHA-256; none if there is no file.
    old: Option<String>,
    /// Which companions hold something.
    companions: Vec<String>,
    /// Where it is kept.
    kept: String,
    /// The backup.
    backup: String,
    /// Its SHA-256.
    new: String,
    /// When it was written.
    time: Timestamp,
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let path = sqlite::word(call);
    let (kept, new) = (kept_word(call), new_word(call));
    let test = format!("[ \"$(sqlite3 -batch -readonly \"$f\" {} 2>&1)\" = ok ]", sqlite::WHOLE);
    let mut script = backups::script(call, "! -name '*-wal' ! -name '*-shm' ! -name '*-journal'", &test);
    script.push_str(&format!(
        "printf 'restoring %s\\n' \"$BACKUP\" &&\n\
         [ ! -e {kept} ] && cp -p -- \"$BACKUP\" {new} &&\n\
         [ \"$(sqlite3 -batch -readonly {new} {})\" = ok ] &&\n\
         {{ [ ! -e {path} ] || cp -p -- {path} {kept}; }} &&\n\
         for s in -wal -shm -journal; do if [ -e {path}$s ]; then mv -- {path}$s {kept}$s; fi; rm -f -- {new}$s; done &&\n\
         mv -- {new} {path}",
        sqlite::WHOLE,
    ));
    vec![Manual {
        what: "Put the backup in the place of the database; whoever writes to it must have stopped".to_owned(),
        script,
        changes: true,
        expect: "the name of the backup, and no error".to_owned(),
    }]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let (path, kept) = (sqlite::word(call), kept_word(call));
    vec![Manual {
        what: "Put the file back that stood there, or remove the restored one if none did".to_owned(),
        script: format!(
            "if [ -e {kept} ]; then mv -- {kept} {path}; else rm -- {path}; fi &&\nfor s in -wal -shm -journal; do rm -f -- {path}$s; \
             if [ -e {kept}$s ]; then mv -- {kept}$s {path}$s; fi; done"
        ),
        changes: true,
        expect: "no error".to_owned(),
    }]
}

fn kept_word(call: &Call<'_>) -> String {
    beside(call, "before")
}

fn new_word(call: &Call<'_>) -> String {
    beside(call, "new")
}

fn beside(call: &Call<'_>, what: &str) -> String {
    sqlite::file_word(&Value::String(format!("{}.{what}-{}", template::plain(&call.shown("path")), call.step)))
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let backup = given::text(call.with, "backup");
    let mut out = Vec::new();
    match (&backup, call.with.contains_key("until")) {
        (None, false) => out.push(("backup", "nothing says which backup".to_owned(), "backup: latest".to_owned())),
        (Some(_), true) => out.push(("until", "`backup` and `until` both say which backup".to_owned(), "leave out one of them".to_owned())),
        _ => {}
    }
    if backups::nowhere(call) {
        let field = if backup.is_some() { "backup" } else { "until" };
        out.push((field, "no copy of that backup lies in a directory".to_owned(), "to: \"file:backups/\" at the backup".to_owned()));
    }
    out
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let path = sqlite::path(ctx)?;
    if let Some(link) = ctx.world.files.facts(&path).await?.and_then(|f| f.link) {
        return Err(Fault::refused(format!("{} is a link to {}: give the file itself as `path`", words::code(&path), words::code(&link))));
    }
    let backup = backups::choose(ctx, &KIND).await?;
    let mut companions = Vec::new();
    for name in sqlite::COMPANIONS {
        if sqlite::filled(ctx, &format!("{path}{name}")).await? {
            companions.push(name.to_owned());
        }
    }
    let facts = ctx.world.files.facts(&backup).await?;
    let (time, new) = match (facts, ctx.world.files.sha256(&backup).await?) {
        (Some(facts), Some(sha)) => (facts.modified, sha),
        _ => return Err(Fault::refused(format!("{} is not there any more", words::code(&backup)))),
    };
    let old = ctx.world.files.sha256(&path).await?;
    let choice = Choice { kept: format!("{path}.before-{}", keep::mark(ctx.key)), old, companions, backup, new, time, path };
    keep::state(&choice)
}

fn choice(before: &Before) -> Answer<Choice> {
    Choice::deserialize(before).map_err(|_| Fault::refused("the state before does not say which backup"))
}

/// True if whoever opened the database since has left something in its log.
async fn written_to(ctx: &Ctx<'_>, path: &str) -> Answer<bool> {
    Ok(sqlite::filled(ctx, &format!("{path}-wal")).await? || sqlite::filled(ctx, &format!("{path}-journal")).await?)
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let c = choice(before)?;
    let now = ctx.world.files.sha256(&c.path).await?;
    if now.as_deref() == Some(&c.new) && !written_to(ctx, &c.path).await? {
        return Ok(Probe::There(outputs(ctx, &c).await?));
    }
    if now != c.old {
        return Ok(Probe::Other(format!("{} is neither the file that stood there nor the backup", words::code(&c.path))));
    }
    for name in &c.companions {
        if !sqlite::filled(ctx, &format!("{}{name}", c.path)).await? {
            let what =
                format!("{}{name} was moved to {}{name}, but the backup is not in place", words::code(&c.path), words::code(&c.kept));
            return Ok(Probe::Other(what));
        }
    }
    Ok(Probe::NotThere)
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let c = choice(before)?;
    let now = ctx.world.files.facts(&c.path).await?;
    let old = now.map_or("no file".to_owned(), |f| format!("{} bytes, last written {}", f.size, f.modified));
    Ok(vec![Change { what: format!("file {}", words::code(&c.path)), old, new: format!("{} of {}", words::code(&c.backup), c.time) }])
}

async fn outputs(ctx: &Ctx<'_>, c: &Choice) -> Answer<Outputs> {
    let mut out = Outputs::new();
    out.insert("restored_to".to_owned(), json!(c.time.to_string()));
    out.insert("backup".to_owned(), json!(c.backup));
    if ctx.world.files.facts(&c.kept).await?.is_some() {
        out.insert("kept".to_owned(), json!(c.kept));
    }
    Ok(out)
}

/// Copies beside the target, keeps what is there, then swaps: at each moment the path holds one whole database.
async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let c = choice(before)?;
    let files = &ctx.world.files;
    let now = files.sha256(&c.path).await?;
    if now.as_deref() == Some(&c.new) && !written_to(ctx, &c.path).await? {
        return outputs(ctx, &c).await;
    }
    let new = format!("{}.new", c.kept);
    files.copy(&c.backup, &new).await?;
    if files.sha256(&new).await?.as_deref() != Some(&c.new) {
        files.remove(&new).await?;
        return Err(Fault::refused(format!("{} has changed since it was chosen", words::code(&c.backup))));
    }
    // Kept once: a second attempt may find the first one's backup in place already.
    if now.is_some() && files.facts(&c.kept).await?.is_none() {
        let copy = format!("{}.part", c.kept);
        files.copy(&c.path, &copy).await?;
        files.rename(&copy, &c.kept).await?;
    }
    // The log of the old database beside the new one would be replayed into it.
    for name in sqlite::COMPANIONS {
        if files.facts(&format!("{}{name}", c.path)).await?.is_some() {
            files.rename(&format!("{}{name}", c.path), &format!("{}{name}", c.kept)).await?;
        }
    }
    files.rename(&new, &c.path).await?;
    outputs(ctx, &c).await
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let c = choice(before)?;
    let files = &ctx.world.files;
    let now = files.sha256(&c.path).await?;
    let ours = now.as_deref() == Some(&c.new) && !written_to(ctx, &c.path).await?;
    if !ours && now != c.old {
        return Ok(Probe::Other(format!(
            "{} was written to since; what stood there before is {}",
            words::code(&c.path),
            words::code(&c.kept)
        )));
    }
    if ours && c.old.is_none() {
        files.remove(&c.path).await?;
    } else if ours && files.facts(&c.kept).await?.is_some() {
        for name in sqlite::COMPANIONS {
            files.remove(&format!("{}{name}", c.path)).await?;
        }
        files.rename(&c.kept, &c.path).await?;
    }
    // Also after an attempt that was cut off between its two moves.
    for name in sqlite::COMPANIONS {
        if files.facts(&format!("{}{name}", c.kept)).await?.is_some() {
            files.rename(&format!("{}{name}", c.kept), &format!("{}{name}", c.path)).await?;
        }
    }
    files.remove(&format!("{}.new", c.kept)).await?;
    Ok(Probe::NotThere)
}
