//! The four rules of order: what each step waits for, and why. Points that many steps share are joins, so that the
//! number of edges grows with the number of steps and not with its square.
//!
//! 1. A step without `needs` waits for the step above it; `needs` replaces that.
//! 2. Every step that is not `assess` waits for all `assess` steps; a `close` step without `needs` for all others.
//! 3. Dependencies of assets: up, what stands on an asset comes back after it; down, it is stopped before it.
//! 4. Who uses an output waits for the step that gives it.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt};

use crate::model::each::address;
use crate::model::places::ScenarioPlaces;
use crate::model::{Cause, Join, Node, Phase, Places, Plan, Scenario, Wait};
use crate::source::Span;

/// The edges of a scenario, and where the reason of each is written.
#[derive(Debug, Clone, Default)]
pub struct Order {
    /// For each step what it waits for.
    pub waits: Vec<Vec<Wait>>,
    /// Shared points.
    pub joins: Vec<Join>,
    /// Beside `waits`: where each reason stands.
    pub wait_places: Vec<Vec<Span>>,
    /// Beside the waits of each join.
    pub join_places: Vec<Vec<Span>>,
}

/// The order of a scenario: the same in every mode. Without the places of reasons, which only a cycle needs.
pub fn order(plan: &Plan, scenario: &Scenario, index: usize, places: &Places) -> Order {
    build(plan, scenario, index, places, false)
}

/// [`order`] with the place of every reason.
pub fn order_with_places(plan: &Plan, scenario: &Scenario, index: usize, places: &Places) -> Order {
    build(plan, scenario, index, places, true)
}

fn build(plan: &Plan, scenario: &Scenario, index: usize, places: &Places, placed: bool) -> Order {
    let nowhere = ScenarioPlaces::default();
    let count = scenario.steps.len();
    let mut build = Build {
        plan,
        scenario,
        places,
        own: places.scenarios.get(index).unwrap_or(&nowhere),
        by_name: scenario.steps.iter().enumerate().map(|(i, s)| (s.id.as_str(), i as u32)).collect(),
        placed,
        order: Order { waits: vec![Vec::new(); count], wait_places: vec![Vec::new(); if placed { count } else { 0 }], ..Order::default() },
    };
    build.written();
    build.outputs();
    build.phases();
    build.assets();
    build.order
}

struct Build<'a> {
    plan: &'a Plan,
    scenario: &'a Scenario,
    places: &'a Places,
    own: &'a ScenarioPlaces,
    by_name: HashMap<&'a str, u32>,
    placed: bool,
    order: Order,
}

/// The steps that one template became, or the one step, that were read last, and those above them.
#[derive(Default)]
struct Above {
    here: Vec<usize>,
    above: Vec<usize>,
    /// The point at which all of `above` are done.
    all: Option<Node>,
}

/// An end of an edge with its reason and the reason's place.
type Reason = (Node, String, Span);

impl<'a> Build<'a> {
    fn at(&self, step: usize) -> Span {
        self.own.steps.get(step).map_or(Span::default(), |s| s.keys.at)
    }

    fn wait(&mut self, step: usize, on: Node, why: impl Into<String>, place: Span) {
        let waits = &mut self.order.waits[step];
        if on == Node::Step(step as u32) || waits.iter().any(|w| w.on == on) {
            return;
        }
        waits.push(Wait { on, why: why.into() });
        if self.placed {
            self.order.wait_places[step].push(place);
        }
    }

    /// One node for several: none for nothing, itself for one, else a join.
    fn gather(&mut self, what: &str, reasons: Vec<Reason>) -> Option<Node> {
        if reasons.len() < 2 {
            return reasons.first().map(|r| r.0);
        }
        let (waits, places) = reasons.into_iter().map(|(on, why, at)| (Wait { on, why }, at)).unzip();
        self.order.joins.push(Join { what: what.to_owned(), waits });
        if self.placed {
            self.order.join_places.push(places);
        }
        Some(Node::Join(self.order.joins.len() as u32 - 1))
    }

    /// Rule 1.
    fn written(&mut self) {
        let scenario = self.scenario;
        let mut last = Above::default();
        for (i, step) in scenario.steps.iter().enumerate() {
            // What one template became stands beside each other.
            let beside = last.here.first().is_some_and(|&first| {
                let first = &scenario.steps[first];
                step.each.is_some() && first.each == step.each && address(&first.id).0 == address(&step.id).0
            });
            if step.phase != Phase::Close && !beside {
                last.above = std::mem::take(&mut last.here);
                last.all = None;
            }
            match &step.needs {
                Some(needs) => {
                    for (n, name) in needs.iter().enumerate() {
                        let Some(&on) = self.by_name.get(name.as_str()) else { continue };
                        let place = self.own.steps.get(i).and_then(|s| s.needs.get(n).copied()).unwrap_or_default();
                        self.wait(i, Node::Step(on), ["it needs `", name, "`"].concat(), place);
                    }
                }
                None if step.phase == Phase::Close => {}
                None => self.wait_above(i, &mut last),
            }
            if step.phase != Phase::Close {
                last.here.push(i);
            }
        }
    }

