//! `approval`: a person's yes. The driver waits for it; nothing here acts.

use super::{Action, Call, Effect, Field, Manual, Phase, Type, given, shell, words};
use serde_json::Value;

pub(super) static ACTION: Action = Action {
    name: "approval",
    page: include_str!("approval.md"),
    fields: &[
        Field::required("ask", Type::Text, "the question, with what a yes costs"),
        Field::required("from", Type::List(&Type::Id), "contacts of whom each counts once"),
        Field::default("count", Type::Int, "1", "how many different people must say yes"),
        Field::default("valid", Type::Duration, "1h", "how long one given holds over a pause"),
        Field::optional("accepts", Type::List(&Type::Id), "fences that may be skipped because of this yes"),
    ],
    effect: Effect::Manual,
    phase: Phase::Assess,
    sentence,
    seen: |call| format!("{} said yes", people(call)),
    commands: |call| {
        let ask = given::text(call.with, "ask").unwrap_or_default();
        vec![Manual {
            what: format!("Ask {}", from(call)),
            script: format!("printf '%s\\n' {}", shell::word(&Value::String(ask))),
            changes: false,
            expect: format!("{} said yes; write down who, and when", people(call)),
        }]
    },
    check: |call| {
        let count = call.known("count").and_then(Value::as_i64).unwrap_or(1);
        if count < 1 { vec![("count", "nobody is asked".to_owned(), "count: 1".to_owned())] } else { vec![] }
    },
    ..Action::READ
};

fn sentence(call: &Call<'_>) -> String {
    format!("Ask {}: {}", from(call), words::value(&call.shown("ask")))
}

fn from(call: &Call<'_>) -> String {
    let names: Vec<String> = given::list(call.with, "from").iter().map(words::value).collect();
    if names.is_empty() { "somebody".to_owned() } else { names.join(" or ") }
}

fn people(call: &Call<'_>) -> String {
    match call.known("count").and_then(Value::as_i64).unwrap_or(1) {
        1 => "one of them".to_owned(),
        n => format!("{n} different people of them"),
    }
}
