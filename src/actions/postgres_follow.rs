//! `postgres.follow`: lets a server that was the primary follow the one that took its place. It is wound back to where
//! it left the other's history, or copied anew; what only it has is lost. It works on the machine of the old one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::postgres::{self, LOOK_MS, maintenance, place};
use super::postgres_cluster::{self as cluster, AS, Cluster, START, STOP, Seen};
use super::postgres_follow_typed::{self as typed, REWIND};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, NO_UNDO, Output, Outputs, Probe, Type, UndoKind, given, keep, template,
    words,
};
use crate::world::{Answer, Fault, PgTarget};

const OF: &[Field] = &[
    Field::required("host", Type::Text, "host name or address of the primary, as this server reaches it"),
    Field::default("port", Type::Int, "5432", "its port"),
];

const LOGIN: &[Field] = &[
    Field::required("user", Type::Text, "a role with `REPLICATION`, as which it streams"),
    Field::optional("password", Type::Secret, "its password, as `${secrets.NAME}`"),
];

/// All that an attempt begins, in order.
const TICKETS: [&str; 3] = ["stop", "rewind", "start"];
/// Pause between two looks at a server that starts.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) static ACTION: Action = Action {
    name: "postgres.follow",
    page: include_str!("postgres_follow.md"),
    fields: &[
        Field::required("of", Type::Record(OF), "whom it is to follow"),
        Field::required("data", Type::Text, "the data directory of the server that is to follow, on this machine"),
        Field::required("slot", Type::Text, "the replication slot by which it follows; it is made if it is not there"),
        Field::default(
            "anew",
            Type::Word(&["auto", "always", "never"]),
            "auto",
            "whether it is copied anew: `auto` where it cannot be wound back; the directory that stood there is kept",
        ),
        Field::optional("login", Type::Record(LOGIN), "as whom it streams; else `user` and `password` of `connect`"),
        STOP,
        START,
        AS,
    ],
    outputs: &[
        Output::new("timeline", Type::Int, "the timeline that it follows"),
        Output::new("rewound", Type::Bool, "whether it was wound back; false if it had nothing of its own, or was copied anew"),
        Output::new("copied_anew", Type::Bool, "whether it was copied anew"),
        Output::new("diverged_bytes", Type::Int, "bytes of log that only it had, and that are lost; absent if that cannot be told"),
        Output::new("kept", Type::Text, "where the directory is kept that stood there, if it was copied anew"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Postgres],
    undo: UndoKind::ByPlan,
    settles_ms: 60_000,
    feature: Some("postgres"),
    sentence: |call| {
        format!("Let the server of {} follow {}, and throw away what only it has", words::value(&call.shown("data")), primary_shown(call))
    },
    seen: |call| {
        format!("it streams from {} by slot {}, and has replayed what was there", primary_shown(call), words::value(&call.shown("slot")))
    },
    commands: typed::commands,
    check,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    earlier: Some(|ctx, _| Box::pin(cluster::earlier(ctx, &TICKETS))),
    undo_apply: NO_UNDO,
    ..Action::READ
};

/// The state before.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Choice {
    /// Part of the names that are made.
    mark: String,
    /// The data directory.
    data: String,
    /// Where it is copied anew.
    copy: String,
    /// Where the old one is kept then.
    kept: String,
    /// Where its settings stand meanwhile.
    aside: String,
    /// The directory that stood there, by device and number; none if there was none.
    old: Option<String>,
    /// Its timeline.
    timeline: Option<i64>,
    /// It followed somebody before.
    replica: bool,
    /// It ran.
    ran: bool,
    /// Where the primary stood.
    position: String,
    /// It follows already.
    already: bool,
}

/// What is noted in a directory that was told whom to follow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Note {
    mark: String,
    rewound: bool,
    copied: bool,
    /// Where its own log ended; empty if nobody could tell.
    end: String,
    /// Whom it was told to follow.
    of: String,
}

/// The primary.
struct Primary {
    to: PgTarget,
    timeline: i64,
    position: String,
    /// Who follows by the slot now: its state, and whether it has replayed up to a position.
    follower: Option<(String, bool)>,
}

/// Where the server stands between before and after.
enum State {
    /// As it was.
    Before,
    /// It is being wound back or copied: nothing else can be done with it.
    Begun,
    /// It was told whom to follow, and does not stream yet.
    Told,
    /// It streams.
    Ours(Option<Note>),
    /// Something else, in words.
    Other(String),
}

