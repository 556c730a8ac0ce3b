//! One compiled scenario as rules look at it: the plan, its order, its schedule, what is lost and where words stand.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt, HashSet};

use super::gaps::longest_gap_ms;
use super::predict::predictions;
use crate::graph::Graph;
use crate::graph::schedule::{Schedule, durations, schedule};
use crate::model::places::{Keys, ScenarioPlaces, StepPlaces};
use crate::model::{Asset, Backup, Compiled, Id, Phase, Places, Plan, Prediction, Scenario, Step, Tier, Undo, lost_assets, lost_sites};
use crate::source::Span;

/// Longest gaps by schedule and time zone.
type Gaps<'a> = HashMap<(&'a str, Option<&'a str>), Option<u64>>;

/// What rules may look at.
pub struct Facts<'a> {
    /// The compiled plan, without its predictions.
    pub compiled: &'a Compiled,
    /// The whole plan.
    pub plan: &'a Plan,
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Where all stands.
    pub places: &'a Places,
    /// Where the scenario stands.
    pub own: &'a ScenarioPlaces,
    /// The order.
    pub graph: &'a Graph,
    /// Expected time of each step in this compilation, in milliseconds.
    pub takes: Vec<u64>,
    /// When each step would run.
    pub schedule: Schedule,
    /// What was predicted, by asset.
    pub predictions: BTreeMap<Id, Prediction>,
    /// Lost assets that come back from a source that no step names.
    pub unsaid: BTreeSet<Id>,
    /// Steps by the assets that they name, in order.
    by_asset: HashMap<&'a str, Vec<usize>>,
    /// Whether each step runs.
    runs: Vec<bool>,
    /// Gaps of schedules that were asked for: many backups share one.
    gaps: RefCell<Gaps<'a>>,
    /// Sites that are lost.
    pub lost_sites: BTreeSet<Id>,
    /// Assets that are lost or damaged, by name.
    pub lost_assets: BTreeSet<Id>,
    lost: HashSet<&'a str>,
}

impl<'a> Facts<'a> {
    /// The facts of a scenario; `index` is its place in the plan.
    pub fn new(compiled: &'a Compiled, plan: &'a Plan, places: &'a Places, index: usize, graph: &'a Graph) -> Facts<'a> {
        let takes = durations(compiled);
        let scenario = &compiled.scenario;
        let mut by_asset: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, step) in scenario.steps.iter().enumerate() {
            step.assets.iter().for_each(|a| by_asset.entry(a).or_default().push(i));
        }
        let lost_assets = lost_assets(plan, scenario);
        let mut facts = Facts {
            lost: plan.assets.keys().map(String::as_str).filter(|id| lost_assets.contains(*id)).collect(),
            by_asset,
            runs: scenario.steps.iter().map(|s| s.modes.contains(&compiled.mode) && !compiled.left_out.contains(&s.id)).collect(),
            gaps: RefCell::default(),
            compiled,
            plan,
            scenario,
            places,
            own: &places.scenarios[index],
            graph,
            schedule: schedule(compiled, graph, &takes),
            takes,
            lost_sites: lost_sites(plan, scenario),
            lost_assets,
            predictions: BTreeMap::new(),
            unsaid: BTreeSet::new(),
        };
        (facts.predictions, facts.unsaid) = predictions(&facts);
        facts
    }

    /// Whether an asset is lost or damaged.
    pub fn loses(&self, asset: &str) -> bool {
        self.lost.contains(asset)
    }

    /// Whether a step runs in this compilation.
    pub fn runs(&self, step: usize) -> bool {
        self.runs[step]
    }

    /// Steps that name an asset, with their indices, whether or not they run.
    pub fn named(&self, asset: &str) -> impl Iterator<Item = (usize, &'a Step)> {
        let steps = &self.scenario.steps;
        self.by_asset.get(asset).into_iter().flatten().map(move |&i| (i, &steps[i]))
    }

    /// Steps that name an asset and run.
    pub fn steps_of(&self, asset: &str) -> impl Iterator<Item = (usize, &'a Step)> {
        self.named(asset).filter(|(i, _)| self.runs[*i])
    }

    /// The longest gap of a backup's schedule in milliseconds, see [`longest_gap_ms`].
    pub fn gap_ms(&self, backup: &'a Backup) -> Option<u64> {
        let (line, zone) = (backup.schedule.as_deref()?, backup.timezone.as_deref());
        *self.gaps.borrow_mut().entry((line, zone)).or_insert_with(|| longest_gap_ms(line, zone))
    }

    /// Places of a step.
    pub fn step(&self, index: usize) -> &'a StepPlaces {
        &self.own.steps[index]
    }

    /// Places of an asset.
    pub fn asset_keys(&self, id: &str) -> Keys {
        self.places.assets.get(id).cloned().unwrap_or_else(|| self.own.keys.clone())
    }

    /// What counts for an asset in this scenario, and where that is written.
    pub fn objective(&self, asset: &Asset) -> (Tier, Span) {
        let Some(name) = &asset.tier else { return (Tier::default(), self.own.keys.at) };
        let tier = self.plan.tiers.get(name).cloned().unwrap_or_default();
        let at = self.places.tiers.get(name).map_or(self.own.keys.at, |k| k.at);
        match self.scenario.objectives.get(name) {
            Some(own) => {
                (Tier { rto_ms: own.rto_ms.or(tier.rto_ms), rpo_ms: own.rpo_ms.or(tier.rpo_ms) }, self.own.keys.value("objectives"))
            }
            None => (tier, at),
        }
    }
}

/// True if a step changes something.
pub fn changes(step: &Step) -> bool {
    step.undo != Undo::Unneeded
}

/// True if a step asks people for their approval.
pub fn approves(step: &Step) -> bool {
    step.call.uses == "approval"
}

/// True if a step keeps the old copy of an asset from taking writes: a `.fence`, or for kinds without one a `contain`
/// step with a `check`.
pub fn fences(plan: &Plan, step: &Step) -> bool {
    if step.call.uses.ends_with(".fence") {
        return true;
    }
    let own_fence = |id: &Id| {
        let kind = plan.assets.get(id).map(|a| a.kind);
        crate::actions::all().iter().any(|a| a.name.ends_with(".fence") && kind.is_some_and(|k| a.kinds.contains(&k)))
    };
    step.phase == Phase::Contain && step.check.is_some() && !step.assets.is_empty() && !step.assets.iter().any(own_fence)
}
