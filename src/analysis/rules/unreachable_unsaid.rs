//! `unreachable-unsaid`: a step acts where nothing may answer, and does not say what that means.

use crate::analysis::facts::Facts;
use crate::analysis::stands::wants_silence;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate() {
        let Some(site) = step.at.as_ref().filter(|s| facts.lost_sites.contains(*s)) else { continue };
        let keys = &facts.step(i).keys;
        // A look that wants no answer has said it.
        if keys.has("when_unreachable") || wants_silence(&step.call) {
            continue;
        }
        let headline = format!("`{}` acts at a lost site and says not what silence means", step.id);
        let found = Diagnostic::deny("unreachable-unsaid", headline, keys.value("at"), format!("`{site}` is lost in this scenario"));
        let found = found.also(facts.own.keys.value("loses"), "lost here");
        findings.push(found.help("add `when_unreachable: ask` (a person decides), `skip` or `fail`"));
    }
}
