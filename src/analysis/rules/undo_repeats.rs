//! `undo-repeats`: an undo that does what the step did.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Undo;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate() {
        if !matches!(&step.undo, Undo::Use(undo) if *undo == step.call) {
            continue;
        }
        let keys = &facts.step(i).keys;
        let headline = format!("the undo of `{}` does the step again", step.id);
        let found = Diagnostic::deny("undo-repeats", headline, keys.value("undo"), "this takes nothing back");
        let found = found.also(keys.value("uses"), "the same action with the same fields");
        findings.push(found.help("write the action that takes it back, or `undo: { none: \"why it cannot be undone\" }`"));
    }
}
