//! How long a recovery takes: as expected, at worst, and as often as not; which steps decide it, how much later each of the
//! others may end, and what would make it shorter. Every number is found by simulating the schedule; it judges nothing.

mod levers;
pub mod sample;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Checked;
use super::returns::Returns;
use crate::graph::schedule::{Schedule, Scheduler, durations, longest};
use crate::graph::way::{self, After, signed};
use crate::model::{Id, Mode};
pub use levers::{Change, Lever};
pub(super) use levers::{above, needs_of};
pub use sample::{Distribution, Source};
use sample::{Drawn, Sources};

/// Samples of a plan with few steps; fewer of a large one, so that it takes no longer.
const SAMPLES: usize = 10_000;
const LEAST_SAMPLES: usize = 200;
const SAMPLED_STEPS: usize = 4_000_000;

/// What an estimate is made from, besides the plan.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// How many runs are drawn; none: as many as take no longer than a few seconds.
    pub samples: Option<usize>,
    /// What they follow from.
    pub seed: u64,
    /// What steps took in earlier runs of this scenario, in milliseconds.
    pub past: BTreeMap<Id, Vec<u64>>,
}

/// The estimate of one scenario. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// The plan's name.
    pub plan: String,
    /// The scenario.
    pub scenario: Id,
    /// In which mode it runs.
    pub mode: Mode,
    /// How many steps may run at once.
    pub parallel: u32,
    /// From the damage until somebody is called.
    pub detect_ms: u64,
    /// From then until the run starts.
    pub decide_ms: u64,
    /// How many runs were drawn.
    pub samples: usize,
    /// What they follow from.
    pub seed: u64,
    /// From the run's start to its end.
    pub run: Times,
    /// Assets that come back, or that the scenario touches, by name.
    pub assets: BTreeMap<Id, Asset>,
    /// Tiers with objectives, by name, each with the assets that decide whether they are kept.
    pub tiers: BTreeMap<Id, Tier>,
    /// Steps, as written.
    pub steps: Vec<Step>,
    /// The chains of steps that decide when the assets of `tiers` are back, and when the run ends.
    pub ways: Vec<Way>,
    /// What would make it shorter, most first.
    pub levers: Vec<Lever>,
}

/// A time that is not known for sure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Times {
    /// If every step takes what the plan expects.
    pub expected_ms: u64,
    /// If every step takes all its attempts and each of them its whole time-out; no less than the longest that was drawn, for
    /// where locks are waited for a step that ends sooner can make another one later.
    pub worst_ms: u64,
    /// Steps that have no time-out, so that the worst case counts for them what is expected: it has no bound.
    pub unbounded: Vec<Id>,
    /// What was drawn.
    pub drawn: Distribution,
}

/// An asset's estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asset {
    /// Its tier, if it has one.
    pub tier: Option<Id>,
    /// From the damage until it is back; none if it does not come back.
    pub recovery: Option<Times>,
    /// The step that it is back with.
    pub back_with: Option<Id>,
    /// The objective for that.
    pub rto_ms: Option<u64>,
    /// Of the drawn runs, in how many it was back in time.
    pub in_time: Option<usize>,
    /// Whether it holds data of its own.
    pub holds_data: bool,
    /// Data lost at most, as time; none: unbounded, or it holds none.
    pub loss_ms: Option<u64>,
    /// What bounds the loss.
    pub loss_source: String,
    /// The objective for that.
    pub rpo_ms: Option<u64>,
}

impl Asset {
    /// Whether it is expected to be back too late.
    pub fn late(&self) -> bool {
        self.over(|t| t.expected_ms)
    }

    /// Whether it is back too late in one run of twenty, or at worst.
    pub fn may_be_late(&self) -> bool {
        self.over(|t| t.worst_ms.max(t.drawn.p95_ms))
    }

    /// Whether more data is lost than may be.
    pub fn loses_too_much(&self) -> bool {
        self.holds_data && self.rpo_ms.is_some_and(|rpo| self.loss_ms.is_none_or(|ms| ms > rpo))
    }

    fn over(&self, of: impl Fn(&Times) -> u64) -> bool {
        self.recovery.as_ref().zip(self.rto_ms).is_some_and(|(times, rto)| of(times) > rto)
    }
}

/// A tier's estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// Its objective for recovery, in this scenario.
    pub rto_ms: Option<u64>,
    /// The asset that is back last: it keeps or breaks the objective.
    pub last: Option<Id>,
    /// Its objective for data loss.
    pub rpo_ms: Option<u64>,
    /// The asset that loses most.
    pub loses_most: Option<Id>,
}

