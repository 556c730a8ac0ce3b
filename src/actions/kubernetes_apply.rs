//! `kubernetes.apply`: makes objects what files of the plan's directory say. `kubectl` reads the files, the cluster says
//! beforehand what would come of them; it does not know what the objects are for.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kubernetes::{Attempt, SETTLES_MS, TRIES, earlier, function, get, look, look_json, object, outrun, place_words, text};
use super::kubernetes_edit::{Edit, State};
use super::kubernetes_patch::is_secret;
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Effect, Field, Manual, Output, Outputs, Probe, Type, UndoKind, given, keep, shell,
    template, words,
};
use crate::world::{Answer, Fault};

/// How the cluster is told: it compares with nobody's memory but its own, and what the plan says holds.
/// A field that it does not know it would drop: that is looked for here, in the same way with every `kubectl`.
const APPLY: [&str; 6] = ["apply", "--server-side", "--force-conflicts", "--field-manager=drplan", "--validate=false", "--filename=-"];

pub(super) static ACTION: Action = Action {
    name: "kubernetes.apply",
    page: include_str!("kubernetes_apply.md"),
    fields: &[Field::required("files", Type::List(&Type::Text), "files of the plan's directory, in the order in which they are applied")],
    outputs: &[
        Output::new("created", Type::Int, "how many objects were not there"),
        Output::new("changed", Type::Int, "how many were there and had to change"),
    ],
    effect: Effect::Idempotent,
    kinds: &[AssetKind::Kubernetes],
    undo: UndoKind::Auto,
    settles_ms: SETTLES_MS,
    sentence: |call| format!("Make the objects in the cluster what {} {}{}", files_words(call), says(call), place_words(call)),
    seen: |call| format!("every object is what {} {}", files_words(call), says(call)),
    commands,
    undo_commands,
    check,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |_, before| Box::pin(async { Ok::<Vec<Change>, Fault>(parts(before)?.iter().flat_map(Part::changes).collect()) }),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    earlier: Some(|ctx, _| Box::pin(earlier(ctx))),
    undo_apply: |ctx, before| Box::pin(undo_apply(ctx, before)),
    ..Action::READ
};

/// One object before: an edit of what is there, or the name of what is not.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    Changed(Edit),
    Created(String),
}

impl Part {
    fn changes(&self) -> Vec<Change> {
        match self {
            Part::Changed(edit) => edit.changes(),
            Part::Created(name) => vec![Change { what: name.clone(), old: "not there".to_owned(), new: "created".to_owned() }],
        }
    }

    /// The same on the way back, where an edit of nothing stands on both sides.
    async fn look_back(&self, ctx: &Ctx<'_>, wanted: &Value) -> Answer<State> {
        match self {
            Part::Changed(edit) => Ok(edit.back().look(ctx).await?.1),
            Part::Created(_) => Ok(self.look(ctx, wanted).await?.1),
        }
    }

    /// Where the object stands; one that was created is ours as long as nobody changed its wishes since.
    async fn look(&self, ctx: &Ctx<'_>, wanted: &Value) -> Answer<(Option<Value>, State)> {
        let name = match self {
            Part::Changed(edit) => return edit.look(ctx).await,
            Part::Created(name) => name,
        };
        let now = get(ctx, name).await?;
        let first = |now: &Value| now.pointer("/metadata/generation").and_then(Value::as_u64).is_none_or(|n| n <= 1);
        let state = match &now {
            None => State::Before,
            Some(now) if !Edit::between(name, now, &made(ctx, wanted).await?).leaves.is_empty() => {
                State::Foreign(format!("{} is there and is not what the files say", words::code(name)))
            }
            Some(now) if !first(now) => State::Foreign(format!("{} was created and then changed by somebody", words::code(name))),
            Some(_) => State::After,
        };
        Ok((now, state))
    }
}

fn files(call: &Call<'_>) -> Vec<Value> {
    given::list(call.with, "files").to_vec()
}

fn files_words(call: &Call<'_>) -> String {
    words::list(&files(call).iter().map(words::value).collect::<Vec<_>>())
}

