//! `clickhouse.restore`: restores tables of a backup beside those that are there, sees that something is in them, and
//! swaps them in. What stood there is kept beside them. It does not stop whoever writes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::clickhouse::{self, PLACE, identifier, literal, look, operation, tell};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, keep, shell,
    template, words,
};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "clickhouse.restore",
    page: include_str!("clickhouse_restore.md"),
    fields: &[
        Field::required("backup", Type::Record(PLACE), "where the backup lies, its name included"),
        Field::required("tables", Type::List(&Type::Text), "tables of the database that are restored"),
    ],
    outputs: &[
        Output::new("restored_to", Type::Time, "when the backup was begun, if its name tells it, as those of `clickhouse.backup` do"),
        Output::new("rows", Type::Int, "rows of the restored tables"),
        Output::new("kept", Type::Any, "by table, the name under which the one that stood there is kept; absent if there was none"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Clickhouse],
    deed: Deed::PutsData,
    undo: UndoKind::Auto,
    settles_ms: 60_000,
    sentence: |call| {
        let tables: Vec<String> = clickhouse::tables(call.with).iter().map(|t| words::code(t)).collect();
        format!("Restore {} of ClickHouse at {} and swap it in", words::list(&tables), clickhouse::shown(call))
    },
    seen: |_| "the restored tables stand in the place of the old ones, and have rows".to_owned(),
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

/// The state before.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Choice {
    /// Part of all names that are made.
    mark: String,
    /// By table, the UUID of what stands there; none if nothing does.
    old: BTreeMap<String, Option<String>>,
}

/// A table as it is.
#[derive(Debug, Clone)]
struct Table {
    uuid: String,
    rows: i64,
    comment: String,
    engine: String,
}

fn elements(database: &str, tables: &[String], mark: &str) -> Answer<String> {
    let db = identifier(database)?;
    let each: Answer<Vec<String>> =
        tables.iter().map(|table| Ok(format!("TABLE {db}.{} AS {db}.{}", identifier(table)?, identifier(&beside(table, mark))?))).collect();
    Ok(each?.join(", "))
}

fn beside(table: &str, mark: &str) -> String {
    format!("{table}_drplan_{mark}")
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = clickhouse::place_problems(call, "backup");
    if clickhouse::tables(call.with).is_empty() {
        out.push(("tables", "there is no table to restore".to_owned(), "tables: [day]".to_owned()));
    }
    out
}

/// What a person types: the same names, made of the step's own.
fn typed(call: &Call<'_>) -> (String, Vec<(String, String)>) {
    let database = call.field("database").map_or_else(|| "default".to_owned(), template::plain);
    let db = identifier(&database).unwrap_or_default();
    let pairs = clickhouse::tables(call.with)
        .iter()
        .filter_map(|t| Some((format!("{db}.{}", identifier(t).ok()?), format!("{db}.{}", identifier(&beside(t, call.step)).ok()?))))
        .collect();
    (database, pairs)
}

fn word(sql: String) -> String {
    shell::word(&Value::String(sql))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let (_, pairs) = typed(call);
    let place = clickhouse::place_shown(call, "backup", None);
    let each: Vec<String> = pairs.iter().map(|(table, beside)| format!("TABLE {table} AS {beside}")).collect();
    let mut script = format!("{}tell {}", clickhouse::tells(call), word(format!("RESTORE {} FROM {place}", each.join(", "))));
    for (table, beside) in &pairs {
        script.push_str(&format!(
            " &&\n[ \"$(ask {})\" -gt 0 ] &&\nif [ \"$(ask {})\" = 1 ]; then tell {}; else tell {}; fi",
            word(format!("select count() from {beside}")),
            word(format!("EXISTS TABLE {table}")),
            word(format!("EXCHANGE TABLES {table} AND {beside}")),
            word(format!("RENAME TABLE {beside} TO {table}")),
        ));
    }
    vec![Manual {
        what: "Restore beside, look that there are rows, swap in; who writes must have stopped".to_owned(),
        script,
        changes: true,
        expect: "`RESTORED`, and no error".to_owned(),
    }]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let mut script = clickhouse::tells(call);
    let (_, pairs) = typed(call);
    let lines: Vec<String> = pairs
        .iter()
        .map(|(table, beside)| {
            format!(
                "if [ \"$(ask {})\" = 1 ]; then tell {} && tell {}; else tell {}; fi",
                word(format!("EXISTS TABLE {beside}")),
                word(format!("EXCHANGE TABLES {table} AND {beside}")),
                word(format!("DROP TABLE {beside} SYNC")),
                word(format!("DROP TABLE {table} SYNC")),
            )
        })
        .collect();
    script.push_str(&lines.join(" &&\n"));
    vec![Manual {
        what: "Only if nothing was written to them since: swap back, and drop what was restored".to_owned(),
        script,
        changes: true,
        expect: "no error".to_owned(),
    }]
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let mut old = BTreeMap::new();
    for table in clickhouse::tables(ctx.with) {
        let now = seen(ctx, &table).await?;
        if let Some(now) = now.as_ref().filter(|now| !now.engine.contains("MergeTree")) {
            let what = format!("{} is a {}: only tables of the MergeTree family are restored so", words::code(&table), now.engine);
            return Err(Fault::refused(what));
        }
        old.insert(table, now.map(|t| t.uuid));
    }
    keep::state(&Choice { mark: keep::fresh(ctx), old })
}

