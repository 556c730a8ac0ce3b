//! `needless-undo`: an undo of a step that changes nothing.

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::Effect;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let steps = facts.scenario.steps.iter().enumerate();
    for (i, step) in steps.filter(|(i, s)| !changes(s) && facts.step(*i).keys.has("undo")) {
        let keys = &facts.step(i).keys;
        let by_hand = step.effect == Effect::Manual;
        let headline = format!("`{}` changes nothing, and has an `undo`", step.id);
        let found = Diagnostic::warn("needless-undo", headline, keys.key("undo"), "it is never used");
        let found = match by_hand {
            true => found.also(keys.value("phase"), "what a person does in this phase only looks"),
            false if keys.has("effect") => found.also(keys.value("effect"), "this says that it changes nothing"),
            false => found.also(keys.value("uses"), "this action only looks"),
        };
        findings.push(found.help(match by_hand {
            true => "leave `undo` out; if something is changed, give the step `phase: prepare` or `recover`",
            false if keys.has("effect") => "leave `undo` out; if the command does change something, take `effect: read` away",
            false => "leave `undo` out",
        }));
    }
}
