//! `no-smoke-test`: a tier wants what people use to be tried, and a scenario tries it nowhere.

use std::collections::BTreeSet;

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::{Cause, Phase};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let plan = facts.plan;
    if facts.scenario.cause == Cause::Planned || !plan.tiers.values().any(|t| t.smoke) {
        return;
    }
    let above = plan.above();
    let mut said = BTreeSet::new();
    for (id, asset) in &plan.assets {
        let Some(tier) = asset.tier.as_ref().filter(|t| plan.tiers.get(*t).is_some_and(|t| t.smoke)) else { continue };
        let Some((last, _)) = facts.steps_of(id).filter(|(_, s)| s.phase == Phase::Recover && changes(s)).last() else { continue };
        let mut seen = BTreeSet::from([id.as_str()]);
        let mut open = vec![id.as_str()];
        while let Some(at) = open.pop() {
            let next = above.get(at).map_or(&[][..], Vec::as_slice);
            open.extend(next.iter().copied().filter(|n| seen.insert(*n)));
            let outermost = next.is_empty() && at != id;
            if !outermost || facts.steps_of(at).any(|(_, s)| s.phase == Phase::Verify) || !said.insert(at) {
                continue;
            }
            let headline = format!("nothing tries `{at}` after `{id}` is back");
            let found = Diagnostic::warn(
                "no-smoke-test",
                headline,
                facts.step(last).keys.at,
                format!("`{id}` is back with this, and people use `{at}`"),
            );
            let wanted = facts.places.wanted_at(tier, "smoke");
            let found =
                found.also(wanted, "wanted here").also(facts.asset_keys(at).at, format!("it stands on `{id}`, and nothing stands on it"));
            findings.push(found.help(format!(
                "add a step at the end: `{{ id: smoke-{at}, asset: {at}, phase: verify, uses: http.check, with: {{ url: …, expect: {{ status: 200 }} }}, takes: 10s }}`"
            )));
        }
    }
}
