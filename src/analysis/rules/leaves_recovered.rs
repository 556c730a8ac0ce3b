//! `leaves-recovered`: a scenario that leaves as lost what its steps bring back.

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let named = facts.scenario.leaves.iter().zip(&facts.own.leaves);
    for (id, at) in named.filter(|(id, _)| facts.loses(id)) {
        let Some((i, step)) = facts.named(id).find(|(_, s)| s.phase == Phase::Recover && changes(s)) else { continue };
        let headline = format!("scenario `{}` leaves `{id}`, and `{}` brings it back", facts.scenario.id, step.id);
        let found = Diagnostic::warn("leaves-recovered", headline, *at, "this says that it stays lost: no objective is asked of it");
        let found = found.also(facts.step(i).keys.at, format!("this step has `asset: {id}`"));
        findings.push(found.help(format!("take `{id}` out of `leaves`, or out of the step's `asset`")));
    }
}
