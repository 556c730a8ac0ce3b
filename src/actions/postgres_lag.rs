//! `postgres.lag`: how far a replica is behind. No single number of the server is believed: see [`measure`].

use std::time::Duration;

use serde_json::{Value, json};

use super::postgres::{Standing, maintenance, place, psql, standing, statements};
use super::{Action, AssetKind, Call, Ctx, Deed, Field, Manual, Output, Outputs, Type, given, units, words};
use crate::world::{Answer, Fault};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) static ACTION: Action = Action {
    name: "postgres.lag",
    page: include_str!("postgres_lag.md"),
    fields: &[
        Field::optional("max_lag", Type::Duration, "it must be no further behind in time"),
        Field::optional("max_bytes", Type::Size, "it must be no further behind in bytes of log"),
    ],
    outputs: &[
        Output::new("lag", Type::Duration, "how far behind at most; absent if it cannot be told"),
        Output::new("bytes", Type::Int, "bytes of log that the primary told of, or that were received, and that are not replayed"),
        Output::new("streaming", Type::Bool, "whether the primary streams to it"),
        Output::new("received", Type::Text, "position up to which log was received"),
        Output::new("replayed", Type::Text, "position up to which log is replayed"),
        Output::new("last_commit", Type::Time, "commit time of the last transaction that is replayed"),
    ],
    kinds: &[AssetKind::Postgres],
    deed: Deed::IsNewest,
    feature: Some("postgres"),
    sentence: |call| format!("Look how far the replica at {} is behind{}", words::value(&call.shown("host")), limits(call)),
    seen: |call| format!("the replica has replayed what it received{}", limits(call)),
    commands: |call| {
        let sql = "\
\\x on\n\
SELECT pg_is_in_recovery() AS in_recovery, pg_last_wal_receive_lsn() AS received, pg_last_wal_replay_lsn() AS replayed,\n  \
(SELECT greatest(latest_end_lsn, flushed_lsn) FROM pg_stat_wal_receiver WHERE status = 'streaming') AS primary_end,\n  \
pg_last_xact_replay_timestamp() AS last_commit, clock_timestamp() - pg_last_xact_replay_timestamp() AS age,\n  \
(SELECT clock_timestamp() - last_msg_receipt_time FROM pg_stat_wal_receiver) AS silence;";
        vec![Manual {
            what: "Look where the replica stands".to_owned(),
            script: statements(&psql(call, "maintenance", ""), &[], sql),
            changes: false,
            expect: format!(
                "`in_recovery` is `t` and `replayed` equals `received`. With a `primary_end`: if `replayed` equals it, the lag is `silence` \
                 at most, else `age` at most. Without one the primary is gone: the lag is from `last_commit` to the beginning of the incident, \
                 unless nothing was written in that time{}",
                limits(call)
            ),
        }]
    },
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn limits(call: &Call<'_>) -> String {
    let time = call.with.get("max_lag").map(|v| format!("at most {}", words::value(v)));
    let bytes = call.with.get("max_bytes").map(|v| format!("at most {} of log", words::value(v)));
    let both: Vec<String> = time.into_iter().chain(bytes).collect();
    if both.is_empty() { String::new() } else { format!(", {} behind", words::list(&both)) }
}

/// How far behind a replica is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lag {
    /// At most so many milliseconds; none if it cannot be told.
    pub ms: Option<u64>,
    /// Bytes known to be missing from what is replayed.
    pub bytes: i64,
    /// How it was found, for a person who must decide.
    pub how: String,
}

