//! A bad state as a finding: each step of the way has a number and its place.

use super::{Bad, Kind};
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::{OnFailure, Step};

/// The bad states of a kind, each with a finding whose labels are the way that leads there. The headline follows on the
/// name of the step with which it begins; the help is for the caller to add.
pub fn found<'f>(facts: &'f Facts<'_>, kind: Kind, rule: &'static str, headline: &'static str) -> Vec<(&'f Bad, Diagnostic)> {
    let all = facts.explored().into_iter().flat_map(|e| &e.bad).filter(|b| b.kind == kind);
    all.map(|bad| (bad, one(facts, bad, rule, headline))).collect()
}

fn one(facts: &Facts<'_>, bad: &Bad, rule: &'static str, headline: &str) -> Diagnostic {
    let step = &facts.scenario.steps[bad.step];
    let headline = format!("`{}` {headline}", step.id).replace("{asset}", &format!("`{}`", bad.asset));
    let number = |n: usize| if bad.before.is_empty() { String::new() } else { format!("{n}. ") };
    let label = format!("{}{}", number(bad.before.len() + 1), bad.what);
    let before = bad.before.iter().enumerate();
    let before = before.map(|(n, (step, what))| (facts.step(*step).keys.at, format!("{}{what}", number(n + 1))));
    Diagnostic::deny(rule, headline, facts.step(bad.step).keys.at, label).also_all(before)
}

/// What to type so that a step is not passed over on the way to a bad state; none if the way has no such step that counts.
pub fn passed_over(facts: &Facts<'_>, bad: &Bad, counts: &dyn Fn(usize, &Step) -> bool) -> Option<String> {
    let steps = &facts.scenario.steps;
    let on_way = bad.before.iter().map(|(i, _)| *i).filter(|&i| counts(i, &steps[i]));
    on_way.map(|i| &steps[i]).find_map(|step| match () {
        () if step.on_failure == OnFailure::Continue => Some(format!("leave `on_failure: continue` out of `{}`", step.id)),
        () if !step.when.is_empty() => {
            Some(format!("leave `when` out of `{}`; or give `when` to what must not happen without it", step.id))
        }
        () => None,
    })
}