fn primary_shown(call: &Call<'_>) -> String {
    let of = given::record(call.with, "of");
    let part = |key: &str| of.and_then(|of| of.get(key)).map(template::plain);
    words::code(&format!("{}:{}", part("host").unwrap_or_default(), part("port").unwrap_or_else(|| "5432".to_owned())))
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = cluster::problems(call, &["data"]);
    if let Some(slot) = call.with.get("slot").filter(|v| template::references(v).is_empty()).map(template::plain).filter(|s| !plain_slot(s))
    {
        out.push((
            "slot",
            format!("{} is not the name of a slot: small letters, digits and `_`", words::code(&slot)),
            "slot: ireland".to_owned(),
        ));
    }
    out
}

fn plain_slot(slot: &str) -> bool {
    (1..64).contains(&slot.len()) && slot.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn slot(ctx: &Ctx<'_>) -> Answer<String> {
    let slot = given::need(ctx.with, "slot")?;
    if plain_slot(&slot) { Ok(slot) } else { Err(Fault::refused(format!("{} is not the name of a slot", words::code(&slot)))) }
}

/// The one that is to be followed: it takes writes, and is of the same system.
async fn primary(ctx: &Ctx<'_>, own: &Seen, position: Option<&str>) -> Answer<Primary> {
    let of = given::record(ctx.with, "of").ok_or_else(|| Fault::refused("`of` is not given"))?;
    let port = given::text(of, "port").map(|p| p.parse::<u16>()).transpose();
    let port = port.map_err(|_| Fault::refused("`of.port` is not a port"))?.unwrap_or(5432);
    let to = PgTarget { host: given::need(of, "host")?, port: Some(port), ..maintenance(ctx)? };
    let sql = "select pg_is_in_recovery() as in_recovery, (select system_identifier::text from pg_control_system()) as system, \
               case when pg_is_in_recovery() then null else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint end as timeline, \
               case when pg_is_in_recovery() then null else pg_current_wal_lsn()::text end as position, \
               (select slot_type from pg_replication_slots where slot_name = $1::text) as kind, r.state, \
               r.replay_lsn >= $2::pg_lsn as replayed \
               from (select 1) x left join pg_replication_slots s on s.slot_name = $1::text left join pg_stat_replication r on r.pid = s.active_pid";
    let row = postgres::row(ctx, &to, sql, &[json!(slot(ctx)?), json!(position.unwrap_or("0/0"))]).await?;
    let text = |key: &str| row.get(key).filter(|v| !v.is_null()).map(template::plain);
    let at = place(&to);
    if row.get("in_recovery").and_then(Value::as_bool) != Some(false) {
        return Err(Fault::refused(format!("{at} takes no writes: it is a replica, and not the one to follow")));
    }
    let system = text("system").ok_or_else(|| Fault::refused(format!("{at} did not say `system`")))?;
    if let Some(other) = own.get("data Database system identifier").filter(|other| **other != system) {
        return Err(Fault::refused(format!("{at} is of another system: {system}, not {other}")));
    }
    if text("kind").is_some_and(|kind| kind != "physical") {
        return Err(Fault::refused(format!("the slot {} at {at} is not one for a replica", words::code(&slot(ctx)?))));
    }
    let unsaid = || Fault::refused(format!("{at} did not say where it stands"));
    Ok(Primary {
        timeline: row.get("timeline").and_then(Value::as_i64).ok_or_else(unsaid)?,
        position: text("position").ok_or_else(unsaid)?,
        follower: text("state").map(|state| (state, row.get("replayed").and_then(Value::as_bool) == Some(true))),
        to,
    })
}

/// The server that is to follow.
#[derive(Default)]
struct Standby {
    timeline: Option<i64>,
    /// It follows somebody, or did when it was stopped.
    replica: bool,
    /// It streams by the slot.
    streams: bool,
}

/// How the server stands that is to follow, and of one that runs, whether it follows by the slot; it must be the one of the directory, and not
/// the one that is to be followed.
async fn standby(ctx: &Ctx<'_>, seen: &Seen) -> Answer<Standby> {
    let control = || seen.get("data Latest checkpoint's TimeLineID").and_then(|text| text.parse().ok());
    if !seen.runs() {
        let replica = seen.get("data Database cluster state").is_some_and(|state| state.contains("recovery") && !state.contains("crash"));
        return Ok(Standby { timeline: control(), replica, streams: false });
    }
    let server = cluster::server(ctx, seen).await?;
    let to = maintenance(ctx)?;
    let sql = "select exists (select from pg_stat_wal_receiver where status = 'streaming' and slot_name = $1::text) as streams";
    let row = postgres::row(ctx, &to, sql, &[json!(slot(ctx)?)]).await?;
    let streams = server.in_recovery && row.get("streams").and_then(Value::as_bool) == Some(true);
    Ok(Standby { timeline: server.timeline.or_else(control), replica: server.in_recovery, streams })
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let own = Cluster::open(ctx).await?;
    let mark = keep::fresh(ctx);
    let beside = |end: &str| format!("{}.drplan-{mark}-{end}", own.data);
    let seen = own.look(&beside("copy"), &beside("aside"), "").await?;
    own.movable(&seen)?;
    cluster::here(ctx, &own, &seen).await?;
    let primary = primary(ctx, &seen, None).await?;
    let standby = standby(ctx, &seen).await?;
    if seen.get("data is").is_none() && given::text(ctx.with, "anew").as_deref() == Some("never") {
        return Err(Fault::refused(format!("{} is not there, and may not be made", words::code(&own.data))));
    }
    let choice = Choice {
        copy: beside("copy"),
        kept: beside("kept"),
        aside: beside("aside"),
        old: seen.get("data is").map(str::to_owned),
        already: standby.streams && primary.follower.as_ref().is_some_and(|(state, _)| state == "streaming"),
        position: primary.position,
        data: own.data.clone(),
        timeline: standby.timeline,
        replica: standby.replica,
        ran: seen.runs(),
        mark,
    };
    keep::state(&choice)
}

fn choice(before: &Before) -> Answer<Choice> {
    Choice::deserialize(before).map_err(|_| Fault::refused("the state before does not say which directory"))
}

async fn state(ctx: &Ctx<'_>, own: &Cluster<'_>, c: &Choice) -> Answer<(State, Primary)> {
    let seen = own.look(&c.copy, &c.aside, "").await?;
    let primary = primary(ctx, &seen, Some(&c.position)).await?;
    let note = seen.get("data follows").and_then(|text| serde_json::from_str::<Note>(text).ok()).filter(|n| n.mark == c.mark);
    // An earlier attempt may have told it another address of the same server.
    if seen.get("kept is").is_some() || note.as_ref().is_some_and(|n| n.of != told(&primary)) {
        return Ok((State::Begun, primary));
    }
    let streams = match note.is_some() {
        // It was started, and may not answer yet.
        true => standby(ctx, &seen).await.unwrap_or_default().streams,
        false => standby(ctx, &seen).await?.streams,
    };
    let replays = primary.follower.as_ref().is_some_and(|(state, replayed)| state == "streaming" && *replayed);
    let state = match note {
        Some(note) if streams && replays => State::Ours(Some(note)),
        None if c.already && streams => State::Ours(None),
        Some(_) if seen.runs() && cluster::server(ctx, &seen).await.is_ok_and(|server| !server.in_recovery) => {
            State::Other(format!("the server of {} was told to follow, and takes writes now", words::code(&c.data)))
        }
        Some(_) => State::Told,
        None if seen.get("data is").map(str::to_owned) == c.old && !c.already => State::Before,
        None => State::Other(format!("{} is not what stood there, and does not follow", words::code(&c.data))),
    };
    Ok((state, primary))
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (own, c) = (Cluster::open(ctx).await?, choice(before)?);
    let (state, primary) = state(ctx, &own, &c).await?;
    Ok(match state {
        State::Before if c.ran && !own.look("", "", "").await?.runs() => {
            Probe::CannotTell(format!("the server of {} was stopped, and was not told to follow", words::code(&c.data)))
        }
        State::Before => Probe::NotThere,
        State::Begun => Probe::CannotTell(format!("{} is being wound back or copied", words::code(&c.data))),
        State::Told => Probe::CannotTell(format!("{} was told to follow, and does not stream", words::code(&c.data))),
        State::Ours(note) => Probe::There(outputs(ctx, &c, &primary, note.as_ref()).await?),
        State::Other(why) => Probe::Other(why),
    })
}

/// Whom it is told to follow, as it is noted: no more of it than can stand in a text of JSON as it is.
fn told(primary: &Primary) -> String {
    super::keep::mark(&place(&primary.to))
}

/// A position in bytes.
fn bytes(position: &str) -> Option<u64> {
    let (high, low) = position.split_once('/')?;
    Some((u64::from_str_radix(high, 16).ok()? << 32) + u64::from_str_radix(low, 16).ok()?)
}

/// Where the primary left a timeline, as its own history says; none if it does not, or may not be asked.
async fn fork(ctx: &Ctx<'_>, primary: &Primary, timeline: i64) -> Answer<Option<u64>> {
    if timeline == primary.timeline {
        return Ok(None);
    }
    let sql = "select pg_read_file('pg_wal/' || lpad(upper(to_hex($1::bigint)), 8, '0') || '.history', 0, 1048576, true) as history";
    let rows = match postgres::look(ctx, &primary.to, sql, &[json!(primary.timeline)]).await {
        Ok(rows) => rows,
        Err(fault) if fault.unreachable => return Err(fault),
        // Not every role may read it; then it is not told.
        Err(_) => return Ok(None),
    };
    let history = rows.first().and_then(|row| row.get("history")).map(template::plain).unwrap_or_default();
    let line = history
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.first() == Some(&timeline.to_string().as_str()));
    Ok(line.and_then(|words| bytes(words.get(1)?)))
}

