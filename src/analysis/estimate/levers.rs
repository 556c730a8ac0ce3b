//! What would make a recovery shorter, and by how much: each change is made to the plan, ordered and simulated again. It does
//! not know whether a change can be made; that is for whoever wrote the plan.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Asset;
use crate::actions::template;
use crate::analysis::Checked;
use crate::analysis::returns::Returns;
use crate::graph::Graph;
use crate::graph::order::order;
use crate::graph::schedule::{Schedule, Scheduler, durations};
use crate::graph::way::{self, After, Link};
use crate::model::places::{ScenarioPlaces, StepPlaces, StepRef};
use crate::model::{Compiled, Effect, Id, Phase, Places, Scenario, Step, Undo};
use crate::source::Span;

/// How many steps are simulated in all: large plans are looked at in bounded time.
const MOST: usize = 400_000;
/// Changes that are tried at most.
const TRIES: usize = 200;
/// Ways that are looked at.
const WAYS: usize = 6;
/// Steps of a way that are shortened, longest first.
const SHORTENED: usize = 6;

/// A change, and what it would win. All times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lever {
    /// What would be changed.
    #[serde(flatten)]
    pub change: Change,
    /// Assets that would be back sooner, with how much.
    pub won_ms: BTreeMap<Id, u64>,
    /// Assets that would be back later, with how much.
    pub lost_ms: BTreeMap<Id, u64>,
    /// How much sooner the run would end.
    pub run_won_ms: u64,
    /// How much later it would: a step that ends sooner can let another one have a lock first.
    pub run_lost_ms: u64,
    /// Assets that are too late now, and would not be.
    pub keeps: Vec<Id>,
}

/// A change to a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    /// A step takes less time.
    Shorten {
        /// The step.
        step: Id,
        /// What it takes now.
        from_ms: u64,
        /// What it would take: as little as keeps an objective, else half.
        to_ms: u64,
    },
    /// A step does not wait for the one that is written above it.
    Beside {
        /// The step.
        step: Id,
        /// The one above it.
        above: Id,
        /// Its `needs` then.
        needs: Vec<Id>,
    },
    /// Two steps use an asset or a lock at once.
    Share {
        /// The one that waits.
        step: Id,
        /// The one that has it.
        with: Id,
        /// Locks that both name.
        locks: Vec<Id>,
        /// Assets that both name.
        assets: Vec<Id>,
    },
    /// More steps run at once.
    Parallel {
        /// How many now.
        from: u32,
        /// How many then.
        to: u32,
    },
    /// A step is done before what its asset stands on is back.
    Prepare {
        /// The step.
        step: Id,
        /// For which it waits now.
        after: Id,
    },
}

/// What would help, most first.
pub(super) fn levers(
    checked: &Checked,
    scheduler: &Scheduler<'_>,
    usual: &Schedule,
    takes: &[u64],
    assets: &BTreeMap<Id, Asset>,
) -> Vec<Lever> {
    let mut plan = checked.compiled().clone();
    plan.files.clear();
    let steps = plan.scenario.steps.len();
    let mut bench =
        Bench { tries: (MOST / steps.max(1)).clamp(1, TRIES), places: places(&plan), usual: usual.clone(), takes, assets, plan };
    let ways = bench.ways(checked.graph(), scheduler);
    let mut out: Vec<Lever> = Vec::new();
    for change in bench.changes(&ways) {
        out.extend(bench.tried(change));
    }
    let sum = |all: &BTreeMap<Id, u64>| all.values().sum::<u64>();
    out.sort_by_cached_key(|l| std::cmp::Reverse((l.keeps.len(), sum(&l.won_ms).saturating_sub(sum(&l.lost_ms)), l.run_won_ms)));
    out
}

struct Bench<'a> {
    plan: Compiled,
    places: Places,
    usual: Schedule,
    takes: &'a [u64],
    assets: &'a BTreeMap<Id, Asset>,
    tries: usize,
}

/// What was simulated.
struct Seen {
    back: BTreeMap<Id, u64>,
    run_ms: u64,
}

