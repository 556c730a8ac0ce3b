//! `unanswered`: a tier says what its assets survive, and no scenario answers it.

use std::collections::BTreeSet;

use crate::analysis::loss::holds_data;
use crate::analysis::what_if::Answers;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::Cause;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    if whole.plan.tiers.values().all(|t| t.survives.is_empty()) {
        return;
    }
    let answers = Answers::new(whole.plan, whole.scenarios);
    let mut said = BTreeSet::new();
    for (id, asset, tier_id, tier) in whole.tiered() {
        let wants = whole.places.wanted_at(tier_id, "survives");
        for cause in tier.survives.iter().copied().filter(|c| *c == Cause::Outage || holds_data(asset)) {
            let keys = &whole.places.assets[id];
            let (headline, at, label) = if answers.asset(id, cause).is_empty() {
                (format!("no scenario brings `{id}` back after {}", happened(cause)), keys.at, format!("of tier `{tier_id}`"))
            } else if let ([site], Cause::Outage) = (asset.sites.as_slice(), cause)
                && answers.site(site).is_empty()
                && said.insert(site)
            {
                (
                    format!("no scenario answers the loss of site `{site}`"),
                    keys.value("site"),
                    format!("`{id}` stands there, of tier `{tier_id}`"),
                )
            } else {
                continue;
            };
            let found = Diagnostic::warn("unanswered", headline, at, label).also(wants, "wanted here");
            let loses = match cause {
                Cause::Outage => format!("sites: [{}]", asset.sites.first().map_or("SITE", String::as_str)),
                _ => format!("assets: [{id}]"),
            };
            findings.push(found.help(format!(
                "add a scenario with `cause: {cause}` and `loses: {{ {loses} }}`; `drplan what-if --all` shows what is answered"
            )));
        }
    }
}

fn happened(cause: Cause) -> &'static str {
    match cause {
        Cause::Outage => "an outage",
        Cause::Corruption => "a corruption",
        Cause::Ransomware => "ransomware",
        Cause::Planned => "a planned move",
    }
}
