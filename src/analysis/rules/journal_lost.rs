//! `journal-lost`: a shared journal that stands where the scenario loses it.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let site = facts.plan.journal.as_ref().and_then(|j| j.site.as_ref());
    let Some(site) = site.filter(|s| facts.lost_sites.contains(*s)) else { return };
    let headline = format!("scenario `{}` loses the journal in which its run would be kept", facts.scenario.id);
    let label = format!("nobody answers at `{site}` then: no run can start");
    let found = Diagnostic::warn("journal-lost", headline, facts.places.journal.value("site"), label);
    let other = facts.plan.sites.keys().find(|s| !facts.lost_sites.contains(*s)).map_or("ANOTHER-SITE", String::as_str);
    let found = found.also(facts.own.keys.value("loses"), "lost here");
    findings.push(
        found.help(format!(
            "keep the journal where it survives (`site: {other}`), or write down that this scenario is run with `--journal`"
        )),
    );
}
