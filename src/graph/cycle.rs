//! Cycles, each shown whole: the shortest one of every knot, with the reason and the place of each edge.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt, HashSet};

use super::knots::knots;
use super::order::Order;
use crate::diagnostic::Diagnostic;
use crate::model::{Node, Places, Plan, Scenario};
use crate::source::Span;

/// Starts tried in one knot, so that a large one takes no longer than it is worth.
const STARTS: usize = 64;

/// A finding for each knot of steps that wait for each other; `placed` gives the same order with the places of its
/// reasons, and is asked only if there is one.
pub fn cycles(scenario: &Scenario, order: &Order, placed: &dyn Fn() -> Order, step_at: &dyn Fn(usize) -> Span) -> Vec<Diagnostic> {
    let steps = scenario.steps.len();
    let index = |node: Node| match node {
        Node::Step(i) => i as usize,
        Node::Join(j) => steps + j as usize,
    };
    let total = steps + order.joins.len();
    let waits = |n: usize| if n < steps { &order.waits[n] } else { &order.joins[n - steps].waits };
    let edges: Vec<(usize, usize)> = (0..total).flat_map(|n| waits(n).iter().map(move |w| (n, index(w.on)))).collect();
    if acyclic(total, &edges) {
        return Vec::new();
    }
    let placed = placed();
    let next = |n: usize| waits(n).iter().map(|w| index(w.on)).collect::<Vec<_>>();
    knots(total, &edges).iter().filter_map(|knot| Some(finding(scenario, &placed, &shortest(knot, &next)?, step_at))).collect()
}

/// A finding for each knot of assets that stand on each other.
pub fn asset_cycles(plan: &Plan, places: &Places) -> Vec<Diagnostic> {
    let ids: Vec<&String> = plan.assets.keys().collect();
    let index: HashMap<&str, usize> = ids.iter().enumerate().map(|(i, id)| (id.as_str(), i)).collect();
    let below = |n: usize| -> Vec<usize> {
        let asset = &plan.assets[ids[n]];
        let bases = asset.depends_on.iter().map(|d| &d.asset).chain(asset.rebuild.iter().map(|r| &r.from));
        bases.filter_map(|b| index.get(b.as_str()).copied()).collect()
    };
    let edges: Vec<(usize, usize)> = (0..ids.len()).flat_map(|n| below(n).into_iter().map(move |b| (n, b))).collect();
    if acyclic(ids.len(), &edges) {
        return Vec::new();
    }
    let one = |knot: &Vec<usize>| {
        let path = shortest(knot, &below)?;
        let id = ids[path[0]];
        let keys = places.assets.get(id)?;
        let at = if keys.has("depends_on") { keys.value("depends_on") } else { keys.value("rebuild") };
        let chain: Vec<String> = path.iter().map(|&n| format!("`{}`", ids[n])).collect();
        let found = Diagnostic::deny("cycle", format!("asset `{id}` stands on itself"), at, format!("{} → `{id}`", chain.join(" → ")));
        Some(found.help("leave one of these dependencies out"))
    };
    knots(ids.len(), &edges).iter().filter_map(one).collect()
}

/// True if no way leads round: nearly every plan, found out without building a graph.
fn acyclic(nodes: usize, edges: &[(usize, usize)]) -> bool {
    let mut open = vec![0u32; nodes];
    let mut ends = vec![0usize; nodes + 1];
    edges.iter().for_each(|&(from, to)| {
        open[from] += 1;
        ends[to + 1] += 1;
    });
    (0..nodes).for_each(|n| ends[n + 1] += ends[n]);
    let mut fill = ends.clone();
    let mut waiting = vec![0u32; edges.len()];
    edges.iter().for_each(|&(from, to)| {
        waiting[fill[to]] = from as u32;
        fill[to] += 1;
    });
    let mut done: Vec<usize> = (0..nodes).filter(|&n| open[n] == 0).collect();
    let mut next = 0;
    while let Some(&node) = done.get(next) {
        next += 1;
        for &from in &waiting[ends[node]..ends[node + 1]] {
            open[from as usize] -= 1;
            if open[from as usize] == 0 {
                done.push(from as usize);
            }
        }
    }
    done.len() == nodes
}

/// The shortest way round within a knot, from a step if there is one in it.
fn shortest(knot: &[usize], next: &dyn Fn(usize) -> Vec<usize>) -> Option<Vec<usize>> {
    let inside: HashSet<usize> = knot.iter().copied().collect();
    let mut best: Option<Vec<usize>> = None;
    for &start in knot.iter().take(STARTS) {
        let mut from: HashMap<usize, usize> = HashMap::new();
        let mut open = VecDeque::from([start]);
        'search: while let Some(at) = open.pop_front() {
            for to in next(at).into_iter().filter(|n| inside.contains(n)) {
                if to == start {
                    let mut path = vec![at];
                    while let Some(&before) = from.get(path.last().unwrap_or(&start)) {
                        path.push(before);
                    }
                    path.reverse();
                    if best.as_ref().is_none_or(|b| path.len() < b.len()) {
                        best = Some(path);
                    }
                    break 'search;
                }
                if to != start && !from.contains_key(&to) {
                    from.insert(to, at);
                    open.push_back(to);
                }
            }
        }
    }
    best
}

fn finding(scenario: &Scenario, order: &Order, path: &[usize], step_at: &dyn Fn(usize) -> Span) -> Diagnostic {
    let steps = scenario.steps.len();
    let name = |n: usize| match n < steps {
        true => format!("`{}`", scenario.steps[n].id),
        false => order.joins[n - steps].what.clone(),
    };
    let edge = |n: usize, to: usize| -> (Span, String) {
        let on = if to < steps { Node::Step(to as u32) } else { Node::Join((to - steps) as u32) };
        let (waits, places) = if n < steps {
            (&order.waits[n], &order.wait_places[n])
        } else {
            (&order.joins[n - steps].waits, &order.join_places[n - steps])
        };
        let found = waits.iter().position(|w| w.on == on);
        let place = found.and_then(|i| places.get(i).copied()).unwrap_or_default();
        let why = found.map_or("", |i| waits[i].why.as_str());
        let text = match n < steps {
            true => format!("{} waits for {}: {why}", name(n), name(to)),
            false => format!("{}: for {}, {why}", name(n), name(to)),
        };
        (place, text)
    };
    let named: Vec<String> = path.iter().filter(|&&n| n < steps).map(|&n| name(n)).collect();
    let headline = format!("{} wait for each other", named.join(", "));
    let mut labels = path.iter().enumerate().map(|(i, &n)| edge(n, path[(i + 1) % path.len()]));
    let first_step = path.iter().copied().find(|&n| n < steps).unwrap_or(0);
    let (span, text) = labels.next().unwrap_or((step_at(first_step), String::new()));
    let found = Diagnostic::deny("cycle", headline, span, text).also_all(labels);
    found.help("say with `needs` which of them starts first, or take one of these reasons away")
}
