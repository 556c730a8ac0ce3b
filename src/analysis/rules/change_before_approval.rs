//! `change-before-approval`: something changes although nobody has approved yet.

use super::idle_approval;
use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let steps = &facts.scenario.steps;
    if facts.running(&facts.approvals).next().is_none() {
        return;
    }
    // One that gates nothing is no gate; what changes in `assess` is another mistake.
    let gates = idle_approval::gates(facts);
    let approvals: Vec<usize> = facts.running(&facts.approvals).map(|(i, _)| i).filter(|&i| gates[i]).collect();
    let Some(&first) = approvals.iter().min_by_key(|&&i| (facts.schedule.start_ms[i], i)) else { return };
    let after = facts.graph.after_any(approvals.iter().map(|&i| i as u32));
    for (i, step) in steps.iter().enumerate().filter(|(i, s)| changes(s) && s.phase != Phase::Assess && facts.runs(*i) && !after[*i]) {
        let label = format!("it does not wait for `{}`", steps[first].id);
        let headline = format!("`{}` can change something before anybody approved", step.id);
        let found = Diagnostic::warn("change-before-approval", headline, facts.step(i).keys.at, label);
        let needs = format!("add `needs: [{}]`, or give the approval phase `assess`", steps[first].id);
        findings.push(found.also(facts.step(first).keys.at, "the first approval").help(needs));
    }
}