    /// The step above; of those that one template became the one with the same id, if both have the same list, else all.
    fn wait_above(&mut self, i: usize, last: &mut Above) {
        let (scenario, place) = (self.scenario, self.at(i));
        let step = &scenario.steps[i];
        let why = |on: usize| ["`", &scenario.steps[on].id, "` stands above it"].concat();
        let same = |on: &&usize| {
            let on = &scenario.steps[**on];
            step.each.is_some() && on.each == step.each && address(&on.id).1 == address(&step.id).1
        };
        match last.above.as_slice() {
            [] => {}
            [on] => self.wait(i, Node::Step(*on as u32), why(*on), place),
            many => match many.iter().find(same) {
                Some(&on) => self.wait(i, Node::Step(on as u32), why(on), place),
                None => {
                    let name = address(&scenario.steps[many[0]].id).0;
                    let all = last.all.or_else(|| {
                        let reasons =
                            many.iter().map(|&on| (Node::Step(on as u32), format!("it is one of `{name}`"), self.at(on))).collect();
                        self.gather(&format!("all of `{name}`"), reasons)
                    });
                    last.all = all;
                    if let Some(all) = all {
                        self.wait(i, all, format!("`{name}` stands above it"), place);
                    }
                }
            },
        }
    }

    /// Rule 4.
    fn outputs(&mut self) {
        let own = self.own;
        for (i, step) in own.steps.iter().enumerate() {
            let mut refs: Vec<_> = step.refs.iter().filter_map(|r| Some((*self.by_name.get(r.step.as_str())?, r))).collect();
            // By what they are and not by where they stand: the order of a step's fields means nothing.
            refs.sort_by(|(a, x), (b, y)| (a, &x.output).cmp(&(b, &y.output)));
            for (on, found) in refs {
                self.wait(i, Node::Step(on), format!("it uses `{}` of `{}`", found.output, found.step), found.at);
            }
        }
    }

    /// Rule 2.
    fn phases(&mut self) {
        let scenario = self.scenario;
        let phases: Vec<Phase> = scenario.steps.iter().map(|s| s.phase).collect();
        let is = |i: usize, phase: Phase| phases[i] == phase;
        let count = phases.len();
        let assess: Vec<usize> = (0..count).filter(|&i| is(i, Phase::Assess)).collect();
        let free = |i: usize| is(i, Phase::Close) && scenario.steps[i].needs.is_some();
        let reasons = assess.iter().map(|&i| (Node::Step(i as u32), "it is an `assess` step".to_owned(), self.at(i))).collect();
        let closes = (0..count).any(|i| is(i, Phase::Close) && !free(i));
        if let Some(all) = self.gather("all `assess` steps", reasons) {
            for i in (0..count).filter(|&i| !is(i, Phase::Assess) && !is(i, Phase::Close)) {
                // What waits for a later step than `assess` waits for them already.
                let implied = self.order.waits[i]
                    .iter()
                    .any(|w| matches!(w.on, Node::Step(on) if !is(on as usize, Phase::Assess) && !free(on as usize)));
                if !implied {
                    self.wait(i, all, "all `assess` steps come first", self.at(i));
                }
            }
        }
        if closes {
            let rest = (0..count).filter(|&i| !is(i, Phase::Close));
            let reasons = rest.map(|i| (Node::Step(i as u32), "it is not a `close` step".to_owned(), self.at(i))).collect();
            if let Some(all) = self.gather("all steps that are not `close`", reasons) {
                for i in (0..count).filter(|&i| is(i, Phase::Close) && !free(i)) {
                    self.wait(i, all, "a `close` step comes after all others", self.at(i));
                }
            }
        }
    }

