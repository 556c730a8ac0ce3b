//! `too-few-approvals`: a tier wants more people to approve than the scenario asks.

use crate::analysis::facts::{Facts, approves, changes};
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let steps = || facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i));
    let count = |s: &crate::model::Step| s.call.with.get("count").and_then(serde_json::Value::as_u64).unwrap_or(1);
    let most = facts.running(&facts.approvals).max_by_key(|(_, s)| count(s));
    let asked = most.map_or(0, |(_, s)| count(s));
    for (tier_id, tier) in &facts.plan.tiers {
        let Some(wanted) = tier.approvals.map(u64::from).filter(|n| *n > asked) else { continue };
        let of_tier =
            |s: &crate::model::Step| s.assets.iter().any(|a| facts.plan.assets.get(a).is_some_and(|a| a.tier.as_ref() == Some(tier_id)));
        let Some((i, step)) = steps().find(|(_, s)| changes(s) && !approves(s) && of_tier(s)) else { continue };
        let people = |n: u64| if n == 1 { "1 person".to_owned() } else { format!("{n} people") };
        let here = most.map_or(facts.step(i).keys.at, |(i, _)| facts.step(i).keys.at);
        let label = match asked {
            0 => "nobody approves it".to_owned(),
            n => format!("{} approve{}", people(n), if n == 1 { "s" } else { "" }),
        };
        let headline = format!("`{}` changes an asset of tier `{tier_id}`, which wants {} to approve", step.id, people(wanted));
        let place = facts.places.wanted_at(tier_id, "approvals");
        let found = Diagnostic::warn("too-few-approvals", headline, here, label).also(place, "wanted here");
        findings.push(found.help(match asked {
            0 => format!("add a step that `uses: approval` with `count: {wanted}`"),
            _ => format!("write `count: {wanted}`"),
        }));
    }
}
