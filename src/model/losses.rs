//! What a scenario takes away: sites with all that lies within them, and the assets that stood there.

use std::collections::BTreeSet;

use super::{Asset, Cause, Id, Plan, Scenario};

/// Sites that a scenario loses, with every site within them.
pub fn lost_sites(plan: &Plan, scenario: &Scenario) -> BTreeSet<Id> {
    sites_with(plan, &scenario.loses.sites)
}

/// Sites with every site within them.
pub fn sites_with(plan: &Plan, sites: &[Id]) -> BTreeSet<Id> {
    let mut lost: BTreeSet<Id> = sites.iter().cloned().collect();
    if lost.is_empty() {
        return lost;
    }
    loop {
        let inner = plan.sites.iter().filter(|(id, site)| !lost.contains(*id) && site.within.iter().any(|w| lost.contains(w)));
        let inner: Vec<Id> = inner.map(|(id, _)| id.clone()).collect();
        if inner.is_empty() {
            return lost;
        }
        lost.extend(inner);
    }
}

/// Assets that a scenario loses or damages: named, or with all their sites lost.
pub fn lost_assets(plan: &Plan, scenario: &Scenario) -> BTreeSet<Id> {
    let sites = lost_sites(plan, scenario);
    let gone = |id: &Id, asset: &Asset| {
        scenario.loses.assets.contains(id) || !asset.sites.is_empty() && asset.sites.iter().all(|s| sites.contains(s))
    };
    plan.assets.iter().filter(|(id, asset)| gone(id, asset)).map(|(id, _)| id.clone()).collect()
}

/// Whether what replicas copied is damaged too.
pub fn damages(scenario: &Scenario) -> bool {
    matches!(scenario.cause, Cause::Corruption | Cause::Ransomware)
}