fn says(call: &Call<'_>) -> &'static str {
    if files(call).len() == 1 { "says" } else { "say" }
}

fn kept(call: &Call<'_>) -> String {
    shell::literal(&format!("{}.before.yaml", call.step))
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let names: String = files(call).iter().map(|f| format!(" --filename={}", shell::word(f))).collect();
    vec![
        Manual {
            what: "Keep what is there, and look what would change".to_owned(),
            script: format!(
                "{}\nk get{names} --ignore-not-found --output=yaml >{} &&\nk diff --server-side --force-conflicts{names} || [ $? -eq 1 ]",
                function(call),
                kept(call)
            ),
            changes: false,
            expect: "only changes that you want".to_owned(),
        },
        Manual {
            what: format!("Apply {}", files_words(call)),
            script: format!("{}\nk apply --server-side --force-conflicts --field-manager=drplan --validate=false{names}", function(call)),
            changes: true,
            expect: "`serverside-applied` for each object".to_owned(),
        },
    ]
}

fn undo_commands(call: &Call<'_>) -> Vec<Manual> {
    let names: String = files(call).iter().map(|f| format!(" --filename={}", shell::word(f))).collect();
    let kept = kept(call);
    vec![Manual {
        what: "Put back what was there".to_owned(),
        script: format!("{}\nk get{names} --output=yaml | diff {kept} - ; k replace --filename={kept}", function(call)),
        changes: true,
        expect:
            "`replaced` for each object that was there; the cluster refuses one that changed since it was kept: edit that one by hand. \
                 An object that was not there before is removed by `k delete`, if nobody uses it"
                .to_owned(),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    let names = files(call);
    if names.is_empty() {
        return vec![("files", "nothing is applied".to_owned(), "files: [shop-api.yaml]".to_owned())];
    }
    let odd = names.iter().map(template::plain).find(|n| n == "-" || n.contains("://"));
    odd.map(|n| ("files", format!("{} is no file of the plan's directory", words::code(&n)), "files: [shop-api.yaml]".to_owned()))
        .into_iter()
        .collect()
}

/// The objects that the files hold, as `kubectl` reads them, in the target's namespace.
async fn wanted(ctx: &Ctx<'_>) -> Answer<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for file in given::list(ctx.with, "files") {
        let file = template::plain(file);
        let manifest = ctx.world.files.read(&given::path(ctx.dir, &file)).await?;
        // Only what reads the file: nothing is sent but questions which kinds there are.
        let words = ["create", "--dry-run=client", "--validate=false", "--output=json", "--filename=-"];
        let said = look(ctx, &words, Some(manifest)).await?;
        for found in serde_json::Deserializer::from_str(&said).into_iter::<Value>() {
            let found = found.map_err(|_| Fault::refused(format!("{}: kubectl gave an answer that cannot be read", words::code(&file))))?;
            match found.get("items").and_then(Value::as_array) {
                Some(items) => all.extend(items.iter().cloned()),
                None => all.push(found),
            }
        }
    }
    if all.is_empty() {
        return Err(Fault::refused("the files hold no object"));
    }
    all.into_iter().map(|one| named(ctx, one)).collect()
}

/// An object with its name, of which the cluster knows which kind is meant.
fn named(ctx: &Ctx<'_>, mut one: Value) -> Answer<(String, Value)> {
    let kind = text(&one, "/kind").to_ascii_lowercase();
    let kind = match text(&one, "/apiVersion").split_once('/') {
        Some((group, version)) => format!("{kind}.{version}.{group}"),
        None => kind,
    };
    let name = object(&kind, text(&one, "/metadata/name"))?;
    if is_secret(&name) {
        return Err(Fault::refused(format!(
            "{}: what a Secret held would stand in the journal: it is applied by other means",
            words::code(&name)
        )));
    }
    let here = given::text(&ctx.asset()?.connect, "namespace");
    let there = text(&one, "/metadata/namespace");
    if !there.is_empty() && here.as_deref().is_some_and(|here| here != there) {
        return Err(Fault::refused(format!("{} says namespace {}, and the asset another", words::code(&name), words::code(there))));
    }
    if let Some(metadata) = one.get_mut("metadata").and_then(Value::as_object_mut) {
        // What `kubectl` writes where there is nothing.
        metadata.retain(|key, value| !(key == "creationTimestamp" && value.is_null()));
    }
    one.as_object_mut().map(|one| one.remove("status"));
    Ok((name, one))
}

fn list(objects: impl Iterator<Item = Value>) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": objects.collect::<Vec<_>>() }).to_string()
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let mut out = Vec::new();
    for (name, one) in wanted(ctx).await? {
        let new = made(ctx, &one).await?;
        if let Some(path) = unknown(&one, &new) {
            return Err(Fault::refused(format!(
                "of {} the cluster knows no {}: it would drop that",
                words::code(&name),
                words::code(&path)
            )));
        }
        out.push(match get(ctx, &name).await? {
            None => Part::Created(name),
            Some(now) => Part::Changed(Edit::between(&name, &now, &new)),
        });
    }
    keep::state(&out)
}

/// What the cluster would make of an object, as it says itself.
async fn made(ctx: &Ctx<'_>, one: &Value) -> Answer<Value> {
    let words: Vec<&str> = APPLY.into_iter().chain(["--dry-run=server", "--output=json"]).collect();
    look_json(ctx, &words, Some(one.to_string())).await
}

/// The first field that says something and that the cluster would drop.
pub(super) fn unknown(wanted: &Value, made: &Value) -> Option<String> {
    let idle = |v: &Value| match v {
        Value::Null | Value::Bool(false) => true,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(t) => t.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        Value::Bool(true) => false,
    };
    match (wanted, made) {
        (Value::Object(wanted), Value::Object(made)) => {
            wanted.iter().filter(|(_, v)| !idle(v)).find_map(|(key, value)| match made.get(key) {
                None => Some(key.clone()),
                Some(made) => unknown(value, made).map(|rest| format!("{key}.{rest}")),
            })
        }
        (Value::Array(wanted), Value::Array(made)) if wanted.len() == made.len() => {
            wanted.iter().zip(made).enumerate().find_map(|(i, (a, b))| unknown(a, b).map(|rest| format!("{i}.{rest}")))
        }
        _ => None,
    }
}

fn parts(before: &Before) -> Answer<Vec<Part>> {
    Vec::<Part>::deserialize(before).map_err(|_| Fault::refused("the state before does not hold what was read"))
}

/// The parts with what the files want of each.
async fn both(ctx: &Ctx<'_>, before: &Before) -> Answer<Vec<(Part, Value)>> {
    let (parts, wanted) = (parts(before)?, wanted(ctx).await?);
    if parts.len() != wanted.len() {
        return Err(Fault::refused("the files hold other objects than when this step began"));
    }
    Ok(parts.into_iter().zip(wanted.into_iter().map(|(_, one)| one)).collect())
}

fn outputs(parts: &[Part]) -> Outputs {
    let created = parts.iter().filter(|p| matches!(p, Part::Created(_))).count();
    let changed = parts.iter().filter(|p| matches!(p, Part::Changed(edit) if !edit.leaves.is_empty())).count();
    [("created".to_owned(), json!(created)), ("changed".to_owned(), json!(changed))].into_iter().collect()
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let both = both(ctx, before).await?;
    let (mut old, mut new) = (0, 0);
    for (part, wanted) in &both {
        let idle = matches!(part, Part::Changed(edit) if edit.leaves.is_empty());
        match part.look(ctx, wanted).await?.1 {
            State::Foreign(why) => return Ok(Probe::Other(why)),
            _ if idle => {}
            State::Before => old += 1,
            State::After => new += 1,
        }
    }
    let parts: Vec<Part> = both.into_iter().map(|(part, _)| part).collect();
    Ok(match (old, new) {
        (0, _) => Probe::There(outputs(&parts)),
        (_, 0) => Probe::NotThere,
        (old, new) => Probe::CannotTell(format!("{new} of the objects are as the files say, {old} are not yet")),
    })
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let both = both(ctx, before).await?;
    let mut attempt = Attempt::new(ctx);
    let done = make(&mut attempt, &both).await;
    attempt.end(done)?;
    Ok(outputs(&both.into_iter().map(|(part, _)| part).collect::<Vec<_>>()))
}

/// Makes every object what the files say, unless somebody changed one meanwhile.
async fn make(attempt: &mut Attempt<'_>, both: &[(Part, Value)]) -> Answer<()> {
    let mut tries = 0;
    loop {
        let mut items = Vec::new();
        for (part, wanted) in both {
            let (now, state) = part.look(attempt.ctx, wanted).await?;
            let mut one = wanted.clone();
            match (state, now) {
                (State::Foreign(why), _) => return Err(Fault::refused(format!("somebody changed it meanwhile: {why}"))),
                (State::After, _) => continue,
                // It must still be the one that was read just now.
                (State::Before, Some(now)) => one["metadata"]["resourceVersion"] = json!(text(&now, "/metadata/resourceVersion")),
                (State::Before, None) => {}
            }
            items.push(one);
        }
        if items.is_empty() {
            return Ok(());
        }
        tries += 1;
        match attempt.change(&APPLY, Some(list(items.into_iter()))).await {
            Ok(_) => {}
            Err(fault) if tries < TRIES && outrun(&fault) => {}
            Err(fault) => return Err(fault),
        }
        if tries > TRIES {
            return Err(Fault::refused("it was applied, and the objects are still not what the files say"));
        }
    }
}

async fn undo_apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let mut attempt = Attempt::new(ctx);
    let both = both(ctx, before).await?;
    // Nothing is taken back where one of them is somebody's: half of what files say is what nobody wanted.
    for (part, wanted) in &both {
        if let State::Foreign(why) = part.look_back(ctx, wanted).await? {
            return Ok(Probe::Other(why));
        }
    }
    // What was created last may need what was created first.
    for (part, wanted) in both.iter().rev() {
        match part {
            Part::Changed(edit) => match edit.take_back(&mut attempt).await? {
                Probe::NotThere => {}
                other => return Ok(other),
            },
            Part::Created(name) => match part.look(ctx, wanted).await?.1 {
                State::Before => {}
                State::Foreign(why) => return Ok(Probe::Other(why)),
                State::After => drop(attempt.change(&["delete", name, "--ignore-not-found", "--wait=true"], None).await?),
            },
        }
    }
    Ok(Probe::NotThere)
}