fn choice(before: &Before) -> Answer<Choice> {
    Choice::deserialize(before).map_err(|_| Fault::refused("the state before does not say which tables there were"))
}

/// A table as it is; none if there is none.
async fn seen(ctx: &Ctx<'_>, table: &str) -> Answer<Option<Table>> {
    let sql = "select toString(uuid) as uuid, total_rows as rows, comment, engine from system.tables where database = {d:String} and name = {t:String}";
    let params = [("d".to_owned(), json!(clickhouse::database(ctx)?)), ("t".to_owned(), json!(table))];
    let rows = look(ctx, sql, &params).await?;
    let text = |key: &str| rows.first().and_then(|row| row.get(key)).map(template::plain).unwrap_or_default();
    Ok(rows.first().map(|row| Table {
        uuid: text("uuid"),
        rows: row.get("rows").and_then(Value::as_i64).unwrap_or(0),
        comment: text("comment"),
        engine: text("engine"),
    }))
}

/// What every write to a table changes, and no merge of its parts does.
async fn signature(ctx: &Ctx<'_>, table: &str) -> Answer<String> {
    let sql = "select toString(sum(rows)) as rows, toString(max(max_block_number)) as block, toString(max(data_version)) as version \
               from system.parts where active and database = {d:String} and table = {t:String}";
    let params = [("d".to_owned(), json!(clickhouse::database(ctx)?)), ("t".to_owned(), json!(table))];
    let rows = look(ctx, sql, &params).await?;
    let text = |key: &str| rows.first().and_then(|row| row.get(key)).map(template::plain).unwrap_or_default();
    Ok(format!("rows {} block {} version {}", text("rows"), text("block"), text("version")))
}

/// Where one table stands between before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// As it was, nothing beside it.
    Before,
    /// As it was; the restored one stands beside it, whole or not.
    Beside,
    /// The restored one stands in its place, as it was left.
    Ours,
    /// Something else, in words.
    Other(String),
}

async fn state(ctx: &Ctx<'_>, c: &Choice, table: &str) -> Answer<State> {
    let (now, aside) = (seen(ctx, table).await?, seen(ctx, &beside(table, &c.mark)).await?);
    let name = words::code(table);
    let old = c.old.get(table).cloned().flatten();
    Ok(match (&now, &aside) {
        (Some(now), _) if Some(&now.uuid) == old.as_ref() => {
            if aside.is_some() {
                State::Beside
            } else {
                State::Before
            }
        }
        (None, None) if old.is_none() => State::Before,
        (None, Some(_)) if old.is_none() => State::Beside,
        (Some(now), aside) if now.comment.contains(&sign(c, "")) && aside.as_ref().map(|t| &t.uuid) == old.as_ref() => {
            match now.comment.ends_with(&sign(c, &signature(ctx, table).await?)) {
                true => State::Ours,
                false => State::Other(format!("{name} was written to since it was restored")),
            }
        }
        _ => State::Other(format!("{name} is neither the table that stood there nor the one that was restored")),
    })
}

/// What is noted at a restored table: whose it is, and how it was.
fn sign(c: &Choice, signature: &str) -> String {
    format!("restored by drplan {}: {signature}", c.mark)
}

