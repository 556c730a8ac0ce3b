//! Which steps can move: kept by every event, so that a decision looks at these and not at the whole plan. It holds
//! nothing that the steps themselves do not say.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::state::{Life, StepState};
use crate::model::Step;

/// A step in the order in which ready steps start: the longest way to the end first, then as written.
pub type Place = (Reverse<u64>, usize);

/// Steps by what a decision has to do with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lists {
    /// An attempt of which nobody knows what became.
    pub unknown: BTreeSet<usize>,
    /// The last attempt failed.
    pub failed: BTreeSet<usize>,
    /// An attempt is under way, or may still land: locks are kept.
    pub in_flight: BTreeSet<usize>,
    /// A person was asked to do it and has not answered: they may be at it, and locks are kept.
    pub by_hand: BTreeSet<usize>,
    /// The undo failed.
    pub stuck: BTreeSet<usize>,
    /// An earlier run left something here, and nothing that changes anything begins before it is said what becomes of it.
    pub left: BTreeSet<usize>,
    /// Everything that they wait for is done, and something else than a free slot decides: a person, a condition, or
    /// that nobody looked at them yet.
    pub fresh: BTreeSet<Place>,
    /// Everything is decided but which of them starts first.
    pub queued: BTreeSet<Place>,
    /// How many may still move by themselves.
    pub unsettled: usize,
    /// Assets that are back and of which no event says so yet.
    pub due: BTreeSet<String>,
}

impl Lists {
    /// Puts a step where it belongs now. `was_settled`: before the change.
    pub fn sort(&mut self, place: Place, step: &Step, state: &StepState, ready: bool, was_settled: bool) {
        let i = place.1;
        let put = |set: &mut BTreeSet<usize>, here: bool| {
            if here {
                set.insert(i)
            } else {
                set.remove(&i)
            };
        };
        put(&mut self.unknown, matches!(state.life, Life::Unknown { .. }));
        put(&mut self.failed, matches!(state.life, Life::Failed { .. }));
        put(&mut self.stuck, matches!(state.life, Life::Stuck { .. }));
        put(&mut self.left, state.holds_back());
        put(&mut self.in_flight, state.in_flight());
        put(&mut self.by_hand, ready && state.by_hand());
        let ready = ready && state.life == Life::Waiting;
        let queued = ready && state.ready_at.is_some() && !state.again && step.when.is_empty() && !waits_for_people(step);
        let line = |set: &mut BTreeSet<Place>, here: bool| {
            if here {
                set.insert(place)
            } else {
                set.remove(&place)
            };
        };
        line(&mut self.queued, queued);
        line(&mut self.fresh, ready && !queued);
        match (was_settled, state.settled()) {
            (false, true) => self.unsettled -= 1,
            (true, false) => self.unsettled += 1,
            _ => {}
        }
    }
}

/// True if only a person ends the step.
fn waits_for_people(step: &Step) -> bool {
    matches!(step.call.uses.as_str(), "approval" | "manual")
}

/// Steps and assets as each other's index: what stands in the plan and never changes in a run.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// Steps that name an asset, as written.
    pub steps_of: BTreeMap<String, Vec<usize>>,
    /// Assets that are not back before this one is.
    pub above: BTreeMap<String, Vec<String>>,
}

impl Index {
    /// The steps that name an asset.
    pub fn steps(&self, asset: &str) -> &[usize] {
        self.steps_of.get(asset).map_or(&[], Vec::as_slice)
    }
}
