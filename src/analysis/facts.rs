//! One compiled scenario as rules look at it: the plan, its order, its schedule, what is lost and where words stand.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use foldhash::{HashMap, HashMapExt, HashSet};

use super::gaps::{Gaps, Samples};
use super::loss::{Damage, Reason};
use super::predict::predictions;
use super::returns::{Back, Returns};
use super::stands::{Stands, Told};
use super::states::{Explored, Wanted, explore};
use crate::graph::Graph;
use crate::graph::schedule::{Schedule, durations, schedule};
use crate::model::places::{Keys, ScenarioPlaces, StepPlaces};
use crate::model::{
    Asset, Backup, Compiled, Id, Mode, Places, Plan, Prediction, Scenario, Step, Tier, Undo, fences, lost_assets, lost_sites,
};
use crate::source::Span;

/// How often a node may be looked at in all by [`Facts::waits_for`], as a multiple of the nodes.
const LOOKS: usize = 32;

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
    /// Why nothing bounds what is lost of an asset, by asset.
    pub reasons: BTreeMap<Id, Vec<Reason>>,
    /// Steps by the assets that they name, in order.
    by_asset: HashMap<&'a str, Vec<usize>>,
    /// Whether each step runs.
    runs: Vec<bool>,
    gaps: Gaps<'a>,
    /// How often backups are taken, by sample.
    pub samples: Samples<'a>,
    search: RefCell<Search>,
    /// The scenario's place in the plan.
    pub index: usize,
    /// Sites that are lost.
    pub lost_sites: BTreeSet<Id>,
    /// Assets that are lost or damaged, by name.
    pub lost_assets: BTreeSet<Id>,
    lost: HashSet<&'a str>,
    /// Steps that make a copy the one that takes writes, whether or not they run.
    pub promotions: Vec<usize>,
    /// Steps that keep the old copy from taking writes, see [`crate::model::fences`].
    pub fences: Vec<usize>,
    /// Steps that ask people.
    pub approvals: Vec<usize>,
    /// Where the scenario that this one undoes has left its assets.
    pub ends: Option<&'a BTreeMap<Id, Id>>,
    wanted: Wanted<'a>,
    explored: OnceCell<Option<Explored>>,
    stands: OnceCell<Stands<'a>>,
    returns: Returns<'a>,
}

/// What [`Facts::waits_for`] has seen.
#[derive(Debug, Default)]
struct Search {
    /// By node: the turn in which it was seen last.
    seen: Vec<u32>,
    turn: u32,
    looks: usize,
}

