//! `postgres.restore`: restores a dump into a database beside the one that is there, sees that it is whole, and swaps the
//! two. What stood there is kept. It does not stop whoever writes, but ends their sessions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::backups::{self, Kind};
use super::postgres::{self, environment, maintenance, place, psql, statements};
use super::postgres_cluster::{AS, START, STOP};
use super::postgres_pitr as pitr;
use super::postgres_pitr_base as base;
use super::postgres_pitr_typed as typed;
use super::postgres_programs as programs;
use super::postgres_swap::{self as server, Database, named, signature};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, keep,
    template, words,
};
use crate::world::{Answer, Fault, Landed};

pub(super) static ACTION: Action = Action {
    name: "postgres.restore",
    page: include_str!("postgres_restore.md"),
    fields: &[
        Field::optional(
            "backup",
            Type::Text,
            "`latest` (the newest that is whole; with `until`, that ended before it), a path, or a bare name in the backup's directory; needed without `until`",
        ),
        Field::default(
            "no_owner",
            Type::Bool,
            "false",
            "whether what is restored belongs to the user who restores, not to whom the dump names",
        ),
        Field::optional(
            "until",
            Type::Moment,
            "recovers the whole server from a base backup and its log up to this time, or `latest`: to the log's end; else a dump is restored",
        ),
        Field::optional("data", Type::Text, "with `until`: the data directory of the server, on this machine"),
        Field::optional(
            "log",
            Type::Text,
            "with `until`: the directory of the log archive; else that of the one backup of `method: log` that goes with `from`",
        ),
        STOP,
        START,
        AS,
    ],
    outputs: &[
        Output::new("restored_to", Type::Time, "when the dump was begun; with `until` the last commit that is in it"),
        Output::new("backup", Type::Text, "the file, or with `until` the base backup, that was restored"),
        Output::new("tables", Type::Int, "how many tables' data were in it; not with `until`"),
        Output::new("timeline", Type::Int, "the timeline on which it writes; with `until`"),
        Output::new(
            "kept",
            Type::Text,
            "the database, with `until` the directory, in which what stood there is kept; absent if there was none",
        ),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Postgres],
    deed: Deed::PutsData,
    undo: UndoKind::Auto,
    settles_ms: 60_000,
    feature: Some("postgres"),
    sentence: |call| {
        if base::wanted(call.with) {
            return pitr::sentence(call);
        }
        let (database, host) = (words::value(&call.shown("database")), words::value(&call.shown("host")));
        format!("Restore {} beside {database} at {host} and swap it in", backups::which(call))
    },
    seen: |call| match base::wanted(call.with) {
        true => pitr::seen(call),
        false => format!("{} is the restored one, and what stood there is kept under another name", words::value(&call.shown("database"))),
    },
    commands: |call| if base::wanted(call.with) { typed::commands(call) } else { commands(call) },
    undo_commands: |call| if base::wanted(call.with) { typed::undo_commands(call) } else { undo_commands(call) },
    check: base::check,
    before: |ctx| if base::wanted(ctx.with) { Box::pin(pitr::before(ctx)) } else { Box::pin(before(ctx)) },
    probe: |ctx, before| if base::wanted(ctx.with) { Box::pin(pitr::probe(ctx, before)) } else { Box::pin(probe(ctx, before)) },
    preview: |ctx, before| if base::wanted(ctx.with) { Box::pin(pitr::preview(ctx, before)) } else { Box::pin(preview(ctx, before)) },
    apply: |ctx, before| if base::wanted(ctx.with) { Box::pin(pitr::apply(ctx, before)) } else { Box::pin(apply(ctx, before)) },
    earlier: Some(
        |ctx, _| {
            if base::wanted(ctx.with) { Box::pin(pitr::earlier(ctx)) } else { Box::pin(programs::earlier(ctx, "pg_restore")) }
        },
    ),
    undo_apply: |ctx, before| {
        if base::wanted(ctx.with) { Box::pin(pitr::undo_apply(ctx, before)) } else { Box::pin(undo_apply(ctx, before)) }
    },
    ..Action::READ
};

