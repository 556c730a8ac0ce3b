//! `drill-too-rare`: a tier wants drills more often than the plan has them.

use crate::actions::units::duration_text;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::Cause;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (tier_id, tier) in &whole.plan.tiers {
        let Some(every) = tier.drill_every_ms else { continue };
        for (scenario, at) in whole.scenarios.iter().zip(&whole.places.scenarios).filter(|(s, _)| s.cause != Cause::Planned) {
            let mut assets = scenario.steps.iter().filter(|s| s.phase.brings()).flat_map(|s| &s.assets);
            let Some(asset) = assets.find(|a| whole.plan.assets.get(*a).is_some_and(|a| a.tier.as_ref() == Some(tier_id))) else {
                continue;
            };
            let most = whole.drills.iter().filter(|d| d.scenario == scenario.id).min_by_key(|d| d.every_ms);
            if most.is_some_and(|d| d.every_ms <= every) {
                continue;
            }
            let wanted = whole.places.wanted_at(tier_id, "drill_every");
            let headline = match most {
                None => format!("scenario `{}` is never rehearsed", scenario.id),
                Some(d) => format!(
                    "scenario `{}` is rehearsed every {}, not every {}",
                    scenario.id,
                    duration_text(d.every_ms),
                    duration_text(every)
                ),
            };
            let here = most.and_then(|d| whole.places.drills.get(&d.id)).map_or(at.keys.at, |d| d.keys.value("every"));
            let found = Diagnostic::warn("drill-too-rare", headline, here, format!("it brings back `{asset}`, of tier `{tier_id}`"));
            let found = found.also(wanted, "the tier wants more");
            findings.push(match most {
                None => found.help(format!("add `drills: {{ NAME: {{ scenario: {}, every: {} }} }}`", scenario.id, duration_text(every))),
                Some(_) => found.help(format!("write `every: {}`", duration_text(every))),
            });
        }
    }
}
