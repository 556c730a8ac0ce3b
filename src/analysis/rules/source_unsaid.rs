//! `source-unsaid`: several things could bring an asset back, and no step says which.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for id in facts.unsaid.iter().filter(|id| !facts.scenario.leaves.contains(*id)) {
        let Some((first, step)) = facts.steps_of(id).next() else { continue };
        let source = facts.predictions.get(id).map_or("", |p| p.loss_source.as_str());
        let headline = format!("no step says from what `{id}` comes back in scenario `{}`", facts.scenario.id);
        let label = format!("the prediction takes the best: {source}");
        let finding = Diagnostic::warn("source-unsaid", headline, facts.step(first).keys.at, label);
        findings.push(finding.help(format!(
            "add `from: …` to the step that restores it, a backup's id, `replica` or `rebuild`; `{}` is its first step",
            step.id
        )));
    }
}
