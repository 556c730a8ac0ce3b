//! Many runs drawn by chance: each step takes what it took in an earlier run, or a time between half of what is expected
//! and its time-out. It knows the plan's schedule and nothing of what would make it shorter.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::super::chance::Chance;
use super::super::returns::Returns;
use crate::actions::units;
use crate::graph::Graph;
use crate::graph::schedule::Scheduler;
use crate::graph::way;
use crate::model::{Compiled, Id, Step};

/// So many passed attempts of a step say more than the plan.
pub const ENOUGH: usize = 5;

/// Columns of the picture of a distribution.
pub const COLUMNS: usize = 48;

/// From what a step's time is drawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "lowercase")]
pub enum Source {
    /// It does not count.
    Nothing,
    /// A triangle: never less than `low_ms`, most often `mode_ms`, never more than `high_ms`.
    Triangle {
        /// Half of what is expected; of a `wait` what it waits.
        low_ms: u64,
        /// What is expected.
        mode_ms: u64,
        /// The time-out, or twice what is expected where there is none.
        high_ms: u64,
    },
    /// One of so many passed attempts in earlier runs.
    Journal {
        /// How many.
        passed: usize,
        /// The shortest.
        low_ms: u64,
        /// The one in the middle.
        middle_ms: u64,
        /// The longest.
        high_ms: u64,
    },
}

/// What was drawn of one time, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Distribution {
    /// Half of the runs took no longer.
    pub p50_ms: u64,
    /// Nine of ten.
    pub p90_ms: u64,
    /// Nineteen of twenty.
    pub p95_ms: u64,
    /// Ninety-nine of a hundred.
    pub p99_ms: u64,
    /// The shortest.
    pub least_ms: u64,
    /// The longest.
    pub most_ms: u64,
    /// How many runs fell into each of equal parts of the time from the shortest to the longest.
    pub counts: Vec<usize>,
}

/// From what the times of all steps are drawn.
pub struct Sources {
    /// By step.
    pub of: Vec<Source>,
    past: Vec<Vec<u64>>,
}

impl Sources {
    /// Of a plan whose steps take so long, with what they took in earlier runs.
    pub fn of(plan: &Compiled, takes: &[u64], past: &BTreeMap<Id, Vec<u64>>) -> Sources {
        let mut all = Sources { of: Vec::new(), past: Vec::new() };
        for (step, &takes) in plan.scenario.steps.iter().zip(takes) {
            let mut past = past.get(&step.id).filter(|past| past.len() >= ENOUGH && takes > 0).cloned().unwrap_or_default();
            past.sort_unstable();
            all.of.push(match past.as_slice() {
                _ if takes == 0 => Source::Nothing,
                [] => triangle(step, takes),
                past => {
                    Source::Journal { passed: past.len(), low_ms: past[0], middle_ms: past[past.len() / 2], high_ms: past[past.len() - 1] }
                }
            });
            all.past.push(past);
        }
        all
    }

    fn draw(&self, step: usize, chance: &mut Chance) -> u64 {
        match self.of[step] {
            Source::Nothing => 0,
            // What takes time takes some.
            Source::Triangle { low_ms, mode_ms, high_ms } => triangular(low_ms, mode_ms, high_ms, chance.share()).max(1),
            Source::Journal { passed, .. } => self.past[step][chance.below(passed as u64) as usize].max(1),
        }
    }
}

fn triangle(step: &Step, takes_ms: u64) -> Source {
    // Who waits for a time waits no less.
    let wait = (step.call.uses == "wait").then(|| step.call.with.get("for").and_then(Value::as_str)).flatten();
    let least = wait.and_then(|text| units::duration_ms(text).ok()).unwrap_or(0);
    let high_ms = step.timeout_ms.unwrap_or(takes_ms.saturating_mul(2)).max(takes_ms);
    Source::Triangle { low_ms: (takes_ms / 2).max(least).min(takes_ms), mode_ms: takes_ms, high_ms }
}

