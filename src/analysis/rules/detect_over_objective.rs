//! `detect-over-objective`: an objective that is missed before the first step starts.

use std::collections::BTreeMap;

use crate::actions::units::duration_text;
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Asset;

/// Whether the time before the run alone is longer than an asset's objective.
pub(super) fn over(facts: &Facts<'_>, asset: &Asset) -> bool {
    let before = facts.scenario.detect_ms + facts.scenario.decide_ms;
    facts.objective(asset).0.rto_ms.is_some_and(|rto| before >= rto)
}

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let mut tiers: BTreeMap<&str, &Asset> = BTreeMap::new();
    let promised = facts.predictions.iter().filter(|(_, p)| p.recovery_ms.is_some() && p.rto_ms.is_some());
    for asset in promised.filter_map(|(id, _)| facts.plan.assets.get(id)).filter(|a| over(facts, a)) {
        if let Some(tier) = asset.tier.as_deref() {
            tiers.entry(tier).or_insert(asset);
        }
    }
    for (name, asset) in tiers {
        let (tier, tier_at) = facts.objective(asset);
        let (scenario, rto) = (facts.scenario, duration_text(tier.rto_ms.unwrap_or(0)));
        let before = duration_text(scenario.detect_ms + scenario.decide_ms);
        let headline = format!("tier `{name}` is to be back after {rto}, and scenario `{}` begins after {before}", scenario.id);
        let label = match scenario.decide_ms {
            0 => "nobody is called before".to_owned(),
            ms => format!("{} until somebody is called, {} more until it is decided", duration_text(scenario.detect_ms), duration_text(ms)),
        };
        let found = Diagnostic::warn("detect-over-objective", headline, facts.own.keys.value("detect"), label);
        let found = found.also(tier_at, format!("promised: {rto}"));
        findings.push(found.help("no step can make up for that: watch it so that it is noticed sooner, or give the tier a longer `rto`"));
    }
}
