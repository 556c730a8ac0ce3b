//! `idle-objective`: an objective of a scenario for a tier that nothing in it has.

use std::collections::BTreeSet;

use crate::analysis::facts::Facts;
use crate::diagnostic::{Diagnostic, nearest};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    if facts.own.objectives.is_empty() {
        return;
    }
    let tier_of = |id: &String| facts.plan.assets.get(id).and_then(|a| a.tier.as_deref());
    let here: BTreeSet<&str> = facts.predictions.keys().filter_map(tier_of).collect();
    for (tier, at) in facts.own.objectives.iter().filter(|(tier, _)| !here.contains(tier.as_str())) {
        let headline = format!("scenario `{}` touches no asset of tier `{tier}`", facts.scenario.id);
        let found = Diagnostic::warn("idle-objective", headline, *at, "this objective counts for nothing");
        let other = nearest(tier, here.iter().copied()).map(|n| n.word).or(here.first().copied());
        findings.push(match other {
            Some(other) => found.help(format!("the assets of this scenario have tier `{other}`: write `{other}`, or leave `{tier}` out")),
            None => found.help(format!("leave `{tier}` out")),
        });
    }
}
