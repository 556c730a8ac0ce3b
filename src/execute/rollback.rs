//! What is taken back, in which order, and what holds. It decides nothing else and touches nothing.
//!
//! The journal's order of effects, backwards; side by side only where neither an edge of the graph nor a shared asset
//! or lock stands between. A step in effect that cannot be undone holds everything that it stands on: neither it nor
//! its ancestors are undone, and nothing changes that. `--to STEP` undoes only what stands on STEP.

use std::collections::BTreeSet;

use super::machine::has_probe;
use super::planted::planted;
use super::state::{Life, State};
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
    let mut held: BTreeSet<usize> = BTreeSet::new();
    if !planted("undo-under-holder") {
        held = holders.iter().flat_map(|&h| under(state, h)).collect();
    }
    let above: Option<BTreeSet<usize>> = to.map(|t| over(state, t).into_iter().filter(|&i| i != t).collect());
    let takes_back = |i: &usize| !held.contains(i) && above.as_ref().is_none_or(|a| a.contains(i));
    let (mut undo, kept): (Vec<usize>, Vec<usize>) = all.into_iter().partition(takes_back);
    let when = |i: usize| state.steps[i].effect_seq.unwrap_or((u64::MAX, 0));
    undo.sort_by_key(|&i| (std::cmp::Reverse(when(i)), std::cmp::Reverse(i)));
    let next = undo.iter().copied().filter(|&i| may_begin(state, &undo, i)).collect();
    Plan { undo, next, holders, kept, needs_to: false }
}

/// True if nothing that is still to be undone stands on this step or came after it on the same things.
fn may_begin(state: &State, undo: &[usize], i: usize) -> bool {
    if planted("undo-forwards") {
        return true;
    }
    let above = over(state, i);
    let place = undo.iter().position(|&j| j == i).unwrap_or(0);
    undo.iter().enumerate().all(|(p, &j)| j == i || !(above.contains(&j) || (p < place && collide(state.step(i), state.step(j)))))
}

/// A step and all that it stands on. What an adopted run left beside the plan has no edges in it, so the order in which
/// things happened counts: what came before stands under it.
fn under(state: &State, i: usize) -> BTreeSet<usize> {
    let mut all = reach(&state.checked.graph().before, i);
    all.extend(beside(state, i, |j, i| j < i));
    all
}

/// A step and all that stands on it; see [`under`].
fn over(state: &State, i: usize) -> BTreeSet<usize> {
    let mut all = reach(&state.checked.graph().after, i);
    all.extend(beside(state, i, |j, i| j > i));
    all
}

/// Steps of which either this one or they stand beside the plan, and that came earlier or later than it.
fn beside(state: &State, i: usize, fits: impl Fn((u64, u32), (u64, u32)) -> bool) -> Vec<usize> {
    let Some(when) = state.steps[i].effect_seq else { return Vec::new() };
    let own = state.steps[i].beside();
    let counts = |j: &usize| (own || state.steps[*j].beside()) && state.steps[*j].effect_seq.is_some_and(|other| fits(other, when));
    (0..state.steps.len()).filter(counts).collect()
}

/// A node and all that can be reached from it.
pub fn reach(edges: &[Vec<u32>], from: usize) -> BTreeSet<usize> {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(node) = open.pop() {
        open.extend(edges[node].iter().map(|&n| n as usize).filter(|&n| seen.insert(n)));
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