/// A step's estimate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub id: Id,
    /// Whether it counts: it runs in this mode, and it is not the shorter alternative.
    pub counts: bool,
    /// When it is expected to begin, from the run's start.
    pub start_ms: u64,
    /// When it is expected to end.
    pub end_ms: u64,
    /// What it takes at worst; none: it has no time-out.
    pub worst_ms: Option<u64>,
    /// How much later it may end without the run ending later.
    pub slack_ms: i64,
    /// How much later it may end without an asset missing its objective; less than nothing: so much too late it is. None: no
    /// objective hangs on it.
    pub spare_ms: Option<i64>,
    /// From what its time was drawn.
    pub source: Source,
    /// In how many of the drawn runs it was on the way that decided when the last asset was back.
    pub decides: usize,
    /// In how many it was on the way that decided when the run ended.
    pub decides_end: usize,
}

/// The chain of steps that decides when something is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Way {
    /// The asset; none: the run.
    pub asset: Option<Id>,
    /// Its steps, the first one first.
    pub steps: Vec<Hop>,
}

/// A step of a way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// The step.
    pub step: Id,
    /// What it waits for last.
    #[serde(flatten)]
    pub after: Waited,
}

/// What a step of a way waits for last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "waits", content = "for", rename_all = "lowercase")]
pub enum Waited {
    /// Nothing.
    Nothing,
    /// A step that comes before it.
    Order(Id),
    /// A step that has its asset or lock.
    Lock(Id),
    /// A step that has the slot.
    Slot(Id),
}

/// The estimate of a checked plan.
pub fn estimate(checked: &Checked, ask: &Ask) -> Estimate {
    let (plan, graph) = (checked.compiled(), checked.graph());
    let scheduler = Scheduler::new(plan, graph);
    let returns = Returns::of(plan);
    let (takes, most) = (durations(plan), longest(plan));
    let (usual, worst) = (scheduler.run(&takes), scheduler.run(&most));
    let count = plan.scenario.steps.len();
    let samples = ask.samples.unwrap_or_else(|| (SAMPLED_STEPS / count.max(1)).clamp(LEAST_SAMPLES, SAMPLES));
    let sources = Sources::of(plan, &takes, &ask.past);
    let last = last_back(checked, &returns, &usual);
    let drawn = sample::draw(&Drawn { plan, graph, scheduler: &scheduler, returns: &returns, sources: &sources, samples, seed: ask.seed });
    let endless = |node: Option<usize>| -> Vec<Id> {
        let before = node.map(|node| graph.before_any([node as u32]));
        let counts = |i: usize| before.as_ref().is_none_or(|before| before[i]) || node == Some(i);
        let steps = plan.scenario.steps.iter().enumerate();
        steps.filter(|(i, s)| takes[*i] > 0 && s.timeout_ms.is_none() && counts(*i)).map(|(_, s)| s.id.clone()).collect()
    };
    let id = |i: usize| plan.scenario.steps[i].id.clone();
    let mut assets = BTreeMap::new();
    for (name, found) in &plan.predictions {
        let back = returns.back(name, &usual.end_ms);
        let recovery = back.zip(drawn.assets.get(name)).map(|(back, drawn)| Times {
            expected_ms: back.ms,
            worst_ms: returns.back(name, &worst.end_ms).map_or(back.ms, |b| b.ms).max(drawn.most_ms),
            unbounded: endless(Some(back.step)),
            drawn: drawn.clone(),
        });
        let asset = Asset {
            tier: plan.plan.assets.get(name).and_then(|a| a.tier.clone()),
            in_time: found.rto_ms.and_then(|_| drawn.in_time.get(name).copied()),
            recovery,
            back_with: back.map(|b| id(b.step)),
            rto_ms: found.rto_ms,
            holds_data: found.holds_data,
            loss_ms: found.loss_ms,
            loss_source: found.loss_source.clone(),
            rpo_ms: found.rpo_ms,
        };
        assets.insert(name.clone(), asset);
    }
    let tiers = tiers(&assets);
    let backs = |name: &Id| Some((Some(name.clone()), returns.back(name, &usual.end_ms)?.step));
    let run_end = (0..count).max_by_key(|&i| (usual.end_ms[i], std::cmp::Reverse(i)));
    let shown: BTreeSet<&Id> = tiers.values().filter_map(|t| t.last.as_ref()).chain(last.as_ref()).collect();
    let ends = shown.into_iter().filter_map(backs).chain(run_end.map(|i| (None, i)));
    let ways = ends.map(|(asset, end)| Way { asset, steps: hops(checked, &scheduler, &usual, &takes, end) }).collect();
    let slack = way::slack_ms(&scheduler, graph, &usual, &takes, &vec![signed(usual.total_ms); graph.before.len()]);
    let spare = way::slack_ms(&scheduler, graph, &usual, &takes, &limits(checked, &returns));
    let steps = (0..count).map(|i| Step {
        id: id(i),
        counts: takes[i] > 0,
        start_ms: usual.start_ms[i],
        end_ms: usual.end_ms[i],
        worst_ms: crate::graph::schedule::worst_ms(&plan.scenario.steps[i]),
        slack_ms: slack[i],
        spare_ms: Some(spare[i]).filter(|ms| *ms < i64::MAX / 2),
        source: sources.of[i].clone(),
        decides: drawn.decides[i],
        decides_end: drawn.decides_end[i],
    });
    Estimate {
        plan: plan.plan.name.clone(),
        scenario: plan.scenario.id.clone(),
        mode: plan.mode,
        parallel: plan.parallel,
        detect_ms: plan.scenario.detect_ms,
        decide_ms: plan.scenario.decide_ms,
        samples,
        seed: ask.seed,
        run: Times {
            expected_ms: usual.total_ms,
            worst_ms: worst.total_ms.max(drawn.run.most_ms),
            unbounded: endless(None),
            drawn: drawn.run,
        },
        steps: steps.collect(),
        ways,
        levers: levers::levers(checked, &scheduler, &usual, &takes, &assets),
        assets,
        tiers,
    }
}

