//! What must come before what, why, and how long it takes. It does not know whether that is good enough.

pub mod cycle;
mod knots;
pub mod order;
pub mod schedule;
pub mod shape;
pub mod way;

use crate::model::{Compiled, Node};

/// The order of a compiled plan as dense indices: steps first, then joins.
#[derive(Debug, Clone)]
pub struct Graph {
    /// How many steps there are; node `steps + j` is join `j`.
    pub steps: usize,
    /// Nodes that a node waits for.
    pub before: Vec<Vec<u32>>,
    /// Nodes that wait for a node.
    pub after: Vec<Vec<u32>>,
    /// All nodes, each after those that it waits for.
    pub order: Vec<u32>,
    /// The longest way from a node's start to the end, its own time included, in milliseconds.
    pub tail_ms: Vec<u64>,
}

impl Graph {
    /// The graph of a compiled plan; none if it has a cycle or an edge to nowhere.
    pub fn of(compiled: &Compiled) -> Option<Graph> {
        let steps = compiled.scenario.steps.len();
        let total = steps + compiled.joins.len();
        let index = |node: Node| match node {
            Node::Step(i) => Some(i as usize).filter(|i| *i < steps),
            Node::Join(j) => Some(steps + j as usize).filter(|j| *j < total),
        };
        if compiled.waits.len() != steps {
            return None;
        }
        let all = || compiled.waits.iter().chain(compiled.joins.iter().map(|j| &j.waits)).enumerate();
        let mut before: Vec<Vec<u32>> = Vec::with_capacity(total);
        let mut followers = vec![0usize; total];
        for (_, waits) in all() {
            let on: Option<Vec<u32>> = waits.iter().map(|w| index(w.on).map(|n| n as u32)).collect();
            let on = on?;
            on.iter().for_each(|&n| followers[n as usize] += 1);
            before.push(on);
        }
        let mut after: Vec<Vec<u32>> = followers.into_iter().map(Vec::with_capacity).collect();
        for (node, on) in before.iter().enumerate() {
            on.iter().for_each(|&n| after[n as usize].push(node as u32));
        }
        let order = sorted(&before, &after)?;
        let takes = schedule::durations(compiled);
        let mut tail_ms = vec![0; total];
        for &node in order.iter().rev() {
            let node = node as usize;
            let own = takes.get(node).copied().unwrap_or(0);
            tail_ms[node] = own + after[node].iter().map(|&n| tail_ms[n as usize]).max().unwrap_or(0);
        }
        Some(Graph { steps, before, after, order, tail_ms })
    }
}

/// All nodes, each after those that it waits for, otherwise as they are written; none if there is a cycle.
fn sorted(before: &[Vec<u32>], after: &[Vec<u32>]) -> Option<Vec<u32>> {
    let mut open: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut order: Vec<u32> = (0..before.len() as u32).filter(|&n| open[n as usize] == 0).collect();
    let mut next = 0;
    while let Some(&node) = order.get(next) {
        next += 1;
        for &follower in &after[node as usize] {
            open[follower as usize] -= 1;
            if open[follower as usize] == 0 {
                order.push(follower);
            }
        }
    }
    (order.len() == before.len()).then_some(order)
}
