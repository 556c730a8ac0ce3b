//! What is taken back, in which order, and what holds. It decides nothing else and touches nothing.
//!
//! The journal's order of effects, backwards; side by side only where neither an edge of the graph nor a shared asset
//! or lock stands between. A step in effect that cannot be undone holds everything that it stands on: neither it nor
//! its ancestors are undone, and nothing changes that. `--to STEP` undoes only what stands on STEP.

use std::cmp::{Ordering, Reverse};

use foldhash::{HashMap, HashMapExt};

use super::machine::has_probe;
use super::planted::planted;
use super::state::{Life, State, StepState};
use crate::actions::Effect;
use crate::graph::schedule::collide;
use crate::journal::Answer;
use crate::model::Undo;

/// A rollback as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Steps still to be taken back, in that order.
    pub undo: Vec<usize>,
    /// Those of them that may begin now.
    pub next: Vec<usize>,
    /// Steps in effect that cannot be undone.
    pub holders: Vec<usize>,
    /// Steps in effect that stay: holders, what they stand on, and what `--to` leaves.
    pub kept: Vec<usize>,
    /// True if nothing may be undone without `--to`.
    needs_to: bool,
}

impl Plan {
    /// True if a step that cannot be undone is in effect and nobody said `--to`.
    pub fn refused(&self) -> bool {
        self.needs_to
    }
}

/// True if a step changed something, or may have, and it was not taken back.
pub fn in_effect(state: &State, i: usize) -> bool {
    let (step, life) = (state.step(i), &state.steps[i]);
    if step.effect == Effect::Read || step.undo == Undo::Unneeded {
        return false;
    }
    match life.life {
        Life::Done | Life::Stuck { .. } | Life::Unknown { .. } | Life::Running { .. } => true,
        Life::Left { .. } => life.surveyed != Some(Answer::NotThere),
        Life::Failed { .. } | Life::Skipped { .. } | Life::Waiting => {
            life.touched() && life.surveyed != Some(Answer::NotThere) && !planted("forget-failed")
        }
        Life::Undone => false,
    }
}

/// Steps in effect that cannot be undone.
pub fn holders(state: &State) -> Vec<usize> {
    (0..state.steps.len()).filter(|&i| matches!(state.step(i).undo, Undo::None(_)) && in_effect(state, i)).collect()
}

/// Failed attempts of which a look can tell whether they had an effect, and that were not looked at yet.
pub fn to_survey(state: &State) -> Vec<usize> {
    if planted("undo-unlooked") {
        return Vec::new();
    }
    (0..state.steps.len())
        .filter(|&i| {
            let life = &state.steps[i];
            matches!(life.life, Life::Failed { .. } | Life::Skipped { .. } | Life::Waiting)
                && life.surveyed.is_none()
                && in_effect(state, i)
                && has_probe(state.step(i))
        })
        .collect()
}

/// The rollback of the run's own `back`, or a plain one.
pub fn plan(state: &State) -> Plan {
    plan_to(state, state.back.as_ref().and_then(|b| b.to))
}

/// The rollback that `--to` would be.
pub fn plan_to(state: &State, to: Option<usize>) -> Plan {
    let all: Vec<usize> = (0..state.steps.len()).filter(|&i| in_effect(state, i)).collect();
    let holders = holders(state);
    if to.is_none() && !holders.is_empty() && !planted("undo-under-holder") {
        return Plan { kept: all, holders, needs_to: true, ..Plan::default() };
    }
    let graph = state.checked.graph();
    // Without an adopted run there is nobody who could stand beside.
    let strangers = state.steps.iter().any(StepState::beside);
    let held = if planted("undo-under-holder") { Vec::new() } else { reach(&graph.before, holders.iter().copied()) };
    let stays = |i: usize| held.get(i) == Some(&true) || (strangers && beside(state, &holders, i, Ordering::Less));
    let above: Option<Vec<bool>> = to.map(|t| reach(&graph.after, [t]));
    let stands_on = |i: usize, t: usize| above.as_ref().is_some_and(|a| a[i]) || (strangers && beside(state, &[t], i, Ordering::Greater));
    let takes_back = |&i: &usize| !stays(i) && to.is_none_or(|t| i != t && stands_on(i, t));
    let (mut undo, kept): (Vec<usize>, Vec<usize>) = all.into_iter().partition(takes_back);
    let when = |i: usize| state.steps[i].effect_seq.unwrap_or((u64::MAX, 0));
    undo.sort_by_key(|&i| (Reverse(when(i)), Reverse(i)));
    let next = next(state, &undo, strangers);
    Plan { undo, next, holders, kept, needs_to: false }
}

/// Those on which nothing stands that is still to be undone, and after which nothing came on the same things.
fn next(state: &State, undo: &[usize], strangers: bool) -> Vec<usize> {
    if planted("undo-forwards") {
        return undo.to_vec();
    }
    let before = &state.checked.graph().before;
    let under = reach(before, undo.iter().flat_map(|&i| before[i].iter().map(|&n| n as usize)));
    let mut later: HashMap<&str, Vec<usize>> = HashMap::new();
    let mut out = Vec::new();
    for &i in undo {
        let step = state.step(i);
        let things = || step.assets.iter().map(String::as_str).chain(step.locks.iter().map(String::as_str));
        let mut same = things().filter_map(|thing| later.get(thing)).flatten();
        let held = under[i] || (strangers && beside(state, undo, i, Ordering::Less));
        if !held && !same.any(|&j| collide(step, state.step(j))) {
            out.push(i);
        }
        things().for_each(|thing| later.entry(thing).or_default().push(i));
    }
    out
}

/// Whether a step came before or after one of these, and either of both stands beside the plan: what an adopted run left
/// there has no edges in the plan, so the order in which things happened counts.
fn beside(state: &State, of: &[usize], i: usize, wanted: Ordering) -> bool {
    let (own, when) = (state.steps[i].beside(), state.steps[i].effect_seq);
    let counts =
        |&j: &usize| (own || state.steps[j].beside()) && state.steps[j].effect_seq.zip(when).is_some_and(|(o, w)| w.cmp(&o) == wanted);
    of.iter().any(counts)
}

/// Nodes that can be reached from these, and they themselves.
pub fn reach(edges: &[Vec<u32>], from: impl IntoIterator<Item = usize>) -> Vec<bool> {
    let mut seen = vec![false; edges.len()];
    let mut open: Vec<usize> = from.into_iter().collect();
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut seen[node], true) {
            open.extend(edges[node].iter().map(|&n| n as usize));
        }
    }
    seen
}

/// What a person must do to take a step back, if only a person can.
pub fn by_hand(state: &State, i: usize) -> Option<String> {
    let (step, life) = (state.step(i), &state.steps[i]);
    match &step.undo {
        Undo::Use(call) if call.uses == "manual" => {
            let words = ["text", "do"].iter().find_map(|k| call.with.get(*k)).and_then(|v| v.as_str()).unwrap_or("take it back");
            Some(words.to_owned())
        }
        Undo::Auto if life.before.is_none() => {
            Some(format!("`{}` was done by hand, so its state before is not in the journal: take it back by hand", step.id))
        }
        _ => None,
    }
}
