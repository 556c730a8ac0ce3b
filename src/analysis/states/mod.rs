//! Every order in which a scenario can happen, and whether it passes through a state that must never be: two copies that
//! take writes, newer data overwritten, traffic to what nothing has shown to be well. It runs nothing and judges nothing:
//! what it finds is a [`Bad`] with the way that leads there, which rules turn into findings.
//!
//! # Why so few states are enough
//!
//! A run is a growing set of steps that took effect. Nearly all that can go wrong with one step gives no other set than
//! the calm runs have on their way, so it needs no look of its own:
//!
//! * *An attempt fails, or nobody knows what became of it.* Who waits for it does not start, everything else may. Whether
//!   its effect is there, or is not, or comes late: what took effect by then is the beginning of another order.
//! * *The run is taken back.* The executor resolves what is unknown, takes steps back in the reverse order of their
//!   effects, and keeps each that cannot be undone with all that it stands on. What is left is the beginning of another
//!   order too. (What an undo itself overwrites is the rule `undo-loses-writes`.)
//!
//! What is left to look at is what a plan lets pass: a step whose condition does not hold, a failure that is passed over.
//! Each way in which conditions can turn out is explored, with each single step of the others passed over.
//!
//! Every invariant speaks of one asset, or of one asset and the traffic that reaches it. So each such part is explored by
//! itself, with the steps that matter to it alone: all others only order these. The orders of the few are exactly those
//! that the whole plan allows, because any order of them that respects "comes before" can be filled up with the others.
//! Two orders that lead to the same effects and the same state go on as one, and an order ends where it is bad: what comes
//! after that comes of it.
//!
//! `tests/states/` does none of this: it goes through whole plans, step by step, with failures, late effects and
//! rollbacks, and must see the same states.

mod part;
pub mod said;
mod walk;
mod world;

use std::collections::BTreeMap;

use super::facts::Facts;
use crate::model::{Id, Scenario};

pub use part::{Part, traffic};
pub use world::{Copies, Move, State, Wrong};

/// States that are looked at unless more are asked for.
pub const STATES: u64 = 100_000;
/// Orders of a part that is too large to look at them all.
pub const SAMPLES: u64 = 1_000;
/// What the samples follow from.
pub const SEED: u64 = 1;

/// How a scenario leaves its assets, for the one that undoes it: where each was brought back.
pub type Ends = BTreeMap<Id, BTreeMap<Id, Id>>;

/// What an exploration wants beside the scenario.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// States that are looked at one by one, at most.
    pub states: u64,
    /// See [`ends`].
    pub ends: &'a Ends,
}

/// The ends of all scenarios that another one undoes.
pub fn ends(scenarios: &[Scenario]) -> Ends {
    let undone = scenarios.iter().filter(|s| scenarios.iter().any(|other| other.undoes.as_ref() == Some(&s.id)));
    let back = |s: &Scenario| {
        let steps = s.steps.iter().filter(|s| s.phase.brings());
        steps.flat_map(|s| s.assets.iter().filter_map(move |a| Some((a.clone(), s.at.clone()?)))).collect()
    };
    undone.map(|s| (s.id.clone(), back(s))).collect()
}

/// What must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A copy takes writes while another one does, or may.
    TwoWriters,
    /// Data are overwritten, or left behind, that are newer than what comes in their place.
    NewerLost,
    /// Traffic goes to an asset that was brought back and that nothing has shown to be well.
    Unverified,
}

/// A bad state: the step that leads into it, and the shortest way there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// What it is.
    pub kind: Kind,
    /// The asset that it is about.
    pub asset: Id,
    /// The step with which it begins.
    pub step: usize,
    /// What is bad, in words.
    pub what: String,
    /// The site of the other copy that it is about.
    pub other: Option<Id>,
    /// What happens before, in order: a step, and what becomes of it.
    pub before: Vec<(usize, String)>,
}

/// What was explored of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explored {
    /// Different states that were seen.
    pub states: u64,
    /// Orders of steps that lead through them.
    pub orders: u64,
    /// Assets that have too many states to look at all: of each so many orders were drawn by a seed.
    pub sampled: Vec<Id>,
    /// Assets that were not looked at, because their steps stand too far from each other in a plan of this size, and those that
    /// carry traffic further than it was followed.
    pub left: Vec<Id>,
    /// What must never be, by step.
    pub bad: Vec<Bad>,
    /// What was looked at, each by itself.
    pub parts: Vec<Part>,
}

/// Explores a scenario, at most so many states of it one by one.
pub fn explore(facts: &Facts<'_>, limit: u64) -> Explored {
    let mut all = Explored::default();
    let (parts, left) = part::parts(facts);
    all.left = left;
    for part in &parts {
        let room = limit.saturating_sub(all.states);
        let walked = walk::walk(part, room);
        if walked.is_none() || part.more {
            all.sampled.push(part.asset.clone());
        }
        let found = walked.unwrap_or_else(|| walk::sample(part, SAMPLES, SEED));
        all.states += found.states;
        all.orders = all.orders.saturating_add(found.orders);
        all.bad.extend(found.bad);
    }
    all.parts = parts;
    all.sampled.dedup();
    all.bad.sort_by(|a, b| (a.step, a.kind, &a.asset, a.before.len()).cmp(&(b.step, b.kind, &b.asset, b.before.len())));
    all.bad.dedup_by(|a, b| (a.step, a.kind, &a.asset) == (b.step, b.kind, &b.asset));
    all
}
