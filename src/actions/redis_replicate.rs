//! `redis.replicate`: lets a server follow another one, which throws away what it has itself. So it first makes sure
//! that the other one has all of it, or that the plan says otherwise.

use serde_json::{Value, json};

use super::redis::{self, Standing, place, standing, standing_of, target};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, Manual, NO_UNDO, Output, Outputs, Probe, Type, UndoKind, given, shell,
    template, words,
};
use crate::world::{Answer, Fault, RedisTarget};

const OF: &[Field] = &[
    Field::required("host", Type::Text, "host name or address of the master, as this server reaches it"),
    Field::default("port", Type::Int, "6379", "its port"),
];

pub(super) static ACTION: Action = Action {
    name: "redis.replicate",
    page: include_str!("redis_replicate.md"),
    fields: &[
        Field::required("of", Type::Record(OF), "whom it is to follow"),
        Field::default(
            "discard",
            Type::Bool,
            "false",
            "true: what it has itself may be thrown away, though the new master does not have it",
        ),
        Field::default("persist", Type::Bool, "true", "let the server keep it in its configuration file, if it has one"),
    ],
    outputs: &[
        Output::new("keys", Type::Int, "number of keys in all databases, now those of its master"),
        Output::new("offset", Type::Int, "position in the master's history up to which it has everything"),
        Output::new("persisted", Type::Bool, "whether its configuration file says so too; false: its next start may undo it"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Redis],
    undo: UndoKind::ByPlan,
    settles_ms: 20_000,
    sentence: |call| format!("Let Redis at {} follow {}, and throw away what it has itself", redis::shown(call), master(call)),
    seen: |call| format!("{} is a replica of {}, and in stream with it", redis::shown(call), master(call)),
    commands,
    check: redis::problems,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: NO_UNDO,
    ..Action::READ
};

fn of<'a>(call: &Call<'a>, key: &str) -> Option<&'a Value> {
    given::record(call.with, "of").and_then(|of| of.get(key)).filter(|v| !v.is_null())
}

fn master(call: &Call<'_>) -> String {
    let host = of(call, "host").map(template::plain).unwrap_or_default();
    words::code(&format!("{host}:{}", of(call, "port").map_or_else(|| "6379".to_owned(), template::plain)))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let cli = redis::cli(call);
    let host = of(call, "host").map_or_else(|| "''".to_owned(), shell::word);
    let port = of(call, "port").map_or_else(|| "6379".to_owned(), shell::word);
    vec![
        Manual {
            what: "Look whose data are thrown away: everything that this server has and its new master has not is gone".to_owned(),
            script: format!("{cli}redis INFO replication && redis INFO keyspace"),
            changes: false,
            expect: format!(
                "its `master_replid` and `master_repl_offset` are at {} too (there as `master_replid2` with a higher `second_repl_offset`), or it \
                 has no keys, or they may be lost",
                master(call)
            ),
        },
        Manual {
            what: "Let it follow, and wait until it is in stream".to_owned(),
            script: format!(
                "{cli}redis REPLICAOF {host} {port}{} &&\nn=0; until redis INFO replication | grep '^master_link_status:up'; do n=$((n+1)); [ $n -lt 600 ] || break; sleep 1; done &&\nredis INFO replication",
                redis::kept(call)
            ),
            changes: true,
            expect: "`master_link_status` is `up` and `master_sync_in_progress` is 0".to_owned(),
        },
    ]
}

/// Whom it is to follow; with the login of the step's own server.
fn wanted(ctx: &Ctx<'_>) -> Answer<RedisTarget> {
    let of = given::record(ctx.with, "of").ok_or_else(|| Fault::refused("`of` is not given"))?;
    let port = given::text(of, "port").map(|p| p.parse::<u16>()).transpose();
    let port = port.map_err(|_| Fault::refused("`of.port` is not a port"))?.unwrap_or(6379);
    Ok(RedisTarget { host: given::need(of, "host")?, port: Some(port), ..target(ctx)? })
}

/// Looks at whether it has all, a pause apart.
const LOOKS: u32 = 20;

fn follows(s: &Standing, wanted: &RedisTarget) -> bool {
    s.master.as_ref().is_some_and(|(host, port)| *host == wanted.host && Some(*port) == wanted.port)
}

fn in_stream(s: &Standing) -> bool {
    s.link && !s.syncing && !s.loading
}

/// Its standing once it has all that the other one has now; none if that does not come. A stream that was only broken off runs
/// again before what was missed has come.
async fn has_all(ctx: &Ctx<'_>, other: &RedisTarget) -> Answer<Option<Standing>> {
    let all = standing_of(ctx, other).await?.offset;
    for _ in 0..LOOKS {
        let s = standing(ctx).await?;
        if in_stream(&s) && s.offset >= all {
            return Ok(Some(s));
        }
        ctx.world.clock.sleep(redis::PAUSE).await;
    }
    Ok(None)
}

