//! `timeout-too-short`: an attempt that is ended before it can be done.

use crate::actions::units::duration_text;
use crate::analysis::facts::{Facts, approves};
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate() {
        let Some(limit) = step.timeout_ms.filter(|limit| *limit < step.takes_ms) else { continue };
        let keys = &facts.step(i).keys;
        let headline = format!("`{}` takes {} and is given {}", step.id, duration_text(step.takes_ms), duration_text(limit));
        let label = if approves(step) { "then it counts as declined" } else { "then the attempt is ended" };
        let found = Diagnostic::warn("timeout-too-short", headline, keys.value("timeout"), label);
        let found = found.also(keys.value("takes"), "it is expected to take this long");
        findings.push(found.help(match approves(step) {
            true => "leave `timeout` out: an approval then waits until somebody answers".to_owned(),
            false => format!(
                "write `timeout: {}`, four times what it takes, or leave it out: that is the default",
                duration_text(step.takes_ms * 4)
            ),
        }));
    }
}
