//! `postgres.fence`: no session can write to a database any more, not even its owner's. New sessions are refused first,
//! then the open ones are ended, so that none slips in between. It does not know whether the server will come back.

use std::time::Duration;

use serde_json::{Value, json};

use super::postgres_swap::accept_named;
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Deed, Effect, Manual, Output, Outputs, Phase, Probe, Type, UndoKind, given, postgres,
    words,
};
use crate::world::{Answer, Fault, PgTarget};

/// Pause between two looks at the sessions that are left.
const PAUSE: Duration = Duration::from_millis(300);

/// How often none must be seen: a session that was let in just before shows up a moment later.
const EMPTY_LOOKS: u32 = 2;

/// After so many rounds somebody must look at what does not end.
const ROUNDS: u32 = 100;

pub(super) static ACTION: Action = Action {
    name: "postgres.fence",
    page: include_str!("postgres_fence.md"),
    outputs: &[
        Output::new("ended", Type::Int, "how many sessions were ended"),
        Output::new("prepared", Type::Int, "prepared transactions that wait in the database; they cannot be committed while it is fenced"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Postgres],
    phase: Phase::Contain,
    deed: Deed::StopsWrites,
    undo: UndoKind::Auto,
    settles_ms: 30_000,
    feature: Some("postgres"),
    sentence: |call| format!("Let nobody into {} and end its open sessions", database(call)),
    seen: |call| format!("{} accepts no connections and has no session", database(call)),
    commands: |call| {
        let sql = "\
\\echo refusing new sessions; no standby is waited for, which may be gone\n\
SET synchronous_commit = local;\n\
SELECT format('ALTER DATABASE %I WITH ALLOW_CONNECTIONS false', :'db') \\gexec\n\
\\echo ending open sessions, twice: one may have been let in just before\n\
SELECT pid, usename, pg_terminate_backend(pid, 5000) AS ended FROM pg_stat_activity\n \
WHERE datname = :'db' AND backend_type IS DISTINCT FROM 'autovacuum worker';\n\
SELECT pg_sleep(1);\n\
SELECT pid, usename, pg_terminate_backend(pid, 5000) AS ended FROM pg_stat_activity\n \
WHERE datname = :'db' AND backend_type IS DISTINCT FROM 'autovacuum worker';\n\
SELECT datallowconn, (SELECT count(*) FROM pg_stat_activity WHERE datname = :'db' AND backend_type IS DISTINCT FROM 'autovacuum worker') AS sessions\n  \
FROM pg_database WHERE datname = :'db';";
        vec![Manual {
            what: format!("Let nobody into {} and end its open sessions", database(call)),
            script: postgres::statements(&postgres::psql(call, "maintenance", ""), &[("db", call.shown("database"))], sql),
            changes: true,
            expect: "in the last table `datallowconn` is `f` and `sessions` is 0; if it is not 0, type the block again".to_owned(),
        }]
    },
    undo_commands: |call| {
        let sql = "SET synchronous_commit = local;\nSELECT format('ALTER DATABASE %I WITH ALLOW_CONNECTIONS true', :'db') \\gexec";
        vec![Manual {
            what: format!("Let sessions into {} again, if it let them in before", database(call)),
            script: postgres::statements(&postgres::psql(call, "maintenance", ""), &[("db", call.shown("database"))], sql),
            changes: true,
            expect: "`ALTER DATABASE`".to_owned(),
        }]
    },
    check: |call| {
        let maintenance = call.field("maintenance").cloned().unwrap_or(json!("postgres"));
        if call.known("database").is_some_and(|name| *name == maintenance) {
            let what = format!("{} cannot be fenced through itself", words::value(&maintenance));
            vec![("", what, "connect: { maintenance: template1 }, or another database of the server".to_owned())]
        } else {
            vec![]
        }
    },
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |ctx, _| Box::pin(preview(ctx)),
    apply: |ctx, _| Box::pin(apply(ctx)),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

const SEEN: &str = "select datallowconn as accepts, pg_is_in_recovery() as in_recovery, \
    (select count(*) from pg_stat_activity where datname = $1::text and backend_type IS DISTINCT FROM 'autovacuum worker')::bigint as sessions, \
    (select count(*) from pg_prepared_xacts where database = $1::text)::bigint as prepared \
    from pg_database where datname = $1::text";

const TERMINATE: &str = "select count(*) filter (where pg_terminate_backend(pid))::bigint as ended from pg_stat_activity \
    where datname = $1::text and backend_type IS DISTINCT FROM 'autovacuum worker' and pid <> pg_backend_pid()";

struct Seen {
    accepts: bool,
    in_recovery: bool,
    sessions: i64,
    prepared: i64,
}

fn database(call: &Call<'_>) -> String {
    format!("{} at {}", words::value(&call.shown("database")), words::value(&call.shown("host")))
}

fn name(ctx: &Ctx<'_>) -> Answer<String> {
    given::need(&ctx.asset()?.connect, "database")
}

async fn seen(ctx: &Ctx<'_>, to: &PgTarget) -> Answer<Seen> {
    let name = name(ctx)?;
    if name == to.database {
        return Err(Fault::refused(format!("{} cannot be fenced through itself: give another `maintenance` database", words::code(&name))));
    }
    let rows = postgres::look(ctx, to, SEEN, &[Value::String(name.clone())]).await?;
    let row = rows.first().ok_or_else(|| Fault::refused(format!("{} has no database {}", postgres::place(to), words::code(&name))))?;
    let bool = |key: &str| row.get(key).and_then(Value::as_bool);
    let number = |key: &str| row.get(key).and_then(Value::as_i64);
    let found = || {
        Some(Seen {
            accepts: bool("accepts")?,
            in_recovery: bool("in_recovery")?,
            sessions: number("sessions")?,
            prepared: number("prepared")?,
        })
    };
    found().ok_or_else(|| Fault::refused(format!("{} did not say what it was asked", postgres::place(to))))
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let seen = seen(ctx, &postgres::maintenance(ctx)?).await?;
    Ok(json!({ "accepts": seen.accepts }))
}

fn accepted(before: &Before) -> bool {
    before.get("accepts").and_then(Value::as_bool).unwrap_or(false)
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let seen = seen(ctx, &postgres::maintenance(ctx)?).await?;
    Ok(match (seen.accepts, seen.sessions) {
        (false, 0) => Probe::There(outputs(0, &seen)),
        (true, _) if accepted(before) => Probe::NotThere,
        (true, _) => Probe::Other("it accepts connections, which it did not before this step".to_owned()),
        (false, n) => Probe::CannotTell(format!("it refuses new sessions, but {n} are still open")),
    })
}

fn outputs(ended: i64, seen: &Seen) -> Outputs {
    Outputs::from_iter([("ended".to_owned(), json!(ended)), ("prepared".to_owned(), json!(seen.prepared))])
}

async fn preview(ctx: &Ctx<'_>) -> Answer<Vec<Change>> {
    let to = postgres::maintenance(ctx)?;
    let seen = seen(ctx, &to).await?;
    let accepts = if seen.accepts { "accepted" } else { "refused" };
    Ok(vec![Change {
        what: format!("sessions of {} at {}", words::code(&name(ctx)?), words::code(&postgres::place(&to))),
        old: format!("{accepts}, {} open", seen.sessions),
        new: "refused, 0 open".to_owned(),
    }])
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let to = postgres::maintenance(ctx)?;
    let found = seen(ctx, &to).await?;
    if found.in_recovery {
        return Err(Fault::refused(format!(
            "{} is a replica: fence its primary, and the fence reaches it by replication",
            postgres::place(&to)
        )));
    }
    if !found.accepts {
        return emptied(ctx, &to).await;
    }
    accept_named(ctx, &name(ctx)?, false).await?;
    // From here on something was done, whatever is answered.
    emptied(ctx, &to).await.map_err(|fault| Fault::lost(format!("new sessions were refused, but {fault}")))
}

/// Ends sessions until none is left.
async fn emptied(ctx: &Ctx<'_>, to: &PgTarget) -> Answer<Outputs> {
    let (mut ended, mut empty) = (0, 0);
    for _ in 0..ROUNDS {
        let now = seen(ctx, to).await?;
        if now.accepts {
            return Err(Fault::refused("somebody lets sessions in again while this step ends them"));
        }
        empty = if now.sessions == 0 { empty + 1 } else { 0 };
        if empty >= EMPTY_LOOKS {
            return Ok(outputs(ended, &now));
        }
        if now.sessions > 0 {
            let params = [Value::String(name(ctx)?)];
            let rows = ctx.world.postgres.query(to, TERMINATE, &params, false, ctx.exchange_ms(postgres::LOOK_MS)).await?;
            ended += rows.first().and_then(|row| row.get("ended")).and_then(Value::as_i64).unwrap_or(0);
        }
        ctx.world.clock.sleep(PAUSE).await;
    }
    let left = seen(ctx, to).await?.sessions;
    Err(Fault::refused(format!("{left} sessions do not end; `select * from pg_stat_activity` shows them")))
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    if accepted(before) {
        let to = postgres::maintenance(ctx)?;
        if !seen(ctx, &to).await?.accepts {
            accept_named(ctx, &name(ctx)?, true).await?;
        }
    }
    Ok(Probe::NotThere)
}