impl Bench<'_> {
    /// The ways to the assets that matter, those that are late first, and to the run's end.
    fn ways(&self, graph: &Graph, scheduler: &Scheduler<'_>) -> Vec<Vec<Link>> {
        let returns = Returns::of(&self.plan);
        let back = self.assets.iter().filter_map(|(name, asset)| {
            let back = returns.back(name, &self.usual.end_ms)?;
            let margin = asset.rto_ms.map_or(i64::MAX, |rto| way::signed(rto) - way::signed(back.ms));
            Some(((margin, std::cmp::Reverse(back.ms), name), back.step))
        });
        let mut back: Vec<_> = back.collect();
        back.sort();
        let mut ends: Vec<usize> = Vec::new();
        let run = (0..graph.steps).max_by_key(|&i| (self.usual.end_ms[i], std::cmp::Reverse(i)));
        for end in back.into_iter().map(|(_, step)| step) {
            if ends.len() < WAYS && !ends.contains(&end) {
                ends.push(end);
            }
        }
        ends.extend(run.filter(|end| !ends.contains(end)));
        ends.into_iter().map(|end| way::way(scheduler, graph, &self.usual, self.takes, end)).collect()
    }

    /// What could be changed along these ways, each change once.
    fn changes(&self, ways: &[Vec<Link>]) -> Vec<Change> {
        let steps = &self.plan.scenario.steps;
        let mut out: Vec<Change> = Vec::new();
        let mut add = |change: Option<Change>| {
            if let Some(change) = change.filter(|change| !out.contains(change)) {
                out.push(change);
            }
        };
        for way in ways {
            for link in way {
                let (step, own) = (link.step, &steps[link.step]);
                add(self.beside(step));
                match link.after {
                    After::Lock(on) => add(self.share(step, on)),
                    After::Slot(_) => add(self.parallel()),
                    After::Order(on) if own.phase == Phase::Recover && own.assets.iter().all(|a| !steps[on].assets.contains(a)) => {
                        add(Some(Change::Prepare { step: own.id.clone(), after: steps[on].id.clone() }));
                    }
                    After::Order(_) | After::Start => {}
                }
            }
        }
        for way in ways {
            let mut longest: Vec<usize> = way.iter().map(|link| link.step).collect();
            longest.sort_by_key(|&i| (std::cmp::Reverse(self.takes[i]), i));
            for &i in longest.iter().take(SHORTENED) {
                add(Some(Change::Shorten { step: steps[i].id.clone(), from_ms: self.takes[i], to_ms: self.takes[i] / 2 }));
            }
        }
        out
    }

    /// The wait for the step above, where nothing but its place in the text asks for it.
    fn beside(&self, step: usize) -> Option<Change> {
        let steps = &self.plan.scenario.steps;
        let above = above(&self.plan.scenario, step).filter(|&above| self.takes[above] > 0)?;
        let gives = outputs(&steps[step]).iter().any(|r| r.step == steps[above].id);
        let same = steps[step].each.is_some() || steps[above].each.is_some();
        let gate = steps[above].phase == Phase::Assess && steps[step].phase != Phase::Assess;
        // Who looks at an asset after a step on it looks at what that did.
        let own = steps[step].assets.iter().any(|a| steps[above].assets.contains(a));
        // A look is for what was done above it or for what is done below it, and what is stopped is stopped first.
        let reads = |i: usize| steps[i].effect == Effect::Read;
        let first = reads(step) != reads(above) || steps[above].phase == Phase::Contain;
        (!gives && !same && !gate && !own && !first).then(|| Change::Beside {
            step: steps[step].id.clone(),
            above: steps[above].id.clone(),
            needs: needs_of(&self.plan.scenario, above),
        })
    }

    fn share(&self, step: usize, with: usize) -> Option<Change> {
        let (a, b) = (&self.plan.scenario.steps[step], &self.plan.scenario.steps[with]);
        let both = |a: &[Id], b: &[Id]| a.iter().filter(|x| b.contains(x)).cloned().collect::<Vec<_>>();
        // One that is part of something else already is not part of this too.
        let assets = if a.share.is_none() && b.share.is_none() { both(&a.assets, &b.assets) } else { Vec::new() };
        let locks = both(&a.locks, &b.locks);
        let some = !(assets.is_empty() && locks.is_empty());
        some.then(|| Change::Share { step: a.id.clone(), with: b.id.clone(), locks, assets })
    }

    /// As many slots as would be used if there were no end of them.
    fn parallel(&self) -> Option<Change> {
        let mut all = self.plan.clone();
        all.parallel = u32::try_from(self.takes.len()).unwrap_or(u32::MAX);
        let graph = Graph::of(&all)?;
        let scheduler = Scheduler::new(&all, &graph);
        let seen = scheduler.run(self.takes);
        let mut moments: Vec<(u64, i64)> = (0..self.takes.len())
            .filter(|&i| scheduler.needs_slot(i, self.takes))
            .flat_map(|i| [(seen.start_ms[i], 1), (seen.end_ms[i], -1)])
            .collect();
        moments.sort_unstable();
        let (mut now, mut most) = (0, 0);
        for (_, more) in moments {
            now += more;
            most = most.max(now);
        }
        let to = u32::try_from(most).unwrap_or(u32::MAX);
        (to > self.plan.parallel).then_some(Change::Parallel { from: self.plan.parallel, to })
    }

    /// A change with what it wins; none if it wins nothing, or cannot be made.
    fn tried(&mut self, change: Change) -> Option<Lever> {
        let change = match change {
            Change::Shorten { step, from_ms, to_ms } => {
                let to_ms = self.enough(&step, from_ms).unwrap_or(to_ms);
                Change::Shorten { step, from_ms, to_ms }
            }
            other => other,
        };
        let seen = self.simulated(&change)?;
        let before = |name: &Id| self.assets.get(name).and_then(|a| a.recovery.as_ref()).map(|t| t.expected_ms);
        let all_back = self.assets.keys().all(|name| before(name).is_none() || seen.back.contains_key(name));
        let moved = |sooner: bool| -> BTreeMap<Id, u64> {
            let by = |(name, ms): (&Id, &u64)| {
                let before = before(name)?;
                let (from, to) = if sooner { (before, *ms) } else { (*ms, before) };
                from.checked_sub(to).filter(|by| *by > 0).map(|by| (name.clone(), by))
            };
            seen.back.iter().filter_map(by).collect()
        };
        let kept = |(name, asset): (&Id, &Asset)| {
            let kept = asset.late() && asset.rto_ms.zip(seen.back.get(name)).is_some_and(|(rto, ms)| *ms <= rto);
            kept.then(|| name.clone())
        };
        let lever = Lever {
            won_ms: moved(true),
            lost_ms: moved(false),
            run_won_ms: self.usual.total_ms.saturating_sub(seen.run_ms),
            run_lost_ms: seen.run_ms.saturating_sub(self.usual.total_ms),
            keeps: self.assets.iter().filter_map(kept).collect(),
            change,
        };
        (all_back && (!lever.won_ms.is_empty() || lever.run_won_ms > 0)).then_some(lever)
    }

    /// The most that a step may take for some asset that is late to be back in time, in whole seconds; none if that does not
    /// help, or nothing is late.
    fn enough(&mut self, step: &Id, from_ms: u64) -> Option<u64> {
        let late = self.assets.iter().filter(|(_, a)| a.late());
        let late: Vec<(Id, u64)> = late.filter_map(|(name, a)| Some((name.clone(), a.rto_ms?))).collect();
        let mut keeps = |to_ms: u64| {
            let seen = self.simulated(&Change::Shorten { step: step.clone(), from_ms, to_ms })?;
            Some(late.iter().any(|(name, rto)| seen.back.get(name).is_some_and(|ms| ms <= rto)))
        };
        if late.is_empty() || !keeps(1_000)? {
            return None;
        }
        let (mut good, mut bad) = (1, from_ms / 1_000);
        while bad - good > 1 {
            let middle = good + (bad - good) / 2;
            if keeps(middle * 1_000)? { good = middle } else { bad = middle }
        }
        Some(good * 1_000)
    }

    /// The plan with a change, simulated.
    fn simulated(&mut self, change: &Change) -> Option<Seen> {
        self.tries = self.tries.checked_sub(1)?;
        let mut plan = self.plan.clone();
        let at = |id: &Id| self.plan.scenario.steps.iter().position(|s| s.id == *id);
        let mut again = false;
        match change {
            Change::Shorten { step, to_ms, .. } => plan.scenario.steps[at(step)?].takes_ms = *to_ms,
            Change::Parallel { to, .. } => plan.parallel = *to,
            Change::Share { step, with, locks, assets } => {
                plan.scenario.steps[at(step)?].locks.retain(|l| !locks.contains(l));
                if !assets.is_empty() {
                    // No id is written like this.
                    [step, with].into_iter().filter_map(at).for_each(|i| plan.scenario.steps[i].share = Some("=".to_owned()));
                }
            }
            Change::Beside { step, needs, .. } => {
                plan.scenario.steps[at(step)?].needs = Some(needs.clone());
                again = true;
            }
            Change::Prepare { step, .. } => {
                plan.scenario.steps[at(step)?].phase = Phase::Prepare;
                again = true;
            }
        }
        if again {
            let order = order(&plan.plan, &plan.scenario, 0, &self.places);
            (plan.waits, plan.joins) = (order.waits, order.joins);
        }
        let graph = Graph::of(&plan)?;
        let takes = durations(&plan);
        let found = Scheduler::new(&plan, &graph).run(&takes);
        let returns = Returns::of(&plan);
        if let Change::Prepare { step, .. } = change {
            // What it brought back must still come after it, and after any fence.
            let step = at(step)?;
            let own = &self.plan.scenario.steps[step].assets;
            let ends = own.iter().filter_map(|a| returns.back(a, &found.end_ms)).map(|b| b.step as u32);
            let before = graph.before_any(ends);
            let fenced = self.plan.scenario.steps.iter().any(|s| s.phase == Phase::Contain && s.assets.iter().any(|a| own.contains(a)));
            if fenced || !before[step] || own.iter().any(|a| returns.back(a, &found.end_ms).is_none()) {
                return None;
            }
        }
        let back = self.assets.keys().filter_map(|name| Some((name.clone(), returns.back(name, &found.end_ms)?.ms)));
        Some(Seen { back: back.collect(), run_ms: found.total_ms })
    }
}

