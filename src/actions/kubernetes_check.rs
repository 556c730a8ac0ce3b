//! `kubernetes.check`: whether nodes, a workload, a Job or any objects are as they must be. It changes nothing.

use serde_json::{Value, json};

use super::kubernetes::{function, look_json, need, object, place_words, text};
use super::kubernetes_job::{Stage, stage};
use super::kubernetes_ready::standing;
use super::matcher::{judge, judge_all};
use super::{Action, AssetKind, Call, Ctx, Field, Manual, Output, Outputs, Type, given, shell, template, words};
use crate::world::{Answer, Fault};

/// The fields of which one says what is looked at.
const SUBJECTS: [&str; 5] = ["nodes", "deployment", "statefulset", "job", "resource"];

pub(super) static ACTION: Action = Action {
    name: "kubernetes.check",
    page: include_str!("kubernetes_check.md"),
    fields: &[
        Field::optional("nodes", Type::Matcher, "how many nodes are ready and take work"),
        Field::optional("deployment", Type::Text, "name of a deployment that must be ready, in its newest form and in full"),
        Field::optional("statefulset", Type::Text, "name of a stateful set that must be so"),
        Field::optional("replicas", Type::Matcher, "with `deployment` or `statefulset`: how many are ready; else at least 1"),
        Field::optional("job", Type::Text, "name of a Job that must have ended well"),
        Field::optional("resource", Type::Text, "kind of objects, as `pods`, or one of them, as `configmap/settings`"),
        Field::optional("selector", Type::Text, "with `resource`: only objects with these labels, as `app=shop,tier=web`"),
        Field::optional("expect", Type::Matchers, "with `resource`: what each object must be; there must be one"),
    ],
    outputs: &[
        Output::new("found", Type::Int, "how many objects were looked at"),
        Output::new("ready", Type::Int, "how many nodes or replicas are ready; absent for others"),
        Output::new("wanted", Type::Int, "how many replicas are wanted; absent for others"),
    ],
    kinds: &[AssetKind::Kubernetes],
    sentence: |call| format!("Look{} and see that {}", place_words(call), wanted(call)),
    seen: wanted,
    commands,
    check,
    apply: |ctx, _| Box::pin(apply(ctx)),
    ..Action::READ
};