const KIND: Kind = Kind {
    passes: |name| !name.contains(".part-"),
    whole: |ctx, path| Box::pin(async move { programs::whole(ctx, path).await.map(drop) }),
};

/// How `pg_restore` is told to connect as the environment says.
const CONNECT: &str = "--dbname=application_name=drplan";

/// The state before, and with it what will be done: settled once, so that each attempt does the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Choice {
    /// Part of the names that are made.
    mark: String,
    /// The database.
    name: String,
    /// The name beside it: first of what is restored, then of what is kept.
    beside: String,
    /// The number of what stands there; none if nothing does.
    old: Option<i64>,
    /// Whether that accepted connections.
    accepted: bool,
    /// It is this dump, restored, and nobody wrote to it.
    already: bool,
    /// The dump.
    backup: String,
    /// Its SHA-256.
    sha256: String,
    /// How many tables' data are in it.
    tables: u64,
    /// When it was begun.
    time: Timestamp,
}

/// What is noted at a restored database.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    mark: String,
    /// The beginning of the dump's SHA-256.
    of: String,
    /// How the database was; none if nobody can tell.
    signature: Option<String>,
}

impl Note {
    fn of(c: &Choice, signature: Option<String>) -> Note {
        Note { mark: c.mark.clone(), of: short(&c.sha256), signature }
    }

    fn text(&self) -> String {
        format!("restored by drplan {} of {}: {}", self.mark, self.of, self.signature.as_deref().unwrap_or("not counted"))
    }

    fn read(comment: &str) -> Option<Note> {
        let (_, text) = comment.rsplit_once("restored by drplan ")?;
        let (mark, rest) = text.split_once(" of ")?;
        let (of, signature) = rest.split_once(": ")?;
        let signature = Some(signature.to_owned()).filter(|s| s != "not counted");
        Some(Note { mark: mark.to_owned(), of: of.to_owned(), signature })
    }
}

fn short(sha256: &str) -> String {
    sha256.chars().take(16).collect()
}

/// Names for a person: that of the database, and that of the one beside it.
fn names(call: &Call<'_>) -> [(&'static str, Value); 2] {
    let name = call.shown("database");
    let beside = server::beside(&template::plain(&name), call.step);
    [("db", name), ("new", Value::String(beside))]
}

const SWAP: &str = "\
SELECT EXISTS (SELECT FROM pg_database WHERE datname = :'db') AS old \\gset
\\if :old
ALTER DATABASE :\"db\" RENAME TO drplan_swap;
\\endif
ALTER DATABASE :\"new\" RENAME TO :\"db\";
\\if :old
ALTER DATABASE drplan_swap RENAME TO :\"new\";
\\endif
COMMIT;";