async fn outputs(ctx: &Ctx<'_>, c: &Choice, primary: &Primary, note: Option<&Note>) -> Answer<Outputs> {
    let mut out = Outputs::new();
    out.insert("timeline".to_owned(), json!(primary.timeline));
    out.insert("rewound".to_owned(), json!(note.is_some_and(|n| n.rewound)));
    out.insert("copied_anew".to_owned(), json!(note.is_some_and(|n| n.copied)));
    let Some(note) = note else { return Ok(out) };
    if let (Some(end), Some(timeline)) = (bytes(&note.end), c.timeline)
        && let Some(fork) = fork(ctx, primary, timeline).await?
    {
        out.insert("diverged_bytes".to_owned(), json!(end.saturating_sub(fork)));
    }
    if note.copied && c.old.is_some() {
        out.insert("kept".to_owned(), json!(c.kept));
    }
    Ok(out)
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let (own, c) = (Cluster::open(ctx).await?, choice(before)?);
    let seen = own.look(&c.copy, &c.aside, "").await?;
    let primary = primary(ctx, &seen, None).await?;
    fitting(&c, &primary, given::text(ctx.with, "anew").as_deref())?;
    let old = match (c.already, &c.old, seen.runs()) {
        (true, ..) => "a replica that streams",
        (_, None, _) => "nothing",
        (_, _, true) => "a server of its own that runs",
        (_, _, false) => "a server of its own that does not run",
    };
    let end = seen.get("data Latest checkpoint location").and_then(bytes);
    let lost = match (end, c.timeline) {
        (Some(end), Some(timeline)) => fork(ctx, &primary, timeline).await?.map(|fork| end.saturating_sub(fork)),
        _ => None,
    };
    let lost = lost.map_or_else(
        || "what only it has is lost".to_owned(),
        |n| format!("at its last checkpoint {n} bytes of log were only its own, and are lost"),
    );
    let new = format!("a replica of {} on timeline {}; {lost}", words::code(&place(&primary.to)), primary.timeline);
    Ok(vec![Change { what: format!("server of {}", words::code(&c.data)), old: old.to_owned(), new }])
}

