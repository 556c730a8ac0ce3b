//! How long a recovery takes, once more and in another way: the rules of the manual, pair by pair, and a clock that goes on
//! one grain at a time. It shares nothing with the compiler but the words of the plan.

use std::collections::{BTreeMap, BTreeSet};

use drplan::actions::template;
use drplan::model::{Cause, Compiled, Effect, Phase, Step};
use serde_json::Value;

/// When steps start and end, when assets are back, and when all is over.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub start_ms: Vec<u64>,
    pub end_ms: Vec<u64>,
    pub total_ms: u64,
    pub back_ms: BTreeMap<String, u64>,
}

pub fn told(plan: &Compiled, grain_ms: u64) -> Told {
    let takes = takes(plan);
    let waits = waits(plan);
    let way = way(&takes, &waits);
    let (start_ms, end_ms, total_ms) = clock(plan, &takes, &waits, &way, grain_ms);
    let back_ms = back(plan, &end_ms);
    Told { start_ms, end_ms, total_ms, back_ms }
}

fn runs(plan: &Compiled, step: &Step) -> bool {
    step.modes.contains(&plan.mode) && !plan.left_out.contains(&step.id)
}

/// What a step takes; of alternatives only those count that together take longest.
fn takes(plan: &Compiled) -> Vec<u64> {
    let steps = &plan.scenario.steps;
    let own = |i: usize| if runs(plan, &steps[i]) { steps[i].takes_ms } else { 0 };
    let choice = |i: usize| match steps[i].when.as_slice() {
        [one] if one.matcher.is_string() => Some((&one.step, &one.output, one.matcher.as_str().unwrap())),
        _ => None,
    };
    let sum = |of: (&String, &String, &str)| (0..steps.len()).filter(|&i| choice(i) == Some(of)).map(own).sum::<u64>();
    let counts = |i: usize| {
        let Some(mine) = choice(i) else { return true };
        let others = (0..steps.len()).filter_map(choice).filter(|other| (other.0, other.1) == (mine.0, mine.1) && other.2 != mine.2);
        // Of two that are as long the one whose word is the later one.
        others.into_iter().all(|other| (sum(other), other.2) < (sum(mine), mine.2))
    };
    (0..steps.len()).map(|i| if counts(i) { own(i) } else { 0 }).collect()
}

/// For each step all steps that it waits for, by the four rules.
fn waits(plan: &Compiled) -> Vec<BTreeSet<usize>> {
    let steps = &plan.scenario.steps;
    let n = steps.len();
    let close = |i: usize| steps[i].phase == Phase::Close;
    let mut out = vec![BTreeSet::new(); n];
    for i in 0..n {
        let step = &steps[i];
        match &step.needs {
            Some(needs) => out[i].extend((0..n).filter(|&j| needs.contains(&steps[j].id))),
            None if close(i) => out[i].extend((0..n).filter(|&j| !close(j))),
            None => out[i].extend((0..i).rev().find(|&j| !close(j))),
        }
        if step.phase != Phase::Assess && !(close(i)) {
            out[i].extend((0..n).filter(|&j| steps[j].phase == Phase::Assess));
        }
        for j in (0..n).filter(|&j| j != i) {
            if stands(plan, i, j) || uses(step, &steps[j].id) {
                out[i].insert(j);
            }
        }
        out[i].remove(&i);
    }
    out
}

/// Rule 3: does the first step wait for the second because of their assets?
fn stands(plan: &Compiled, i: usize, j: usize) -> bool {
    let (later, sooner) = (&plan.scenario.steps[i], &plan.scenario.steps[j]);
    let up =
        matches!(later.phase, Phase::Recover | Phase::Verify) && matches!(sooner.phase, Phase::Prepare | Phase::Recover | Phase::Verify);
    let down = matches!(later.phase, Phase::Contain | Phase::Recover) && sooner.phase == Phase::Contain;
    let own = later.phase == Phase::Recover && sooner.phase == Phase::Contain;
    later.assets.iter().any(|a| {
        let below = below(plan, a);
        let above: BTreeSet<&String> = named(plan).into_iter().filter(|b| self::below(plan, b).contains(a)).collect();
        // A step of both waits for neither.
        let of_both = |others: &dyn Fn(&String) -> bool| later.assets.iter().any(others);
        sooner.assets.iter().any(|b| {
            (up && below.contains(b) && !of_both(&|x| below.contains(x)))
                || (down && above.contains(b) && !of_both(&|x| above.contains(x)))
                || (own && a == b)
        })
    })
}

fn named(plan: &Compiled) -> BTreeSet<&String> {
    plan.scenario.steps.iter().flat_map(|s| &s.assets).collect()
}

/// Assets with steps that an asset stands on, directly or through assets without.
fn below<'a>(plan: &'a Compiled, asset: &str) -> BTreeSet<&'a String> {
    let known = named(plan);
    let all = &plan.plan.assets;
    let strong = |a: &str| -> Vec<&'a String> {
        let of = &all[a];
        let on = of.depends_on.iter().filter(|d| !d.weak || plan.scenario.cause == Cause::Planned).map(|d| &d.asset);
        on.chain(of.rebuild.iter().map(|r| &r.from)).collect()
    };
    let mut out = BTreeSet::new();
    let mut open: BTreeSet<&String> = strong(asset).into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(a) = open.pop_first() {
        if a == asset || !seen.insert(a) {
            continue;
        }
        if known.contains(a) {
            out.insert(a);
        } else {
            open.extend(strong(a));
        }
    }
    out
}