const SHUT: &str = "\
SELECT format('ALTER DATABASE %I WITH ALLOW_CONNECTIONS false', datname) FROM pg_database WHERE datname = :'db' \\gexec
SELECT count(pg_terminate_backend(pid)) AS sessions_ended FROM pg_stat_activity WHERE datname = :'db';";

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let psql = psql(call, "maintenance", "");
    let names = names(call);
    let read = "pg_restore -f /dev/null \"$f\" && pg_restore --list \"$f\" | grep -q ' TABLE DATA '";
    let choose = backups::script(call, "! -name '*.part-*'", read);
    let create = statements(&psql, &names, &format!("{} \\gexec", server::creation(":'db'", ":'new'")));
    let beside = super::shell::word(&names[1].1);
    let owner = if given::bool(call.with, "no_owner", false) { " --no-owner" } else { "" };
    let restore = format!(
        "{}PGDATABASE={beside} \\\n  PGCONNECT_TIMEOUT=10 pg_restore --exit-on-error --no-password{owner} {CONNECT} -- \"$BACKUP\"",
        environment(call, "maintenance")
    );
    let likeness = server::likeness(":'db'", ":'new'");
    let swap = statements(&psql, &names, &format!("{SHUT}\nBEGIN;\n{likeness} \\gexec\n{SWAP}"));
    vec![
        Manual {
            what: "Choose the dump, and restore it into a database beside".to_owned(),
            script: format!("{choose}printf 'restoring %s\\n' \"$BACKUP\"\n{create}\n{restore}"),
            changes: true,
            expect: "the name of the dump, `CREATE DATABASE`, and no error".to_owned(),
        },
        Manual {
            what: "End the sessions of the old database, and let the two swap their names".to_owned(),
            script: swap,
            changes: true,
            expect: "`COMMIT` at the end, and no error".to_owned(),
        },
    ]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let back = format!(
        "SELECT EXISTS (SELECT FROM pg_database WHERE datname = :'new') AS kept \\gset\n{SHUT}\n\\if :kept\nBEGIN;\n{SWAP}\n\
         ALTER DATABASE :\"db\" WITH ALLOW_CONNECTIONS true;\nDROP DATABASE :\"new\";\n\\else\nDROP DATABASE :\"db\";\n\\endif"
    );
    vec![Manual {
        what: "Only if nothing was written to it since: swap back, and drop what was restored".to_owned(),
        script: statements(&psql(call, "maintenance", ""), &names(call), &back),
        changes: true,
        expect: "`DROP DATABASE` at the end, and no error".to_owned(),
    }]
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let name = given::need(&ctx.asset()?.connect, "database")?;
    if maintenance(ctx)?.database == name {
        let what = "`maintenance` must be another database: sessions of the one that is restored are ended";
        return Err(Fault::refused(what));
    }
    let found = named(ctx, &name).await?;
    let backup = backups::choose(ctx, &KIND).await?;
    let (facts, sha256) = match (ctx.world.files.facts(&backup).await?, ctx.world.files.sha256(&backup).await?) {
        (Some(facts), Some(sha256)) => (facts, sha256),
        _ => return Err(Fault::refused(format!("{} is not there any more", words::code(&backup)))),
    };
    let dump = programs::listed(ctx, &backup).await?;
    let note = found.as_ref().and_then(|d| Note::read(&d.comment)).filter(|note| note.of == short(&sha256));
    let already = match note.and_then(|note| note.signature) {
        Some(was) => signature(ctx, &name).await? == Some(was),
        None => false,
    };
    let mark = keep::fresh(ctx);
    let choice = Choice {
        beside: server::beside(&name, &mark),
        old: found.as_ref().map(|d| d.oid),
        accepted: found.as_ref().is_none_or(|d| d.accepts),
        // Where it was made by another clock than UTC, what it says may be later than the truth; its file never is older.
        time: dump.begun.map_or(facts.modified, |begun| begun.min(facts.modified)),
        tables: dump.tables,
        already,
        backup,
        sha256,
        mark,
        name,
    };
    keep::state(&choice)
}

fn choice(before: &Before) -> Answer<Choice> {
    Choice::deserialize(before).map_err(|_| Fault::refused("the state before does not say which dump"))
}

/// Where the database stands between before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// As it was, nothing beside it.
    Before,
    /// As it was, as far as its number tells; what is restored stands beside it, whole or not.
    Beside(Database),
    /// The restored one stands in its place, as it was left.
    Ours(Database),
    /// The restored one stands in its place and accepts no connections: nobody can look.
    Shut,
    /// Something else, in words.
    Other(String),
}

async fn state(ctx: &Ctx<'_>, c: &Choice) -> Answer<State> {
    let (live, aside) = (named(ctx, &c.name).await?, named(ctx, &c.beside).await?);
    let number = |found: &Option<Database>| found.as_ref().map(|d| d.oid);
    if !c.already && number(&live) == c.old {
        return Ok(aside.map_or(State::Before, State::Beside));
    }
    let note = live.as_ref().and_then(|d| Note::read(&d.comment));
    let ours = match (&note, c.already) {
        (Some(_), true) => number(&live) == c.old,
        (Some(note), false) => note.mark == c.mark && number(&aside) == c.old,
        (None, _) => false,
    };
    Ok(match (live, note) {
        (Some(live), Some(_)) if ours && !live.accepts => State::Shut,
        (Some(live), Some(note)) if ours => match (signature(ctx, &c.name).await?, note.signature) {
            (Some(now), Some(was)) if now == was => State::Ours(live),
            (Some(_), Some(_)) => State::Other(format!("{} was written to since it was restored", words::code(&c.name))),
            _ => {
                State::Other(format!("{} is the restored one, but its server does not count writes (`track_counts`)", words::code(&c.name)))
            }
        },
        _ => State::Other(format!("{} is neither the database that stood there nor the restored one", words::code(&c.name))),
    })
}

