//! Operator's words: which are allowed when, and what each would mean. It appends nothing; whoever speaks does.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::machine::fences;
use super::rollback;
use super::state::{Life, State, StepState};
use super::waiting::approvers;
use crate::actions::units::duration_text;
use crate::journal::{About, Doing, Word};
use crate::model::{AssetKind, Phase, Undo};

/// A word that was refused, with what to do instead.
pub type Refused = String;

/// Whether a word is allowed now. The error says why not and what to type instead.
pub fn allowed(state: &State, now: Timestamp, word: &Word, step: Option<&str>, break_glass: bool) -> Result<(), Refused> {
    if state.finished.is_some() {
        return Err(format!("run {} has ended; nothing can be said to it any more", state.run));
    }
    let i = match step {
        None => None,
        Some(id) => Some(state.find(id).ok_or_else(|| no_step(state, id))?),
    };
    match (word, i) {
        (Word::Pause | Word::Resume, _) => Ok(()),
        (Word::Abort, _) => abort(state),
        (Word::Rollback { to }, _) => back(state, to.as_deref()),
        (Word::Retry, Some(i)) => retry(state, i),
        (Word::Skip, Some(i)) => skip(state, i, break_glass),
        (Word::Resolve { done, record, accept_late_effect }, Some(i)) => {
            resolve(state, now, i, *done, record, *accept_late_effect, break_glass)
        }
        (Word::Retry | Word::Skip | Word::Resolve { .. }, None) => Err("it needs the name of a step".to_owned()),
    }
}

/// That there is no such step, with the nearest name.
pub fn no_step(state: &State, id: &str) -> String {
    let names = state.plan().scenario.steps.iter().map(|s| s.id.as_str());
    let near = crate::diagnostic::nearest(id, names).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    format!("there is no step `{id}` in scenario `{}`{near}", state.plan().scenario.id)
}

fn life_word(life: &Life) -> &'static str {
    match life {
        Life::Waiting => "has not begun",
        Life::Running { .. } => "is running",
        Life::Unknown { .. } => "is unknown",
        Life::Failed { .. } => "failed",
        Life::Done => "is done",
        Life::Skipped { .. } => "was skipped",
        Life::Undone => "was taken back",
        Life::Stuck { .. } => "could not be taken back",
    }
}

fn abort(state: &State) -> Result<(), Refused> {
    let open: Vec<&str> = (0..state.steps.len())
        .filter(|&i| matches!(state.steps[i].life, Life::Unknown { .. }))
        .map(|i| state.step(i).id.as_str())
        .collect();
    match open.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "what became of `{}` is unknown: look, then say `drplan resolve {} {first} --as done|not-done --reason …`, and abort after that",
            open.join("`, `"),
            state.run
        )),
    }
}

fn back(state: &State, to: Option<&str>) -> Result<(), Refused> {
    let to = match to {
        None => None,
        Some(id) => Some(state.find(id).ok_or_else(|| no_step(state, id))?),
    };
    let plan = rollback::plan_to(state, to);
    if !plan.refused() {
        return Ok(());
    }
    let mut text = String::from("nothing was undone. ");
    for &h in &plan.holders {
        let step = state.step(h);
        let Undo::None(why) = &step.undo else { continue };
        text.push_str(&format!("`{}` is in effect and cannot be undone ({why}); ", step.id));
    }
    text.push_str("what it stands on stays as it is.");
    let mut holders = plan.holders.clone();
    holders.sort_by_key(|&h| state.steps[h].effect_seq);
    for &h in &holders {
        let id = &state.step(h).id;
        let above = rollback::plan_to(state, Some(h)).undo;
        let names = above.iter().map(|&i| format!("`{}`", state.step(i).id)).collect::<Vec<_>>().join(", ");
        let what = if names.is_empty() { "nothing: nothing in effect stands on it".to_owned() } else { names };
        text.push_str(&format!("\n  `drplan rollback {} --to {id} --reason …` undoes {what}.", state.run));
    }
    for line in after_rollback(state, holders.first().copied()) {
        text.push_str("\n  ");
        text.push_str(&line);
    }
    Err(text)
}

fn retry(state: &State, i: usize) -> Result<(), Refused> {
    let life = &state.steps[i];
    let id = &state.step(i).id;
    match &life.life {
        Life::Failed { .. } | Life::Stuck { .. } => Ok(()),
        Life::Waiting if matches!(life.asked, Some((About::When, _))) => Ok(()),
        Life::Unknown { .. } => {
            Err(format!("what became of `{id}` is unknown; first say `drplan resolve {} {id} --as not-done --reason …`", state.run))
        }
        other => Err(format!("`{id}` {}; only a step that failed can be tried again", life_word(other))),
    }
}