/// Rule 4.
fn uses(step: &Step, other: &str) -> bool {
    let text = Value::Object(step.call.with.clone());
    step.when.iter().any(|w| w.step == other) || template::references(&text).iter().any(|r| r.starts_with(&format!("steps.{other}.")))
}

/// The longest way from each step's start to the end: by asking again until nothing grows any more.
fn way(takes: &[u64], waits: &[BTreeSet<usize>]) -> Vec<u64> {
    let mut way = takes.to_vec();
    loop {
        let mut grew = false;
        for (i, waits) in waits.iter().enumerate() {
            for &j in waits {
                if way[j] < takes[j] + way[i] {
                    way[j] = takes[j] + way[i];
                    grew = true;
                }
            }
        }
        if !grew {
            return way;
        }
    }
}

fn collide(a: &Step, b: &Step) -> bool {
    let approval = a.call.uses == "approval" || b.call.uses == "approval";
    let together = (a.effect == Effect::Read && b.effect == Effect::Read) || (a.share.is_some() && a.share == b.share);
    let assets = !together && a.assets.iter().any(|x| b.assets.contains(x));
    !approval && (assets || a.locks.iter().any(|x| b.locks.contains(x)))
}

/// A free slot or lock goes to the ready step with the longest way to the end, then to the one written first.
fn clock(plan: &Compiled, takes: &[u64], waits: &[BTreeSet<usize>], way: &[u64], grain_ms: u64) -> (Vec<u64>, Vec<u64>, u64) {
    let steps = &plan.scenario.steps;
    let n = steps.len();
    let person = |i: usize| steps[i].call.uses == "approval" || steps[i].call.uses == "manual";
    let mut start: Vec<Option<u64>> = vec![None; n];
    let mut end: Vec<Option<u64>> = vec![None; n];
    let mut now = 0;
    loop {
        let over = |i: usize, end: &[Option<u64>]| end[i].is_some_and(|t| t <= now);
        // What takes no time is over as soon as its turn comes, and others may start by that.
        while let Some(i) = (0..n).find(|&i| start[i].is_none() && takes[i] == 0 && waits[i].iter().all(|&j| over(j, &end))) {
            (start[i], end[i]) = (Some(now), Some(now));
        }
        let mut ready: Vec<usize> = (0..n).filter(|&i| start[i].is_none() && waits[i].iter().all(|&j| over(j, &end))).collect();
        ready.sort_by_key(|&i| (std::cmp::Reverse(way[i]), i));
        for i in ready {
            let busy: Vec<usize> = (0..n).filter(|&j| start[j].is_some() && !over(j, &end)).collect();
            let slots = busy.iter().filter(|&&j| !person(j)).count();
            if (person(i) || slots < plan.parallel as usize) && busy.iter().all(|&j| !collide(&steps[i], &steps[j])) {
                (start[i], end[i]) = (Some(now), Some(now + takes[i]));
            }
        }
        if end.iter().all(Option::is_some) {
            break;
        }
        now += grain_ms;
    }
    let total = end.iter().flatten().copied().max().unwrap_or(0);
    (start.into_iter().flatten().collect(), end.into_iter().flatten().collect(), total)
}

/// When each asset is back, from the damage on.
fn back(plan: &Compiled, end_ms: &[u64]) -> BTreeMap<String, u64> {
    let steps = &plan.scenario.steps;
    let before = plan.scenario.detect_ms + plan.scenario.decide_ms;
    let own = |asset: &str| {
        let of = |s: &Step| s.assets.iter().any(|a| a == asset) && matches!(s.phase, Phase::Recover | Phase::Verify) && runs(plan, s);
        let last = (0..steps.len()).filter(|&i| of(&steps[i])).map(|i| end_ms[i]).max()?;
        let ttl = if asset == "names" { 7_000 } else { 0 };
        Some(before + last + ttl)
    };
    let lost: BTreeSet<&String> = plan.scenario.loses.assets.iter().collect();
    let mut out = BTreeMap::new();
    for asset in plan.plan.assets.keys() {
        let mut latest = own(asset);
        if latest.is_none() && !lost.contains(asset) {
            // The last of what it strongly stands on, however far down.
            let mut open = vec![asset];
            let mut seen = BTreeSet::from([asset]);
            while let Some(at) = open.pop() {
                for on in plan.plan.assets[at].depends_on.iter().filter(|d| !d.weak).map(|d| &d.asset) {
                    match own(on) {
                        Some(ms) => latest = latest.max(Some(ms)),
                        None if seen.insert(on) => open.push(on),
                        None => {}
                    }
                }
            }
        }
        out.extend(latest.map(|ms| (asset.clone(), ms)));
    }
    out
}
