//! `unsure-output`: a step uses an output of a step that may not run.

use foldhash::HashMap;

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::{OnFailure, WhenUnreachable};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    if facts.own.steps.iter().all(|s| s.refs.is_empty()) {
        return;
    }
    let by_name: HashMap<&str, usize> = facts.scenario.steps.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i)) {
        for used in &facts.step(i).refs {
            let Some(&at) = by_name.get(used.step.as_str()) else { continue };
            let giver = &facts.scenario.steps[at];
            // A condition may look at what is not there; it then asks, or does not hold.
            let condition = step.when.iter().any(|w| w.step == used.step && w.output == used.output);
            let why = if !facts.runs(at) {
                format!("`{}` does not run here", giver.id)
            } else if condition {
                continue;
            } else if !giver.when.is_empty() && giver.when != step.when {
                format!("`{}` runs only under a condition", giver.id)
            } else if giver.on_failure == OnFailure::Continue {
                format!("a failure of `{}` is passed over", giver.id)
            } else if giver.when_unreachable == WhenUnreachable::Skip {
                format!("`{}` may be skipped", giver.id)
            } else {
                continue;
            };
            let headline = format!("`{}` uses an output that may not be there", step.id);
            let found = Diagnostic::deny("unsure-output", headline, used.at, why);
            findings.push(found.help(format!("let `{}` run in every case, or use a parameter instead", giver.id)));
        }
    }
}