    /// Rule 3.
    fn assets(&mut self) {
        let scenario = self.scenario;
        let mut steps_of: HashMap<&'a str, Vec<usize>> = HashMap::new();
        // As they are first named: neighbours in the plan are neighbours in memory too.
        let mut names: Vec<&'a str> = Vec::new();
        for (i, step) in scenario.steps.iter().enumerate() {
            for asset in &step.assets {
                let steps = steps_of.entry(asset).or_default();
                if steps.is_empty() {
                    names.push(asset);
                }
                steps.push(i);
            }
        }
        let of = |asset: &str, phases: fn(Phase) -> bool| -> Vec<usize> {
            let steps = steps_of.get(asset).into_iter().flatten().copied();
            steps.filter(|&i| phases(scenario.steps[i].phase)).collect()
        };
        let (mut back, mut stopped) = (HashMap::new(), HashMap::new());
        for &asset in &names {
            let done = |b: &mut Self, steps: &[usize], what: &str, why: &str| match steps {
                [] => None,
                [one] => Some(Node::Step(*one as u32)),
                many => {
                    let why = format!("it {why}");
                    let reasons = many.iter().map(|&i| (Node::Step(i as u32), why.clone(), b.at(i))).collect();
                    b.gather(&format!("`{asset}` is {what}"), reasons)
                }
            };
            if let Some(node) = done(self, &of(asset, |p| p == Phase::Contain), "stopped", &format!("stops `{asset}`")) {
                stopped.insert(asset, node);
                for i in of(asset, |p| p == Phase::Recover) {
                    self.wait(i, node, format!("`{asset}` must be stopped first"), self.at(i));
                }
            }
            if let Some(node) = done(self, &of(asset, Phase::of_recovery), "back", &format!("brings `{asset}` back")) {
                back.insert(asset, node);
            }
        }
        let mut above: HashMap<&'a str, Vec<&'a str>> = HashMap::new();
        for &asset in &names {
            let bases = self.stands_on(asset, &steps_of);
            bases.iter().for_each(|b| above.entry(b).or_default().push(asset));
            if !bases.is_empty() {
                self.between(asset, &bases, &back, of(asset, Phase::ends_recovery), true);
            }
        }
        for base in &names {
            if let Some(tops) = above.get(base) {
                self.between(base, tops, &stopped, of(base, |p| matches!(p, Phase::Contain | Phase::Recover)), false);
            }
        }
    }

    /// Steps of one asset wait for what was done to others; a step of both waits for neither.
    fn between(&mut self, asset: &str, others: &[&'a str], nodes: &HashMap<&str, Node>, steps: Vec<usize>, up: bool) {
        let place = |b: &Build<'_>, id: &str| {
            let keys = b.places.assets.get(id);
            keys.map_or(Span::default(), |k| if k.has("depends_on") { k.value("depends_on") } else { k.value("rebuild") })
        };
        let why = |other: &str| match up {
            true => format!("`{asset}` stands on `{other}`"),
            false => format!("`{other}` stands on `{asset}`, and is stopped before it"),
        };
        let reasons: Vec<Reason> =
            others.iter().filter_map(|o| Some((*nodes.get(o)?, why(o), place(self, if up { asset } else { o })))).collect();
        if reasons.is_empty() || steps.is_empty() {
            return;
        }
        let scenario = self.scenario;
        let shared = |i: usize| scenario.steps[i].assets.iter().any(|a| others.contains(&a.as_str()));
        if reasons.len() == 1 {
            let (node, why, at) = reasons[0].clone();
            steps.into_iter().filter(|&i| !shared(i)).for_each(|i| self.wait(i, node, why.clone(), at));
            return;
        }
        let at = reasons[0].2;
        let (what, why) = match up {
            true => (format!("all that `{asset}` stands on is back"), format!("all that `{asset}` stands on comes back first")),
            false => (format!("all that stands on `{asset}` is stopped"), format!("all that stands on `{asset}` is stopped first")),
        };
        let node = self.gather(&what, reasons).expect("several reasons make a join");
        steps.into_iter().filter(|&i| !shared(i)).for_each(|i| self.wait(i, node, why.clone(), at));
    }

    /// Assets with steps here on which one stands, directly or through assets without; by name.
    fn stands_on(&self, asset: &'a str, steps_of: &HashMap<&'a str, Vec<usize>>) -> Vec<&'a str> {
        let plan = self.plan;
        let weak_counts = self.scenario.cause == Cause::Planned;
        let mut found = Vec::new();
        let mut seen = BTreeSet::from([asset]);
        let mut open = vec![asset];
        while let Some(id) = open.pop() {
            let Some(here) = plan.assets.get(id) else { continue };
            let strong = here.depends_on.iter().filter(|d| weak_counts || !d.weak).map(|d| &d.asset);
            for next in strong.chain(here.rebuild.iter().map(|r| &r.from)).map(String::as_str) {
                if !seen.insert(next) {
                    continue;
                }
                if steps_of.contains_key(next) { found.push(next) } else { open.push(next) }
            }
        }
        found.sort_unstable();
        found
    }
}
