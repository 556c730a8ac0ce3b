//! `postgres.check`: whether a database answers, and what a query finds in it.

use serde_json::{Value, json};

use super::{Action, AssetKind, Call, Ctx, Field, Manual, Output, Outputs, Type, given, matcher, postgres, rows, words};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "postgres.check",
    page: include_str!("postgres_check.md"),
    fields: &[
        Field::optional("query", Type::Text, "one statement, in a session that can only read; without it the server must answer"),
        Field::optional("params", Type::List(&Type::Any), "values for `$1`, `$2`, … of the query"),
        Field::optional(
            "expect",
            Type::Any,
            "a matcher on what the query finds (its one column in its first row), or `{ reachable: false }`",
        ),
        Field::optional("rows", Type::Matcher, "how many rows the query finds"),
    ],
    outputs: &[
        Output::new("reachable", Type::Bool, "whether the database answered"),
        Output::new("value", Type::Any, "what the query finds: its one column in its first row"),
        Output::new("row", Type::Any, "its first row, by column"),
        Output::new("rows", Type::Int, "how many rows the query finds"),
    ],
    kinds: &[AssetKind::Postgres],
    feature: Some("postgres"),
    sentence: |call| format!("Ask {} and see that {}", database(call), wanted(call)),
    seen: wanted,
    commands,
    check,
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn database(call: &Call<'_>) -> String {
    format!("{} at {}", words::value(&call.shown("database")), words::value(&call.shown("host")))
}

fn wants_silence(expect: Option<&Value>) -> bool {
    expect == Some(&json!({ "reachable": false }))
}

fn wanted(call: &Call<'_>) -> String {
    if wants_silence(call.with.get("expect")) {
        return "nothing answers".to_owned();
    }
    if call.with.contains_key("query") { rows::wanted(call) } else { "it answers".to_owned() }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let script = if wants_silence(call.with.get("expect")) {
        format!("! {}", postgres::psql(call, "database", " -qAt -c 'select 1'"))
    } else if call.with.contains_key("query") {
        let line = postgres::query_line(call, "");
        rows::script(call, &format!("PGOPTIONS='-c default_transaction_read_only=on' {line}"))
    } else {
        postgres::psql(call, "database", " -qAt -c 'select 1'")
    };
    vec![Manual {
        what: "Ask the database".to_owned(),
        script,
        changes: false,
        expect: format!("{} (`psql` prints `t` and `f` for true and false)", wanted(call)),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let expect = call.with.get("expect");
    if wants_silence(expect) {
        let more = call.with.contains_key("query");
        let what = "a database that does not answer finds nothing".to_owned();
        return if more { vec![("query", what, "leave out `query`".to_owned())] } else { vec![] };
    }
    let mut out = rows::problems(call);
    if let Some(problem) = expect.and_then(matcher::problem) {
        out.push(("expect", problem, "expect: { at_least: 1 }, or { reachable: false }".to_owned()));
    }
    if call.with.contains_key("params") && !call.with.contains_key("query") {
        out.push(("params", "there is no query that takes them".to_owned(), "query: select … where id = $1".to_owned()));
    }
    out
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let to = postgres::database(ctx)?;
    let query = given::text(ctx.with, "query").unwrap_or_else(|| "select 1 as one".to_owned());
    let answer = postgres::look(ctx, &to, &query, given::list(ctx.with, "params")).await;
    if wants_silence(ctx.with.get("expect")) {
        return match answer {
            Err(fault) if fault.unreachable || fault.landed == crate::world::Landed::Maybe => {
                Ok(Outputs::from_iter([("reachable".to_owned(), json!(false))]))
            }
            Err(fault) => Err(Fault::refused(format!("wanted: nothing answers; {} answered: {fault}", postgres::place(&to)))),
            Ok(_) => Err(Fault::refused(format!("wanted: nothing answers; {} answered", postgres::place(&to)))),
        };
    }
    let found = answer?;
    let mut out = if ctx.with.contains_key("query") { rows::judged(ctx, &found)? } else { Outputs::new() };
    out.insert("reachable".to_owned(), json!(true));
    Ok(out)
}