/// The asset that is back last.
fn last_back(checked: &Checked, returns: &Returns<'_>, usual: &Schedule) -> Option<Id> {
    let names = checked.compiled().predictions.keys();
    let back = names.filter_map(|name| Some((returns.back(name, &usual.end_ms)?.ms, name)));
    back.max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(a.1))).map(|(_, name)| name.clone())
}

/// By when each step must have ended for every objective to be kept, in milliseconds from the run's start.
fn limits(checked: &Checked, returns: &Returns<'_>) -> Vec<i64> {
    let mut out = vec![i64::MAX; checked.graph().before.len()];
    for (name, found) in &checked.compiled().predictions {
        if let Some(rto) = found.rto_ms {
            for (step, after) in returns.steps(name) {
                out[step] = out[step].min(signed(rto) - signed(returns.before_ms) - signed(after));
            }
        }
    }
    out
}

fn hops(checked: &Checked, scheduler: &Scheduler<'_>, usual: &Schedule, takes: &[u64], end: usize) -> Vec<Hop> {
    let id = |i: usize| checked.compiled().scenario.steps[i].id.clone();
    let hop = |link: way::Link| {
        let after = match link.after {
            After::Start => Waited::Nothing,
            After::Order(on) => Waited::Order(id(on)),
            After::Lock(on) => Waited::Lock(id(on)),
            After::Slot(on) => Waited::Slot(id(on)),
        };
        Hop { step: id(link.step), after }
    };
    way::way(scheduler, checked.graph(), usual, takes, end).into_iter().map(hop).collect()
}

/// Tiers with the assets that keep or break their objectives. The scenario's own objectives count where it has some.
fn tiers(assets: &BTreeMap<Id, Asset>) -> BTreeMap<Id, Tier> {
    let mut out: BTreeMap<Id, Tier> = BTreeMap::new();
    for (name, asset) in assets {
        let Some(tier) = asset.tier.clone().filter(|_| asset.rto_ms.or(asset.rpo_ms).is_some()) else { continue };
        let at = out.entry(tier).or_insert(Tier { rto_ms: asset.rto_ms, last: None, rpo_ms: asset.rpo_ms, loses_most: None });
        let back = |name: &Id| assets[name].recovery.as_ref().map(|t| t.expected_ms);
        if asset.rto_ms.is_some() && back(name).is_some() && at.last.as_ref().is_none_or(|last| back(last) < back(name)) {
            at.last = Some(name.clone());
        }
        // Who loses all loses most.
        let loss = |name: &Id| assets[name].loss_ms.unwrap_or(u64::MAX);
        if asset.rpo_ms.is_some() && asset.holds_data && at.loses_most.as_ref().is_none_or(|most| loss(most) < loss(name)) {
            at.loses_most = Some(name.clone());
        }
    }
    out
}
