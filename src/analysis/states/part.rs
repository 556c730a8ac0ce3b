//! A scenario cut into parts that can be explored by themselves: one asset, or one asset and the traffic to it, with the
//! steps that matter to it and what must come before what among them.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt, HashSet};
use serde_json::Value;

use super::world::{COPIES, Copies, INCIDENT, Move, State};
use crate::actions::{self, AssetKind, Deed};
use crate::analysis::facts::{Facts, approves, changes};
use crate::model::{Asset, Id, OnFailure, Phase, ReplicaMode, Step, WhenUnreachable, damages};

/// How often a node, or an asset on the way of traffic, may be looked at in all, as a multiple of those that there are.
const LOOKS: usize = 32;
/// Ways in which the conditions of one part can turn out that are told apart.
const WAYS: usize = 64;

/// One asset, or one asset and the traffic to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The asset.
    pub asset: Id,
    /// Its copies.
    pub copies: Copies,
    /// How it begins.
    pub begin: State,
    /// The steps that matter to it, by their number in the plan, each after those that it waits for.
    pub steps: Vec<(usize, Move)>,
    /// For each of them those that come before it.
    pub before: Vec<Vec<usize>>,
    /// The ways in which it may turn out: which steps are passed over, and why; those with few first.
    pub ways: Vec<Vec<(usize, &'static str)>>,
    /// There are more ways than these.
    pub more: bool,
}

/// The parts of a scenario, and assets of which too much is left to look at.
pub fn parts(facts: &Facts<'_>) -> (Vec<Part>, Vec<Id>) {
    let words = facts.scenario.steps.iter().enumerate().any(|(i, s)| facts.runs(i) && speaks(s));
    let mut cut = Cut { facts, words, rank: Vec::new(), seen: vec![0; facts.graph.before.len()], turn: 0, looks: 0 };
    let mut all = Vec::new();
    let (traffic, cut_off) = traffic(facts);
    let mut left: BTreeSet<Id> = cut_off.into_iter().map(str::to_owned).collect();
    for (id, asset) in &facts.plan.assets {
        if facts.steps_of(id).next().is_none() {
            continue;
        }
        let own = cut.own(id, asset);
        let reached = traffic.get(id.as_str());
        if reached.is_none() && !own.iter().any(|(_, m)| matches!(m, Move::Take(..) | Move::Put(_))) {
            continue;
        }
        let copies = copies(facts, id, asset);
        let (Some((copies, begin)), true) = (copies, cut.looks <= LOOKS * cut.seen.len()) else {
            left.insert(id.clone());
            continue;
        };
        match reached {
            None => all.push(cut.part(id, copies, begin, own)),
            Some(points) => all.extend(points.iter().map(|points| {
                let steps = own.iter().copied().chain(points.iter().map(|&i| (i, Move::Point)));
                cut.part(id, copies.clone(), begin, steps.collect())
            })),
        }
    }
    (all, left.into_iter().collect())
}

/// By asset: the steps that send traffic to it, each asset that carries the traffic by itself; and those of the latter whose
/// traffic goes further than it was followed.
pub fn traffic<'a>(facts: &Facts<'a>) -> (HashMap<&'a str, Vec<Vec<usize>>>, Vec<&'a str>) {
    let mut carries: HashMap<&'a str, Vec<usize>> = HashMap::new();
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i)) {
        let dns = |id: &&Id| matches!(facts.plan.assets.get(*id).map(|a| a.kind), Some(AssetKind::Route53 | AssetKind::Dns));
        if changes(step) && (step.phase.brings() || step.phase == Phase::Close) {
            step.assets.iter().filter(dns).for_each(|id| carries.entry(id).or_default().push(i));
        }
    }
    let mut all: HashMap<&'a str, Vec<Vec<usize>>> = HashMap::new();
    let mut names: Vec<&str> = carries.keys().copied().collect();
    names.sort_unstable();
    let most = LOOKS * (facts.graph.before.len() + facts.plan.assets.len());
    let (mut looks, mut cut_off) = (0, Vec::new());
    for name in names {
        let mut open = vec![name];
        let mut seen: HashSet<&str> = open.iter().copied().collect();
        while let Some(id) = open.pop() {
            if looks == most {
                cut_off.push(name);
                break;
            }
            looks += 1;
            let below = facts.plan.assets.get(id).into_iter().flat_map(Asset::strong);
            for next in below.map(String::as_str).filter(|next| seen.insert(next)) {
                all.entry(next).or_default().push(carries[name].clone());
                open.push(next);
            }
        }
    }
    (all, cut_off)
}

