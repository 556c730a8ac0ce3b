//! `newer-lost`: an order in which newer data are overwritten, or left behind.

use crate::analysis::facts::{Facts, promotes};
use crate::analysis::states::{Kind, said};
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (bad, found) in said::found(facts, Kind::NewerLost, "newer-lost", "loses what is newer in {asset}") {
        let step = &facts.scenario.steps[bad.step];
        findings.push(found.help(match promotes(step) || step.from.as_deref() == Some("replica") {
            true => format!(
                "write above it a step in phase `prepare` that brings `{}` up{}, and let it wait for that",
                bad.asset,
                step.at.as_ref().map(|s| format!(" at {s}")).unwrap_or_default()
            ),
            false => "restore before anything else takes writes there, or where nothing newer stands".to_owned(),
        }));
    }
}
