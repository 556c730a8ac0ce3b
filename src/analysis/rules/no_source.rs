//! `no-source`: nothing bounds how much data is lost.

use super::{lag_unsaid, promote_standby};
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

/// Reasons that are drawn; who reads more of them loses sight of the first.
const NAMED: usize = 6;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, found) in &facts.predictions {
        let left = facts.scenario.leaves.contains(id);
        if !found.holds_data || found.loss_ms.is_some() || left || !facts.loses(id) {
            continue;
        }
        let keys = facts.asset_keys(id);
        let source = facts.steps_of(id).find(|(_, s)| s.from.is_some());
        let said = |step| lag_unsaid::unbounded(facts, step).is_some() || promote_standby::empty(facts, step).is_some();
        if source.is_some_and(|(_, step)| said(step)) {
            continue;
        }
        let at = source.map_or(keys.at, |(i, _)| facts.step(i).keys.value("from"));
        let headline = format!("in scenario `{}` nothing bounds what is lost of `{id}`", facts.scenario.id);
        let mut finding = Diagnostic::warn("no-source", headline, at, found.loss_source.clone());
        for reason in facts.reasons.get(id).into_iter().flatten().take(NAMED) {
            finding = finding.also(reason.at, &*reason.words);
        }
        findings.push(finding.help("add a backup or a replica that survives this scenario, and name it in a step's `from`"));
    }
}