/// Nothing is lost if the other one has this one's history up to here, or if there is nothing.
fn lossless(own: &Standing, other: &Standing) -> bool {
    let same = own.history == other.history && own.offset <= other.offset;
    let before = own.history == other.earlier.0 && own.offset < other.earlier.1;
    own.keys == 0 || same || before
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let s = standing(ctx).await?;
    let (host, port) = s.master.clone().unzip();
    Ok(json!({ "host": host, "port": port, "history": s.history, "offset": s.offset, "keys": s.keys }))
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let (s, to) = (standing(ctx).await?, wanted(ctx)?);
    let at = words::code(&place(&target(ctx)?));
    if follows(&s, &to) {
        let there = words::code(&place(&to));
        return Ok(match in_stream(&s) {
            true => match has_all(ctx, &to).await? {
                Some(s) => Probe::There(outputs(&s, None)),
                None => Probe::CannotTell(format!("{at} follows {there}, but has not all of it yet")),
            },
            false => Probe::CannotTell(format!("{at} follows {there}, but is not in stream with it")),
        });
    }
    let (host, port) = s.master.clone().unzip();
    let as_before = Some(&json!(host)) == before.get("host") && Some(&json!(port)) == before.get("port");
    Ok(match as_before {
        true => Probe::NotThere,
        false => Probe::Other(format!("{at} is a {} of its own or of another one, which it was not before this step", s.role())),
    })
}

async fn preview(ctx: &Ctx<'_>, _before: &Before) -> Answer<Vec<Change>> {
    let s = standing(ctx).await?;
    let to = wanted(ctx)?;
    let other = safe(ctx, &s, &to).await?;
    let role = s.master.as_ref().map_or_else(|| "master".to_owned(), |(host, port)| format!("replica of {host}:{port}"));
    Ok(vec![Change {
        what: format!("role and data of {}", words::code(&place(&target(ctx)?))),
        old: format!("{role} with {} keys", s.keys),
        new: format!("replica of {} with its {} keys", place(&to), other.keys),
    }])
}

/// The other one's standing, if this one may follow it.
async fn safe(ctx: &Ctx<'_>, own: &Standing, to: &RedisTarget) -> Answer<Standing> {
    let (here, there) = (place(&target(ctx)?), place(to));
    let refused = |why: String| Err(Fault::refused(format!("not following: {why}")));
    let other = standing_of(ctx, to)
        .await
        .map_err(|f| Fault { cause: format!("not following: {there} cannot be asked what it has (with the login of {here}): {f}"), ..f })?;
    if other.run == own.run {
        return refused(format!("{there} is this very server"));
    }
    if other.loading {
        return refused(format!("{there} still reads its data from the disk"));
    }
    if let Some((host, port)) = &other.master {
        return refused(format!("{there} takes no writes itself, it follows {host}:{port}"));
    }
    if other.keys == 0 && own.keys > 0 {
        return refused(format!(
            "{there} holds nothing, and {here} has {} keys, which would be gone; if that is meant, empty it first",
            own.keys
        ));
    }
    if !lossless(own, &other) && !given::bool(ctx.with, "discard", false) {
        return refused(format!(
            "{here} has {} keys of a history that {there} does not have up to there: they would be thrown away; `discard: true` allows it",
            own.keys
        ));
    }
    Ok(other)
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let (to, at) = (wanted(ctx)?, target(ctx)?);
    let mut s = standing(ctx).await?;
    if !follows(&s, &to) {
        if let Probe::Other(why) = probe(ctx, before).await? {
            return Err(Fault::refused(why));
        }
        safe(ctx, &s, &to).await?;
        redis::ask(ctx, &at, &["REPLICAOF", &to.host, &to.port.unwrap_or(6379).to_string()]).await?;
    }
    let unseen = |f: Fault| Fault::lost(format!("it was told to follow, but cannot be looked at: {f}"));
    let start = ctx.world.clock.elapsed();
    loop {
        s = standing(ctx).await.map_err(unseen)?;
        if !follows(&s, &to) {
            return Err(Fault::lost(format!("{} follows another one again: somebody changed it", place(&at))));
        }
        let all = if in_stream(&s) { has_all(ctx, &to).await.map_err(unseen)? } else { None };
        if let Some(s) = all {
            let persisted = redis::keep(ctx, &s).await?;
            return Ok(outputs(&s, Some(persisted)));
        }
        if ctx.world.clock.elapsed().saturating_sub(start) >= super::postgres_lag::patience(ctx) {
            return Err(Fault::lost(format!(
                "{} follows {}, but is not in stream with it (it needs `masterauth`, and `masteruser`, to log in there; its log says why)",
                place(&at),
                place(&to)
            )));
        }
        ctx.world.clock.sleep(redis::PAUSE).await;
    }
}

fn outputs(s: &Standing, persisted: Option<bool>) -> Outputs {
    let mut out = Outputs::from_iter([("keys".to_owned(), json!(s.keys)), ("offset".to_owned(), json!(s.offset))]);
    persisted.into_iter().for_each(|yes| drop(out.insert("persisted".to_owned(), json!(yes))));
    out
}
