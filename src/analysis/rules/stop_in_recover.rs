//! `stop-in-recover`: a step that stops something stands in `recover`, where the order of assets is turned round.

use super::promote_before_fence;
use crate::actions::{self, Call};
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let early = promote_before_fence::early(facts);
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(_, s)| s.phase == Phase::Recover) {
        let call = Call { step: &step.id, with: &step.call.with, target: None };
        let stops = actions::find(&step.call.uses).is_some_and(|a| a.phase == Phase::Contain || (a.stops)(&call));
        if !stops || early.iter().any(|(_, fence, _)| *fence == i) {
            continue;
        }
        let headline = format!("`{}` stops something in phase `recover`", step.id);
        let found = Diagnostic::warn(
            "stop-in-recover",
            headline,
            facts.step(i).keys.value("phase"),
            "what is stopped here would wait for what it stands on",
        );
        findings.push(found.help("write `phase: contain`"));
    }
}
