//! The live dry run: every reading step and every probe, through glass. It says what each step would find, change and
//! cannot know; it changes nothing, and it judges nothing that stands after a change.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value};

use super::attempt;
use super::condition::{self, Condition};
use super::errand::{Errand, asked};
use super::secret;
use super::state::{Life, State};
use crate::actions::template::references;
use crate::actions::{self, Change, Dry, Effect, UndoKind};
use crate::journal::Doing;
use crate::model::{Phase, SecretSource, Step, WhenUnreachable, target_of};
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
    /// Not looked at: a command gives this secret, and a dry run starts it only if it is told to.
    SecretNotAsked(String),
    /// Not sent: the plan declares that it reads, and whoever is asked may take it for a change.
    NotSent,
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
        if let Said::Skipped(reason) = &said {
            state.steps[i].life = Life::Skipped { reason: reason.clone(), flaw: false };
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
    match condition::of(state, step) {
        Condition::Holds => {}
        Condition::HoldsNot(reason) => return Said::Skipped(reason),
        Condition::CannotTell { of, .. } => return Said::Unknowable { until: of },
    }
    match step.call.uses.as_str() {
        "approval" => return Said::Asks(asked(state, step, &["ask"])),
        "manual" => return Said::Asks(asked(state, step, &["do"])),
        "wait" => return Said::Waits,
        _ => {}
    }
    let change = change_before(state, i);
    if let Some(until) = change.clone().filter(|_| step.effect == Effect::Read) {
        return Said::Unknowable { until };
    }
    if let Some(name) = given_by_command(state, step).filter(|_| !trust) {
        return Said::SecretNotAsked(name);
    }
    if step.effect == Effect::Read {
        return match actions::find(&step.call.uses).map(|a| (a.dry)(&step.call.with)) {
            Some(Dry::IfTrusted) if !trust => Said::NotTrusted,
            Some(Dry::Never) => Said::NotSent,
            _ => read(world, state, i).await,
        };
    }
    changes(world, state, i, change).await
}

/// A secret that the step needs and that a command gives.
fn given_by_command(state: &State, step: &Step) -> Option<String> {
    let plan = &state.plan().plan;
    let target = target_of(plan, step, &step.call).map(|t| Value::Object(t.connect));
    let needed = [Some(Value::Object(step.call.with.clone())), target];
    let mut needed = needed.iter().flatten().flat_map(references);
    needed.find_map(|path| {
        let name = path.strip_prefix("secrets.")?;
        matches!(plan.secrets.get(name)?.source, SecretSource::Command(_)).then(|| name.to_owned())
    })
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
                // Telling people changes nothing that a look could find, nor does what is passed over.
                let runs = !matches!(state.steps[next].life, Life::Skipped { .. });
                if runs && !matches!(step.effect, Effect::Read | Effect::Manual) && leaves(step) {
                    nearest = nearest.max(Some(next));
                    continue;
                }
            }
            open.push(next);
        }
    }
    nearest.map(|n: usize| state.step(n).id.clone())
}

/// True if it leaves something that would have to be taken back.
fn leaves(step: &Step) -> bool {
    actions::find(&step.call.uses).is_none_or(|a| a.undo != UndoKind::Unneeded)
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
    let needed = references(&Value::Object(state.step(i).call.with.clone()));
    let open = |n: &usize| state.steps[*n].life != Life::Done;
    let waited_for = needed.iter().find_map(|path| {
        let mut parts = path.splitn(3, '.');
        match (parts.next()?, parts.next()?) {
            ("steps", id) => state.find(id).filter(open),
            // An asset is back with the last of its steps.
            ("assets", id) => {
                let brings = |n: &usize| state.step(*n).phase.brings() || state.step(*n).phase == Phase::Verify;
                (0..state.steps.len()).rev().filter(|n| state.step(*n).assets.iter().any(|a| a == id)).filter(brings).find(open)
            }
            _ => None,
        }
    });
    match waited_for {
        Some(n) => Said::Unknowable { until: state.step(n).id.clone() },
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
