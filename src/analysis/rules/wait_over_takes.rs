//! `wait-over-takes`: a wait that lasts longer than the plan says it takes.

use crate::actions::template::plain;
use crate::actions::units::{duration_ms, duration_text};
use crate::analysis::facts::Facts;
use crate::diagnostic::{Diagnostic, Edit};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(_, s)| s.call.uses == "wait") {
        let given = |key: &str| step.call.with.get(key).and_then(|v| duration_ms(&plain(v)).ok()).map(|ms| (ms, key.to_owned()));
        let Some((ms, key)) = ["for", "holds_for"].into_iter().filter_map(given).find(|(ms, _)| *ms > step.takes_ms) else { continue };
        let keys = &facts.step(i).keys;
        let (waits, takes) = (duration_text(ms), duration_text(step.takes_ms));
        let headline = format!("`{}` waits {waits}, and the plan says that it takes {takes}", step.id);
        let found =
            Diagnostic::deny("wait-over-takes", headline, keys.value("takes"), "the prediction, and the step's time limit, go by this");
        let found = found.also(keys.value("with"), format!("`{key}` is {waits}"));
        findings.push(
            found.help(format!("write `takes: {waits}`")).fix(format!("write `takes: {waits}`"), [Edit::new(keys.value("takes"), waits)]),
        );
    }
}
