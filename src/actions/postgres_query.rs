//! `postgres.query`: one statement with bound parameters. It does not know what the statement does: the plan vouches for
//! its effect.

use super::{
    Action, AssetKind, Call, Change, Ctx, Effect, Field, Manual, NO_UNDO, Output, Outputs, Probe, Type, UndoKind, given, postgres, rows,
    words,
};
use crate::world::Answer;

pub(super) static ACTION: Action = Action {
    name: "postgres.query",
    page: include_str!("postgres_query.md"),
    fields: &[
        Field::required("query", Type::Text, "one statement"),
        Field::optional("params", Type::List(&Type::Any), "values for `$1`, `$2`, … of the statement, bound and never part of its text"),
        Field::optional("expect", Type::Matcher, "what it gives: its one column in its first row"),
        Field::optional("rows", Type::Matcher, "how many rows it gives"),
    ],
    outputs: &[
        Output::new("value", Type::Any, "what it gives: its one column in its first row"),
        Output::new("row", Type::Any, "its first row, by column"),
        Output::new("rows", Type::Int, "how many rows it gives"),
    ],
    effect: Effect::Once,
    effect_by_plan: true,
    kinds: &[AssetKind::Postgres],
    undo: UndoKind::ByPlan,
    settles_ms: 30_000,
    feature: Some("postgres"),
    sentence: |call| {
        let database = words::value(&call.shown("database"));
        format!("Run {} in {database} at {}", words::value(&call.shown("query")), words::value(&call.shown("host")))
    },
    seen: rows::wanted,
    commands: |call| {
        vec![Manual {
            what: "Run the statement".to_owned(),
            script: rows::script(call, &postgres::query_line(call, "")),
            changes: true,
            expect: format!("{}, and no error", rows::wanted(call)),
        }]
    },
    probe: |_, _| Box::pin(async { Ok(Probe::CannotTell("only the step's `check` can tell what a statement did".to_owned())) }),
    preview: |ctx, _| Box::pin(preview(ctx)),
    apply: |ctx, _| Box::pin(apply(ctx)),
    undo_apply: NO_UNDO,
    ..Action::READ
};

async fn preview(ctx: &Ctx<'_>) -> Answer<Vec<Change>> {
    // It is not run, so that only the way to it can be looked at.
    postgres::look(ctx, &postgres::database(ctx)?, "select 1 as one", &[]).await?;
    let call = Call { step: "", with: ctx.with, target: ctx.target };
    Ok(vec![Change { what: "statement".to_owned(), old: "not run".to_owned(), new: words::value(&call.shown("query")) }])
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let to = postgres::database(ctx)?;
    let query = given::need(ctx.with, "query")?;
    let limit = ctx.exchange_ms(u64::from(u32::MAX));
    let found = ctx.world.postgres.query(&to, &query, given::list(ctx.with, "params"), false, limit).await?;
    rows::judged(ctx, &found)
}