fn wanted(call: &Call<'_>) -> String {
    let named = |name: &str| call.with.get(name).filter(|v| !v.is_null());
    let workload = |kind: &str, name: &Value| {
        let count = named("replicas").map_or("at least 1".to_owned(), words::matcher);
        format!("{kind} {} has rolled out, all of its replicas are ready, and their number {count}", words::value(name))
            .replace(", and their number at least 1", ", at least 1 of them")
    };
    if let Some(matcher) = named("nodes") {
        format!("the number of nodes that are ready and take work {}", words::matcher(matcher))
    } else if let Some(name) = named("deployment") {
        workload("deployment", name)
    } else if let Some(name) = named("statefulset") {
        workload("stateful set", name)
    } else if let Some(name) = named("job") {
        format!("Job {} has ended well", words::value(name))
    } else {
        let expect = given::record(call.with, "expect");
        let all: Vec<String> =
            expect.into_iter().flatten().map(|(path, m)| format!("{} {}", words::code(path), words::matcher(m))).collect();
        let what = words::value(&call.shown("resource"));
        let which = named("selector").map(|s| format!(" with {}", words::value(s))).unwrap_or_default();
        if all.is_empty() {
            format!("there is at least one of {what}{which}")
        } else {
            format!("of each of {what}{which}, {}", words::list(&all))
        }
    }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let named = |name: &str| call.with.get(name).filter(|v| !v.is_null());
    let of = |kind: &str, name: &Value| shell::word(&Value::String(format!("{kind}/{}", template::plain(name))));
    let line = if named("nodes").is_some() {
        "k get nodes".to_owned()
    } else if let Some((kind, name)) = ["deployment", "statefulset"].iter().find_map(|kind| Some((kind, named(kind)?))) {
        let object = of(kind, name);
        format!("k get {object} &&\nk rollout status {object} --timeout=10s")
    } else if let Some(name) = named("job") {
        format!("k wait --for=condition=complete {} --timeout=1s", of("job", name))
    } else {
        let selector = named("selector").map(|s| format!(" --selector={}", shell::word(s))).unwrap_or_default();
        format!("k get {}{selector} --output=yaml", shell::word(&call.shown("resource")))
    };
    vec![Manual {
        what: "Look at the cluster".to_owned(),
        script: format!("{}\n{line}", function(call)),
        changes: false,
        expect: wanted(call),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let has = |name: &str| call.with.get(name).is_some_and(|v| !v.is_null());
    let mut out = Vec::new();
    let given: Vec<&'static str> = SUBJECTS.into_iter().filter(|name| has(name)).collect();
    match given.as_slice() {
        [] => out.push(("deployment", "nothing says what to look at".to_owned(), "deployment: shop-api".to_owned())),
        [_] => {}
        [_, second, ..] => {
            out.push((*second, format!("`{}` and `{second}` both say what to look at", given[0]), "leave out one of them".to_owned()))
        }
    }
    if has("replicas") && !has("deployment") && !has("statefulset") {
        out.push(("replicas", "only a deployment or a stateful set has replicas".to_owned(), "deployment: shop-api".to_owned()));
    }
    for name in ["selector", "expect"] {
        if has(name) && !has("resource") {
            out.push((name, format!("`{name}` belongs to `resource`"), "resource: pods".to_owned()));
        }
    }
    out
}

async fn apply(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let named = |name: &str| given::text(ctx.with, name);
    if let Some(matcher) = ctx.with.get("nodes").filter(|v| !v.is_null()) {
        return nodes(ctx, matcher).await;
    }
    for kind in ["deployment", "statefulset"] {
        if let Some(name) = named(kind) {
            return workload(ctx, &object(kind, &name)?).await;
        }
    }
    match named("job") {
        Some(name) => job(ctx, &object("job", &name)?).await,
        None => resource(ctx).await,
    }
}

fn numbers(pairs: &[(&str, u64)]) -> Outputs {
    pairs.iter().map(|(name, n)| ((*name).to_owned(), json!(n))).collect()
}

async fn nodes(ctx: &Ctx<'_>, matcher: &Value) -> Answer<Outputs> {
    let all = items(look_json(ctx, &["get", "nodes", "--output=json"], None).await?)?;
    let condition = |node: &Value| {
        let conditions = node.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        conditions.iter().any(|c| text(c, "/type") == "Ready" && text(c, "/status") == "True")
    };
    let open = |node: &Value| node.pointer("/spec/unschedulable").and_then(Value::as_bool) != Some(true);
    let (good, bad): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|node| condition(node) && open(node));
    let ready = good.len() as u64;
    judge("the number of nodes that are ready and take work", matcher, Some(&json!(ready))).map_err(|why| {
        let names: Vec<&str> = bad.iter().map(|node| text(node, "/metadata/name")).take(10).collect();
        Fault::refused(if names.is_empty() { why } else { format!("{why}; not ready, or closed for work: {}", names.join(", ")) })
    })?;
    Ok(numbers(&[("found", all.len() as u64), ("ready", ready)]))
}

async fn workload(ctx: &Ctx<'_>, name: &str) -> Answer<Outputs> {
    let now = standing(&need(ctx, name).await?);
    if let Some(why) = now.failed.or(now.missing) {
        return Err(Fault::refused(format!("{} is not ready: {why}", words::code(name))));
    }
    let least = json!({ "at_least": 1 });
    let matcher = ctx.with.get("replicas").filter(|v| !v.is_null()).unwrap_or(&least);
    judge("the number of ready replicas", matcher, Some(&json!(now.ready))).map_err(Fault::refused)?;
    Ok(numbers(&[("found", 1), ("ready", now.ready), ("wanted", now.wanted)]))
}

async fn job(ctx: &Ctx<'_>, name: &str) -> Answer<Outputs> {
    match stage(&need(ctx, name).await?) {
        Stage::Done => Ok(numbers(&[("found", 1)])),
        Stage::Failed(why) => Err(Fault::refused(format!("{} has failed: {why}", words::code(name)))),
        Stage::Runs => Err(Fault::refused(format!("{} has not ended yet", words::code(name)))),
    }
}

/// The objects of a list, or the one object that it is.
fn items(found: Value) -> Answer<Vec<Value>> {
    match found.get("items") {
        Some(Value::Array(items)) => Ok(items.clone()),
        None if found.pointer("/metadata/uid").is_some_and(Value::is_string) => Ok(vec![found]),
        _ => Err(Fault::refused("kubectl gave an answer that cannot be read: it holds no objects")),
    }
}

async fn resource(ctx: &Ctx<'_>) -> Answer<Outputs> {
    let what = given::need(ctx.with, "resource")?;
    let safe = match what.split_once('/') {
        Some((kind, name)) => object(kind, name)?,
        // The name is there to be looked at, and is not used.
        None => object(&what, "all").map(|_| what.clone())?,
    };
    let selector = given::text(ctx.with, "selector").map(|s| format!("--selector={s}"));
    let words: Vec<&str> = ["get", &safe, "--output=json"].into_iter().chain(selector.as_deref()).collect();
    let all = items(look_json(ctx, &words, None).await?)?;
    if all.is_empty() {
        return Err(Fault::refused(format!("there is none of {}", words::code(&what))));
    }
    for (item, expect) in all.iter().filter_map(|item| Some((item, given::record(ctx.with, "expect")?))) {
        judge_all("", expect, item).map_err(|why| Fault::refused(format!("{}: {why}", words::code(text(item, "/metadata/name")))))?;
    }
    Ok(numbers(&[("found", all.len() as u64)]))
}
