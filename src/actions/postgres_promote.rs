//! `postgres.promote`: makes a replica the server that takes writes. It does not know whether the old primary still
//! lives: a fence before it does.

use std::time::Duration;

use serde_json::{Value, json};

use super::postgres::{Standing, maintenance, place, psql, standing, statements};
use super::postgres_lag::{measure, patience, within};
use super::postgres_swap::accept_named;
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Field, Manual, NO_UNDO, Output, Outputs, Probe, Type, UndoKind, given,
    units, words,
};
use crate::world::{Answer, Fault, PgTarget};

/// Pause between two looks while it catches up.
const PAUSE: Duration = Duration::from_millis(500);

/// Pause between two looks while the promotion ends.
const SHORT: Duration = Duration::from_millis(100);

pub(super) static ACTION: Action = Action {
    name: "postgres.promote",
    page: include_str!("postgres_promote.md"),
    fields: &[Field::optional("max_lag", Type::Duration, "refuse if more than this could be missing; without it any lag is taken")],
    outputs: &[
        Output::new("promoted_at", Type::Time, "when it took its first writes; absent if that was found later"),
        Output::new("timeline", Type::Int, "the timeline on which it writes"),
        Output::new("last_commit", Type::Time, "commit time of the last transaction that it has of the old primary"),
        Output::new("loss", Type::Duration, "how much is missing at most, as time before the incident; absent if it cannot be told"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Postgres],
    deed: Deed::TakesWrites,
    undo: UndoKind::Impossible,
    settles_ms: 60_000,
    feature: Some("postgres"),
    sentence: |call| {
        let lag = call.with.get("max_lag").map(|v| format!(", if at most {} could be missing", words::value(v))).unwrap_or_default();
        format!("Promote the replica of {} at {}{lag}", words::value(&call.shown("database")), words::value(&call.shown("host")))
    },
    seen: |call| {
        format!(
            "{} is not in recovery, and {} accepts connections",
            words::value(&call.shown("host")),
            words::value(&call.shown("database"))
        )
    },
    commands,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, before| Box::pin(preview(ctx, before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    undo_apply: NO_UNDO,
    ..Action::READ
};

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let look = "\
\\x on\n\
SELECT pg_is_in_recovery() AS in_recovery, pg_last_wal_receive_lsn() AS received, pg_last_wal_replay_lsn() AS replayed,\n  \
pg_last_xact_replay_timestamp() AS last_commit;";
    let act = "\
SELECT pg_promote(true, 120) AS promoted WHERE pg_is_in_recovery();\n\
\\echo letting sessions in, if a fence came by replication; no standby is waited for\n\
SET synchronous_commit = local;\n\
SELECT format('ALTER DATABASE %I WITH ALLOW_CONNECTIONS true', datname) FROM pg_database WHERE datname = :'db' AND NOT datallowconn \\gexec\n\
SELECT pg_is_in_recovery() AS in_recovery, (SELECT datallowconn FROM pg_database WHERE datname = :'db') AS accepts;";
    let psql = psql(call, "maintenance", "");
    let lag = call.with.get("max_lag").map(|v| format!("no more than {} ", words::value(v))).unwrap_or_default();
    vec![
        Manual {
            what: "Look what the replica has".to_owned(),
            script: statements(&psql, &[], look),
            changes: false,
            expect: format!(
                "`in_recovery` is `t`, `replayed` equals `received`, and `last_commit` is {lag}before the incident began; if it is longer ago, \
                 either nothing was written in that time or it is missing"
            ),
        },
        Manual {
            what: "Promote it".to_owned(),
            script: statements(&psql, &[("db", call.shown("database"))], act),
            changes: true,
            expect: "in the last table `in_recovery` is `f` and `accepts` is `t`".to_owned(),
        },
    ]
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let s = standing(ctx).await?;
    Ok(json!({ "in_recovery": s.in_recovery, "received": s.received, "replayed": s.replayed, "last_commit": s.last_commit }))
}

fn was_replica(before: &Before) -> bool {
    before.get("in_recovery").and_then(Value::as_bool).unwrap_or(false)
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let s = standing(ctx).await?;
    let host = words::code(&place(&maintenance(ctx)?));
    Ok(match (s.in_recovery, was_replica(before), s.accepts) {
        (true, true, _) => Probe::NotThere,
        (true, false, _) => Probe::Other(format!("{host} is a replica, which it was not before this step")),
        (false, false, _) => Probe::Other(format!("{host} took writes before this step began")),
        (false, true, Some(true)) => Probe::There(outputs(ctx, &s, false, false)),
        (false, true, _) => Probe::Other(format!(
            "{host} is promoted, but its database still refuses connections (a fence that came by replication): `ALTER DATABASE … WITH ALLOW_CONNECTIONS true`"
        )),
    })
}

async fn preview(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<Change>> {
    let to = maintenance(ctx)?;
    refuse_primary(&to, before)?;
    let s = standing(ctx).await?;
    let lag = measure(&s, ctx);
    let at = s.last_commit.map_or_else(|| "unknown".to_owned(), |t| t.to_string());
    let behind = lag.ms.map_or_else(|| "an unknown time".to_owned(), units::duration_text);
    Ok(vec![Change {
        what: format!("role of {}", words::code(&place(&to))),
        old: format!("replica, last commit {at}, up to {behind} behind"),
        new: "primary".to_owned(),
    }])
}

fn refuse_primary(to: &PgTarget, before: &Before) -> Answer<()> {
    if was_replica(before) {
        return Ok(());
    }
    Err(Fault::refused(format!("{} is not a replica: it takes writes already, or was promoted by somebody else", place(to))))
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let to = maintenance(ctx)?;
    refuse_primary(&to, before)?;
    let start = ctx.world.clock.elapsed();
    let mut s = standing(ctx).await?;
    if s.accepts.is_none() {
        return Err(Fault::refused(format!(
            "{} has no database {}",
            place(&to),
            words::code(&given::need(&ctx.asset()?.connect, "database")?)
        )));
    }
    let mut clean = false;
    let fresh = s.in_recovery;
    if s.in_recovery {
        s = caught_up(ctx, s, start).await?;
        // Fenced, still streaming, and nothing is left: then nothing can be missing.
        clean = s.accepts == Some(false) && s.behind == Some(0);
        promote(ctx, &to, start).await?;
    }
    let mut after = landed(standing(ctx).await)?;
    while after.in_recovery {
        // The attempt's own limit ends this; what was asked for may still happen.
        ctx.world.clock.sleep(SHORT).await;
        after = landed(standing(ctx).await)?;
    }
    if after.accepts == Some(false) {
        let let_in = accept_named(ctx, &given::need(&ctx.asset()?.connect, "database")?, true).await;
        let_in.map_err(|fault| Fault::lost(format!("it is promoted, but its database still refuses connections: {fault}")))?;
    }
    Ok(outputs(ctx, &after, clean, fresh))
}

/// After the promotion was asked for, a look that fails says nothing about it.
fn landed<T>(answer: Answer<T>) -> Answer<T> {
    answer.map_err(|fault| Fault::lost(format!("the promotion was asked for, but the server cannot be looked at: {fault}")))
}

/// Waits until everything received is replayed, and no more could be missing than the plan allows.
async fn caught_up(ctx: &Ctx<'_>, mut s: Standing, start: Duration) -> Answer<Standing> {
    let max_ms = given::duration_ms(ctx.with, "max_lag")?;
    loop {
        let lag = measure(&s, ctx);
        let replayed = if s.unreplayed == 0 {
            Ok(())
        } else {
            Err(format!(
                "{} bytes are received ({}) and not replayed ({})",
                s.unreplayed,
                s.received.as_deref().unwrap_or("nothing"),
                s.replayed.as_deref().unwrap_or("nothing")
            ))
        };
        let Err(why) = replayed.and(within(&lag, max_ms)) else { return Ok(s) };
        if s.paused {
            return Err(Fault::refused(format!("replay is paused, {why}; `select pg_wal_replay_resume()` lets it go on")));
        }
        let may_change = s.behind.is_some() || s.unreplayed > 0;
        if !may_change || ctx.world.clock.elapsed().saturating_sub(start) >= patience(ctx) {
            let decide = "if that may be lost, promote by hand as the runbook says and resolve this step as done, or run again with a larger `max_lag`";
            return Err(Fault::refused(format!("not promoted: {why}; {decide}")));
        }
        ctx.world.clock.sleep(PAUSE).await;
        s = standing(ctx).await?;
        if !s.in_recovery {
            return Ok(s);
        }
    }
}

async fn promote(ctx: &Ctx<'_>, to: &PgTarget, start: Duration) -> Answer<()> {
    let left = ctx.timeout.map_or(Duration::from_secs(60), |limit| limit.saturating_sub(ctx.world.clock.elapsed().saturating_sub(start)));
    let seconds = left.as_secs().saturating_sub(1).clamp(1, 600);
    let params = [json!(seconds)];
    let sql = "select pg_promote(true, $1::int) as promoted where pg_is_in_recovery()";
    // A no within the time is no answer: the server goes on promoting, and the caller looks.
    ctx.world.postgres.query(to, sql, &params, false, (seconds + 5) * 1000).await.map(drop)
}

/// What is missing at most: from the last commit that is here to the beginning of the incident. Where nobody said when
/// that was, or commits are here that are newer, the old primary may have taken writes until now.
fn loss_ms(ctx: &Ctx<'_>, s: &Standing, clean: bool) -> Option<u64> {
    if clean {
        return Some(0);
    }
    let last = s.last_commit?;
    let until = if ctx.incident_assumed || last > ctx.incident_start { s.now } else { ctx.incident_start };
    Some(u64::try_from(until.duration_since(last).as_millis()).unwrap_or(0))
}

fn outputs(ctx: &Ctx<'_>, s: &Standing, clean: bool, fresh: bool) -> Outputs {
    let mut out = Outputs::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    put("promoted_at", fresh.then(|| json!(s.now.to_string())));
    put("timeline", s.timeline.map(|n| json!(n)));
    put("last_commit", s.last_commit.map(|t| json!(t.to_string())));
    put("loss", loss_ms(ctx, s, clean).map(|ms| json!(units::duration_text(ms))));
    out
}
