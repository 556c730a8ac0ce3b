//! `leaves-unlost`: a scenario that leaves as lost what it does not lose.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let named = facts.scenario.leaves.iter().zip(&facts.own.leaves);
    for (id, at) in named.filter(|(id, _)| !facts.loses(id)) {
        let headline = format!("scenario `{}` leaves `{id}`, which it does not lose", facts.scenario.id);
        let found = Diagnostic::warn("leaves-unlost", headline, *at, "not lost here");
        let stands = facts.plan.assets.get(id).and_then(|a| a.sites.iter().find(|s| !facts.lost_sites.contains(*s)));
        let found = match stands {
            Some(site) => found.also(facts.asset_keys(id).at, format!("it stands at `{site}`, which survives")),
            None => found,
        };
        findings.push(found.help(format!("take `{id}` out of `leaves`; if it is lost too, name it in `loses: {{ assets: [{id}] }}`")));
    }
}
