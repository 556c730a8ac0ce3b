//! `postgres.restore` with `until`: recovers a base backup and the log up to a time beside the data directory, and puts
//! it in its place. What stood there is kept. It works on the machine of the server.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::postgres::{maintenance, place};
use super::postgres_cluster::{self as cluster, Cluster};
use super::postgres_pitr_base::{choose, log_dir};
use super::postgres_pitr_typed::{BACK, DROP, RECOVER, ROOM, SWAP};
use super::{Before, Call, Change, Ctx, Earlier, Outputs, Probe, given, keep, units, words};
use crate::world::{Answer, Fault};

/// All that an attempt begins, in order; an undo's after that of a step.
const TICKETS: [&str; 7] = ["recover", "stop", "swap", "start", "undo-stop", "undo-swap", "undo-start"];
/// The end of the log, in the place of a time.
const LATEST: &str = "latest";
/// Pause between two looks at a server that starts.
const PAUSE: Duration = Duration::from_millis(100);

/// The state before, and with it what will be done: settled once, so that each attempt does the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Choice {
    /// Part of the names that are made.
    mark: String,
    /// The data directory.
    data: String,
    /// Where it is recovered.
    copy: String,
    /// Where the old one is kept.
    kept: String,
    /// The directory that stood there, by device and number; none if there was none.
    old: Option<String>,
    /// Whether its server ran.
    ran: bool,
    /// The number of the system that the backup is of.
    system: String,
    /// The timeline that is followed; none: the newest.
    timeline: Option<i64>,
    /// It is this backup, recovered until then, and nobody wrote to it.
    already: bool,
    /// The base backup.
    base: String,
    /// When that ended.
    ended: Timestamp,
    /// The directory of the log.
    log: String,
    /// Until when; none: to the end of the log.
    until: Option<Timestamp>,
}

/// What is noted in a recovered directory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Note {
    mark: String,
    base: String,
    until: String,
    recovering: bool,
    /// The last commit of the log that is in it; none if there was none after the backup.
    last: Option<String>,
    timeline: i64,
    system: String,
    /// The number of the next transaction.
    next: String,
}

/// Where the directory stands between before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// The old one stands there; beside it nothing, or something that was not finished.
    Before,
    /// The old one stands there; the recovered one stands beside it, whole.
    Beside(Note),
    /// Nothing stands there: it was cut off between its two moves.
    Between(Note),
    /// The recovered one stands there, and nobody runs it.
    Stopped(Note),
    /// The recovered one stands there, runs, and nobody wrote to it.
    Ours(Note),
    /// Something else, in words.
    Other(String),
}

/// One imperative sentence.
pub fn sentence(call: &Call<'_>) -> String {
    let until = call.shown("until");
    format!(
        "Recover {} at {} {} and put it in the place of {}",
        words::value(&call.shown("database")),
        words::value(&call.shown("host")),
        if until == LATEST { "to the end of its log".to_owned() } else { format!("until {}", words::value(&until)) },
        words::value(&call.shown("data")),
    )
}

/// What must be seen.
pub fn seen(call: &Call<'_>) -> String {
    format!("{} takes writes on a new timeline, and the directory that stood there is kept beside", words::value(&call.shown("host")))
}

