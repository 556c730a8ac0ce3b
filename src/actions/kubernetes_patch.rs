//! `kubernetes.patch`: changes some fields of one object. What the cluster would make of the patch it is asked before;
//! it does not know what the fields mean.

use serde_json::Value;

use super::kubernetes::{Attempt, SETTLES_MS, earlier, function, look_json, need, object, place_words};
use super::kubernetes_edit::{Edit, State};
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, keep, shell,
    template, words,
};
use crate::world::{Answer, Fault};

pub(super) static ACTION: Action = Action {
    name: "kubernetes.patch",
    page: include_str!("kubernetes_patch.md"),
    fields: &[
        Field::required("resource", Type::Text, "the object, as `configmap/settings`"),
        Field::default("type", Type::Word(&["merge", "json", "strategic"]), "merge", "what kind of patch it is"),
        Field::required("patch", Type::Any, "the patch: a map, for `json` a list of operations"),
    ],
    outputs: &[Output::new("changed", Type::Int, "how many fields it changed")],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Kubernetes],
    undo: UndoKind::Auto,
    settles_ms: SETTLES_MS,
    sentence: |call| {
        format!("Change {} by {}{}", words::value(&call.shown("resource")), words::value(&call.shown("patch")), place_words(call))
    },
    seen: |call| format!("{} holds what the patch says", words::value(&call.shown("resource"))),
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

fn kept(call: &Call<'_>) -> String {
    shell::literal(&format!("{}.before.yaml", call.step))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let (object, patch) = (shell::word(&call.shown("resource")), shell::word(&call.shown("patch")));
    let kind = shell::word(call.field("type").unwrap_or(&Value::String("merge".to_owned())));
    let kept = kept(call);
    vec![Manual {
        what: format!("Change {}", words::value(&call.shown("resource"))),
        script: format!(
            "{}\n{{ [ -s {kept} ] || k get {object} --output=yaml >{kept}; }} &&\nk patch {object} --type={kind} --patch={patch}",
            function(call)
        ),
        changes: true,
        expect: format!("`patched`; {} keeps the object as it was for the way back", words::code(&kept)),
    }]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let (object, kept) = (shell::word(&call.shown("resource")), kept(call));
    vec![Manual {
        what: format!("Put {} back as it was", words::value(&call.shown("resource"))),
        script: format!("{}\nk get {object} --output=yaml | diff {kept} - ; k edit {object}", function(call)),
        changes: true,
        expect: "in the editor only the fields of the patch are put back to the lines marked `<`; any other difference is somebody's newer change".to_owned(),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let mut out = Vec::new();
    let text = template::plain(&call.shown("resource"));
    if !text.contains('/') && !template::marked(&text) {
        out.push(("resource", format!("{} names no object", words::code(&text)), "resource: configmap/settings".to_owned()));
    }
    if is_secret(&text) {
        out.push(("resource", "what a Secret held would stand in the journal".to_owned(), "change it by a command of yours".to_owned()));
    }
    let json = call.with.get("type").and_then(Value::as_str) == Some("json");
    match call.with.get("patch") {
        Some(Value::Array(_)) if !json => {
            out.push(("type", "a list of operations is a patch of type `json`".to_owned(), "type: json".to_owned()))
        }
        Some(Value::Object(_)) if json => out.push((
            "patch",
            "a patch of type `json` is a list of operations".to_owned(),
            "patch: [{ op: replace, path: /data/mode, value: drained }]".to_owned(),
        )),
        _ => {}
    }
    out
}

/// Whether an object is a Secret, by the names under which kubectl knows that kind.
pub(super) fn is_secret(object: &str) -> bool {
    let kind = object.split('/').next().unwrap_or_default().to_ascii_lowercase();
    matches!(kind.split('.').next(), Some("secret" | "secrets"))
}

/// The object that a step names.
fn named(ctx: &Ctx<'_>) -> Answer<String> {
    let text = given::need(ctx.with, "resource")?;
    let (kind, name) = text.split_once('/').ok_or_else(|| Fault::refused(format!("{} names no object", words::code(&text))))?;
    if is_secret(kind) {
        return Err(Fault::refused("what a Secret held would stand in the journal: it is changed by other means"));
    }
    object(kind, name)
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let object = named(ctx)?;
    let now = need(ctx, &object).await?;
    let patch = ctx.with.get("patch").ok_or_else(|| Fault::refused("`patch` is not given"))?;
    let kind = format!("--type={}", given::text(ctx.with, "type").unwrap_or_else(|| "merge".to_owned()));
    // The cluster itself says what would come of it.
    let patch = format!("--patch={patch}");
    let new = look_json(ctx, &["patch", &object, &kind, &patch, "--dry-run=server", "--output=json"], None).await?;
    let edit = Edit::between(&object, &now, &new);
    keep::state(&edit)
}

fn outputs(edit: &Edit) -> Outputs {
    [("changed".to_owned(), Value::from(edit.leaves.len()))].into_iter().collect()
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let edit = Edit::of(before)?;
    Ok(match edit.look(ctx).await?.1 {
        State::Before => Probe::NotThere,
        State::After => Probe::There(outputs(&edit)),
        State::Foreign(why) => Probe::Other(why),
    })
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let edit = Edit::of(before)?;
    let mut attempt = Attempt::new(ctx);
    let done = edit.send(&mut attempt).await;
    attempt.end(done)?;
    Ok(outputs(&edit))
}
