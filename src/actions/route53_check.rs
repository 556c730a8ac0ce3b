//! `route53.check`: what a hosted zone holds for a record. It does not ask resolvers.

use serde_json::{Value, json};

use super::matcher::judge;
use super::{Action, AssetKind, Call, Ctx, Field, Manual, Output, Outputs, Type, route53, shell, words};
use crate::world::{Answer, Fault, RecordSet};

pub(super) static ACTION: Action = Action {
    name: "route53.check",
    page: include_str!("route53_check.md"),
    fields: &[
        Field::optional("expect", Type::Matcher, "its value; of several a list, sorted"),
        Field::optional("ttl", Type::Matcher, "its TTL, as `60s`"),
    ],
    outputs: &[
        Output::new("found", Type::Bool, "whether there is such a record"),
        Output::new("value", Type::Any, "its value; of several a list, sorted"),
        Output::new("ttl", Type::Duration, "how long resolvers keep it"),
    ],
    kinds: &[AssetKind::Route53],
    feature: Some("aws"),
    sentence: |call| format!("Read {} and see that {}", route53::record_words(call), wanted(call)),
    seen: wanted,
    commands: |call| {
        let answer = shell::variable(&format!("steps.{}.value", call.step));
        let mut script = format!("{}\n{answer}=$({}) && printf '%s\\n' \"${answer}\"", route53::read_function(call), route53::READ_VALUES,);
        if let Some(test) = call.with.get("expect").and_then(|m| shell::test(&answer, m)) {
            script.push_str(&format!(" &&\n{test}"));
        }
        vec![Manual { what: "Read the record".to_owned(), script, changes: false, expect: wanted(call) }]
    },
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn wanted(call: &Call<'_>) -> String {
    let value = call.with.get("expect").map(|m| format!("its value {}", words::matcher(m)));
    let ttl = call.with.get("ttl").map(|m| format!("its TTL {}", words::matcher(m)));
    let both: Vec<String> = value.into_iter().chain(ttl).collect();
    if both.is_empty() { "the zone answers".to_owned() } else { words::list(&both) }
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let found = route53::read(ctx).await?;
    let value = found.as_ref().map(value);
    let ttl = found.as_ref().map(|r| json!(format!("{}s", r.ttl_s)));
    for (name, field, found) in [("the value", "expect", &value), ("the TTL", "ttl", &ttl)] {
        if let Some(matcher) = ctx.with.get(field) {
            judge(name, matcher, found.as_ref()).map_err(Fault::refused)?;
        }
    }
    let mut out = Outputs::new();
    out.insert("found".to_owned(), json!(found.is_some()));
    out.extend(value.map(|v| ("value".to_owned(), v)));
    out.extend(ttl.map(|v| ("ttl".to_owned(), v)));
    Ok(out)
}

fn value(record: &RecordSet) -> Value {
    let mut values = record.values.clone();
    values.sort();
    if let [one] = values.as_slice() { json!(one) } else { json!(values) }
}