/// The state before.
pub async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let own = Cluster::open(ctx).await?;
    let text = given::need(ctx.with, "until")?;
    let until = Some(text).filter(|text| text != LATEST).map(|text| units::time(&text)).transpose();
    let until = until.map_err(|p| Fault::refused(format!("`until`: {}", p.what)))?;
    let log = log_dir(ctx.with, ctx.target)
        .ok_or_else(|| Fault::refused("`log` is not given, and no backup of `method: log` says where it is"))?;
    let log = cluster::clean("log", &given::path(ctx.dir, &log))?;
    let mark = keep::fresh(ctx);
    let (copy, kept) = (format!("{}.drplan-{mark}", own.data), format!("{}.drplan-{mark}-kept", own.data));
    let plain = own.look(&copy, &kept, "").await?;
    own.movable(&plain)?;
    cluster::here(ctx, &own, &plain).await?;
    let server = match plain.runs() {
        true => Some(cluster::server(ctx, &plain).await?),
        false => None,
    };
    if server.as_ref().is_some_and(|s| s.in_recovery) {
        return Err(Fault::refused(format!("{} is a replica: recover its primary, and let it follow anew", place(&maintenance(ctx)?))));
    }
    let (base, ended) = choose(ctx, &own, &log, until).await?;
    let found = own.look(&copy, &kept, &base).await?;
    let system = found.get("base Database system identifier").map(str::to_owned);
    let system = system.ok_or_else(|| Fault::refused(format!("{} does not say of which server it is", words::code(&base))))?;
    if let Some(other) = found.get("data Database system identifier").filter(|other| **other != system) {
        return Err(Fault::refused(format!("{} is a backup of another server: {system}, not {other}", words::code(&base))));
    }
    let control = found.get("data Latest checkpoint's TimeLineID").and_then(|text| text.parse::<i64>().ok());
    let note = found.get("data note").and_then(|text| serde_json::from_str::<Note>(text).ok());
    let same = note.as_ref().is_some_and(|n| n.base == base && n.until == shown(until));
    let already = same && note.as_ref().zip(server.as_ref()).is_some_and(|(n, s)| n.next == s.next && s.timeline == Some(n.timeline));
    let choice = Choice {
        old: found.get("data is").map(str::to_owned),
        ran: server.is_some(),
        timeline: server.and_then(|s| s.timeline).or(control),
        data: own.data.clone(),
        mark,
        copy,
        kept,
        system,
        already,
        base,
        ended,
        log,
        until,
    };
    keep::state(&choice)
}

/// Until when, as it is noted.
fn shown(until: Option<Timestamp>) -> String {
    until.map_or_else(|| LATEST.to_owned(), |until| until.to_string())
}

fn choice(before: &Before) -> Answer<Choice> {
    Choice::deserialize(before).map_err(|_| Fault::refused("the state before does not say which backup"))
}

async fn state(ctx: &Ctx<'_>, own: &Cluster<'_>, c: &Choice) -> Answer<State> {
    let seen = own.look(&c.copy, &c.kept, "").await?;
    let note = |key: &str| seen.get(key).and_then(|text| serde_json::from_str::<Note>(text).ok()).filter(|n| n.mark == c.mark);
    let data = words::code(&c.data);
    let at = |key: &str| seen.get(key).map(str::to_owned);
    if c.already {
        let server = cluster::server(ctx, &seen).await?;
        let noted = seen.get("data note").and_then(|text| serde_json::from_str::<Note>(text).ok());
        return Ok(match noted {
            Some(n) if at("data is") == c.old && n.next == server.next => State::Ours(n),
            _ => State::Other(format!("{data} was written to since it was restored")),
        });
    }
    if at("data is") == c.old && c.old.is_some() || c.old.is_none() && at("data is").is_none() && at("kept is").is_none() {
        // A running server must be the one that is asked, before anything is done to it.
        if seen.runs() {
            cluster::server(ctx, &seen).await?;
        }
        return Ok(note("copy note").map_or(State::Before, State::Beside));
    }
    let old_is_kept = at("kept is") == c.old;
    match (at("data is"), note("data note"), note("copy note")) {
        (None, _, Some(copy)) if old_is_kept => Ok(State::Between(copy)),
        (Some(_), Some(own), _) if old_is_kept && !seen.runs() => match seen.next() == Some(own.next.clone()) {
            true => Ok(State::Stopped(own)),
            false => Ok(State::Other(format!("{data} was written to since it was restored"))),
        },
        (Some(_), Some(own), _) if old_is_kept => {
            let server = cluster::server(ctx, &seen).await?;
            Ok(match server.next == own.next && !server.in_recovery {
                true => State::Ours(own),
                false => State::Other(format!("{data} was written to since it was restored")),
            })
        }
        _ => Ok(State::Other(format!("{data} is neither the directory that stood there nor the restored one"))),
    }
}

/// Whether the effect is there.
pub async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (own, c) = (Cluster::open(ctx).await?, choice(before)?);
    Ok(match state(ctx, &own, &c).await? {
        State::Before | State::Beside(_) if c.ran && !own.look("", "", "").await?.runs() => {
            Probe::CannotTell(format!("the server of {} was stopped, and nothing was put in its place", words::code(&c.data)))
        }
        State::Before | State::Beside(_) => Probe::NotThere,
        State::Between(_) => Probe::CannotTell(format!("nothing stands at {}: it was cut off between its two moves", words::code(&c.data))),
        State::Stopped(_) => Probe::CannotTell(format!("{} is the restored one, and its server does not run", words::code(&c.data))),
        State::Ours(note) => Probe::There(outputs(&c, &note)),
        State::Other(why) => Probe::Other(why),
    })
}

