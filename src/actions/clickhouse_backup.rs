//! `clickhouse.backup`: lets the server make a backup of tables, waits until it is made, and sees that something is in
//! it. It does not know whether the place outlives the server.

use serde_json::{Value, json};

use super::clickhouse::{self, Operation, PLACE, identifier, literal, operation};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, Manual, NO_UNDO, Output, Outputs, Probe, Type, UndoKind, given, keep,
    shell, words,
};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "clickhouse.backup",
    page: include_str!("clickhouse_backup.md"),
    fields: &[
        Field::required("to", Type::Record(PLACE), "where to; a new name is made in it"),
        Field::optional("tables", Type::List(&Type::Text), "tables of the database; without it all of the database"),
    ],
    outputs: &[
        Output::new("backup", Type::Text, "where the backup lies, as a statement names it"),
        Output::new("name", Type::Text, "the name that was made"),
        Output::new("files", Type::Int, "number of its files"),
        Output::new("size", Type::Int, "its size in bytes"),
        Output::new("time", Type::Time, "when it was begun: what was written later is not in it"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Clickhouse],
    undo: UndoKind::ByPlan,
    settles_ms: 60_000,
    sentence: |call| format!("Back up {} of ClickHouse at {}", what(call), clickhouse::shown(call)),
    seen: |_| "the server says `BACKUP_CREATED`, and files and bytes are in it".to_owned(),
    commands,
    check: |call| clickhouse::place_problems(call, "to"),
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: NO_UNDO,
    ..Action::READ
};

fn what(call: &Call<'_>) -> String {
    let tables: Vec<String> = clickhouse::tables(call.with).iter().map(|t| words::code(t)).collect();
    let database = call.field("database").cloned().unwrap_or_else(|| json!("default"));
    match tables.is_empty() {
        true => format!("database {}", words::value(&database)),
        false => format!("{} of database {}", words::list(&tables), words::value(&database)),
    }
}

fn elements(database: &str, tables: &[String]) -> Answer<String> {
    if tables.is_empty() {
        return Ok(format!("DATABASE {}", identifier(database)?));
    }
    let each: Answer<Vec<String>> =
        tables.iter().map(|table| Ok(format!("TABLE {}.{}", identifier(database)?, identifier(table)?))).collect();
    Ok(each?.join(", "))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let database = call.field("database").map_or_else(|| "default".to_owned(), super::template::plain);
    let elements = elements(&database, &clickhouse::tables(call.with)).unwrap_or_else(|_| "DATABASE `default`".to_owned());
    let place = clickhouse::place_shown(call, "to", Some(call.step));
    let sql = Value::String(format!("BACKUP {elements} TO {place}"));
    let look = format!(
        "select status, error, num_files, total_size from system.backups where name = {} order by start_time desc limit 1",
        literal(&place)
    );
    // By hand its name is that of the step.
    let variable = |output: &str| shell::variable(&format!("steps.{}.{output}", call.step));
    let known =
        format!("{}={} {}={}", variable("name"), shell::literal(call.step), variable("backup"), shell::word(&Value::String(place.clone())));
    vec![Manual {
        what: "Back up, wait, look what is in it; if the name is taken, take another".to_owned(),
        script: format!(
            "{}tell {} &&\nFOUND=$(ask {}) && printf '%s\\n' \"$FOUND\" &&\nprintf '%s' \"$FOUND\" | grep -Eq '^BACKUP_CREATED\t\t[1-9][0-9]*\t[1-9][0-9]*$' &&\n{known}",
            clickhouse::tells(call),
            shell::word(&sql),
            shell::word(&Value::String(look)),
        ),
        changes: true,
        expect: "`BACKUP_CREATED`, and files and bytes that are not 0".to_owned(),
    }]
}

/// The name is settled once, before the first attempt, so that each attempt makes the same backup.
async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let time = ctx.world.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = format!("{}-{time}-{}", ctx.asset()?.asset, keep::fresh(ctx));
    Ok(json!({ "name": name, "started": clickhouse::started(ctx).await? }))
}

fn name(before: &Before) -> Answer<&str> {
    before.get("name").and_then(Value::as_str).ok_or_else(|| Fault::refused("the state before names no backup"))
}

/// Its newest operation: an attempt that failed is followed by one of another id.
async fn newest(ctx: &Ctx<'_>, before: &Before) -> Answer<(String, Option<Operation>)> {
    let name = name(before)?;
    let mut last = None;
    for n in 1.. {
        let id = format!("drplan-{name}-{n}");
        let found = operation(ctx, &id).await?;
        match found {
            Some(found) if failed(&found) => last = Some(found),
            Some(found) => return Ok((id, Some(found))),
            None => return Ok((id, last)),
        }
    }
    Err(Fault::refused("there are too many attempts"))
}