async fn states(ctx: &Ctx<'_>, c: &Choice) -> Answer<BTreeMap<String, State>> {
    let mut out = BTreeMap::new();
    for table in c.old.keys() {
        out.insert(table.clone(), state(ctx, c, table).await?);
    }
    Ok(out)
}

fn other(states: &BTreeMap<String, State>) -> Option<String> {
    states.values().find_map(|s| if let State::Other(why) = s { Some(why.clone()) } else { None })
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let c = choice(before)?;
    let states = states(ctx, &c).await?;
    if let Some(why) = other(&states) {
        return Ok(Probe::Other(why));
    }
    Ok(if states.values().all(|s| *s == State::Ours) {
        Probe::There(outputs(ctx, &c).await?)
    } else if states.values().any(|s| *s == State::Ours) {
        Probe::Other("some of the tables are restored, and some are as they were".to_owned())
    } else if states.values().any(|s| *s == State::Beside) {
        Probe::CannotTell("tables are being restored, or were, beside those that are there; none is swapped in".to_owned())
    } else {
        match newest(ctx, &c).await?.1 {
            Some(status) if status == "RESTORING" => Probe::CannotTell("tables are being restored".to_owned()),
            _ => Probe::NotThere,
        }
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let c = choice(before)?;
    let mut out = Vec::new();
    for table in c.old.keys() {
        let now = seen(ctx, table).await?.map_or_else(|| "none".to_owned(), |t| format!("{} rows", t.rows));
        let kept = words::code(&beside(table, &c.mark));
        let new = format!("as in {}; what is there now is kept as {kept}", clickhouse::place(record(ctx)?, None)?);
        out.push(Change { what: format!("table {}", words::code(table)), old: now, new });
    }
    Ok(out)
}

fn record<'a>(ctx: &Ctx<'a>) -> Answer<&'a serde_json::Map<String, Value>> {
    given::record(ctx.with, "backup").ok_or_else(|| Fault::refused("`backup` is not given"))
}

/// The id of its newest operation and how that stands; an attempt that failed is followed by one of another id.
async fn newest(ctx: &Ctx<'_>, c: &Choice) -> Answer<(String, Option<String>)> {
    let mut last = None;
    for n in 1.. {
        let id = format!("drplan-{}-{n}", c.mark);
        match operation(ctx, &id).await? {
            Some(found) if matches!(found.status.as_str(), "RESTORING" | "RESTORED") => return Ok((id, Some(found.status))),
            Some(found) => last = Some(found.status),
            None => return Ok((id, last)),
        }
    }
    Err(Fault::refused("there are too many attempts"))
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let c = choice(before)?;
    let states = states(ctx, &c).await?;
    if let Some(why) = other(&states) {
        return Err(Fault::refused(why));
    }
    let open: Vec<String> = states.iter().filter(|(_, s)| **s != State::Ours).map(|(table, _)| table.clone()).collect();
    if !open.is_empty() {
        restore(ctx, &c, &states).await?;
        for table in &open {
            // Said to be done by the server; whoever writes to it from now on is no fault of it.
            swap(ctx, &c, table).await?;
        }
    }
    outputs(ctx, &c).await
}

/// Restores beside what is there, unless an earlier attempt did so and all of it.
async fn restore(ctx: &Ctx<'_>, c: &Choice, states: &BTreeMap<String, State>) -> Answer<()> {
    let (mut id, status) = newest(ctx, c).await?;
    if status.as_deref() != Some("RESTORING") && status.as_deref() != Some("RESTORED") {
        // What an attempt that failed, or that the server has forgotten, left beside is not known to be whole.
        for (table, _) in states.iter().filter(|(_, s)| **s == State::Beside) {
            drop_table(ctx, &beside(table, &c.mark)).await?;
        }
        let tables: Vec<String> = states.iter().filter(|(_, s)| **s != State::Ours).map(|(table, _)| table.clone()).collect();
        let elements = elements(&clickhouse::database(ctx)?, &tables, &c.mark)?;
        let sql = format!("RESTORE {elements} FROM {} SETTINGS id = {} ASYNC", clickhouse::place(record(ctx)?, None)?, literal(&id));
        let rows = tell(ctx, &sql).await?;
        id = rows.first().and_then(|row| row.get("id")?.as_str().map(str::to_owned)).unwrap_or(id);
    }
    let found = clickhouse::ended(ctx, &id).await?;
    if found.status != "RESTORED" {
        for table in c.old.keys() {
            drop_table(ctx, &beside(table, &c.mark)).await?;
        }
        return Err(Fault::refused(format!("nothing was swapped in: the server says {}: {}", found.status, found.error)));
    }
    Ok(())
}

