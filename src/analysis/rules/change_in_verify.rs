//! `change-in-verify`: a step that changes something where a run only shows that all is well.

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(_, s)| s.phase == Phase::Verify && changes(s)) {
        let headline = format!("`{}` changes something in phase `verify`", step.id);
        let label = "what proves that it is back should not be what brings it back";
        let found = Diagnostic::warn("change-in-verify", headline, facts.step(i).keys.value("phase"), label);
        let help = match step.call.uses.as_str() {
            "command" | "script" => {
                "if it only looks, write `effect: read` and leave `undo` out; else `phase: recover`, and look at it in a `verify` step of its own"
            }
            _ => "write `phase: recover`, and look at what it did in a `verify` step of its own",
        };
        findings.push(found.help(help));
    }
}
