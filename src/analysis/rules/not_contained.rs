//! `not-contained`: something is restored after ransomware, and nothing was cut off before.

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::{Cause, Phase};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let steps = || facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i));
    if facts.scenario.cause != Cause::Ransomware || steps().any(|(_, s)| s.phase == Phase::Contain) {
        return;
    }
    let restores = |s: &crate::model::Step| s.phase == Phase::Recover && changes(s) && s.assets.iter().any(|a| facts.loses(a));
    let Some((i, step)) = steps().find(|(_, s)| restores(s)) else { return };
    let headline = format!("`{}` brings data back where ransomware may still be at work", step.id);
    let found = Diagnostic::warn("not-contained", headline, facts.step(i).keys.at, "what is restored here may be encrypted again");
    let found = found.also(facts.own.keys.value("cause"), "no step of phase `contain` cuts anything off");
    findings.push(found.help("add a step before it with `phase: contain` that isolates what is infected, or starts on clean machines"));
}
