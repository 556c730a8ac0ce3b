//! What decided when a step ended: the chain of steps before it, each with what it waited for last, and how much later each
//! may end without harm. It looks at a schedule; it makes none.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Graph;
use super::schedule::{Schedule, Scheduler};

/// A step of the chain that decided when something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The step, by index.
    pub step: usize,
    /// What it waited for last.
    pub after: After,
}

/// What a step waited for last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Nothing: it began with the run.
    Start,
    /// A step that must come before it.
    Order(usize),
    /// A step that had its asset or lock.
    Lock(usize),
    /// A step that had the slot.
    Slot(usize),
}

/// The chain of steps that decided when a step ended, the first one first. What takes no time is passed through.
pub fn way(scheduler: &Scheduler<'_>, graph: &Graph, schedule: &Schedule, takes: &[u64], last: usize) -> Vec<Link> {
    let length = |n: usize| takes.get(n).copied().unwrap_or(0);
    let mut out = Vec::new();
    let mut at = last;
    loop {
        let (step, after, next) = match before(scheduler, graph, schedule, takes, at) {
            After::Order(on) => {
                // Joins and what takes no time were over with whatever they waited for.
                let mut on = on;
                while length(on) == 0
                    && let Some(next) = latest(graph, schedule, on)
                {
                    on = next;
                }
                let long = length(on) > 0;
                (at, if long { After::Order(on) } else { After::Start }, long.then_some(on))
            }
            After::Lock(on) => (at, After::Lock(on), Some(on)),
            After::Slot(on) => (at, After::Slot(on), Some(on)),
            After::Start => (at, After::Start, None),
        };
        if step < graph.steps && length(step) > 0 {
            out.push(Link { step, after });
        }
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    out.reverse();
    out
}

/// Of what a node waits for the one that was done last; of several the one written first.
pub fn latest(graph: &Graph, schedule: &Schedule, node: usize) -> Option<usize> {
    graph.before[node].iter().map(|&n| n as usize).max_by_key(|&n| (schedule.end_ms[n], Reverse(n)))
}

fn before(scheduler: &Scheduler<'_>, graph: &Graph, schedule: &Schedule, takes: &[u64], node: usize) -> After {
    let start = schedule.start_ms[node];
    match latest(graph, schedule, node) {
        Some(on) if schedule.end_ms[on] >= start => return After::Order(on),
        None if start == 0 => return After::Start,
        _ => {}
    }
    let ended = || (0..graph.steps).filter(|&n| takes[n] > 0 && schedule.end_ms[n] == start);
    let lock = ended().find(|&n| scheduler.excludes(n, node)).map(After::Lock);
    let slot = || ended().find(|&n| scheduler.needs_slot(n, takes)).map(After::Slot);
    lock.or_else(slot).unwrap_or(After::Start)
}

/// How much later each step may end, in milliseconds, so that every step still ends by its own limit, if locks and slots go
/// round as they do in the schedule. Less than nothing: so much too late it is.
pub fn slack_ms(scheduler: &Scheduler<'_>, graph: &Graph, schedule: &Schedule, takes: &[u64], limit_ms: &[i64]) -> Vec<i64> {
    let n = graph.steps;
    let mut later: Vec<Vec<usize>> = vec![Vec::new(); n];
    for (before, after) in scheduler.handovers(schedule, takes) {
        later[before].push(after);
    }
    let mut place = vec![0; graph.before.len()];
    graph.order.iter().enumerate().for_each(|(i, &node)| place[node as usize] = i);
    let mut nodes: Vec<usize> = (0..graph.before.len()).collect();
    nodes.sort_by_key(|&node| Reverse((schedule.start_ms[node], place[node])));
    let length = |node: usize| signed(takes.get(node).copied().unwrap_or(0));
    let mut latest_end: Vec<i64> = (0..graph.before.len()).map(|node| limit_ms.get(node).copied().unwrap_or(i64::MAX)).collect();
    for node in nodes {
        let followers = graph.after[node].iter().map(|&f| f as usize);
        let held = later.get(node).into_iter().flatten().copied();
        let soonest = followers.chain(held).map(|f| latest_end[f].saturating_sub(length(f))).min();
        latest_end[node] = latest_end[node].min(soonest.unwrap_or(i64::MAX));
    }
    (0..n).map(|i| latest_end[i].saturating_sub(signed(schedule.end_ms[i]))).collect()
}

/// A time of a schedule as a number that can be less than nothing.
pub fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// Who gave a slot to whom, if nobody takes one that was used while another never was.
pub(super) fn slots(scheduler: &Scheduler<'_>, schedule: &Schedule, takes: &[u64], limit: usize) -> Vec<(usize, usize)> {
    let mut steps: Vec<usize> = (0..takes.len()).filter(|&i| scheduler.needs_slot(i, takes)).collect();
    steps.sort_by_key(|&i| (schedule.start_ms[i], i));
    // By the end of who had it last.
    let mut used: BTreeMap<(u64, usize), ()> = BTreeMap::new();
    let mut fresh = limit;
    let mut out = Vec::new();
    for step in steps {
        if fresh > 0 {
            fresh -= 1;
        } else if let Some(((_, before), ())) = used.pop_first() {
            out.push((before, step));
        }
        used.insert((schedule.end_ms[step], step), ());
    }
    out
}
