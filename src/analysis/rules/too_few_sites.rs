//! `too-few-sites`: a tier wants the data at more sites than they lie at.

use std::collections::BTreeSet;

use crate::analysis::loss::{builds_on_another, holds_data, lying};
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::{Asset, ReplicaMode};

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, tier_id, tier) in whole.tiered().filter(|(_, a, ..)| holds_data(a)) {
        let Some(wanted) = tier.sites.map(|n| n as usize) else { continue };
        let sites = apart(whole, asset);
        if sites.len() >= wanted {
            continue;
        }
        let named: Vec<String> = sites.iter().map(|s| format!("`{s}`")).collect();
        let headline = format!("the data of `{id}` lie at {} of the {wanted} sites that tier `{tier_id}` wants", sites.len());
        let label = if named.is_empty() { "no copy says where it lies".to_owned() } else { format!("at {} alone", named.join(", ")) };
        let found = Diagnostic::warn("too-few-sites", headline, whole.places.assets[id].at, label);
        let found = found.also(whole.places.wanted_at(tier_id, "sites"), "wanted here");
        findings.push(found.help("add a replica, or `copies` of a backup, at a site that does not lie within one of these"));
    }
}

/// Sites with data of an asset, none of which is lost with another one of them.
fn apart<'a>(whole: &Whole<'a>, asset: &'a Asset) -> Vec<&'a str> {
    let replicas = asset.replicas.iter().filter(|r| r.mode != ReplicaMode::Standby).map(|r| r.site.as_str());
    let backups = asset.backups.iter().filter(|b| !builds_on_another(b)).flat_map(lying).filter_map(|l| l.site);
    let all: BTreeSet<&str> = asset.sites.iter().map(String::as_str).chain(replicas).chain(backups).collect();
    all.iter().copied().filter(|inner| !all.iter().any(|outer| outer != inner && whole.lost_with(outer, inner))).collect()
}