/// What would be changed.
pub async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let (own, c) = (Cluster::open(ctx).await?, choice(before)?);
    let room = own.ask(&format!("{ROOM}echo \"$need $free\"\n"), &[("BASE", &c.base), ("DATA", &c.data)]).await?;
    let (need, free) = room.trim().split_once(' ').unwrap_or_default();
    if free.parse::<u64>().unwrap_or(0) < need.parse::<u64>().unwrap_or(u64::MAX) {
        return Err(Fault::refused(format!("the backup takes {need} KiB, and beside {} only {free} KiB are free", words::code(&c.data))));
    }
    let old = match (&c.old, c.ran) {
        (None, _) => "nothing",
        (Some(_), true) if c.until.is_none() => "the server that runs now, and must be stopped first",
        (Some(_), true) => "the server that runs now",
        (Some(_), false) => "a server that does not run",
    };
    let kept = if c.old.is_some() { format!("; what is there now is kept as {}", words::code(&c.kept)) } else { String::new() };
    let until = c.until.map_or_else(|| "to its end".to_owned(), |until| format!("until {until}"));
    let new = format!("{} of {}, and the log in {} {until}{kept}", words::code(&c.base), c.ended, words::code(&c.log));
    Ok(vec![Change { what: format!("directory {}", words::code(&c.data)), old: old.to_owned(), new }])
}

fn outputs(c: &Choice, note: &Note) -> Outputs {
    let mut out = Outputs::new();
    out.insert("restored_to".to_owned(), json!(note.last.clone().unwrap_or_else(|| c.ended.to_string())));
    out.insert("backup".to_owned(), json!(c.base));
    out.insert("timeline".to_owned(), json!(note.timeline));
    if c.old.is_some() && !c.already {
        out.insert("kept".to_owned(), json!(c.kept));
    }
    out
}

/// Recovers beside, then swaps; each attempt goes on where the one before it stands.
pub async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let (own, c) = (Cluster::open(ctx).await?, choice(before)?);
    let note = match state(ctx, &own, &c).await? {
        State::Ours(note) => return Ok(outputs(&c, &note)),
        State::Other(why) => return Err(Fault::refused(why)),
        State::Stopped(note) => return started(ctx, &own, &c, note).await,
        State::Between(note) => note,
        State::Before => recovered(ctx, &own, &c).await?,
        State::Beside(note) => fit(&c, note)?,
    };
    if c.until.is_none() && own.look("", "", "").await?.runs() {
        return Err(Fault::lost(format!("recovered beside, but the server of {} runs again, and may hold more", words::code(&c.data))));
    }
    let swap = [("DATA", c.data.as_str()), ("COPY", &c.copy), ("KEPT", &c.kept), ("MARK", &c.mark)];
    let swapped = async {
        own.halt("stop").await?;
        own.tell("swap", SWAP, &swap).await
    };
    swapped.await.map_err(|f| Fault::lost(format!("recovered beside, but not put in its place: {f}")))?;
    started(ctx, &own, &c, note).await
}

async fn recovered(ctx: &Ctx<'_>, own: &Cluster<'_>, c: &Choice) -> Answer<Note> {
    let until = shown(c.until);
    let timeline = c.timeline.map_or_else(|| "latest".to_owned(), |n| n.to_string());
    let connect = &ctx.asset()?.connect;
    let (name, user) = (given::need(connect, "database")?, given::text(connect, "user"));
    let mut env = vec![("DATA", c.data.as_str()), ("BASE", &c.base), ("COPY", &c.copy), ("LOG", &c.log), ("UNTIL", &until)];
    env.extend([("TIMELINE", timeline.as_str()), ("MARK", &c.mark), ("PGDATABASE", &name)]);
    env.extend(user.as_deref().map(|user| ("PGUSER", user)));
    let said = own.tell("recover", &format!("{ROOM}{RECOVER}"), &env).await.map_err(|fault| told(c, fault))?;
    let note = serde_json::from_str(said.trim()).map_err(|_| Fault::lost("it was recovered, but did not note what it is"))?;
    fit(c, note)
}