/// The one that is to be followed must be the one that was promoted.
fn fitting(c: &Choice, primary: &Primary, anew: Option<&str>) -> Answer<()> {
    let at = place(&primary.to);
    match c.timeline {
        Some(own) if own > primary.timeline => Err(Fault::refused(format!(
            "this server is on timeline {own}, and {at} only on {}: it is this one that was promoted last",
            primary.timeline
        ))),
        Some(own) if own == primary.timeline && !c.replica && anew != Some("always") => Err(Fault::refused(format!(
            "this server and {at} are on the same timeline {own}: they are one server, or neither was promoted, and nobody can tell whose rows are whose"
        ))),
        _ => Ok(()),
    }
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let (own, c) = (Cluster::open(ctx).await?, choice(before)?);
    let (at, primary) = state(ctx, &own, &c).await?;
    let begun = |f: Fault| Fault::lost(format!("the server of {} was stopped to follow, but {f}", words::code(&c.data)));
    match at {
        State::Ours(note) => return outputs(ctx, &c, &primary, note.as_ref()).await,
        State::Other(why) => return Err(Fault::refused(why)),
        State::Told => {}
        State::Before | State::Begun => {
            fitting(&c, &primary, given::text(ctx.with, "anew").as_deref())?;
            if matches!(at, State::Before) && primary.follower.is_some() {
                let slot = words::code(&slot(ctx)?);
                return Err(Fault::refused(format!("somebody else follows {} by the slot {slot}", place(&primary.to))));
            }
            ready(ctx, &primary).await?;
            own.halt("stop").await.map_err(begun)?;
            rewind(ctx, &own, &c, &primary).await.map_err(begun)?;
        }
    }
    started(ctx, &own, &c).await
}

