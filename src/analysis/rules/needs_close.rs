//! `needs-close`: a recovery that waits for the work that comes after it.

use foldhash::HashMap;

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let steps = &facts.scenario.steps;
    let closes: HashMap<&str, usize> =
        steps.iter().enumerate().filter(|(_, s)| s.phase == Phase::Close).map(|(i, s)| (s.id.as_str(), i)).collect();
    if closes.is_empty() {
        return;
    }
    for (i, step) in steps.iter().enumerate().filter(|(_, s)| s.phase != Phase::Close) {
        for (n, name) in step.needs.iter().flatten().enumerate() {
            let Some(&other) = closes.get(name.as_str()) else { continue };
            let at = facts.step(i).needs.get(n).copied().unwrap_or(facts.step(i).keys.value("needs"));
            let headline = format!("`{}` waits for `{name}`, which is `close`", step.id);
            let found = Diagnostic::warn("needs-close", headline, at, "the recovery would wait for the work after it");
            let found = found.also(facts.step(other).keys.value("phase"), "`close` is what can wait until all is back");
            findings.push(found.help(format!("take `{name}` out of `needs`; or give `{name}` the phase in which it is needed")));
        }
    }
}