impl<'a> Facts<'a> {
    /// The facts of a scenario; `index` is its place in the plan.
    pub fn new(compiled: &'a Compiled, places: &'a Places, index: usize, graph: &'a Graph, wanted: Wanted<'a>) -> Facts<'a> {
        let takes = durations(compiled);
        let (plan, scenario) = (&*compiled.plan, &compiled.scenario);
        let mut by_asset: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, step) in scenario.steps.iter().enumerate() {
            step.assets.iter().for_each(|a| by_asset.entry(a).or_default().push(i));
        }
        let lost_assets = lost_assets(plan, scenario);
        let that = |wanted: &dyn Fn(&Step) -> bool| (0..scenario.steps.len()).filter(|&i| wanted(&scenario.steps[i])).collect();
        let mut facts = Facts {
            lost: plan.assets.keys().map(String::as_str).filter(|id| lost_assets.contains(*id)).collect(),
            returns: Returns::new(compiled, &lost_assets),
            promotions: that(&promotes),
            fences: that(&|s| fences(plan, s)),
            approvals: that(&approves),
            by_asset,
            runs: scenario.steps.iter().map(|s| compiled.runs(s)).collect(),
            gaps: Gaps::default(),
            samples: Samples::default(),
            search: RefCell::default(),
            index,
            ends: scenario.undoes.as_ref().and_then(|id| wanted.ends.get(id)),
            wanted,
            explored: OnceCell::new(),
            stands: OnceCell::new(),
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
            reasons: BTreeMap::new(),
        };
        let found = predictions(&facts);
        (facts.predictions, facts.unsaid, facts.reasons) = (found.by_asset, found.unsaid, found.reasons);
        facts
    }

    /// What can happen on the way; none if people left steps out: they know why.
    pub fn explored(&self) -> Option<&Explored> {
        let whole = self.compiled.left_out.is_empty() && self.compiled.mode != Mode::Drill;
        self.explored.get_or_init(|| whole.then(|| explore(self, self.wanted.states))).as_ref()
    }

    /// [`Facts::explored`], for whoever looks last.
    pub fn take_explored(&mut self) -> Option<Explored> {
        self.explored();
        self.explored.take().flatten()
    }

    /// How much of it is wanted.
    pub fn wanted(&self) -> Wanted<'a> {
        self.wanted
    }

    /// Where everything of the plan stands.
    pub fn stands(&self) -> &Stands<'a> {
        self.stands.get_or_init(|| Stands::new(self.plan))
    }

    /// What says by which chain something stands on another.
    pub fn told(&self) -> Told<'a> {
        Told { plan: self.plan, places: self.places }
    }

    /// The step by which an asset is back, or what it stands on; none if it does not come back.
    pub fn back(&self, id: &str) -> Option<Back> {
        self.returns.back(id, &self.schedule.end_ms)
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

    /// Those of some steps that run.
    pub fn running<'i>(&'i self, steps: &'i [usize]) -> impl Iterator<Item = (usize, &'a Step)> + 'i {
        let all = &self.scenario.steps;
        steps.iter().filter(|&&i| self.runs[i]).map(move |&i| (i, &all[i]))
    }

    /// Steps that name an asset and run.
    pub fn steps_of(&self, asset: &str) -> impl Iterator<Item = (usize, &'a Step)> {
        self.named(asset).filter(|(i, _)| self.runs[*i])
    }

    /// The longest gap of a backup's schedule in milliseconds, see [`longest_gap_ms`].
    pub fn gap_ms(&self, backup: &'a Backup) -> Option<u64> {
        self.gaps.of(backup)
    }

    /// What has happened, for whoever asks which sources of data survive.
    pub fn damage<T>(&self, ask: impl FnOnce(&Damage<'_, 'a>) -> T) -> T {
        ask(&Damage {
            plan: self.plan,
            places: self.places,
            cause: self.scenario.cause,
            detect_ms: self.scenario.detect_ms,
            sites: &self.lost_sites,
            backups: &self.scenario.loses.backups,
            loses: &|id| self.loses(id),
            gaps: &self.gaps,
            samples: &self.samples,
        })
    }

    /// Whether a step waits for one of the wanted ones, directly or not; the first of these ends at `soonest_ms`. After
    /// too many looks it is taken for granted: a plan that keeps its promises is seen to do so within a few.
    pub fn waits_for(&self, step: usize, soonest_ms: u64, wanted: &dyn Fn(usize) -> bool) -> bool {
        let nodes = self.graph.before.len();
        let search = &mut *self.search.borrow_mut();
        search.seen.resize(nodes, 0);
        search.turn += 1;
        let mut open = VecDeque::from([step]);
        while let Some(at) = open.pop_front() {
            for &before in &self.graph.before[at] {
                let before = before as usize;
                search.looks += 1;
                if before < self.graph.steps && wanted(before) || search.looks > LOOKS * nodes {
                    return true;
                }
                // What starts before the first of them ends does not come after it.
                if self.schedule.start_ms[before] >= soonest_ms && search.seen[before] != search.turn {
                    search.seen[before] = search.turn;
                    open.push_back(before);
                }
            }
        }
        false
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
            Some(own) => (
                Tier { rto_ms: own.rto_ms.or(tier.rto_ms), rpo_ms: own.rpo_ms.or(tier.rpo_ms), ..Tier::default() },
                self.own.keys.value("objectives"),
            ),
            None => (tier, at),
        }
    }
}

/// True if a step changes something.
pub fn changes(step: &Step) -> bool {
    step.undo != Undo::Unneeded
}

/// True if a step makes a copy the one that takes writes.
pub fn promotes(step: &Step) -> bool {
    step.call.uses.ends_with(".promote")
}

/// True if a step asks people for their approval.
pub fn approves(step: &Step) -> bool {
    step.call.uses == "approval"
}