fn skip(state: &State, i: usize, break_glass: bool) -> Result<(), Refused> {
    let (step, life) = (state.step(i), &state.steps[i]);
    if !break_glass && step.call.uses == "approval" {
        return Err(format!("`{}` is an approval: only `drplan approve` passes it (or --break-glass, which is recorded)", step.id));
    }
    if !break_glass && fences(step) {
        return Err(format!(
            "`{}` is a fence: without it two sites may take writes. Make sure that the old one takes none, then \
             `drplan resolve {} {} --as done --reason 'how you know'`",
            step.id, state.run, step.id
        ));
    }
    match &life.life {
        Life::Waiting | Life::Failed { .. } => Ok(()),
        other => Err(format!("`{}` {}; only a step that failed or has not begun can be skipped", step.id, life_word(other))),
    }
}

fn resolve(
    state: &State,
    now: Timestamp,
    i: usize,
    done: bool,
    record: &Map<String, Value>,
    late: bool,
    break_glass: bool,
) -> Result<(), Refused> {
    let (step, life) = (state.step(i), &state.steps[i]);
    if step.call.uses == "approval" {
        return Err(format!("`{}` is an approval: `drplan approve {} {}` passes it", step.id, state.run, step.id));
    }
    let by_hand = step.call.uses == "manual" || matches!(life.asked, Some((About::Manual, _)));
    match &life.life {
        Life::Unknown { open_until: Some(t), .. } if !done && !late && *t > now => {
            Err(format!("the attempt may still take effect until {t}; say it then, or add --accept-late-effect if you know better"))
        }
        Life::Unknown { .. } | Life::Stuck { .. } => Ok(()),
        Life::Failed { .. } if done && (fences(step) || break_glass || by_hand) => Ok(()),
        Life::Failed { .. } if done => Err(format!(
            "`{}` failed, which is known; repair it and `drplan retry {} {}`, or go on without it: `drplan skip`",
            step.id, state.run, step.id
        )),
        Life::Waiting if by_hand && life.asked.is_some() => recorded(step.call.with.get("record"), record, done),
        Life::Done | Life::Failed { .. } if by_hand && state.back.is_some() && life.asked.is_some() => Ok(()),
        other => Err(format!("`{}` {}; there is nothing to resolve", step.id, life_word(other))),
    }
}

/// What a manual step records must be given, and fit.
fn recorded(wanted: Option<&Value>, given: &Map<String, Value>, done: bool) -> Result<(), Refused> {
    let Some(wanted) = wanted.and_then(Value::as_object).filter(|_| done) else { return Ok(()) };
    for (name, shape) in wanted {
        let Some(value) = given.get(name) else {
            return Err(format!("this step records `{name}`: add --record {name}=VALUE"));
        };
        let choices = shape.get("enum").and_then(Value::as_array);
        if let Some(choices) = choices.filter(|c| !c.contains(value)) {
            let words: Vec<String> = choices.iter().map(crate::actions::template::plain).collect();
            return Err(format!("`{name}` is one of {}", words.join(", ")));
        }
    }
    Ok(())
}

/// What a word would mean, in lines: shown before it is said.
pub fn meaning(state: &State, word: &Word, step: Option<&str>) -> Vec<String> {
    let i = step.and_then(|id| state.find(id));
    match (word, i) {
        (Word::Pause, _) => vec!["Nothing new starts; what is in flight ends. `drplan resume` goes on.".to_owned()],
        (Word::Abort, _) => vec!["The run ends as it is: nothing more starts and nothing is taken back.".to_owned()],
        (Word::Rollback { to }, _) => rollback_lines(state, to.as_deref().and_then(|t| state.find(t))),
        (Word::Skip, Some(i)) => {
            let mut lines = vec![format!("`{}` is left out: the run goes on without it and cannot end with 0.", state.step(i).id)];
            lines.extend(assets_of(state, i).map(|a| format!("The recovery of `{a}` will be \"not shown\".")));
            lines
        }
        (Word::Retry, Some(i)) => {
            vec![format!("`{}` is tried again; about {} more.", state.step(i).id, duration_text(state.step(i).takes_ms))]
        }
        _ => Vec::new(),
    }
}

fn assets_of(state: &State, i: usize) -> impl Iterator<Item = &String> {
    let step = state.step(i);
    step.assets.iter().filter(move |_| matches!(step.phase, Phase::Recover | Phase::Verify))
}

