//! `restoring-read`: a step that brings data back, and says that it changes nothing.

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(_, s)| s.from.is_some() && s.phase.brings() && !changes(s)) {
        let from = step.from.as_deref().unwrap_or_default();
        let headline = format!("`{}` brings `{from}` back, and says that it changes nothing", step.id);
        let keys = &facts.step(i).keys;
        let found = Diagnostic::deny("restoring-read", headline, keys.value("from"), "what comes back is a change");
        let found = if keys.has("effect") { found.also(keys.value("effect"), "a rollback would leave it as it is") } else { found };
        findings
            .push(found.help("leave `effect: read` out, and say how it is taken back: `undo: …`; or, if it only looks, leave `from` out"));
    }
}
