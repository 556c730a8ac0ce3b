//! `redis.promote`: makes a replica the server that takes writes. It does not know whether the old master still lives.

use std::time::Duration;

use serde_json::{Value, json};

use super::redis::{self, Standing, place, standing, target};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, shell, units,
    words,
};
use crate::world::{Answer, Fault, RedisTarget};

/// How long writes wait while an undo looks whether there were any, in milliseconds.
const HOLD_MS: &str = "10000";

pub(super) static ACTION: Action = Action {
    name: "redis.promote",
    page: include_str!("redis_promote.md"),
    fields: &[
        Field::optional("max_lag", Type::Duration, "refuse if more than this could be missing; without it any lag is taken"),
        Field::optional("max_bytes", Type::Size, "refuse if its master has more bytes that it has not, or cannot be asked"),
        Field::default("persist", Type::Bool, "true", "let the server keep it in its configuration file, if it has one"),
    ],
    outputs: &[
        Output::new("keys", Type::Int, "number of keys in all databases"),
        Output::new("offset", Type::Int, "position in the master's history up to which it has everything"),
        Output::new("loss", Type::Duration, "how long before the incident its stream broke off at most; absent if it cannot be told"),
        Output::new("persisted", Type::Bool, "whether its configuration file says so too; false: its next start may undo it"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Redis],
    deed: Deed::TakesWrites,
    undo: UndoKind::Auto,
    settles_ms: 20_000,
    sentence: |call| {
        let limits = redis::limits(call);
        let limits = if limits.is_empty() { limits } else { format!(", if it is{}", limits.trim_start_matches(',')) };
        format!("Promote the Redis replica at {}{limits}", redis::shown(call))
    },
    seen: |call| format!("{} is a master", redis::shown(call)),
    commands,
    undo_commands,
    check: redis::problems,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let (cli, file) = (redis::cli(call), noted(call));
    vec![
        Manual {
            what: "Look what the replica has, and note whom it follows".to_owned(),
            script: format!("{cli}redis INFO replication | tr -d '\\r' >{file} && cat {file}"),
            changes: false,
            expect: format!(
                "`role` is `slave`, `master_sync_in_progress` is 0 and `slave_repl_offset` is more than 1{}; while its master lives, \
                 `slave_repl_offset` has what `master_repl_offset` is there, else `master_link_down_since_seconds` says how old it is",
                redis::limits(call)
            ),
        },
        Manual {
            what: "Promote it".to_owned(),
            script: format!("{cli}redis REPLICAOF NO ONE{} &&\nredis INFO replication | grep '^role:master'", redis::kept(call)),
            changes: true,
            expect: "`OK` and `role:master`".to_owned(),
        },
    ]
}

/// What the replica was, as the first block notes it.
fn noted(call: &Call<'_>) -> String {
    shell::literal(&format!("{}.before.txt", call.step))
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let (cli, file) = (redis::cli(call), noted(call));
    let value = |key: &str| format!("$({})", redis::told("replication", key));
    vec![Manual {
        what: "Only if nothing was written to it since: let it follow again whom it followed, as noted. What it has is thrown away and \
               taken from there"
            .to_owned(),
        script: format!(
            "{cli}[ \"$(({} + 1))\" = \"{}\" ] &&\nredis REPLICAOF \"$(sed -n 's/^master_host://p' {file})\" \"$(sed -n 's/^master_port://p' {file})\"{}",
            value("master_repl_offset"),
            value("second_repl_offset"),
            redis::kept(call)
        ),
        changes: true,
        expect: "`OK`; if nothing is printed, it was written to since, and nothing was done".to_owned(),
    }]
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let s = standing(ctx).await?;
    let (host, port) = s.master.clone().unzip();
    Ok(json!({ "host": host, "port": port, "history": s.history, "offset": s.offset }))
}

/// Whom it followed.
fn followed(before: &Before) -> Option<(String, u16)> {
    let host = before.get("host").and_then(Value::as_str)?;
    Some((host.to_owned(), u16::try_from(before.get("port").and_then(Value::as_u64)?).ok()?))
}

/// True if what it is came of this promotion: it left the history that it had.
fn ours(s: &Standing, before: &Before) -> bool {
    s.master.is_none() && before.get("history").and_then(Value::as_str) == Some(s.earlier.0.as_str())
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let s = standing(ctx).await?;
    let at = words::code(&place(&target(ctx)?));
    Ok(match (followed(before), &s.master) {
        (None, None) => Probe::Other(format!("{at} took writes before this step began")),
        (None, Some(_)) => Probe::Other(format!("{at} is a replica, which it was not before this step")),
        (Some(old), Some(now)) if *now == old => Probe::NotThere,
        (Some(_), Some((host, port))) => {
            Probe::Other(format!("{at} follows {} now, which it did not before this step", words::code(&format!("{host}:{port}"))))
        }
        // A server that lost its backlog in the meantime has yet another history, and is a master all the same.
        (Some(_), None) => Probe::There(outputs(&s, None, None)),
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    refuse_master(&target(ctx)?, before)?;
    let (s, lag) = redis::lag(ctx).await?;
    let (host, port) = followed(before).unwrap_or_default();
    Ok(vec![Change {
        what: format!("role of {}", words::code(&place(&target(ctx)?))),
        old: format!("replica of {host}:{port} with {} keys: {}", s.keys, lag.how),
        new: "master".to_owned(),
    }])
}

fn refuse_master(to: &RedisTarget, before: &Before) -> Answer<()> {
    if followed(before).is_some() {
        return Ok(());
    }
    Err(Fault::refused(format!("{} is not a replica: it takes writes already, or was promoted by somebody else", place(to))))
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let to = target(ctx)?;
    refuse_master(&to, before)?;
    let now = standing(ctx).await?;
    if now.master.is_none() {
        let persisted = redis::keep(ctx, &now).await?;
        return Ok(outputs(&now, None, Some(persisted)));
    }
    let (s, lag) = caught_up(ctx).await?;
    if s.master != followed(before) {
        return Err(Fault::refused(format!("{} follows another one than when this step began", place(&to))));
    }
    redis::ask(ctx, &to, &["REPLICAOF", "NO", "ONE"]).await?;
    let after =
        standing(ctx).await.map_err(|f| Fault::lost(format!("the promotion was asked for, but the server cannot be looked at: {f}")))?;
    if after.master.is_some() {
        return Err(Fault::lost(format!("{} said that it did it, but is a replica", place(&to))));
    }
    let persisted = redis::keep(ctx, &after).await?;
    Ok(outputs(&after, lag, Some(persisted)))
}

/// Waits until no more could be missing than the plan allows.
async fn caught_up(ctx: &Ctx<'_>) -> Answer<(Standing, Option<u64>)> {
    let (max_ms, max_bytes) = redis::given_limits(ctx.with)?;
    let start = ctx.world.clock.elapsed();
    loop {
        let (s, lag) = redis::lag(ctx).await?;
        let at = place(&target(ctx)?);
        if s.loading || s.syncing {
            return Err(Fault::refused(format!("not promoted: {at} takes over its data at this moment, what it has is not whole")));
        }
        if !s.link && s.offset <= 1 {
            return Err(Fault::refused(format!("not promoted: {at} was never in stream with its master and has nothing of it")));
        }
        let Err(why) = redis::within(&lag, max_ms, max_bytes) else { return Ok((s, lag.ms)) };
        if !s.link || ctx.world.clock.elapsed().saturating_sub(start) >= super::postgres_lag::patience(ctx) {
            let decide =
                "if that may be lost, promote by hand as the runbook says and resolve this step as done, or run again with a larger limit";
            return Err(Fault::refused(format!("not promoted: {why}; {decide}")));
        }
        ctx.world.clock.sleep(redis::PAUSE).await;
    }
}

fn outputs(s: &Standing, loss_ms: Option<u64>, persisted: Option<bool>) -> Outputs {
    let mut out = Outputs::new();
    out.insert("keys".to_owned(), json!(s.keys));
    if s.earlier.1 > 0 {
        out.insert("offset".to_owned(), json!(s.earlier.1 - 1));
    }
    loss_ms.into_iter().for_each(|ms| drop(out.insert("loss".to_owned(), json!(units::duration_text(ms)))));
    persisted.into_iter().for_each(|yes| drop(out.insert("persisted".to_owned(), json!(yes))));
    out
}

/// Writes are held while it is looked whether there were any, so that none slips in between.
async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let to = target(ctx)?;
    let Some((host, port)) = followed(before) else { return Ok(Probe::NotThere) };
    if standing(ctx).await?.master.as_ref() == Some(&(host.clone(), port)) {
        return Ok(Probe::NotThere);
    }
    redis::ask(ctx, &to, &["CLIENT", "PAUSE", HOLD_MS, "WRITE"]).await?;
    let held = ctx.world.clock.elapsed();
    let s = standing(ctx).await?;
    let newer = if let Some((other, _)) = &s.master {
        Some(format!("{} follows {} now", words::code(&place(&to)), words::code(other)))
    } else if !ours(&s, before) || s.offset != s.earlier.1 - 1 {
        Some(format!("{} was written to since it was promoted (or sent its replicas a sign of life)", words::code(&place(&to))))
    } else {
        None
    };
    let answer = match newer {
        Some(newer) => Ok(Probe::Other(newer)),
        None if ctx.world.clock.elapsed().saturating_sub(held) > Duration::from_secs(5) => {
            Err(Fault::refused("it took too long to see whether there were writes: nothing was done"))
        }
        None => redis::ask(ctx, &to, &["REPLICAOF", &host, &port.to_string()]).await.map(|_| Probe::NotThere),
    };
    // If this is lost, the pause ends by itself.
    let _ = redis::ask(ctx, &to, &["CLIENT", "UNPAUSE"]).await;
    if let Ok(Probe::NotThere) = answer
        && given::bool(ctx.with, "persist", true)
    {
        redis::keep(ctx, &s).await?;
    }
    answer
}
