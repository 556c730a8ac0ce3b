//! `idle-approval`: an approval that nothing waits for.

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

/// For each node whether something that changes waits for it.
pub(super) fn gates(facts: &Facts<'_>) -> Vec<bool> {
    let steps = &facts.scenario.steps;
    let mut gates = vec![false; facts.graph.before.len()];
    for &node in facts.graph.order.iter().rev() {
        let node = node as usize;
        let counts = |n: &u32| gates[*n as usize] || steps.get(*n as usize).is_some_and(changes);
        gates[node] = facts.graph.after[node].iter().any(counts);
    }
    gates
}

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let steps = &facts.scenario.steps;
    // What changes in `assess` is another mistake.
    if facts.approvals.is_empty() {
        return;
    }
    let changing = steps.iter().position(|s| changes(s) && s.phase != Phase::Assess);
    if changing.is_none() {
        return;
    }
    let gates = gates(facts);
    for (i, step) in facts.running(&facts.approvals).filter(|(i, _)| !gates[*i]) {
        let headline = format!("nothing that changes anything waits for approval `{}`", step.id);
        let found = Diagnostic::warn("idle-approval", headline, facts.step(i).keys.at, "a no comes too late, a yes allows nothing");
        let found = match changing {
            Some(first) => found.also(facts.step(first).keys.at, "this changes something, and does not wait for it"),
            None => found,
        };
        findings.push(found.help(match facts.step(i).keys.has("phase") {
            true => "leave its `phase` out: an approval is then `assess`, and all else waits for it",
            false => "write it above what it is to allow",
        }));
    }
}
