//! `kubernetes.scale`: how many replicas a workload is to have. It does not know what an autoscaler wants.

use serde_json::json;

use super::kubernetes::{Attempt, SETTLES_MS, check_workload, earlier, function, need, place_words, shown_workload, text, workload};
use super::kubernetes_edit::{Edit, Leaf, State};
use super::kubernetes_ready::{self, standing, wait, waits};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, keep, shell,
    template, words,
};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "kubernetes.scale",
    page: include_str!("kubernetes_scale.md"),
    fields: &[
        Field::optional("deployment", Type::Text, "name of the deployment; this or `statefulset`"),
        Field::optional("statefulset", Type::Text, "name of the stateful set; this or `deployment`"),
        Field::required("replicas", Type::Int, "how many replicas it is to have; 0 stops it"),
        Field::default("wait", Type::Word(&["ready", "none"]), "ready", "whether the step ends when all of them are ready"),
    ],
    outputs: &[
        Output::new("old", Type::Int, "how many were wanted before"),
        Output::new("new", Type::Int, "how many are wanted now"),
        Output::new("ready", Type::Int, "how many are ready; absent if it was not waited for"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Kubernetes],
    undo: UndoKind::Auto,
    settles_ms: SETTLES_MS,
    sentence: |call| format!("Scale {} to {}{}", words::value(&shown_workload(call)), replicas_words(call), place_words(call)),
    seen: |call| {
        let ready = if waits(call.with) { ", all of them ready" } else { "" };
        format!("{} has {}{ready}", words::value(&shown_workload(call)), replicas_words(call))
    },
    commands,
    undo_commands,
    check: |call| check_workload(call.with),
    stops: |call| template::plain(&call.shown("replicas")) == "0",
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |_, before| Box::pin(async { Ok::<Vec<Change>, Fault>(Edit::of(before)?.changes()) }),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    earlier: Some(|ctx, _| Box::pin(earlier(ctx))),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

fn replicas_words(call: &Call<'_>) -> String {
    format!("{} replicas", words::value(&call.shown("replicas")))
}

fn kept(call: &Call<'_>) -> String {
    shell::literal(&format!("{}.before", call.step))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let (object, wanted, kept) = (shell::word(&shown_workload(call)), shell::word(&call.shown("replicas")), kept(call));
    let wait = if waits(call.with) { format!(" &&\nk rollout status {object} --timeout=10m") } else { String::new() };
    let script = format!(
        "{}\nWANTED={wanted}\nNOW=$(k get {object} --output='jsonpath={{.spec.replicas}}') &&\n\
         if [ \"$NOW\" = \"$WANTED\" ]; then echo 'it is so already'; else\nprintf '%s\\n' \"$NOW\" | tee {kept} &&\n\
         k scale {object} --current-replicas=\"$NOW\" --replicas=\"$WANTED\"\nfi{wait}",
        function(call)
    );
    vec![Manual {
        what: format!("Scale {} to {}", words::value(&shown_workload(call)), replicas_words(call)),
        script,
        changes: true,
        expect: format!("how many were wanted before, which {} keeps for the way back, and `scaled`", words::code(&kept)),
    }]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let (object, wanted) = (shell::word(&shown_workload(call)), shell::word(&call.shown("replicas")));
    vec![Manual {
        what: format!("Scale {} back", words::value(&shown_workload(call))),
        script: format!("{}\nk scale {object} --current-replicas={wanted} --replicas=\"$(cat {})\"", function(call), kept(call)),
        changes: true,
        expect: format!("`scaled`. It is only done while {} are wanted: anything else is somebody's newer change", replicas_words(call)),
    }]
}

fn wanted(ctx: &Ctx<'_>) -> Answer<u64> {
    let text = given::need(ctx.with, "replicas")?;
    text.parse().map_err(|_| Fault::refused(format!("`replicas` is {}, which is no number of replicas", words::code(&text))))
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let object = workload(ctx)?;
    let now = need(ctx, &object).await?;
    let (old, new) = (json!(standing(&now).wanted), json!(wanted(ctx)?));
    let leaf = Leaf { path: "/spec/replicas".to_owned(), old: Some(old.clone()), new: Some(new.clone()) };
    let edit = Edit { object, uid: text(&now, "/metadata/uid").to_owned(), leaves: if old == new { vec![] } else { vec![leaf] } };
    keep::state(&edit)
}

fn outputs(ctx: &Ctx<'_>, edit: &Edit, ready: Option<u64>) -> Answer<Outputs> {
    let new = json!(wanted(ctx)?);
    let old = edit.leaves.first().and_then(|leaf| leaf.old.clone()).unwrap_or_else(|| new.clone());
    let ready = ready.map(|n| ("ready".to_owned(), json!(n)));
    Ok([("old".to_owned(), old), ("new".to_owned(), new)].into_iter().chain(ready).collect())
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let edit = Edit::of(before)?;
    kubernetes_ready::probe(ctx, &edit, |ready| outputs(ctx, &edit, ready)).await
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let edit = Edit::of(before)?;
    let mut attempt = Attempt::new(ctx);
    let done = scale(&mut attempt, &edit).await;
    attempt.end(done)?;
    let ready = wait(&mut attempt, &edit).await?;
    outputs(ctx, &edit, ready)
}

/// `kubectl scale` looks itself whether the number is what it was: nobody's newer one is overwritten.
async fn scale(attempt: &mut Attempt<'_>, edit: &Edit) -> Answer<()> {
    let Some(Leaf { old: Some(old), new: Some(new), .. }) = edit.leaves.first() else { return Ok(()) };
    let order = |_: &str| vec!["scale".to_owned(), edit.object.clone(), format!("--current-replicas={old}"), format!("--replicas={new}")];
    edit.send_by(attempt, order).await
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let back = Edit::of(before)?.back();
    match back.look(ctx).await?.1 {
        State::After => Ok(Probe::NotThere),
        State::Foreign(why) => Ok(Probe::Other(why)),
        State::Before => scale(&mut Attempt::new(ctx), &back).await.map(|()| Probe::NotThere),
    }
}