fn shut(c: &Choice) -> String {
    let sql = "`ALTER DATABASE … WITH ALLOW_CONNECTIONS true`";
    format!("{} is the restored one, but accepts no connections, so that nobody can look into it: {sql} lets them in", words::code(&c.name))
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let c = choice(before)?;
    Ok(match state(ctx, &c).await? {
        State::Before => Probe::NotThere,
        State::Beside(_) => Probe::CannotTell(format!("{} stands beside, whole or not, and is not swapped in", words::code(&c.beside))),
        State::Ours(_) => Probe::There(outputs(&c)),
        State::Shut => Probe::CannotTell(shut(&c)),
        State::Other(why) => Probe::Other(why),
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let c = choice(before)?;
    if ctx.world.process.which("pg_restore").is_none() {
        return Err(Fault::refused("`pg_restore` is not found"));
    }
    let ask = "select pg_database_size(oid)::bigint as size from pg_database where datname = $1::text";
    let to = maintenance(ctx)?;
    let rows = postgres::look(ctx, &to, ask, &[json!(c.name)]).await?;
    let size = rows.first().and_then(|row| row.get("size")).and_then(Value::as_i64);
    let old = size.map_or_else(|| "none".to_owned(), |size| format!("{size} bytes"));
    let kept = if c.old.is_some() { format!("; what is there now is kept as {}", words::code(&c.beside)) } else { String::new() };
    let new = format!("{} of {}, {} tables{kept}", words::code(&c.backup), c.time, c.tables);
    Ok(vec![Change { what: format!("database {} at {}", words::code(&c.name), place(&to)), old, new }])
}

fn outputs(c: &Choice) -> Outputs {
    let mut out = Outputs::new();
    out.insert("restored_to".to_owned(), json!(c.time.to_string()));
    out.insert("backup".to_owned(), json!(c.backup));
    out.insert("tables".to_owned(), json!(c.tables));
    if c.old.is_some() && !c.already {
        out.insert("kept".to_owned(), json!(c.beside));
    }
    out
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let c = choice(before)?;
    let new = match state(ctx, &c).await? {
        State::Ours(_) => return Ok(outputs(&c)),
        State::Shut => return Err(Fault::refused(shut(&c))),
        State::Other(why) => return Err(Fault::refused(why)),
        State::Before => restore(ctx, &c, false).await?,
        State::Beside(found) if whole(ctx, &c, &found).await? => found,
        State::Beside(_) => restore(ctx, &c, true).await?,
    };
    swap(ctx, &c, &new).await.map_err(begun)?;
    Ok(outputs(&c))
}

/// Whether an earlier attempt restored all of it, and nobody wrote to it since.
async fn whole(ctx: &Ctx<'_>, c: &Choice, found: &Database) -> Answer<bool> {
    let Some(note) = Note::read(&found.comment).filter(|note| note.mark == c.mark && found.accepts) else { return Ok(false) };
    Ok(note.signature.is_some() && note.signature == signature(ctx, &c.beside).await?)
}

/// Restores beside what is there.
async fn restore(ctx: &Ctx<'_>, c: &Choice, left: bool) -> Answer<Database> {
    if ctx.world.files.sha256(&c.backup).await?.as_ref() != Some(&c.sha256) {
        return Err(Fault::refused(format!("{} has changed since it was chosen", words::code(&c.backup))));
    }
    if left {
        server::remove(ctx, &c.beside).await.map_err(begun)?;
    }
    server::create(ctx, &c.beside, c.old).await?;
    match fill(ctx, c).await {
        Ok(new) => Ok(new),
        Err(fault) => match server::remove(ctx, &c.beside).await {
            Ok(()) if fault.landed == Landed::No => Err(Fault { unreachable: false, ..fault }),
            _ => Err(begun(fault)),
        },
    }
}

/// Fills the database beside, looks whether all is in it, and notes that.
async fn fill(ctx: &Ctx<'_>, c: &Choice) -> Answer<Database> {
    let beside = words::code(&c.beside);
    let gone = || Fault::refused(format!("{beside} is not there any more"));
    let new = named(ctx, &c.beside).await?.ok_or_else(gone)?;
    let mut argv = vec!["pg_restore", "--exit-on-error", "--no-password", CONNECT];
    if given::bool(ctx.with, "no_owner", false) {
        argv.push("--no-owner");
    }
    argv.extend(["--", &c.backup]);
    let command = programs::program(ctx, &server::at(ctx, &c.beside)?, &argv);
    programs::good(ctx, ctx.world.process.run(&command).await?, "`pg_restore`")?;
    server::left(ctx, new.oid).await?;
    let tables = server::tables(ctx, &c.beside).await?;
    if tables < c.tables {
        return Err(Fault::refused(format!("{beside} has {tables} tables, and the dump has the data of {}", c.tables)));
    }
    let note = Note::of(c, signature(ctx, &c.beside).await?);
    server::liken(ctx, new.oid, c.old, &note.text()).await?;
    named(ctx, &c.beside).await?.ok_or_else(gone)
}

/// Ends the sessions of the old one, and gives the new one its name.
async fn swap(ctx: &Ctx<'_>, c: &Choice, new: &Database) -> Answer<()> {
    let Some(old) = c.old else {
        server::empty(ctx, new.oid).await?;
        return server::rename(ctx, &c.beside, &c.name).await;
    };
    let swapped = async {
        server::accept(ctx, old, false).await?;
        server::empty(ctx, old).await?;
        server::empty(ctx, new.oid).await?;
        server::swap(ctx, old, new.oid).await
    };
    let swapped = swapped.await;
    if swapped.is_err() {
        // Nobody should wait before a closed door meanwhile; the failure itself is what is told.
        let _ = server::accept(ctx, old, c.accepted).await;
    }
    swapped
}

/// After the restore a refusal is none of the whole step: a database stands beside.
fn begun(fault: Fault) -> Fault {
    Fault::lost(format!("a database was made beside, but {fault}"))
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let c = choice(before)?;
    let counted = match named(ctx, &c.name).await? {
        Some(live) => server::written(ctx, live.oid).await?,
        None => None,
    };
    match state(ctx, &c).await? {
        State::Other(why) => return Ok(Probe::Other(why)),
        State::Shut => return Ok(Probe::CannotTell(shut(&c))),
        State::Before => {}
        State::Ours(_) if c.already => {}
        State::Beside(_) => {
            reopen(ctx, &c).await?;
            server::remove(ctx, &c.beside).await?;
        }
        State::Ours(live) => {
            if let Some(why) = take_back(ctx, &c, &live, counted).await? {
                return Ok(Probe::Other(why));
            }
        }
    }
    Ok(Probe::NotThere)
}

/// Lets the old one accept connections if it did.
async fn reopen(ctx: &Ctx<'_>, c: &Choice) -> Answer<()> {
    match c.old {
        Some(old) => server::accept(ctx, old, c.accepted).await,
        None => Ok(()),
    }
}

/// Swaps back, unless somebody wrote between the last look and the end of the last session.
async fn take_back(ctx: &Ctx<'_>, c: &Choice, live: &Database, counted: Option<i64>) -> Answer<Option<String>> {
    let back = async {
        server::accept(ctx, live.oid, false).await?;
        server::empty(ctx, live.oid).await?;
        if counted.is_none() || server::written(ctx, live.oid).await? != counted {
            return Ok(false);
        }
        match c.old {
            Some(old) => server::swap(ctx, old, live.oid).await?,
            None => server::remove(ctx, &c.name).await?,
        }
        Ok(true)
    };
    match back.await {
        Ok(true) => {}
        Ok(false) => {
            server::accept(ctx, live.oid, true).await?;
            return Ok(Some(format!("{} was being written to", words::code(&c.name))));
        }
        Err(fault) => {
            let _ = server::accept(ctx, live.oid, true).await;
            return Err(fault);
        }
    }
    reopen(ctx, c).await?;
    if c.old.is_some() {
        server::remove(ctx, &c.beside).await?;
    }
    Ok(None)
}
