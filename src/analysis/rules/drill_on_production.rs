//! `drill-on-production`: a step of a drill would change what it changes in an incident.

use std::collections::BTreeMap;

use crate::analysis::facts::{approves, changes};
use crate::analysis::rehearsal::Rehearsal;
use crate::diagnostic::Diagnostic;

pub(super) fn run(drill: &Rehearsal<'_>, findings: &mut Vec<Diagnostic>) {
    if drill.drill.production {
        return;
    }
    // One connection replaced mends all steps of an asset.
    let mut by_target: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, step) in drill.steps().filter(|(i, s)| changes(s) && !approves(s) && !drill.elsewhere(*i)) {
        let target = if step.assets.is_empty() { format!("step `{}`", step.id) } else { format!("`{}`", step.assets.join("`, `")) };
        by_target.entry(target).or_default().push(i);
    }
    for (target, steps) in by_target {
        let name = &drill.drill.id;
        let headline = format!("drill `{name}` would change {target} of production");
        let mut found = Diagnostic::deny("drill-on-production", headline, drill.at.keys.at, "this drill is no rehearsal");
        for &i in steps.iter().take(4) {
            found = found.also(drill.own.steps[i].keys.at, "acts where it would in an incident");
        }
        let step = &drill.scenario.steps[steps[0]];
        findings.push(match (step.assets.first(), &step.at) {
            (Some(asset), Some(site)) => {
                found.help(format!("in the drill, add `connect: {{ {asset}: {{ {site}: {{ … }} }} }}`, or `skip: [{}]`", step.id))
            }
            _ => found.help(format!("use a parameter in `{0}` that the drill sets by `with`, or add `skip: [{0}]`", step.id)),
        });
    }
}
