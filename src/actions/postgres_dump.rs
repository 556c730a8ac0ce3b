//! `postgres.dump`: a logical dump of a database that is in use, by `pg_dump`, read to its end before it gets its name. It
//! does not know who reads it.

use serde_json::{Value, json};

use super::keep::{self, own_file};
use super::postgres::{self, environment, place};
use super::postgres_programs as programs;
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, shell, template,
    words,
};
use crate::world::{Answer, Fault};

/// Between the name of a dump and that of the attempt which writes it: an earlier attempt may still write.
const PART: &str = ".part-";

pub(super) static ACTION: Action = Action {
    name: "postgres.dump",
    page: include_str!("postgres_dump.md"),
    fields: &[Field::required(
        "to",
        Type::Text,
        "the file to write, which must not exist; with a `/` at its end a directory for a new name",
    )],
    outputs: &[
        Output::new("backup", Type::Text, "the file that was written"),
        Output::new("size", Type::Int, "its size in bytes"),
        Output::new("sha256", Type::Text, "its SHA-256 in hexadecimal"),
        Output::new("tables", Type::Int, "how many tables' data are in it"),
        Output::new("time", Type::Time, "when it was written; what it holds is of when it was begun"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Postgres],
    undo: UndoKind::Auto,
    // A program that is ended takes 5 s; the rest is for a slow machine.
    settles_ms: 10_000,
    feature: Some("postgres"),
    sentence: |call| {
        let (database, host) = (words::value(&call.shown("database")), words::value(&call.shown("host")));
        format!("Dump {database} at {host} to {}, while it is in use", words::value(&call.shown("to")))
    },
    seen: |_| "the dump is there, can be read to its end, and holds the data of tables".to_owned(),
    commands,
    undo_commands: |call| {
        vec![Manual {
            what: "Remove the dump".to_owned(),
            script: format!("rm -f -- {}", target_word(call)),
            changes: true,
            expect: "no error".to_owned(),
        }]
    },
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    // A dump that ended while nobody looked has no name yet, and is made anew.
    earlier: Some(|ctx, _| Box::pin(programs::earlier(ctx, "pg_dump"))),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

fn target_word(call: &Call<'_>) -> String {
    let to = template::plain(&call.shown("to"));
    let to = if to.ends_with('/') { format!("{to}{}.dump", call.step) } else { to };
    // A name that begins with `-` or is empty is a name all the same.
    let to = if to.starts_with(['/', '$']) { to } else { format!("./{to}") };
    shell::word(&Value::String(to))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let (part, to) = (shell::literal(&format!("{}.part", call.step)), target_word(call));
    let environment = environment(call, "database");
    vec![Manual {
        what: "Dump, read the dump to its end, then give it its name".to_owned(),
        script: format!(
            "{environment}PGCONNECT_TIMEOUT=10 TZ=UTC pg_dump -Fc --no-password --file=./{part} &&\npg_restore -f /dev/null ./{part} &&\n\
             pg_restore --list ./{part} | grep -q ' TABLE DATA ' &&\n[ ! -e {to} ] && mv -n -- ./{part} {to}"
        ),
        changes: true,
        expect: "no error; the dump is there".to_owned(),
    }]
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    // Whether there is something to dump is asked of the server that is meant.
    postgres::look(ctx, &postgres::database(ctx)?, "select 1 as one", &[]).await?;
    keep::new_file(ctx, &given::need(ctx.with, "to")?, "dump").await
}

async fn outputs(ctx: &Ctx<'_>, to: &str) -> Answer<Option<Outputs>> {
    let Some(facts) = ctx.world.files.facts(to).await? else { return Ok(None) };
    let tables = programs::whole(ctx, to).await?.tables;
    let sha = ctx.world.files.sha256(to).await?;
    let fields = [
        ("backup", json!(to)),
        ("size", json!(facts.size)),
        ("sha256", json!(sha)),
        ("tables", json!(tables)),
        ("time", json!(facts.modified.to_string())),
    ];
    Ok(Some(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()))
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    // Nobody can say of a server that does not answer that a dump is one of it.
    postgres::look(ctx, &postgres::database(ctx)?, "select 1 as one", &[]).await?;
    Ok(match own_file(before) {
        Ok(to) => outputs(ctx, to).await?.map_or(Probe::NotThere, Probe::There),
        Err(_) => Probe::NotThere,
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let to = own_file(before)?;
    let server = postgres::database(ctx)?;
    let row = postgres::row(ctx, &server, "select pg_database_size(current_database())::bigint as size", &[]).await?;
    let size = row.get("size").and_then(Value::as_i64).unwrap_or(0);
    for program in ["pg_dump", "pg_restore"] {
        if ctx.world.process.which(program).is_none() {
            return Err(Fault::refused(format!("{} is not found", words::code(program))));
        }
    }
    let new = format!("a dump of {} at {}, which takes {size} bytes there", words::code(&server.database), place(&server));
    Ok(vec![Change { what: format!("file {}", words::code(to)), old: "none".to_owned(), new }])
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let to = own_file(before)?;
    if let Some(done) = outputs(ctx, to).await? {
        return Ok(done);
    }
    // Refused here, and not by a program whose words cannot be told apart.
    let server = postgres::database(ctx)?;
    postgres::look(ctx, &server, "select 1 as one", &[]).await?;
    let part = format!("{to}{}{}", PART, keep::mark(ctx.ticket));
    let file = format!("--file={part}");
    let dump = programs::program(ctx, &server, &["pg_dump", "--format=custom", "--no-password", &file]);
    let dumped = match programs::good(ctx, ctx.world.process.run(&dump).await?, "`pg_dump`") {
        Ok(_) => programs::whole(ctx, &part).await,
        Err(fault) => Err(fault),
    };
    if let Err(fault) = dumped {
        // What is left of it is of no use to anyone; the failure itself is what is told.
        let _ = ctx.world.files.remove(&part).await;
        return Err(fault);
    }
    ctx.world.files.rename(&part, to).await?;
    outputs(ctx, to).await?.ok_or_else(|| Fault::lost(format!("{} was written, but is not there", words::code(to))))
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    if let Ok(to) = own_file(before) {
        ctx.world.files.remove(to).await?;
        // What attempts that were cut off left.
        let (dir, name) = to.rsplit_once('/').unwrap_or((".", to));
        for left in ctx.world.files.list(dir).await?.iter().filter(|n| n.strip_prefix(name).is_some_and(|rest| rest.starts_with(PART))) {
            ctx.world.files.remove(&format!("{dir}/{left}")).await?;
        }
    }
    Ok(Probe::NotThere)
}