/// What it means that the log ends before the time.
fn told(c: &Choice, fault: Fault) -> Fault {
    let short = fault.cause.contains("recovery ended before configured recovery target");
    let Some(until) = c.until.filter(|_| short) else {
        return Fault { cause: format!("not recovered, nothing was changed: {}", fault.cause), ..fault };
    };
    let last = fault.cause.split("last completed transaction was at log time ").nth(1).and_then(|rest| rest.split(" / ").next());
    let far = last.map_or_else(|| "no commit after the backup is in it".to_owned(), |at| format!("its last commit is of {at}"));
    Fault::refused(format!(
        "the log in {} holds no commit later than {}, so that nothing shows that it goes so far: {far}; nothing was changed",
        words::code(&c.log),
        until
    ))
}

/// A recovered directory is of the right server, ended its recovery, and holds nothing that is newer than wanted.
fn fit(c: &Choice, note: Note) -> Answer<Note> {
    let last = note.last.as_deref().and_then(|at| at.parse::<Timestamp>().ok());
    let late = note.last.is_some() && last.is_none_or(|at| c.until.is_some_and(|until| at > until));
    if note.mark != c.mark || note.system != c.system || note.recovering || late {
        return Err(Fault::refused(format!(
            "what was recovered in {} is not what was wanted: {note:?}; nothing was changed",
            words::code(&c.copy)
        )));
    }
    Ok(note)
}

async fn started(ctx: &Ctx<'_>, own: &Cluster<'_>, c: &Choice, note: Note) -> Answer<Outputs> {
    let data = words::code(&c.data);
    let lost = |what: String| Fault::lost(format!("{data} is the restored one, but {what}"));
    own.launch("start").await.map_err(|f| lost(format!("its server was not started: {f}")))?;
    let to = words::code(&place(&maintenance(ctx)?));
    loop {
        let seen = own.look(&c.copy, &c.kept, "").await.map_err(|f| lost(f.cause))?;
        let why = match cluster::server(ctx, &seen).await {
            Ok(s) if seen.runs() && !s.in_recovery && s.system == c.system && s.timeline == Some(note.timeline) => {
                return Ok(outputs(c, &note));
            }
            Ok(s) => format!("its server is on timeline {:?}, and not on {}", s.timeline, note.timeline),
            Err(fault) => fault.cause,
        };
        if own.late() {
            return Err(lost(format!(
                "{to} did not become it in time: {why}; its log is {}",
                words::code(&format!("{}/drplan_server.log", c.data))
            )));
        }
        ctx.world.clock.sleep(PAUSE).await;
    }
}

/// Takes it back.
pub async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (own, c) = (Cluster::open(ctx).await?, choice(before)?);
    let env = [("DATA", c.data.as_str()), ("COPY", &c.copy), ("KEPT", &c.kept), ("MARK", &c.mark)];
    let note = match state(ctx, &own, &c).await? {
        State::Other(why) => return Ok(Probe::Other(why)),
        State::Ours(_) if c.already => return Ok(Probe::NotThere),
        State::Before | State::Beside(_) => {
            if own.look(&c.copy, &c.kept, "").await?.get("copy is").is_some() {
                own.tell("undo-swap", DROP, &env).await?;
            }
            // Whoever was stopped for a swap that never came runs again.
            return back(ctx, &own, &c).await;
        }
        State::Between(note) | State::Stopped(note) => note,
        State::Ours(note) => {
            own.halt("undo-stop").await?;
            note
        }
    };
    let seen = own.look(&c.copy, &c.kept, "").await?;
    if seen.get("data is").is_some() && seen.next() != Some(note.next) {
        own.launch("undo-start").await?;
        return Ok(Probe::Other(format!("{} was being written to", words::code(&c.data))));
    }
    own.tell("undo-swap", BACK, &env).await?;
    back(ctx, &own, &c).await
}

/// The old server runs again, if it did.
async fn back(ctx: &Ctx<'_>, own: &Cluster<'_>, c: &Choice) -> Answer<Probe> {
    if !c.ran || own.look("", "", "").await?.runs() {
        return Ok(Probe::NotThere);
    }
    own.launch("undo-start").await?;
    loop {
        let seen = own.look("", "", "").await?;
        match cluster::server(ctx, &seen).await {
            Ok(server) if seen.runs() && !server.in_recovery => return Ok(Probe::NotThere),
            Err(fault) if own.late() => {
                return Err(Fault::lost(format!("the old directory is back, but its server does not answer: {fault}")));
            }
            _ => ctx.world.clock.sleep(PAUSE).await,
        }
    }
}

/// What became of an attempt of an earlier driver.
pub async fn earlier(ctx: &Ctx<'_>) -> Answer<Earlier> {
    cluster::earlier(ctx, &TICKETS).await
}
