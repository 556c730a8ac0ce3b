//! Knots of a graph: nodes that lead to each other. It knows numbers only.

use petgraph::graph::{DiGraph, NodeIndex};

/// Groups of nodes that lead to each other, each in order, the groups by their first node. A node that leads only to
/// itself is one too.
pub fn knots(nodes: usize, edges: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut graph: DiGraph<(), (), u32> = DiGraph::with_capacity(nodes, edges.len());
    (0..nodes).for_each(|_| {
        graph.add_node(());
    });
    edges.iter().for_each(|&(from, to)| {
        graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), ());
    });
    let alone = |node: NodeIndex| !graph.contains_edge(node, node);
    // `kosaraju_scc` does not recurse; the other one would overflow on a long plan.
    let groups = petgraph::algo::kosaraju_scc(&graph).into_iter().filter(|c| c.len() > 1 || !alone(c[0]));
    let mut out: Vec<Vec<usize>> = groups
        .map(|c| {
            let mut group: Vec<usize> = c.into_iter().map(NodeIndex::index).collect();
            group.sort_unstable();
            group
        })
        .collect();
    out.sort();
    out
}
