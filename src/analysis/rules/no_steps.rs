//! `no-steps`: a scenario in which nothing is done.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    if !facts.scenario.steps.is_empty() {
        return;
    }
    let headline = format!("scenario `{}` has no steps", facts.scenario.id);
    let found = Diagnostic::deny("no-steps", headline, facts.own.keys.value("steps"), "nothing would be done");
    findings.push(found.help("write what a person would do first, if need be by hand: `- { id: look, phase: assess, uses: manual, with: { do: \"…\" }, takes: 5m }`"));
}
