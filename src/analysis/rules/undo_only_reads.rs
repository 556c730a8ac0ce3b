//! `undo-only-reads`: an undo that changes nothing.

use crate::actions::{self, Effect};
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Undo;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate() {
        let Undo::Use(undo) = &step.undo else { continue };
        let reads = |a: &&actions::Action| a.effect == Effect::Read && !a.effect_by_plan || a.name == "approval";
        let Some(action) = actions::find(&undo.uses).filter(reads) else { continue };
        let headline = format!("the undo of `{}` changes nothing", step.id);
        let label = format!("`{}` only looks: a rollback would say that the step is taken back, and it is not", action.name);
        let found = Diagnostic::deny("undo-only-reads", headline, facts.step(i).keys.value("undo"), label);
        findings.push(found.help("write the action that takes it back, or `undo: { none: \"why it cannot be undone\" }`"));
    }
}
