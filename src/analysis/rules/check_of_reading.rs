//! `check-of-reading`: a check on a step that leaves no effect to be looked for.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Effect;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let reads = facts.scenario.steps.iter().enumerate().filter(|(_, s)| s.effect == Effect::Read);
    for (i, step) in reads.filter(|(_, s)| s.check.is_some()) {
        let headline = format!("`{}` only reads, and has a `check`", step.id);
        let label = "it is never asked: a step that changes nothing is simply done again";
        let found = Diagnostic::warn("check-of-reading", headline, facts.step(i).keys.key("check"), label);
        findings.push(found.help("make it a step of its own, with `phase: verify`, or leave it out"));
    }
}
