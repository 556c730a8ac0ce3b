//! `too-few-copies`: a tier wants more copies of the data than an asset has.

use crate::analysis::loss::holds_data;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::{Asset, ReplicaMode};

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, tier_id, tier) in whole.tiered() {
        let Some(wanted) = tier.copies.map(|n| n as usize).filter(|_| holds_data(asset)) else { continue };
        let has = copies(asset);
        if has >= wanted {
            continue;
        }
        let at = whole.places.assets.get(id).map(|k| k.at).unwrap_or_default();
        let headline =
            format!("there are {has} copies of `{id}`, and tier `{tier_id}` wants {wanted}").replace("are 1 copies", "is 1 copy");
        let (replicas, backups) = (replicas(asset), backups(asset));
        let label = format!("itself, {replicas} replicas, {backups} places of backups");
        let found = Diagnostic::warn("too-few-copies", headline, at, label).also(whole.places.wanted_at(tier_id, "copies"), "wanted here");
        findings.push(found.help(format!("add a replica, a backup, or `copies` of a backup: {} more", wanted - has)));
    }
}

/// How many copies there are of the data of an asset, itself counted.
pub(super) fn copies(asset: &Asset) -> usize {
    asset.sites.len().max(1) + replicas(asset) + backups(asset)
}

fn replicas(asset: &Asset) -> usize {
    asset.replicas.iter().filter(|r| r.mode != ReplicaMode::Standby).count()
}

fn backups(asset: &Asset) -> usize {
    asset.backups.iter().filter(|b| b.base.is_none()).map(|b| 1 + b.copies.len()).sum()
}
