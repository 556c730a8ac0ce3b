//! `recover-unlost`: a step that brings back what nothing has taken away.

use std::collections::BTreeSet;

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::{Cause, Phase};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    if facts.lost_assets.is_empty() || facts.scenario.undoes.is_some() || facts.scenario.cause == Cause::Planned {
        return;
    }
    let recovers = |s: &crate::model::Step| s.phase == Phase::Recover && changes(s);
    let candidates = facts.scenario.steps.iter().enumerate().filter(|(_, s)| recovers(s) && !s.assets.is_empty());
    let mut candidates = candidates.filter(|(_, s)| !s.assets.iter().any(|a| facts.loses(a))).peekable();
    if candidates.peek().is_none() {
        return;
    }
    let touched = touched(facts);
    for (i, step) in candidates.filter(|(_, s)| !s.assets.iter().any(|a| touched.contains(a.as_str()))) {
        let id = &step.assets[0];
        let headline = format!("`{}` brings back `{id}`, which is not lost in scenario `{}`", step.id, facts.scenario.id);
        let label = "it is not lost, and neither stands on what is lost nor carries it";
        let found = Diagnostic::warn("recover-unlost", headline, facts.step(i).keys.value("asset"), label);
        let found = found.also(facts.own.keys.value("loses"), "this is lost");
        findings.push(found.help(format!(
            "leave the step out; or say what ties it to what is lost: `depends_on` in `{id}`, or `loses: {{ assets: [{id}] }}`"
        )));
    }
}

/// What is lost, all that stands on it, and all that it stands on.
fn touched<'a>(facts: &Facts<'a>) -> BTreeSet<&'a str> {
    let plan = facts.plan;
    let below = |id: &str| {
        let asset = plan.assets.get(id);
        let from = asset.and_then(|a| a.rebuild.as_ref()).map(|r| r.from.as_str());
        asset.into_iter().flat_map(|a| a.depends_on.iter().map(|d| d.asset.as_str())).chain(from).collect::<Vec<_>>()
    };
    let mut above: std::collections::BTreeMap<&str, Vec<&str>> = Default::default();
    for id in plan.assets.keys() {
        below(id).into_iter().for_each(|base| above.entry(base).or_default().push(id));
    }
    let lost = || plan.assets.keys().map(String::as_str).filter(|id| facts.loses(id));
    let spread = |next: &dyn Fn(&'a str) -> Vec<&'a str>| {
        let mut seen: BTreeSet<&str> = lost().collect();
        let mut open: Vec<&str> = lost().collect();
        while let Some(id) = open.pop() {
            open.extend(next(id).into_iter().filter(|n| seen.insert(n)));
        }
        seen
    };
    let up = spread(&|id| above.get(id).cloned().unwrap_or_default());
    up.into_iter().chain(spread(&below)).collect()
}
