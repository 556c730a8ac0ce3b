//! `misphased-recovery`: what brings an asset back, in a phase that counts for nothing of it.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate() {
        let restores = [".promote", ".restore"].iter().any(|end| step.call.uses.ends_with(end));
        let why = match step.phase {
            Phase::Close if restores => "`close` is what can wait until all is back, and is not counted",
            Phase::Contain if restores => "`contain` stops the old one, before anything is brought back",
            _ => continue,
        };
        let at = facts.step(i).keys.value("phase");
        let headline = format!("`{}` brings something back in phase `{}`", step.id, step.phase);
        let found = Diagnostic::warn("misphased-recovery", headline, at, why);
        // No repair by itself: another phase is another order.
        findings.push(found.help("write `phase: recover`, or leave `phase` out"));
    }
}
