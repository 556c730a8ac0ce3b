//! `nobody-told`: a tier says who must hear of a recovery, and a scenario has no step that tells them.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::{Cause, Step};

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (tier_id, tier) in whole.plan.tiers.iter().filter(|(_, t)| !t.tell.is_empty()) {
        for (scenario, at) in whole.scenarios.iter().zip(&whole.places.scenarios).filter(|(s, _)| s.cause != Cause::Planned) {
            let mut assets = scenario.steps.iter().filter(|s| s.phase.brings()).flat_map(|s| &s.assets);
            let of_tier = |id: &&String| whole.plan.assets.get(*id).is_some_and(|a| a.tier.as_ref() == Some(tier_id));
            let Some(asset) = assets.find(of_tier) else { continue };
            let tells =
                |s: &Step, who: &String| s.contact.as_ref() == Some(who) && (s.call.uses == "manual" || s.call.uses.starts_with("notify."));
            let Some(silent) = tier.tell.iter().find(|who| !scenario.steps.iter().any(|s| tells(s, who))) else { continue };
            let headline = format!("nobody tells `{silent}` of scenario `{}`", scenario.id);
            let found = Diagnostic::warn("nobody-told", headline, at.keys.at, format!("it brings back `{asset}`, of tier `{tier_id}`"));
            let found = found.also(whole.places.wanted_at(tier_id, "tell"), "wanted here");
            findings.push(found.help(format!(
                "add `{{ id: tell-{silent}, phase: close, uses: manual, contact: {silent}, with: {{ do: \"Tell …\" }}, takes: 5m, undo: {{ none: \"what was said stays said\" }} }}`"
            )));
        }
    }
}
