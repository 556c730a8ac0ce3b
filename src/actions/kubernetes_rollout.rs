//! `kubernetes.rollout`: starts the pods of a workload anew, or from other images. It does not know what is in an image.

use serde_json::{Value, json};

use super::kubernetes::{Attempt, SETTLES_MS, check_workload, earlier, function, need, place_words, shown_workload, workload};
use super::kubernetes_edit::Edit;
use super::kubernetes_ready::{self, wait, waits};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, keep, shell,
    template, words,
};
use crate::world::{Answer, Fault};

/// Where `kubectl rollout restart` writes when it was asked for.
const RESTARTED: &str = "kubectl.kubernetes.io/restartedAt";

pub(super) static ACTION: Action = Action {
    name: "kubernetes.rollout",
    page: include_str!("kubernetes_rollout.md"),
    fields: &[
        Field::optional("deployment", Type::Text, "name of the deployment; this or `statefulset`"),
        Field::optional("statefulset", Type::Text, "name of the stateful set; this or `deployment`"),
        Field::optional("restart", Type::Bool, "starts its pods anew as they are; this or `image`"),
        Field::optional("image", Type::Map(&Type::Text), "containers to images; this or `restart`"),
        Field::default("wait", Type::Word(&["ready", "none"]), "ready", "whether the step ends when all pods are new and ready"),
    ],
    outputs: &[
        Output::new("image", Type::Any, "containers to their images, of those that were named"),
        Output::new("ready", Type::Int, "how many replicas are ready; absent if it was not waited for"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Kubernetes],
    undo: UndoKind::Auto,
    settles_ms: SETTLES_MS,
    sentence: |call| format!("{}{}", what(call), place_words(call)),
    seen: |call| {
        let ready = if waits(call.with) { ", and all of them are new and ready" } else { "" };
        format!("the pods of {} are made anew{ready}", words::value(&shown_workload(call)))
    },
    commands,
    undo_commands,
    check,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |_, before| Box::pin(async { Ok::<Vec<Change>, Fault>(Edit::of(before)?.changes()) }),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    earlier: Some(|ctx, _| Box::pin(earlier(ctx))),
    undo_apply: |ctx, before| Box::pin(async { Edit::of(before)?.take_back(&mut Attempt::new(ctx)).await }),
    ..Action::READ
};

fn what(call: &Call<'_>) -> String {
    let name = words::value(&shown_workload(call));
    match given::record(call.with, "image") {
        Some(images) => {
            let each: Vec<String> = images.iter().map(|(c, image)| format!("{} to {}", words::code(c), words::value(image))).collect();
            format!("Set the images of {name}: {}", words::list(&each))
        }
        None => format!("Start the pods of {name} anew"),
    }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let object = shell::word(&shown_workload(call));
    let change = match given::record(call.with, "image") {
        Some(images) => {
            let words = images.iter().map(|(c, image)| shell::word(&Value::String(format!("{c}={}", template::plain(image)))));
            format!("k set image {object} {}", words.collect::<Vec<_>>().join(" "))
        }
        None => format!("k rollout restart {object}"),
    };
    let wait = if waits(call.with) { format!(" &&\nk rollout status {object} --timeout=10m") } else { String::new() };
    vec![Manual {
        what: what(call),
        script: format!("{}\nk rollout history {object} &&\n{change}{wait}", function(call)),
        changes: true,
        expect: "the revisions before (note the last one), then that it is rolled out".to_owned(),
    }]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let object = shell::word(&shown_workload(call));
    vec![Manual {
        what: format!("Put the pods of {} back to the revision before", words::value(&shown_workload(call))),
        script: format!(
            "{}\nk rollout history {object} &&\nk rollout undo {object} &&\nk rollout status {object} --timeout=10m",
            function(call)
        ),
        changes: true,
        expect: "two revisions newer than the one that you noted mean that somebody changed it since: then do not undo, and ask them"
            .to_owned(),
    }]
}

fn restarts(call: &Call<'_>) -> bool {
    given::bool(call.with, "restart", false)
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = check_workload(call.with);
    match (restarts(call), given::record(call.with, "image").is_some_and(|i| !i.is_empty())) {
        (false, false) => out.push((
            "restart",
            "nothing says what to roll out".to_owned(),
            "restart: true, or image: { app: registry/app:1.2 }".to_owned(),
        )),
        (true, true) => {
            out.push(("restart", "other images start the pods anew by themselves".to_owned(), "leave out `restart` or `image`".to_owned()))
        }
        _ => {}
    }
    out
}

/// The workload with what the step wants of it.
fn wanted(ctx: &Ctx<'_>, now: &Value, name: &str) -> Answer<Value> {
    let mut new = now.clone();
    let Some(images) = given::record(ctx.with, "image").filter(|i| !i.is_empty()) else {
        let at = ctx.world.clock.now().to_string();
        let metadata = new.pointer_mut("/spec/template/metadata").and_then(Value::as_object_mut);
        let metadata = metadata.ok_or_else(|| Fault::refused(format!("{} has no pods to start anew", words::code(name))))?;
        let notes = metadata.entry("annotations").or_insert_with(|| json!({}));
        if notes.is_null() {
            *notes = json!({});
        }
        notes.as_object_mut().map(|notes| notes.insert(RESTARTED.to_owned(), json!(at)));
        return Ok(new);
    };
    for (container, image) in images {
        let mut found = false;
        for list in ["/spec/template/spec/containers", "/spec/template/spec/initContainers"] {
            for one in new.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                if one.get("name").and_then(Value::as_str) == Some(container) {
                    one["image"] = json!(template::plain(image));
                    found = true;
                }
            }
        }
        if !found {
            return Err(Fault::refused(format!("{} has no container {}", words::code(name), words::code(container))));
        }
    }
    Ok(new)
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let object = workload(ctx)?;
    let now = need(ctx, &object).await?;
    let edit = Edit::between(&object, &now, &wanted(ctx, &now, &object)?);
    keep::state(&edit)
}

fn outputs(ctx: &Ctx<'_>, ready: Option<u64>) -> Outputs {
    let images = given::record(ctx.with, "image").map(|images| ("image".to_owned(), Value::Object(images.clone())));
    images.into_iter().chain(ready.map(|n| ("ready".to_owned(), json!(n)))).collect()
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    kubernetes_ready::probe(ctx, &Edit::of(before)?, |ready| Ok(outputs(ctx, ready))).await
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let edit = Edit::of(before)?;
    let mut attempt = Attempt::new(ctx);
    let done = edit.send(&mut attempt).await;
    attempt.end(done)?;
    let ready = wait(&mut attempt, &edit).await?;
    Ok(outputs(ctx, ready))
}
