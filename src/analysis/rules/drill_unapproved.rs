//! `drill-unapproved`: a drill on production that nobody approves.

use crate::analysis::facts::{approves, changes};
use crate::analysis::rehearsal::Rehearsal;
use crate::diagnostic::Diagnostic;

pub(super) fn run(drill: &Rehearsal<'_>, findings: &mut Vec<Diagnostic>) {
    if !drill.drill.production || drill.steps().any(|(_, s)| approves(s)) || !drill.steps().any(|(_, s)| changes(s)) {
        return;
    }
    let headline = format!("drill `{}` changes production, and nobody approves it", drill.drill.id);
    let found = Diagnostic::deny("drill-unapproved", headline, drill.at.keys.value("on"), "this makes every step real");
    let found = found.also(drill.own.keys.at, "no approval runs in this scenario");
    findings.push(found.help("add a step that `uses: approval` to the scenario, or rehearse elsewhere: `on: rehearsal`"));
}
