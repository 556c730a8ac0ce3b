//! `lag-unsaid`: a promotion of a replica of which nothing says how far it may be behind.

use crate::actions::units::duration_text;
use crate::analysis::facts::{Facts, promotes};
use crate::diagnostic::Diagnostic;
use crate::model::{Replica, ReplicaMode, Step, damages};

/// The replica that a step promotes and that bounds nothing, with its asset's name and its number there.
pub(super) fn unbounded<'a>(facts: &Facts<'a>, step: &'a Step) -> Option<(&'a str, usize, &'a Replica)> {
    let site = step.at.as_ref().filter(|_| promotes(step) && !step.call.with.contains_key("max_lag") && !damages(facts.scenario))?;
    step.assets.iter().find_map(|id| {
        let asset = facts.plan.assets.get(id)?;
        facts.objective(asset).0.rpo_ms?;
        let follows = |r: &Replica| matches!(r.mode, ReplicaMode::Streaming | ReplicaMode::Logical | ReplicaMode::Active);
        let (n, replica) = asset.replicas.iter().enumerate().find(|(_, r)| r.site == *site && follows(r) && r.max_lag_ms.is_none())?;
        Some((id.as_str(), n, replica))
    })
}

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i)) {
        let Some((id, n, replica)) = unbounded(facts, step) else { continue };
        let (tier, tier_at) = facts.plan.assets.get(id).map(|a| facts.objective(a)).unwrap_or_default();
        let rpo = duration_text(tier.rpo_ms.unwrap_or(0));
        let headline = format!("nothing says how far the replica of `{id}` at `{}` may be behind", replica.site);
        let places = facts.places.replicas.get(id).and_then(|all| all.get(n));
        let at = places.map_or(facts.step(i).keys.at, |k| k.value("mode"));
        let found = Diagnostic::warn("lag-unsaid", headline, at, format!("`{}` alone bounds nothing", mode(replica.mode)));
        let found = found.also(tier_at, format!("at most {rpo} may be lost")).also(facts.step(i).keys.at, "this promotes it");
        findings.push(found.help(format!(
            "add `max_lag: {rpo}` or less, as it is watched there; or refuse more in the step: `with: {{ max_lag: {rpo} }}`"
        )));
    }
}

fn mode(mode: ReplicaMode) -> String {
    serde_json::to_value(mode).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