/// The primary has written down that it is on its new timeline, without which a rewind would find nothing to do, and
/// keeps its log.
async fn ready(ctx: &Ctx<'_>, primary: &Primary) -> Answer<()> {
    let limit = ctx.exchange_ms(600_000);
    ctx.world.postgres.query(&primary.to, "checkpoint", &[], false, limit).await?;
    let sql = "select pg_create_physical_replication_slot($1::text, true) where not exists (select from pg_replication_slots where slot_name = $1::text)";
    ctx.world.postgres.query(&primary.to, sql, &[json!(slot(ctx)?)], false, ctx.exchange_ms(LOOK_MS)).await.map(drop)
}

async fn rewind(ctx: &Ctx<'_>, own: &Cluster<'_>, c: &Choice, primary: &Primary) -> Answer<()> {
    let (slot, port) = (slot(ctx)?, primary.to.port.unwrap_or(5432).to_string());
    let anew = given::text(ctx.with, "anew").unwrap_or_else(|| "auto".to_owned());
    let login = given::record(ctx.with, "login");
    let part = |key: &str| login.map_or_else(|| given::text(&ctx.asset().ok()?.connect, key), |l| given::text(l, key));
    let (user, password) = (part("user").unwrap_or_else(|| "postgres".to_owned()), part("password"));
    if [Some(&user), password.as_ref(), Some(&primary.to.host)].into_iter().flatten().any(|text| text.contains(char::is_control)) {
        return Err(Fault::refused("`of`, `user` or `password` hold a character that no settings file takes"));
    }
    let mut env = vec![("DATA", c.data.as_str()), ("COPY", &c.copy), ("KEPT", &c.kept), ("ASIDE", &c.aside), ("MARK", &c.mark)];
    let of = told(primary);
    env.extend([("OF", of.as_str()), ("SLOT", &slot), ("ANEW", &anew), ("LOGIN", &user), ("PGHOST", &primary.to.host), ("PGPORT", &port)]);
    env.extend([("PGDATABASE", primary.to.database.as_str()), ("PGCONNECT_TIMEOUT", "10")]);
    let may = [
        ("LOGIN_PASSWORD", &password),
        ("PGUSER", &primary.to.user),
        ("PGPASSWORD", &primary.to.password),
        ("PGSSLMODE", &primary.to.sslmode),
        ("PGSSLROOTCERT", &primary.to.sslrootcert),
    ];
    env.extend(may.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    own.tell("rewind", REWIND, &env).await.map(drop)
}

/// Starts it, and waits until it streams and has replayed what was there at the beginning.
async fn started(ctx: &Ctx<'_>, own: &Cluster<'_>, c: &Choice) -> Answer<Outputs> {
    let data = words::code(&c.data);
    let lost = |what: String| Fault::lost(format!("the server of {data} was told to follow, but {what}"));
    if !own.look(&c.copy, &c.aside, "").await.map_err(|f| lost(f.cause))?.runs() {
        own.launch("start").await.map_err(|f| lost(format!("it was not started: {f}")))?;
    }
    loop {
        let why = match state(ctx, own, c).await {
            Ok((State::Ours(note), primary)) => return outputs(ctx, c, &primary, note.as_ref()).await.map_err(|f| lost(f.cause)),
            Ok((State::Other(why), _)) => return Err(lost(why)),
            Ok((_, primary)) => match primary.follower {
                None => format!("it does not stream; its log is {}", words::code(&format!("{}/drplan_server.log", c.data))),
                Some((state, _)) => format!("it is still behind ({state})"),
            },
            Err(fault) => fault.cause,
        };
        if own.late() {
            return Err(lost(why));
        }
        ctx.world.clock.sleep(PAUSE).await;
    }
}