/// The lag at most. While the primary streams: if everything that it told of is replayed, the time since its last word;
/// else the age of the last replayed commit. When it does not, everything received must be replayed, and what counts is
/// from the last replayed commit to the beginning of the incident, not to now: on a database that was idle that is too
/// much, and nothing on this side can tell.
pub(super) fn measure(s: &Standing, ctx: &Ctx<'_>) -> Lag {
    let age = s.age_ms.map(|ms| u64::try_from(ms).unwrap_or(0));
    let commit = s.last_commit.map_or_else(
        || "no commit was replayed since the replica was started".to_owned(),
        |t| format!("the last replayed commit is of {t}"),
    );
    if let (Some(behind), Some(silence)) = (s.behind, s.silence_ms) {
        let silence = u64::try_from(silence).unwrap_or(0);
        let (ms, how) = if behind == 0 {
            let ms = age.map_or(silence, |age| age.min(silence));
            (
                Some(ms),
                format!("everything that the primary told of is replayed, and its last word is {} old", units::duration_text(silence)),
            )
        } else {
            (age, format!("{behind} bytes of log that the primary told of are not replayed, and {commit}"))
        };
        return Lag { ms, bytes: behind, how };
    }
    if s.unreplayed > 0 {
        return Lag { ms: None, bytes: s.unreplayed, how: format!("{} bytes of log are received and not replayed", s.unreplayed) };
    }
    let start = ctx.incident_start;
    let ms = s.last_commit.map(|t| u64::try_from(start.duration_since(t).as_millis()).unwrap_or(0));
    let assumed = if ctx.incident_assumed { ", as assumed: `--incident-start` says when it really was" } else { "" };
    let between = ms.map_or_else(String::new, |ms| format!(", {} before the incident began at {start}{assumed}", units::duration_text(ms)));
    let how = format!(
        "the primary does not stream; everything that was received ({}) is replayed; {commit}{between}. Either nothing was written in that time or it is missing here",
        s.received.as_deref().or(s.replayed.as_deref()).unwrap_or("nothing")
    );
    Lag { ms, bytes: 0, how }
}

/// Whether a lag is within a limit; the error is for a person who must decide.
pub(super) fn within(lag: &Lag, max_ms: Option<u64>) -> Result<(), String> {
    match (max_ms, lag.ms) {
        (None, _) => Ok(()),
        (Some(max), Some(ms)) if ms <= max => Ok(()),
        (Some(max), Some(ms)) => {
            Err(format!("up to {} behind, `max_lag` is {}: {}", units::duration_text(ms), units::duration_text(max), lag.how))
        }
        (Some(max), None) => Err(format!("how far behind cannot be told, `max_lag` is {}: {}", units::duration_text(max), lag.how)),
    }
}

/// How long to wait for a replica to catch up: the rest of the limit is for what follows.
pub(super) fn patience(ctx: &Ctx<'_>) -> Duration {
    ctx.timeout.map_or(Duration::from_secs(60), |limit| limit.mul_f64(0.6))
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let max_ms = given::duration_ms(ctx.with, "max_lag")?;
    let max_bytes = given::size_bytes(ctx.with, "max_bytes")?;
    let start = ctx.world.clock.elapsed();
    loop {
        let s = standing(ctx).await?;
        if !s.in_recovery {
            return Err(Fault::refused(format!("{} is not a replica: it takes writes itself", place(&maintenance(ctx)?))));
        }
        let lag = measure(&s, ctx);
        let bytes = match max_bytes {
            Some(max) if u64::try_from(lag.bytes).unwrap_or(0) > max => {
                Err(format!("{} bytes behind, `max_bytes` is {}: {}", lag.bytes, units::size_text(max), lag.how))
            }
            _ => Ok(()),
        };
        let Err(why) = within(&lag, max_ms).and(bytes) else { return Ok(outputs(&s, &lag)) };
        // A primary that is gone sends no more: only what is received and not replayed can still change.
        let may_change = s.behind.is_some() || s.unreplayed > 0;
        if s.paused || !may_change || ctx.world.clock.elapsed().saturating_sub(start) >= patience(ctx) {
            let paused = if s.paused { "; replay is paused: `select pg_wal_replay_resume()` lets it go on" } else { "" };
            return Err(Fault::refused(format!("{why}{paused}")));
        }
        ctx.world.clock.sleep(PAUSE).await;
    }
}

fn outputs(s: &Standing, lag: &Lag) -> Outputs {
    let mut out = Outputs::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    put("lag", lag.ms.map(|ms| json!(units::duration_text(ms))));
    put("bytes", Some(json!(lag.bytes)));
    put("streaming", Some(json!(s.behind.is_some())));
    put("received", s.received.as_ref().map(|t| json!(t)));
    put("replayed", s.replayed.as_ref().map(|t| json!(t)));
    put("last_commit", s.last_commit.map(|t| json!(t.to_string())));
    out
}
