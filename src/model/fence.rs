//! What a fence is, wherever the word stands for a step. It does not know what comes before what.

use super::{Id, Phase, Plan, Step};
use crate::actions::{self, Deed};

/// True if a step keeps the old copy of an asset from taking writes: a `.fence`, or for kinds without one a `contain`
/// step with a `check`.
pub fn fences(plan: &Plan, step: &Step) -> bool {
    if actions::find(&step.call.uses).is_some_and(|a| a.deed == Deed::StopsWrites) {
        return true;
    }
    let own_fence = |id: &Id| {
        let kind = plan.assets.get(id).map(|a| a.kind);
        actions::all().iter().any(|a| a.deed == Deed::StopsWrites && kind.is_some_and(|k| a.kinds.contains(&k)))
    };
    step.phase == Phase::Contain && step.check.is_some() && !step.assets.is_empty() && !step.assets.iter().any(own_fence)
}
