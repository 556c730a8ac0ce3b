//! `kubernetes.job`: runs a Job once, under a name that is the same for every attempt of the step, and waits for its end.
//! It does not know what the Job does.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::kubernetes::{Attempt, SETTLES_MS, earlier, function, get, look, look_json, need, object, place_words, text};
use super::kubernetes_apply::unknown;
use super::{
    Action, AssetKind, Before, Call, Change, Ctx, Earlier, Effect, Field, Manual, NO_UNDO, Output, Outputs, Probe, Type, UndoKind, given,
    shell, template, units, words,
};
use crate::world::{Answer, Fault};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// So much of an attempt's time is left over, for what is still to be said.
const REST: Duration = Duration::from_millis(1_500);

/// Which step of which run a Job is of.
const KEY: &str = "drplan/key";

/// The longest name of a Job whose pods can be named after it.
const NAME_MAX: usize = 52;

pub(super) static ACTION: Action = Action {
    name: "kubernetes.job",
    page: include_str!("kubernetes_job.md"),
    fields: &[
        Field::optional("file", Type::Text, "file of the plan's directory that holds the Job; this or `from`"),
        Field::optional("from", Type::Text, "the CronJob whose Job is run now, as `cronjob/NAME`; this or `file`"),
    ],
    outputs: &[
        Output::new("job", Type::Text, "name of the Job"),
        Output::new("took", Type::Duration, "from its start to its end, by the cluster's clock; absent if the cluster does not say"),
    ],
    effect: Effect::Verifiable,
    kinds: &[AssetKind::Kubernetes],
    undo: UndoKind::ByPlan,
    settles_ms: SETTLES_MS,
    sentence: |call| format!("Run {} to its end{}", source_words(call), place_words(call)),
    seen: |_| "the Job is complete".to_owned(),
    commands,
    check,
    before: |ctx| Box::pin(before(ctx)),
    probe: |ctx, before| Box::pin(probe(ctx, before)),
    preview: |_, before| Box::pin(preview(before)),
    apply: |ctx, before| Box::pin(apply(ctx, before)),
    earlier: Some(|ctx, before| Box::pin(followed(ctx, before))),
    undo_apply: NO_UNDO,
    ..Action::READ
};

/// How far a Job is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Stage {
    /// It has not ended.
    Runs,
    /// It ended well.
    Done,
    /// It is given up, and why.
    Failed(String),
}

/// Reads it from a Job.
pub(super) fn stage(job: &Value) -> Stage {
    let holds = |kind: &str| {
        let all = job.pointer("/status/conditions").and_then(Value::as_array);
        all.into_iter().flatten().find(|c| text(c, "/type") == kind && text(c, "/status") == "True")
    };
    match (holds("Failed"), holds("Complete")) {
        (Some(why), _) => Stage::Failed([text(why, "/reason"), text(why, "/message")].join(": ").trim_matches([':', ' ']).to_owned()),
        (None, Some(_)) => Stage::Done,
        (None, None) => Stage::Runs,
    }
}

fn source_words(call: &Call<'_>) -> String {
    match call.with.get("from") {
        Some(from) => format!("a Job of {}", words::value(from)),
        None => format!("the Job of {}", words::value(&call.shown("file"))),
    }
}

fn commands(call: &Call<'_>) -> Vec<Manual> {
    let make = match call.with.get("from") {
        Some(from) => {
            let name = shell::literal(&format!("drplan-{}", call.step));
            format!(
                "k create job {name} --from={} --dry-run=client --output=json | k create --validate=false --filename=- --output=name",
                shell::word(from)
            )
        }
        None => format!("k create --validate=false --filename={} --output=name", shell::word(&call.shown("file"))),
    };
    let job = shell::variable(&format!("steps.{}.job", call.step));
    vec![Manual {
        what: "Run the Job, and wait for its end".to_owned(),
        script: format!(
            "{}\nJOB=$({make}) && {job}=${{JOB##*/}} &&\nk wait --for=condition=complete \"$JOB\" --timeout=10m &&\nk logs \"$JOB\" --tail=20",
            function(call)
        ),
        changes: true,
        expect: "`condition met`. `AlreadyExists`: it was run before, look what became of it (`kubectl get jobs`). `timed out`: wait again"
            .to_owned(),
    }]
}

