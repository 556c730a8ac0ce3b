//! `promote-standby`: a promotion of a place that holds no data.

use crate::analysis::facts::{Facts, promotes};
use crate::diagnostic::Diagnostic;
use crate::model::{Replica, ReplicaMode, Step};

/// The empty replica that a step promotes, with its asset's name and its number there.
pub(super) fn empty<'a>(facts: &Facts<'a>, step: &'a Step) -> Option<(&'a str, usize, &'a Replica)> {
    let site = step.at.as_ref().filter(|_| promotes(step))?;
    step.assets.iter().find_map(|id| {
        let replicas = facts.plan.assets.get(id)?.replicas.iter().enumerate();
        let (n, replica) = replicas.into_iter().find(|(_, r)| r.site == *site && r.mode == ReplicaMode::Standby)?;
        Some((id.as_str(), n, replica))
    })
}

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.promotions.iter().map(|&i| (i, &facts.scenario.steps[i])) {
        let Some((id, n, replica)) = empty(facts, step) else { continue };
        let keys = &facts.step(i).keys;
        let at = if keys.has("at") { keys.value("at") } else { keys.value("uses") };
        let headline = format!("`{}` promotes a `{id}` that holds no data", step.id);
        let found = Diagnostic::deny("promote-standby", headline, at, format!("the copy at `{}` is empty", replica.site));
        let mode = facts.places.replicas.get(id).and_then(|all| all.get(n)).map(|k| k.value("mode")).unwrap_or(at);
        let found = found.also(mode, "`standby` means that nothing is in it");
        findings
            .push(found.help(
                "write `mode: streaming` with a `max_lag` if it follows the primary; if it is empty, restore a backup there instead",
            ));
    }
}