/// The copies of an asset, and how they are when the scenario begins; none if there are too many.
fn copies(facts: &Facts<'_>, id: &str, asset: &Asset) -> Option<(Copies, State)> {
    let own = asset.sites.join(" and ");
    let mut copies = Copies {
        name: id.to_owned(),
        sites: vec![asset.sites.first().filter(|_| asset.sites.len() == 1).cloned()],
        places: vec![if own.is_empty() { format!("`{id}`") } else { format!("`{id}` at {own}") }],
        damaged: damages(facts.scenario) && facts.loses(id),
        shown: facts.steps_of(id).any(|(_, s)| s.phase == Phase::Verify),
        ..Copies::default()
    };
    let mut state = State { writes: 1, well: !facts.loses(id), ..State::default() };
    state.age[0] = if copies.damaged { 1 } else { INCIDENT };
    copies.gone = facts.scenario.loses.assets.iter().any(|a| a == id) && !copies.damaged;
    copies.lost = u8::from(!asset.sites.is_empty() && asset.sites.iter().all(|s| facts.lost_sites.contains(s)));
    for (n, replica) in asset.replicas.iter().enumerate().map(|(n, r)| (n + 1, r)) {
        if n >= COPIES {
            return None;
        }
        copies.sites.push(Some(replica.site.clone()));
        copies.places.push(format!("`{id}` at {}", replica.site));
        copies.lost |= u8::from(facts.lost_sites.contains(&replica.site)) << n;
        state.age[n] = match replica.mode {
            ReplicaMode::Standby => 0,
            _ => state.age[0],
        };
        if replica.mode == ReplicaMode::Active {
            copies.active |= 1 << n;
            state.writes |= 1 << n;
        }
    }
    if copies.active != 0 {
        copies.active |= 1;
    }
    // Where the scenario that this one undoes has left it.
    if let Some(site) = facts.ends.and_then(|ends| ends.get(id))
        && let Some(n) = place_at(asset, Some(site))
        && n > 0
    {
        state.writes = 1 << n;
        state.age[..copies.places.len()].fill(1);
        state.age[n] = INCIDENT + 1;
    }
    Some((copies, state))
}

/// The copy at a site: 0 is the asset itself.
fn place_at(asset: &Asset, site: Option<&str>) -> Option<usize> {
    match site {
        None => Some(0),
        Some(site) if asset.sites.iter().any(|s| s == site) => Some(0),
        Some(site) => asset.replicas.iter().position(|r| r.site == site).map(|n| n + 1),
    }
}

struct Cut<'f, 'a> {
    facts: &'f Facts<'a>,
    /// Some step is a person's word.
    words: bool,
    /// Where each node stands in the order; made when it is wanted first.
    rank: Vec<u32>,
    /// By node: the turn in which it was seen last.
    seen: Vec<u32>,
    turn: u32,
    looks: usize,
}

impl<'a> Cut<'_, 'a> {
    /// The steps that matter to an asset, traffic apart.
    fn own(&self, id: &str, asset: &Asset) -> Vec<(usize, Move)> {
        self.facts.steps_of(id).filter_map(|(i, step)| Some((i, self.deed(asset, i, step)?))).collect()
    }

    fn deed(&self, asset: &Asset, i: usize, step: &Step) -> Option<Move> {
        let action = actions::find(&step.call.uses);
        let place = place_at(asset, step.at.as_deref());
        let own = action.filter(|a| a.kinds.contains(&asset.kind)).map_or(Deed::Nothing, |a| a.deed);
        let back = step.phase.brings() && changes(step);
        let by_hand = step.call.uses == "manual" && step.phase == Phase::Contain;
        Some(match (own, step.from.as_deref()) {
            (Deed::StopsWrites, _) => Move::Stop(place?),
            (Deed::TakesWrites, _) => Move::Take(place?, false),
            (Deed::PutsData, _) => Move::Put(place?),
            (Deed::IsNewest, _) => Move::Newest(place?),
            (Deed::Points, _) => return None,
            (Deed::Nothing, _) if self.facts.fences.binary_search(&i).is_ok() || by_hand => Move::Stop(place?),
            (Deed::Nothing, Some("replica")) if back => Move::Take(place?, false),
            (Deed::Nothing, Some(from)) if back && asset.backups.iter().any(|b| b.id == from) => Move::Put(place?),
            (Deed::Nothing, _) if back => Move::Bring(place),
            (Deed::Nothing, _) if step.phase == Phase::Verify => Move::Show,
            (Deed::Nothing, _) => return None,
        })
    }

    fn part(&mut self, id: &str, copies: Copies, begin: State, mut steps: Vec<(usize, Move)>) -> Part {
        if self.rank.is_empty() {
            self.rank = vec![0; self.seen.len()];
            self.facts.graph.order.iter().enumerate().for_each(|(at, &node)| self.rank[node as usize] = at as u32);
        }
        steps.sort_by_key(|(i, _)| self.rank[*i]);
        steps.dedup_by_key(|(i, _)| *i);
        let index: HashMap<usize, usize> = steps.iter().enumerate().map(|(n, (i, _))| (*i, n)).collect();
        let first = steps.first().map_or(0, |(i, _)| self.rank[*i]);
        let mut before: Vec<Vec<usize>> = Vec::with_capacity(steps.len());
        let mut said: Vec<bool> = Vec::with_capacity(steps.len());
        for n in 0..steps.len() {
            let (found, word) = self.before(steps[n].0, first, &index);
            said.push(word || found.iter().any(|&u| said[u]));
            if let Move::Take(_, word) = &mut steps[n].1 {
                *word = said[n];
            }
            let earlier: BTreeSet<usize> = found.iter().flat_map(|&u| before[u].iter().copied().chain([u])).collect();
            before.push(earlier.into_iter().collect());
        }
        let (ways, more) = ways(self.facts, &steps);
        Part { asset: id.to_owned(), copies, begin, steps, before, ways, more }
    }

    /// Those of a part's steps that a step waits for with none of them between, and whether somebody's word comes before it.
    fn before(&mut self, step: usize, first: u32, of: &HashMap<usize, usize>) -> (Vec<usize>, bool) {
        self.turn += 1;
        let steps = &self.facts.scenario.steps;
        let mut found = Vec::new();
        let mut said = false;
        let mut open = vec![step];
        while let Some(at) = open.pop() {
            for &next in &self.facts.graph.before[at] {
                let next = next as usize;
                self.looks += 1;
                if std::mem::replace(&mut self.seen[next], self.turn) == self.turn {
                    continue;
                }
                if let Some(&n) = of.get(&next) {
                    found.push(n);
                    continue;
                }
                said |= steps.get(next).is_some_and(|s| self.facts.runs(next) && speaks(s));
                if self.rank[next] > first || self.words && !said {
                    open.push(next);
                }
            }
        }
        (found, said)
    }
}

