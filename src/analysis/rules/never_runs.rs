//! `never-runs`: a step that runs in no mode.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(_, s)| s.modes.is_empty()) {
        let headline = format!("`{}` runs in no mode", step.id);
        let found = Diagnostic::deny("never-runs", headline, facts.step(i).keys.value("modes"), "no run and no drill ever does it");
        findings
            .push(found.help(format!("leave `modes` out to run it always, or name some: `modes: [{}]`", facts.scenario.default_mode())));
    }
}
