//! `no-way-back`: a tier wants a way back, and a scenario that moves its assets to another site has none.

use crate::analysis::facts::changes;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::{Cause, Id, Step};

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    if !whole.plan.tiers.values().any(|t| t.failback) {
        return;
    }
    let forth = |s: &&(&crate::model::Scenario, &crate::model::places::ScenarioPlaces)| s.0.cause != Cause::Planned && s.0.undoes.is_none();
    for (scenario, at) in whole.scenarios.iter().zip(&whole.places.scenarios).collect::<Vec<_>>().iter().filter(forth) {
        if whole.scenarios.iter().any(|s| s.undoes.as_ref() == Some(&scenario.id)) {
            continue;
        }
        fn moves<'s>(whole: &Whole<'s>, s: &'s Step) -> Option<(&'s Id, &'s Id, &'s Id)> {
            let site = s.at.as_ref().filter(|_| s.phase.brings() && changes(s))?;
            s.assets.iter().find_map(|id| {
                let asset = whole.plan.assets.get(id).filter(|a| !a.sites.contains(site))?;
                let (tier, _) = whole.tier(asset).filter(|(_, t)| t.failback)?;
                Some((id, site, tier))
            })
        }
        let Some((id, site, tier)) = scenario.steps.iter().find_map(|s| moves(whole, s)) else { continue };
        let headline = format!("nothing says how `{id}` goes back after scenario `{}`", scenario.id);
        let found = Diagnostic::warn("no-way-back", headline, at.keys.at, format!("it moves `{id}` to `{site}`"));
        let found = found.also(whole.places.wanted_at(tier, "failback"), "wanted here");
        findings.push(found.help(format!(
            "add a scenario that goes the other way: `{}-back: {{ cause: planned, undoes: {}, steps: … }}`",
            scenario.id, scenario.id
        )));
    }
}