/// Whether a step is a person's word, in any case.
fn speaks(step: &Step) -> bool {
    step.when.is_empty() && (approves(step) || step.call.uses == "manual" && step.phase == Phase::Assess)
}

/// What a value is compared with, and the steps that run if it fits.
type Matchers<'a> = Vec<(&'a Value, Vec<usize>)>;

/// The ways in which conditions may turn out, each with every single failure that the plan passes over.
fn ways(facts: &Facts<'_>, steps: &[(usize, Move)]) -> (Vec<Vec<(usize, &'static str)>>, bool) {
    const UNMET: &str = "is passed over: its condition does not hold";
    let all = &facts.scenario.steps;
    // By the value that decides: the steps that run for each of its matchers.
    let mut choices: Vec<((&str, &str), Matchers<'_>)> = Vec::new();
    for (n, (i, _)) in steps.iter().enumerate() {
        for when in &all[*i].when {
            let value = (when.step.as_str(), when.output.as_str());
            let at = choices.iter().position(|(v, _)| *v == value).unwrap_or_else(|| {
                choices.push((value, Vec::new()));
                choices.len() - 1
            });
            let matchers = &mut choices[at].1;
            match matchers.iter_mut().find(|(m, _)| **m == when.matcher) {
                Some((_, steps)) => steps.push(n),
                None => matchers.push((&when.matcher, vec![n])),
            }
        }
    }
    let mut found: Vec<Vec<(usize, &'static str)>> = vec![Vec::new()];
    for (_, matchers) in &choices {
        let plain = |m: &Value| !matches!(m, Value::Object(_) | Value::Array(_));
        // One of the values, or none of them; what is no plain value may hold beside others.
        let mut outcomes: Vec<Vec<usize>> = matchers.iter().map(|(_, steps)| steps.clone()).collect();
        outcomes.push(Vec::new());
        if !matchers.iter().all(|(m, _)| plain(m)) && matchers.len() > 1 {
            outcomes.push(matchers.iter().flat_map(|(_, steps)| steps.iter().copied()).collect());
        }
        let every: BTreeSet<usize> = matchers.iter().flat_map(|(_, steps)| steps.iter().copied()).collect();
        let passed = |holds: &Vec<usize>| every.iter().filter(|n| !holds.contains(n)).map(|&n| (n, UNMET)).collect::<Vec<_>>();
        found = found
            .iter()
            .flat_map(|way| outcomes.iter().map(|o| way.iter().copied().chain(passed(o)).collect::<Vec<_>>()))
            .take(WAYS + 1)
            .collect();
    }
    let fails = |n: usize| {
        let step = &all[steps[n].0];
        let skips = step.when_unreachable == WhenUnreachable::Skip && facts.fences.binary_search(&steps[n].0).is_err();
        let goes_on = step.on_failure == OnFailure::Continue;
        let why = if goes_on { "fails, and the plan goes on" } else { "is passed over: its target cannot be reached" };
        (goes_on || skips).then_some((n, why))
    };
    let single: Vec<(usize, &'static str)> = (0..steps.len()).filter_map(fails).collect();
    let calm = found.clone();
    for way in &calm {
        let others = single.iter().filter(|(n, _)| !way.iter().any(|(m, _)| m == n));
        found.extend(others.map(|one| way.iter().copied().chain([*one]).collect::<Vec<_>>()));
    }
    found.iter_mut().for_each(|way| {
        way.sort_unstable();
        way.dedup_by_key(|(n, _)| *n);
    });
    found.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    found.dedup();
    let more = found.len() > WAYS;
    found.truncate(WAYS);
    (found, more)
}
