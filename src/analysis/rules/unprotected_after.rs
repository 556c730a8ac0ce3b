//! `unprotected-after`: what a scenario brings back has fewer copies then than its tier wants, and no step mends that.

use super::too_few_copies::copies;
use crate::analysis::facts::{Facts, changes};
use crate::analysis::loss::{builds_on_another, holds_data};
use crate::diagnostic::Diagnostic;
use crate::model::{Asset, Cause, Phase, ReplicaMode};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset) in facts.plan.assets.iter().filter(|(_, a)| holds_data(a)) {
        let Some(tier_id) = &asset.tier else { continue };
        let Some(wanted) = facts.plan.tiers.get(tier_id).and_then(|t| t.copies).map(|n| n as usize) else { continue };
        let Some((last, step)) = facts.steps_of(id).filter(|(_, s)| s.phase.brings() && changes(s)).last() else { continue };
        let Some(site) = step.at.as_deref() else { continue };
        let (left, gone) = after(facts, asset, site);
        // Fewer from the beginning is another mistake; a `close` step with the asset is what mends this one.
        if left >= wanted || copies(asset) < wanted || facts.named(id).any(|(_, s)| s.phase == Phase::Close) {
            continue;
        }
        let headline =
            format!("after scenario `{}` there {} of `{id}`, and tier `{tier_id}` wants {wanted}", facts.scenario.id, counted(left));
        let label = match gone.as_slice() {
            [] => format!("it runs at `{site}` then"),
            gone => format!("it runs at `{site}` then; gone: {}", gone.join(", ")),
        };
        let found = Diagnostic::warn("unprotected-after", headline, facts.step(last).keys.at, label);
        let wants = facts.places.wanted_at(tier_id, "copies");
        findings.push(
            found
                .also(wants, "wanted here")
                .help(format!("add a `close` step with `asset: {id}` that gives it a new replica, or lets backups be taken there")),
        );
    }
}

/// How many copies there are when an asset runs at a site after the scenario, and what there was before and is not then.
pub fn after(facts: &Facts<'_>, asset: &Asset, site: &str) -> (usize, Vec<String>) {
    let lost = |s: &str| facts.lost_sites.contains(s);
    let damaged = matches!(facts.scenario.cause, Cause::Ransomware);
    let mut gone = Vec::new();
    let own = asset.sites.iter().filter(|s| !lost(s) && s.as_str() != site).count();
    let mut left = 1 + if asset.sites.len() > 1 { own } else { 0 };
    for replica in asset.replicas.iter().filter(|r| r.mode != ReplicaMode::Standby) {
        if replica.site == site {
            gone.push(format!("the replica at {site}, which it is now"));
        } else if lost(&replica.site) || damaged {
            gone.push(format!("the replica at {}", replica.site));
        } else {
            left += 1;
        }
    }
    for backup in asset.backups.iter().filter(|b| !builds_on_another(b)) {
        // A copy is made of a backup that is taken: where none can be put, no copy follows.
        if backup.site.as_deref().is_some_and(lost) {
            gone.push(format!("backup `{}`, whose place is lost", backup.id));
            continue;
        }
        left += 1 + backup.copies.iter().filter(|c| !c.site.as_deref().is_some_and(lost)).count();
    }
    (left, gone)
}

fn counted(n: usize) -> String {
    if n == 1 { "is 1 copy".to_owned() } else { format!("are {n} copies") }
}