fn check(call: &Call<'_>) -> Vec<(&'static str, String, String)> {
    match (call.with.get("file"), call.with.get("from")) {
        (None, None) => vec![("file", "nothing says which Job".to_owned(), "file: restore-job.yaml, or from: cronjob/restore".to_owned())],
        (Some(_), Some(_)) => vec![("from", "`file` and `from` both say which Job".to_owned(), "leave out one of them".to_owned())],
        (None, Some(from)) if !template::plain(from).starts_with("cronjob/") && !template::marked(&template::plain(from)) => {
            vec![("from", format!("{} is no CronJob", words::value(from)), "from: cronjob/restore".to_owned())]
        }
        _ => vec![],
    }
}

/// A name that a step has once, however often it is tried.
fn name(ctx: &Ctx<'_>, base: &str) -> String {
    let digest: String = Sha256::digest(ctx.key.as_bytes()).iter().take(5).map(|b| format!("{b:02x}")).collect();
    let base: String = base.chars().take(NAME_MAX - digest.len() - 1).collect();
    format!("{}-{digest}", base.trim_end_matches(['-', '.']))
}

/// The Job that is to be made.
async fn wanted(ctx: &Ctx<'_>) -> Answer<Value> {
    let (base, spec, labels) = match given::text(ctx.with, "from") {
        Some(from) => {
            let cron = from.strip_prefix("cronjob/").ok_or_else(|| Fault::refused(format!("{} is no CronJob", words::code(&from))))?;
            let found = need(ctx, &object("cronjob", cron)?).await?;
            let part = |pointer: &str| found.pointer(pointer).cloned();
            let spec = part("/spec/jobTemplate/spec").ok_or_else(|| Fault::refused(format!("{} holds no Job", words::code(&from))))?;
            (cron.to_owned(), spec, part("/spec/jobTemplate/metadata/labels"))
        }
        None => {
            let file = given::need(ctx.with, "file")?;
            let manifest = ctx.world.files.read(&given::path(ctx.dir, &file)).await?;
            let words = ["create", "--dry-run=client", "--validate=false", "--output=json", "--filename=-"];
            let found = look_json(ctx, &words, Some(manifest)).await?;
            if text(&found, "/kind") != "Job" {
                return Err(Fault::refused(format!("{} holds something else than one Job", words::code(&file))));
            }
            let part = |pointer: &str| found.pointer(pointer).cloned();
            let spec = part("/spec").ok_or_else(|| Fault::refused(format!("{} holds a Job without `spec`", words::code(&file))))?;
            let base = text(&found, "/metadata/name");
            (if base.is_empty() { text(&found, "/metadata/generateName") } else { base }.to_owned(), spec, part("/metadata/labels"))
        }
    };
    let metadata = json!({ "name": name(ctx, &base), "labels": labels.unwrap_or_else(|| json!({})), "annotations": { KEY: ctx.key } });
    Ok(json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec }))
}

async fn before(ctx: &Ctx<'_>) -> Answer<Before> {
    let job = wanted(ctx).await?;
    let name = object("job", text(&job, "/metadata/name"))?;
    if get(ctx, &name).await?.is_some() {
        return Err(Fault::refused(format!(
            "{} is there already, before this step began: remove it, or run the plan anew",
            words::code(&name)
        )));
    }
    let create = ["create", "--dry-run=server", "--validate=false", "--output=json", "--filename=-"];
    let made = look_json(ctx, &create, Some(job.to_string())).await?;
    match unknown(&job, &made) {
        Some(path) => Err(Fault::refused(format!("of a Job the cluster knows no {}: it would drop that", words::code(&path)))),
        None => Ok(json!({ "job": name })),
    }
}

async fn preview(before: &Before) -> Answer<Vec<Change>> {
    Ok(vec![Change { what: text(before, "/job").to_owned(), old: "not there".to_owned(), new: "created, and run to its end".to_owned() }])
}

fn outputs(job: &Value) -> Outputs {
    let time = |pointer: &str| text(job, pointer).parse::<jiff::Timestamp>().ok();
    let took = time("/status/startTime").zip(time("/status/completionTime")).map(|(from, to)| to.duration_since(from).as_millis());
    let took = took.and_then(|ms| u64::try_from(ms).ok()).map(|ms| ("took".to_owned(), json!(units::duration_text(ms))));
    [("job".to_owned(), json!(text(job, "/metadata/name")))].into_iter().chain(took).collect()
}

