//! A whole plan as rules look at it that judge it once, whatever scenario: its parts, and where their words stand. It
//! knows no order and no schedule.

use foldhash::HashMap;

use super::gaps::Samples;
use crate::model::places::{BackupPlaces, Keys};
use crate::model::{Asset, Backup, Drill, Id, Places, Plan, Replica, Scenario, Tier};

/// What rules about a whole plan may look at.
pub struct Whole<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Its scenarios, as they are written.
    pub scenarios: &'a [Scenario],
    /// Its drills, by name.
    pub drills: &'a [Drill],
    /// Where all stands.
    pub places: &'a Places,
    /// How often backups are taken.
    pub gaps: Samples<'a>,
    backups: HashMap<(&'a str, &'a str), &'a Backup>,
}

impl<'a> Whole<'a> {
    /// A plan in which nothing was refused so far.
    pub fn new(plan: &'a Plan, scenarios: &'a [Scenario], drills: &'a [Drill], places: &'a Places) -> Whole<'a> {
        let all = plan.assets.iter().flat_map(|(id, asset)| asset.backups.iter().map(move |b| ((id.as_str(), b.id.as_str()), b)));
        Whole { plan, scenarios, drills, places, gaps: Samples::default(), backups: all.collect() }
    }

    /// Every backup with its asset and its places.
    pub fn backups(&self) -> impl Iterator<Item = (&'a Id, &'a Asset, &'a Backup, &'a BackupPlaces)> {
        let placed = |id: &Id| self.places.backups.get(id).into_iter().flatten();
        self.plan.assets.iter().flat_map(move |(id, asset)| asset.backups.iter().zip(placed(id)).map(move |(b, at)| (id, asset, b, at)))
    }

    /// The tier of an asset.
    pub fn tier(&self, asset: &Asset) -> Option<(&'a Id, &'a Tier)> {
        asset.tier.as_ref().and_then(|id| self.plan.tiers.get_key_value(id))
    }

    /// Every asset that has a tier, with it.
    pub fn tiered(&self) -> impl Iterator<Item = (&'a Id, &'a Asset, &'a Id, &'a Tier)> {
        self.plan.assets.iter().filter_map(|(id, asset)| self.tier(asset).map(|(tier_id, tier)| (id, asset, tier_id, tier)))
    }

    /// The backup on which one builds.
    pub fn base(&self, asset: &str, backup: &Backup) -> Option<&'a Backup> {
        self.backups.get(&(asset, backup.base.as_deref()?)).copied()
    }

    /// Every replica with its asset and its places.
    pub fn replicas(&self) -> impl Iterator<Item = (&'a Id, &'a Asset, &'a Replica, &'a Keys)> {
        let placed = |id: &Id| self.places.replicas.get(id).into_iter().flatten();
        self.plan.assets.iter().flat_map(move |(id, asset)| asset.replicas.iter().zip(placed(id)).map(move |(r, at)| (id, asset, r, at)))
    }

    /// Whether losing one site loses another: it is the same one, or lies within it.
    pub fn lost_with(&self, outer: &str, inner: &str) -> bool {
        let mut open = vec![inner];
        let mut seen = 0;
        while let Some(site) = open.pop() {
            if site == outer {
                return true;
            }
            seen += 1;
            // A circle of sites was refused; there are no more steps outwards than sites.
            if seen <= self.plan.sites.len() {
                open.extend(self.plan.sites.get(site).into_iter().flat_map(|s| s.within.iter().map(String::as_str)));
            }
        }
        false
    }

    /// Whether a place goes where an asset goes: losing the asset's sites loses it.
    pub fn lost_with_asset(&self, asset: &Asset, site: &str) -> bool {
        !asset.sites.is_empty() && asset.sites.iter().any(|outer| self.lost_with(outer, site)) && asset.sites.len() == 1
    }

    /// A site that outlives the asset's, to be named as a sample.
    pub fn elsewhere(&self, asset: &Asset) -> Option<&'a str> {
        let outlives = |site: &&'a Id| !asset.sites.iter().any(|own| self.lost_with(own, site) || self.lost_with(site, own));
        self.plan.sites.keys().find(outlives).map(String::as_str)
    }
}