fn rollback_lines(state: &State, to: Option<usize>) -> Vec<String> {
    let plan = rollback::plan_to(state, to);
    let name = |i: &usize| format!("`{}`", state.step(*i).id);
    let mut lines = Vec::new();
    if plan.undo.is_empty() {
        lines.push("Nothing is in effect that would be undone.".to_owned());
    } else {
        lines.push(format!("Undone, in this order: {}.", plan.undo.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    if !plan.kept.is_empty() {
        lines.push(format!("Stays in effect: {}.", plan.kept.iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    lines.extend(after_rollback(state, to));
    lines
}

/// Where traffic and writes would be after a rollback that leaves something in effect.
pub fn after_rollback(state: &State, to: Option<usize>) -> Vec<String> {
    let plan = rollback::plan_to(state, to);
    let assets = &state.plan().plan.assets;
    let moved: Vec<(&str, &str)> = plan
        .holders
        .iter()
        .flat_map(|&h| {
            let step = state.step(h);
            let holds_data = |a: &&String| assets.get(*a).is_some_and(|a| takes_writes(a.kind));
            step.assets.iter().filter(holds_data).filter_map(move |a| Some((a.as_str(), step.at.as_deref()?)))
        })
        .collect();
    let mut lines = Vec::new();
    for &i in &plan.undo {
        for asset in &state.step(i).assets {
            let Some(kind) = assets.get(asset).map(|a| a.kind) else { continue };
            if !matches!(kind, AssetKind::Route53 | AssetKind::Dns) || moved.is_empty() {
                continue;
            }
            let old =
                state.steps[i].outputs.get("old").map(crate::actions::template::plain).unwrap_or_else(|| "where it went before".to_owned());
            let stays: Vec<String> = moved.iter().map(|(a, site)| format!("`{a}` stays promoted at {site}")).collect();
            lines.push(format!("Traffic of `{asset}` then goes back to {old}, where nothing takes writes: {}.", stays.join(", ")));
        }
    }
    lines
}

/// True if data of this kind live in one place, which a step may have moved.
fn takes_writes(kind: AssetKind) -> bool {
    use AssetKind::{Clickhouse, Kafka, Other, Postgres, Redis, S3, Sqlite};
    matches!(kind, Postgres | Clickhouse | Redis | Sqlite | S3 | Kafka | Other)
}

/// Whether a contact has approved.
pub fn has_approved(life: &StepState, contact: &str) -> bool {
    life.approvals.iter().any(|(who, _)| who.split(' ').next() == Some(contact))
}

/// What a person can type next about a step, most likely first.
pub fn choices(state: &State, i: usize) -> Vec<String> {
    choices_of(state, i, None)
}

/// The same for one of those who may approve.
pub fn choices_of(state: &State, i: usize, contact: Option<&str>) -> Vec<String> {
    let (run, step, life) = (&state.run, state.step(i), &state.steps[i]);
    let id = &step.id;
    match (&life.life, life.asked.as_ref().map(|(about, _)| *about)) {
        (Life::Waiting, Some(About::Approval)) => {
            // The first of those who may and have not yet; another of them puts their own name there.
            let mut open = approvers(step).filter(|id| !has_approved(life, id));
            let own = contact.filter(|contact| approvers(step).any(|id| id == *contact));
            let who = own.or_else(|| open.next()).map(|contact| format!(" --as {contact}")).unwrap_or_default();
            vec![format!("drplan approve {run} {id}{who}"), format!("drplan decline {run} {id}{who} --reason …")]
        }
        (Life::Waiting, Some(About::When)) => {
            vec![format!("drplan retry {run} {id} --reason …"), format!("drplan skip {run} {id} --reason …")]
        }
        (Life::Unknown { doing: Doing::Apply | Doing::Undo, .. }, Some(_)) => {
            vec![format!("drplan resolve {run} {id} --as done --reason …"), format!("drplan resolve {run} {id} --as not-done --reason …")]
        }
        (Life::Stuck { .. }, _) => {
            vec![format!("drplan retry {run} {id} --reason …"), format!("drplan resolve {run} {id} --as done --reason …")]
        }
        (_, Some(About::Manual)) => vec![format!("drplan resolve {run} {id} --as done --reason …")],
        (Life::Failed { .. }, _) => {
            let mut out = vec![format!("drplan retry {run} {id} --reason …")];
            if fences(step) {
                out.push(format!("drplan resolve {run} {id} --as done --reason 'how you know that it takes no writes'"));
            } else if step.call.uses != "approval" {
                out.push(format!("drplan skip {run} {id} --reason …"));
            }
            let plan = rollback::plan_to(state, None);
            let first = plan.holders.iter().filter(|_| plan.refused()).min_by_key(|&&h| state.steps[h].effect_seq);
            let to = first.map(|&h| format!(" --to {}", state.step(h).id)).unwrap_or_default();
            out.push(format!("drplan rollback {run}{to} --reason …"));
            out
        }
        _ => Vec::new(),
    }
}
