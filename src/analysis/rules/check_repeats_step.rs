//! `check-repeats-step`: a check that does what the step does, instead of looking.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Effect;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate() {
        if step.effect == Effect::Read || step.check.as_ref() != Some(&step.call) {
            continue;
        }
        let keys = &facts.step(i).keys;
        let headline = format!("the check of `{}` does the step again", step.id);
        let label = "it is asked after a crash, to find out whether the step happened";
        let found = Diagnostic::deny("check-repeats-step", headline, keys.value("check"), label);
        let found = found.also(keys.value("uses"), "the same action with the same fields");
        findings.push(found.help("let `check` look for the effect with an action that reads; if the step does no harm twice, write `effect: idempotent` instead of `check`"));
    }
}
