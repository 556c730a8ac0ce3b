//! `lost-not-recovered`: an asset is lost and no step brings it back.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    // A scenario without steps is another mistake.
    if facts.scenario.steps.is_empty() {
        return;
    }
    for id in facts.lost_assets.iter().filter(|id| !facts.scenario.leaves.contains(*id)) {
        // Steps that this mode or `--skip` leaves out still say that the author thought of it.
        if facts.named(id).any(|(_, s)| s.phase.of_recovery()) {
            continue;
        }
        let at = facts.own.keys.value("loses");
        let headline = format!("scenario `{}` loses `{id}` and does not bring it back", facts.scenario.id);
        let found = Diagnostic::deny("lost-not-recovered", headline, at, format!("with this `{id}` is lost"));
        let help = format!("add a step with `asset: {id}`, or say that it stays lost: `leaves: [{id}]`");
        findings.push(found.also(facts.asset_keys(id).at, "this asset").help(help));
    }
}
