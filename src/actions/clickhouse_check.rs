//! `clickhouse.check`: whether a server answers, and what a query finds in it.

use serde_json::{Map, Value};

use super::{Action, AssetKind, Call, Ctx, Field, Manual, Output, Outputs, Type, clickhouse, given, rows, shell, template, words};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "clickhouse.check",
    page: include_str!("clickhouse_check.md"),
    fields: &[
        Field::optional("query", Type::Text, "one statement that only looks; without it the server must answer"),
        Field::optional("params", Type::Map(&Type::Any), "values for `{name:Type}` in the query"),
        Field::optional("expect", Type::Matcher, "what the query finds: its one column in its first row"),
        Field::optional("rows", Type::Matcher, "how many rows the query finds; without it and `expect` at least one"),
    ],
    outputs: &[
        Output::new("value", Type::Any, "what the query finds: its one column in its first row"),
        Output::new("row", Type::Any, "its first row, by column"),
        Output::new("rows", Type::Int, "how many rows the query finds"),
    ],
    kinds: &[AssetKind::Clickhouse],
    sentence: |call| format!("Ask ClickHouse at {} and see that {}", clickhouse::shown(call), wanted(call)),
    seen: wanted,
    commands,
    check: |call| clickhouse::problems(call).into_iter().chain(rows::problems(call)).collect(),
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn wanted(call: &Call<'_>) -> String {
    match call.with.get("query") {
        None => "it answers".to_owned(),
        Some(query) if !call.with.contains_key("expect") && !call.with.contains_key("rows") => {
            format!("{} finds something", words::value(query))
        }
        Some(_) => rows::wanted(call),
    }
}

fn params(with: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    given::record(with, "params").into_iter().flatten()
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let query = call.with.get("query").cloned().unwrap_or_else(|| Value::String("select 1".to_owned()));
    let mut line = format!("ask {}", shell::word(&query));
    for (name, value) in params(call.with) {
        let value = format!("param_{}={}", name.replace("${", "$${"), template::plain(&Value::String(clickhouse::escaped(value))));
        line.push_str(&format!(" --data-urlencode {}", shell::word(&Value::String(value))));
    }
    let answer = shell::variable(&format!("steps.{}.value", call.step));
    let nothing = if call.with.contains_key("rows") { String::new() } else { format!(" &&\n[ -n \"${answer}\" ]") };
    vec![Manual {
        what: "Ask the server; by GET it refuses to write".to_owned(),
        script: format!("{}{}{nothing}", clickhouse::asks(call), rows::script(call, &line)),
        changes: false,
        expect: wanted(call),
    }]
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let query = given::text(ctx.with, "query").unwrap_or_else(|| "select 1".to_owned());
    // One statement: what stands behind it could ask for another format.
    let query = query.trim().trim_end_matches(';');
    let params: Vec<(String, Value)> = params(ctx.with).map(|(name, value)| (name.clone(), value.clone())).collect();
    let found = clickhouse::look(ctx, query, &params).await?;
    let judged = ["expect", "rows"].iter().any(|name| ctx.with.get(*name).is_some_and(|m| !m.is_null()));
    if found.is_empty() && !judged {
        return Err(Fault::refused("the query finds nothing"));
    }
    rows::judged(ctx, &found)
}