/// Notes at the restored table whose it is and how it is, then puts it in its place, in one move where one stands there.
async fn swap(ctx: &Ctx<'_>, c: &Choice, table: &str) -> Answer<()> {
    if state(ctx, c, table).await? == State::Ours {
        return Ok(());
    }
    let aside = beside(table, &c.mark);
    let db = identifier(&clickhouse::database(ctx)?)?;
    let (live, new) = (format!("{db}.{}", identifier(table)?), format!("{db}.{}", identifier(&aside)?));
    let found = seen(ctx, &aside).await?.ok_or_else(|| Fault::lost(format!("{} was restored, but is not there", words::code(&aside))))?;
    if found.rows == 0 {
        drop_table(ctx, &aside).await?;
        return Err(Fault::lost(format!("not one row of {} is in the backup: it was not swapped in", words::code(table))));
    }
    let note = sign(c, &signature(ctx, &aside).await?);
    if !found.comment.ends_with(&note) {
        let own = found.comment.split(&sign(c, "")).next().unwrap_or_default().trim_end();
        let comment = if own.is_empty() { note } else { format!("{own} {note}") };
        tell(ctx, &format!("ALTER TABLE {new} MODIFY COMMENT {}", literal(&comment))).await.map_err(begun)?;
    }
    let sql = match c.old.get(table).cloned().flatten() {
        Some(_) => format!("EXCHANGE TABLES {live} AND {new}"),
        None => format!("RENAME TABLE {new} TO {live}"),
    };
    tell(ctx, &sql).await.map(drop).map_err(begun)
}

/// After the restore a refusal is none of the whole step: tables stand beside, and some may be swapped in.
fn begun(fault: Fault) -> Fault {
    Fault::lost(format!("it was restored beside, but {fault}"))
}

async fn drop_table(ctx: &Ctx<'_>, table: &str) -> Answer<()> {
    let name = format!("{}.{}", identifier(&clickhouse::database(ctx)?)?, identifier(table)?);
    tell(ctx, &format!("DROP TABLE IF EXISTS {name} SYNC")).await.map(drop).map_err(begun)
}

async fn outputs(ctx: &Ctx<'_>, c: &Choice) -> Answer<Outputs> {
    let mut kept = serde_json::Map::new();
    let mut rows = 0;
    for (table, old) in &c.old {
        rows += seen(ctx, table).await?.map_or(0, |t| t.rows);
        if old.is_some() {
            kept.insert(table.clone(), json!(beside(table, &c.mark)));
        }
    }
    let mut out = Outputs::from_iter([("rows".to_owned(), json!(rows))]);
    if let Some(time) = begun_at(record(ctx)?) {
        out.insert("restored_to".to_owned(), json!(time.to_string()));
    }
    if !kept.is_empty() {
        out.insert("kept".to_owned(), Value::Object(kept));
    }
    Ok(out)
}

/// When a backup was begun, by its name: `asset-20261121T235959Z-0123abcd`. The server does not tell it.
fn begun_at(place: &serde_json::Map<String, Value>) -> Option<Timestamp> {
    let path = ["file", "path", "s3"].into_iter().find_map(|key| given::text(place, key))?;
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    let (rest, digest) = name.rsplit_once('-')?;
    let time = rest.rsplit('-').next()?;
    let ours = digest.len() == 8 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    ours.then(|| jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", time).ok())??
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|z| z.timestamp())
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let c = choice(before)?;
    let states = states(ctx, &c).await?;
    if let Some(why) = other(&states) {
        return Ok(Probe::Other(why));
    }
    let db = identifier(&clickhouse::database(ctx)?)?;
    for (table, found) in &states {
        let aside = beside(table, &c.mark);
        match (found, c.old.get(table).cloned().flatten()) {
            (State::Ours, Some(_)) => {
                tell(ctx, &format!("EXCHANGE TABLES {db}.{} AND {db}.{}", identifier(table)?, identifier(&aside)?)).await.map_err(begun)?;
                drop_table(ctx, &aside).await?;
            }
            (State::Ours, None) => drop_table(ctx, table).await?,
            (State::Beside, _) => drop_table(ctx, &aside).await?,
            _ => {}
        }
    }
    Ok(Probe::NotThere)
}
