//! The live dry run: every reading step and every probe, through glass. It says what each step would find, change and
//! cannot know; it changes nothing, and it judges nothing that stands after a change.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::attempt;
use super::errand::Errand;
use super::secret;
use super::state::{Life, State};
use crate::actions::{Change, Effect};
use crate::journal::Doing;
use crate::model::{Step, WhenUnreachable};
use crate::world::{Fault, World};

/// Limit of one look.
const LOOK: Duration = Duration::from_secs(30);

/// What a dry run says of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// It reads, and it passes; what it found.
    Passes(Map<String, Value>),
    /// It reads, and it does not pass.
    DoesNotPass(String),
    /// It would change this.
    Changes(Vec<Change>),
    /// What it would do is there already.
    AlreadySo,
    /// It cannot be known before another step was done.
    Unknowable {
        /// That step.
        until: String,
    },
    /// Its target does not answer; what the plan says about that.
    Unreachable {
        /// The cause.
        cause: String,
        /// What follows, in words.
        follows: &'static str,
        /// False if the run would fail.
        foreseen: bool,
    },
    /// A person would be asked.
    Asks(String),
    /// It would wait.
    Waits,
    /// Not started: the plan merely declares that it reads.
    NotTrusted,
    /// It would not run.
    Skipped(String),
}

impl Said {
    /// False if a run would not get past this.
    pub fn passes(&self) -> bool {
        !matches!(self, Said::DoesNotPass(_) | Said::Unreachable { foreseen: false, .. })
    }
}

/// Looks at every step, in the order in which they would run. `world` is the one behind glass.
pub async fn look(world: &World, state: &mut State, trust: bool) -> Vec<(usize, Said)> {
    secret::hide(world, &state.plan().plan);
    let order: Vec<usize> = state.checked.graph().order.iter().map(|&n| n as usize).filter(|&n| n < state.steps.len()).collect();
    let mut out = Vec::new();
    for i in order {
        let said = step(world, state, i, trust).await;
        if let Said::Passes(outputs) = &said {
            state.steps[i].outputs = outputs.clone();
            state.steps[i].life = Life::Done;
        }
        out.push((i, said));
    }
    out
}

async fn step(world: &World, state: &State, i: usize, trust: bool) -> Said {
    let step = state.step(i);
    if let Some(reason) = state.left_out(i) {
        return Said::Skipped(reason);
    }
    match step.call.uses.as_str() {
        "approval" => return Said::Asks(text(step, "ask")),
        "manual" => return Said::Asks(text(step, "do")),
        "wait" => return Said::Waits,
        _ => {}
    }
    let change = change_before(state, i);
    if step.effect == Effect::Read {
        if let Some(until) = change {
            return Said::Unknowable { until };
        }
        let declared = crate::actions::find(&step.call.uses).is_some_and(|a| a.effect_by_plan && a.name == "command");
        if declared && !trust {
            return Said::NotTrusted;
        }
        return read(world, state, i).await;
    }
    changes(world, state, i, change).await
}

fn text(step: &Step, key: &str) -> String {
    step.call.with.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A step that changes something and on which this one stands.
fn change_before(state: &State, i: usize) -> Option<String> {
    let before = &state.checked.graph().before;
    let mut seen = BTreeSet::from([i]);
    let mut open = vec![i];
    let mut nearest = None;
    while let Some(node) = open.pop() {
        for &next in &before[node] {
            let next = next as usize;
            if !seen.insert(next) {
                continue;
            }
            if next < state.steps.len() {
                let step = state.step(next);
                if !matches!(step.effect, Effect::Read | Effect::Manual) {
                    nearest = nearest.max(Some(next));
                    continue;
                }
            }
            open.push(next);
        }
    }
    nearest.map(|n: usize| state.step(n).id.clone())
}

async fn read(world: &World, state: &State, i: usize) -> Said {
    let errand = Errand::of(state, i);
    let prepared = match attempt::prepare(world, &errand, Doing::Apply).await {
        Ok(prepared) => prepared,
        Err(fault) => return unresolved(state, i, fault),
    };
    let names = errand.names(Doing::Apply, 0);
    match attempt::apply(world, &errand, &prepared, &names, &Value::Null).await {
        attempt::Ended::Done(outputs) => Said::Passes(outputs),
        attempt::Ended::Failed { reason, unreachable: true } => unreachable(state.step(i), reason),
        attempt::Ended::Failed { reason, .. } | attempt::Ended::Unknown { why: reason } => Said::DoesNotPass(reason),
    }
}

/// Something that it needs has no value: from a step that was not done here, that is no failure.
fn unresolved(state: &State, i: usize, fault: Fault) -> Said {
    let needed = crate::actions::template::references(&Value::Object(state.step(i).call.with.clone()));
    let open = needed
        .iter()
        .filter_map(|path| path.strip_prefix("steps.")?.split('.').next())
        .find(|id| state.find(id).is_some_and(|x| state.steps[x].life != Life::Done));
    match open {
        Some(id) => Said::Unknowable { until: id.to_owned() },
        None => Said::DoesNotPass(fault.cause),
    }
}

fn unreachable(step: &Step, cause: String) -> Said {
    let (follows, foreseen) = match step.when_unreachable {
        WhenUnreachable::Fail => ("the step would fail", false),
        WhenUnreachable::Ask => ("a person would be asked", true),
        WhenUnreachable::Skip => ("the plan passes it by", true),
    };
    Said::Unreachable { cause, follows, foreseen }
}

async fn changes(world: &World, state: &State, i: usize, change: Option<String>) -> Said {
    let errand = Errand::of(state, i);
    let prepared = match attempt::prepare(world, &errand, Doing::Apply).await {
        Ok(prepared) => prepared,
        Err(fault) => return unresolved(state, i, fault),
    };
    let found = attempt::preview(world, &errand, &prepared, LOOK).await;
    match (found, change) {
        (Ok(changes), _) if changes.is_empty() => Said::AlreadySo,
        (Ok(changes), _) => Said::Changes(changes),
        // What it would find is not there yet: another step makes it.
        (Err(_), Some(until)) => Said::Unknowable { until },
        (Err(fault), None) if fault.unreachable => unreachable(state.step(i), fault.cause),
        (Err(fault), None) => Said::DoesNotPass(fault.cause),
    }
}
