//! `change-in-assess`: a step that changes something where a run only finds out.

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(_, s)| s.phase == Phase::Assess && changes(s)) {
        let headline = format!("`{}` changes something in phase `assess`", step.id);
        let label = "`assess` finds out, before anybody decides";
        let found = Diagnostic::warn("change-in-assess", headline, facts.step(i).keys.value("phase"), label);
        let help = match step.call.uses.as_str() {
            "command" | "script" => {
                "if it only looks, write `effect: read` and leave `undo` out; else `phase: contain` (it stops something) or `phase: prepare`"
            }
            _ => "write `phase: contain` if it stops something, else `phase: prepare`",
        };
        findings.push(found.help(help));
    }
}