/// The time of a triangle that a share of all is below.
fn triangular(low: u64, mode: u64, high: u64, share: f64) -> u64 {
    let (a, c, b) = (low as f64, mode as f64, high as f64);
    if b <= a {
        return mode;
    }
    let x = if share < (c - a) / (b - a) { a + (share * (b - a) * (c - a)).sqrt() } else { b - ((1.0 - share) * (b - a) * (b - c)).sqrt() };
    x.round() as u64
}

/// What runs are drawn from.
pub struct Drawn<'a> {
    /// The plan.
    pub plan: &'a Compiled,
    /// Its order.
    pub graph: &'a Graph,
    /// Its rule.
    pub scheduler: &'a Scheduler<'a>,
    /// By what its assets are back.
    pub returns: &'a Returns<'a>,
    /// From what its steps' times are drawn.
    pub sources: &'a Sources,
    /// How many runs.
    pub samples: usize,
    /// What they follow from.
    pub seed: u64,
}

/// What was drawn.
pub struct Runs {
    /// The length of the run.
    pub run: Distribution,
    /// When each asset was back, from the damage on.
    pub assets: BTreeMap<Id, Distribution>,
    /// In how many runs each was back in time, if it has an objective.
    pub in_time: BTreeMap<Id, usize>,
    /// In how many runs each step was on the way that decided when the last asset was back.
    pub decides: Vec<usize>,
    /// In how many it was on the way that decided when the run ended.
    pub decides_end: Vec<usize>,
}

/// Draws runs.
pub fn draw(from: &Drawn<'_>) -> Runs {
    let count = from.graph.steps;
    let mut chance = Chance::new(from.seed);
    let names: Vec<&Id> = from.plan.predictions.keys().collect();
    let mut lengths = Vec::with_capacity(from.samples);
    let mut backs: Vec<Vec<u64>> = vec![Vec::new(); names.len()];
    let (mut decides, mut decides_end) = (vec![0; count], vec![0; count]);
    let mut takes = vec![0; count];
    for _ in 0..from.samples {
        (0..count).for_each(|i| takes[i] = from.sources.draw(i, &mut chance));
        let schedule = from.scheduler.run(&takes);
        lengths.push(schedule.total_ms);
        let mut last = None;
        for (name, backs) in names.iter().zip(&mut backs) {
            if let Some(back) = from.returns.back(name, &schedule.end_ms) {
                backs.push(back.ms);
                last = last.max(Some((back.ms, back.step)));
            }
        }
        let end = (0..count).max_by_key(|&i| (schedule.end_ms[i], std::cmp::Reverse(i)));
        for (last, decides) in [(last.map(|(_, step)| step), &mut decides), (end, &mut decides_end)] {
            for link in last.into_iter().flat_map(|last| way::way(from.scheduler, from.graph, &schedule, &takes, last)) {
                decides[link.step] += 1;
            }
        }
    }
    let mut in_time = BTreeMap::new();
    let mut assets = BTreeMap::new();
    for (name, mut backs) in names.into_iter().zip(backs).filter(|(_, backs)| !backs.is_empty()) {
        if let Some(rto) = from.plan.predictions[name].rto_ms {
            in_time.insert(name.clone(), backs.iter().filter(|ms| **ms <= rto).count());
        }
        assets.insert(name.clone(), distribution(&mut backs));
    }
    Runs { run: distribution(&mut lengths), assets, in_time, decides, decides_end }
}

fn distribution(all: &mut [u64]) -> Distribution {
    all.sort_unstable();
    let (Some(&least_ms), Some(&most_ms)) = (all.first(), all.last()) else { return Distribution::default() };
    // The time that so many of a hundred do not exceed.
    let of = |percent: usize| all[(all.len() * percent).div_ceil(100).clamp(1, all.len()) - 1];
    let wide = (most_ms - least_ms).div_ceil(COLUMNS as u64).max(1);
    let mut counts = vec![0; ((most_ms - least_ms) / wide + 1) as usize];
    all.iter().for_each(|ms| counts[((ms - least_ms) / wide) as usize] += 1);
    Distribution { p50_ms: of(50), p90_ms: of(90), p95_ms: of(95), p99_ms: of(99), least_ms, most_ms, counts }
}
