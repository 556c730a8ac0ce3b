//! By which of its steps, or of those of what it stands on, each asset is back. It knows when a step ends only as it is told.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt};

use crate::model::{Asset, Compiled, Id, Plan, lost_assets};

/// How every asset that comes back does so.
#[derive(Debug, Clone)]
pub struct Returns<'a> {
    /// From the damage until the run starts, in milliseconds.
    pub before_ms: u64,
    own: HashMap<&'a str, Own>,
    /// Assets without steps that are not lost, with those that they are back with.
    through: BTreeMap<&'a str, Vec<&'a str>>,
}

/// An asset that steps bring back.
#[derive(Debug, Clone)]
struct Own {
    steps: Vec<usize>,
    /// Until the last resolver has forgotten the old answer.
    ttl_ms: u64,
}

/// The step that an asset is back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Back {
    /// From the damage on, in milliseconds.
    pub ms: u64,
    /// Its index.
    pub step: usize,
    /// How long after its end the asset is back, in milliseconds.
    pub after_ms: u64,
}

impl<'a> Returns<'a> {
    /// Of a compiled plan, which loses these assets.
    pub fn new(compiled: &'a Compiled, lost: &BTreeSet<Id>) -> Returns<'a> {
        let (plan, scenario) = (&*compiled.plan, &compiled.scenario);
        let mut own: HashMap<&str, Own> = HashMap::new();
        for (i, step) in scenario.steps.iter().enumerate() {
            if step.phase.ends_recovery() && compiled.runs(step) {
                for id in &step.assets {
                    let ttl_ms = || plan.assets.get(id).map_or(0, Asset::ttl_ms);
                    own.entry(id).or_insert_with(|| Own { steps: Vec::new(), ttl_ms: ttl_ms() }).steps.push(i);
                }
            }
        }
        let rest = plan.assets.keys().filter(|id| !own.contains_key(id.as_str()) && !lost.contains(*id));
        let through = rest.map(|id| (id.as_str(), bases(plan, id, &own))).filter(|(_, on)| !on.is_empty()).collect();
        Returns { before_ms: scenario.detect_ms + scenario.decide_ms, own, through }
    }

    /// Of a compiled plan.
    pub fn of(compiled: &'a Compiled) -> Returns<'a> {
        Returns::new(compiled, &lost_assets(&compiled.plan, &compiled.scenario))
    }

    /// What an asset is back with if steps end so many milliseconds after the run's start; none if it does not come back.
    pub fn back(&self, id: &str, end_ms: &[u64]) -> Option<Back> {
        let own = |id: &str| {
            let own = self.own.get(id)?;
            let step = *own.steps.iter().max_by_key(|&&i| (end_ms[i], i))?;
            Some(Back { ms: self.before_ms + end_ms[step] + own.ttl_ms, step, after_ms: own.ttl_ms })
        };
        match self.through.get(id) {
            None => own(id),
            Some(on) => on.iter().filter_map(|id| own(id)).max_by_key(|back| (back.ms, back.step)),
        }
    }

    /// Every step that an asset may be back with, each with how long after its end it is.
    pub fn steps(&self, id: &str) -> impl Iterator<Item = (usize, u64)> {
        let own = self.own.get(id).into_iter();
        let through = self.through.get(id).into_iter().flatten().filter_map(|id| self.own.get(id));
        own.chain(through).flat_map(|own| own.steps.iter().map(|&i| (i, own.ttl_ms)))
    }
}

/// Assets with steps that bring them back on which one without stands, directly or through others without.
fn bases<'a>(plan: &'a Plan, id: &'a Id, own: &HashMap<&'a str, Own>) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([id]);
    let mut open = vec![id];
    while let Some(at) = open.pop() {
        let strong = plan.assets.get(at).into_iter().flat_map(Asset::strong);
        for base in strong.filter(|b| seen.insert(*b)) {
            if own.contains_key(base.as_str()) { found.push(base.as_str()) } else { open.push(base) }
        }
    }
    found
}