/// A Job is the step's only if it says so itself.
fn ours(ctx: &Ctx<'_>, job: &Value) -> bool {
    job.pointer("/metadata/annotations").and_then(|notes| notes.get(KEY)).and_then(Value::as_str) == Some(ctx.key)
}

async fn probe(ctx: &Ctx<'_>, before: &Before) -> Answer<Probe> {
    let name = text(before, "/job");
    Ok(match get(ctx, name).await? {
        None => Probe::NotThere,
        Some(job) if !ours(ctx, &job) => Probe::Other(format!("{} is there, and is not of this step", words::code(name))),
        Some(job) => match stage(&job) {
            Stage::Done => Probe::There(outputs(&job)),
            Stage::Failed(why) => {
                Probe::CannotTell(format!("{} has failed, and what it did until then it does not say: {why}", words::code(name)))
            }
            Stage::Runs => Probe::CannotTell(format!("{} still runs", words::code(name))),
        },
    })
}

/// What became of an earlier driver's commands, and then of its Job: as long as that runs in the time of the step, it is waited for.
async fn followed(ctx: &Ctx<'_>, before: &Before) -> Answer<Earlier> {
    let said = earlier(ctx).await?;
    if said == Earlier::Running {
        return Ok(said);
    }
    let Ok(Some(job)) = get(ctx, text(before, "/job")).await else { return Ok(said) };
    let begun = text(&job, "/metadata/creationTimestamp").parse::<jiff::Timestamp>();
    let age = begun.map(|at| ctx.world.clock.now().duration_since(at).unsigned_abs());
    let in_time = age.is_ok_and(|age| ctx.timeout.is_none_or(|limit| age < limit));
    Ok(if ours(ctx, &job) && stage(&job) == Stage::Runs && in_time { Earlier::Running } else { said })
}

async fn apply(ctx: &Ctx<'_>, before: &Before) -> Answer<Outputs> {
    let name = text(before, "/job");
    let mut attempt = Attempt::new(ctx);
    let mut sent = false;
    loop {
        match get(ctx, name).await {
            Ok(Some(job)) if !ours(ctx, &job) => {
                return Err(Fault::refused(format!("{} is there, and is not of this step", words::code(name))));
            }
            Ok(Some(job)) => match stage(&job) {
                Stage::Done => return Ok(outputs(&job)),
                Stage::Failed(why) => return Err(Fault::refused(failed(ctx, name, &why).await)),
                Stage::Runs => {}
            },
            Ok(None) if sent => {
                return Err(Fault::lost(format!("{} was made, and somebody removed it before its end was seen", words::code(name))));
            }
            Ok(None) => {
                let job = wanted(ctx).await?;
                sent = true;
                match attempt.change(&["create", "--validate=false", "--filename=-"], Some(job.to_string())).await {
                    Ok(_) => {}
                    // It is there all the same: whose it is, the next look says.
                    Err(fault) if fault.cause.contains("(AlreadyExists)") => {}
                    Err(fault) => return Err(fault),
                }
            }
            // While it runs, a look that fails says nothing about it.
            Err(_) if sent => {}
            Err(fault) => return Err(fault),
        }
        let spent = ctx.world.clock.elapsed().saturating_sub(attempt.since);
        if ctx.timeout.is_some_and(|limit| spent + PAUSE + REST >= limit) {
            return Err(Fault::lost(format!("{} has not ended in the time of this step: it still runs", words::code(name))));
        }
        ctx.world.clock.sleep(PAUSE).await;
    }
}

/// Why a Job failed, with what it said last; and what to type to run it anew.
async fn failed(ctx: &Ctx<'_>, name: &str, why: &str) -> String {
    let said = match look(ctx, &["logs", name, "--tail=5"], None).await {
        Ok(_) if !ctx.secrets.is_empty() => "; what it said is not kept, because a secret was given".to_owned(),
        Ok(said) => {
            let lines: Vec<&str> = said.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
            let last: String = lines.join(" / ").chars().take(1_000).collect();
            if last.is_empty() { "; it said nothing".to_owned() } else { format!("; it said last: {last}") }
        }
        Err(fault) => format!("; what it said cannot be read: {fault}"),
    };
    format!("{} has failed: {why}{said}; to run it anew, first `kubectl delete {name}`", words::code(name))
}
