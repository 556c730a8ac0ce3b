//! `bad-continue`: a failure that is passed over where it must not be.

use crate::actions;
use crate::analysis::facts::{Facts, approves, changes};
use crate::diagnostic::Diagnostic;
use crate::model::{OnFailure, Phase};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(_, s)| s.on_failure == OnFailure::Continue) {
        let why = match step.phase {
            // Whoever tells people finds nothing out.
            Phase::Assess if actions::find(&step.call.uses).is_some_and(|a| a.goes_on) => continue,
            Phase::Assess => "what is found out in `assess` decides whether anything may change",
            _ if approves(step) => "a no would be passed over, and what it gates would start",
            _ if changes(step) && !step.assets.is_empty() => "it changes an asset that later steps stand on",
            _ => continue,
        };
        let at = facts.step(i).keys.value("on_failure");
        let found = Diagnostic::deny("bad-continue", format!("a failure of `{}` cannot be passed over", step.id), at, why);
        findings.push(found.help("leave `on_failure` out: the run then pauses and asks"));
    }
}