fn failed(found: &Operation) -> bool {
    matches!(found.status.as_str(), "BACKUP_FAILED" | "BACKUP_CANCELLED")
}

/// The server that has forgotten its operations cannot tell whether there was one.
async fn forgotten(ctx: &Ctx<'_>, before: &Before) -> Answer<bool> {
    let then = before.get("started").and_then(Value::as_i64).unwrap_or(i64::MAX);
    // Its clock counts whole seconds.
    Ok((clickhouse::started(ctx).await? - then).abs() > 2)
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    Ok(match newest(ctx, before).await?.1 {
        Some(found) if found.status == "BACKUP_CREATED" => match judged(ctx, before, &found) {
            Ok(outputs) => Probe::There(outputs),
            Err(fault) => Probe::Other(fault.cause),
        },
        Some(found) if !failed(&found) => Probe::CannotTell("the backup is being made".to_owned()),
        _ if forgotten(ctx, before).await? => {
            Probe::CannotTell("the server was started since, and has forgotten which backups it made".to_owned())
        }
        _ => Probe::NotThere,
    })
}

fn judged(ctx: &Ctx<'_>, before: &Before, found: &Operation) -> Answer<Outputs> {
    if found.status != "BACKUP_CREATED" {
        return Err(Fault::refused(format!("the server says {}: {}", found.status, found.error)));
    }
    if found.files == 0 || found.size == 0 {
        return Err(Fault::refused(format!(
            "the server says that the backup is made, but {} files and {} bytes are in it",
            found.files, found.size
        )));
    }
    let place = place(ctx, before)?;
    let fields = [
        ("backup", json!(place)),
        ("name", json!(name(before)?)),
        ("files", json!(found.files)),
        ("size", json!(found.size)),
        ("time", json!(found.times.0)),
    ];
    Ok(fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn place(ctx: &Ctx<'_>, before: &Before) -> Answer<String> {
    let to = given::record(ctx.with, "to").ok_or_else(|| Fault::refused("`to` is not given"))?;
    clickhouse::place(to, Some(name(before)?))
}

/// Rows that there are to back up. Tables that count none (views, dictionaries) say nothing.
async fn rows(ctx: &Ctx<'_>) -> Answer<i64> {
    let (database, tables) = (clickhouse::database(ctx)?, clickhouse::tables(ctx.with));
    let sql = "select name, total_rows as rows from system.tables where database = {d:String}";
    let found = clickhouse::look(ctx, sql, &[("d".to_owned(), json!(database))]).await?;
    let named = |table: &str| found.iter().find(|row| row.get("name").and_then(Value::as_str) == Some(table));
    if let Some(missing) = tables.iter().find(|table| named(table).is_none()) {
        return Err(Fault::refused(format!("there is no table {} in database {}", words::code(missing), words::code(&database))));
    }
    let meant = found
        .iter()
        .filter(|row| tables.is_empty() || row.get("name").and_then(Value::as_str).is_some_and(|n| tables.iter().any(|t| t == n)));
    let rows: i64 = meant.filter_map(|row| row.get("rows").and_then(Value::as_i64)).sum();
    match rows {
        0 => Err(Fault::refused(format!("there is not one row to back up in database {}", words::code(&database)))),
        rows => Ok(rows),
    }
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let rows = rows(ctx).await?;
    Ok(vec![Change { what: place(ctx, before)?, old: "none".to_owned(), new: format!("a backup of {rows} rows") }])
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let (mut id, found) = newest(ctx, before).await?;
    match found {
        Some(found) if !failed(&found) => {}
        _ => {
            if forgotten(ctx, before).await? {
                return Err(Fault::refused(
                    "the server was started since this step began, and has forgotten which backups it made: look whether it is there",
                ));
            }
            rows(ctx).await?;
            let elements = elements(&clickhouse::database(ctx)?, &clickhouse::tables(ctx.with))?;
            let sql = format!("BACKUP {elements} TO {} SETTINGS id = {} ASYNC", place(ctx, before)?, literal(&id));
            let rows = clickhouse::tell(ctx, &sql).await?;
            id = rows.first().and_then(|row| row.get("id")?.as_str().map(str::to_owned)).unwrap_or(id);
        }
    }
    let found = clickhouse::ended(ctx, &id).await?;
    judged(ctx, before, &found)
}
