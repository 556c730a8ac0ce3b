//! `target-lost`: a step that acts at a lost site and takes silence for a failure.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::{OnFailure, WhenUnreachable};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let told = facts.told();
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i)) {
        let Some(site) = step.at.as_ref().filter(|s| facts.lost_sites.contains(*s)) else { continue };
        let keys = &facts.step(i).keys;
        // Where nothing is said about silence, that is the mistake.
        let fails =
            step.when_unreachable == WhenUnreachable::Fail && keys.has("when_unreachable") && step.on_failure != OnFailure::Continue;
        if !fails {
            continue;
        }
        let headline = format!("`{}` fails in scenario `{}`: it acts at `{site}`, which is lost", step.id, facts.scenario.id);
        let mut found = Diagnostic::deny("target-lost", headline, keys.value("at"), "nobody answers there");
        for (at, words) in told.within(site, &facts.scenario.loses.sites) {
            found = found.also(at, words);
        }
        let found = found.also(facts.own.keys.value("loses"), "lost here");
        findings.push(found.help("act where it survives (`at: …`); or write `when_unreachable: ask`, and a person says what that means"));
    }
}
