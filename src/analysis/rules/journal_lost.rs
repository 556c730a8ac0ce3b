//! `journal-lost`: a shared journal that stands where the scenario loses it.

use crate::analysis::facts::Facts;
use crate::analysis::stands::Spot;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    if facts.plan.journal.is_none() || facts.lost_sites.is_empty() {
        return;
    }
    let Some(footing) = facts.stands().of_journal() else { return };
    if !footing.spots.iter().all(|s| facts.lost_sites.contains(s.site())) {
        return;
    }
    let Some(&spot) = footing.spots.first() else { return };
    let site = spot.site();
    let headline = format!("scenario `{}` loses the journal in which its run would be kept", facts.scenario.id);
    let label = format!("nobody answers at `{site}` then: no run can start");
    let key = if matches!(spot, Spot::Site(_)) { "site" } else { "url" };
    let mut found = Diagnostic::warn("journal-lost", headline, facts.places.journal.value(key), label);
    if matches!(spot, Spot::Copy(..)) {
        found = found.also_all(facts.told().spot(spot, "is lost"));
    }
    let other = facts.plan.sites.keys().find(|s| !facts.lost_sites.contains(*s)).map_or("ANOTHER-SITE", String::as_str);
    let found = found.also(facts.own.keys.value("loses"), "lost here");
    findings.push(
        found.help(format!(
            "keep the journal where it survives (`site: {other}`), or write down that this scenario is run with `--journal`"
        )),
    );
}
