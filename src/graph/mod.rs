//! What must come before what, why, and how long it takes. It does not know whether that is good enough.

pub mod cycle;
pub mod order;
pub mod schedule;
pub mod shape;

use petgraph::graph::{DiGraph, NodeIndex};

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
        let mut dag: DiGraph<(), (), u32> = DiGraph::with_capacity(total, total * 2);
        (0..total).for_each(|_| {
            dag.add_node(());
        });
        let mut before = vec![Vec::new(); total];
        let mut after = vec![Vec::new(); total];
        let all = compiled.waits.iter().chain(compiled.joins.iter().map(|j| &j.waits));
        if compiled.waits.len() != steps {
            return None;
        }
        for (node, waits) in all.enumerate() {
            for wait in waits {
                let on = index(wait.on)?;
                dag.add_edge(NodeIndex::new(on), NodeIndex::new(node), ());
                before[node].push(on as u32);
                after[on].push(node as u32);
            }
        }
        let order: Vec<u32> = petgraph::algo::toposort(&dag, None).ok()?.into_iter().map(|n| n.index() as u32).collect();
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