/// The step for which one without `needs` waits because it is written above it.
pub(in crate::analysis) fn above(scenario: &Scenario, step: usize) -> Option<usize> {
    let own = &scenario.steps[step];
    let waits = own.needs.is_none() && own.phase != Phase::Close;
    scenario.steps[..step].iter().rposition(|s| s.phase != Phase::Close).filter(|_| waits)
}

/// What a step itself waits for by its text: what the one below would wait for in its place.
pub(in crate::analysis) fn needs_of(scenario: &Scenario, step: usize) -> Vec<Id> {
    match &scenario.steps[step].needs {
        Some(needs) => needs.clone(),
        None => above(scenario, step).map(|i| scenario.steps[i].id.clone()).into_iter().collect(),
    }
}

/// The places that an order needs: who uses whose outputs. A compiled plan knows no others.
fn places(plan: &Compiled) -> Places {
    let steps = plan.scenario.steps.iter().map(|s| StepPlaces { refs: outputs(s), ..StepPlaces::default() });
    Places { scenarios: vec![ScenarioPlaces { steps: steps.collect(), ..ScenarioPlaces::default() }], ..Places::default() }
}

/// Every output of another step that a step uses.
fn outputs(step: &Step) -> Vec<StepRef> {
    let undo = if let Undo::Use(call) = &step.undo { Some(call) } else { None };
    let calls = std::iter::once(&step.call).chain(&step.check).chain(undo);
    let paths = calls.flat_map(|call| call.with.values()).flat_map(template::references);
    let named = paths.filter_map(|path| {
        let (step, output) = path.strip_prefix("steps.")?.split_once('.')?;
        Some((step.to_owned(), output.to_owned()))
    });
    let when = step.when.iter().map(|w| (w.step.clone(), w.output.clone()));
    let all: BTreeSet<(Id, String)> = named.chain(when).collect();
    all.into_iter().map(|(step, output)| StepRef { step, output, at: Span::default() }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::compile::{Input, compile};

    /// The order as it is made again is the plan's own.
    #[test]
    fn made_again_the_order_is_the_same() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut seen = 0;
        for dir in ["plans/quickstart", "plans/platform", "examples"] {
            for entry in std::fs::read_dir(root.join(dir)).expect("the plans are there") {
                let path = entry.expect("a directory can be read").path();
                if path.extension().is_none_or(|e| e != "yaml") {
                    continue;
                }
                let files = BTreeMap::from([("plan.yaml".to_owned(), std::fs::read(&path).expect("it is a file"))]);
                let found = compile(&files, "plan.yaml", &Input::default()).expect("it is text");
                for checked in &found.checked {
                    let plan = checked.compiled();
                    let order = order(&plan.plan, &plan.scenario, 0, &places(plan));
                    assert_eq!((&order.waits, &order.joins), (&plan.waits, &plan.joins), "{}", path.display());
                    seen += 1;
                }
            }
        }
        assert!(seen >= 10, "{seen} scenarios");
    }
}
