//! The order of a plan for Graphviz: every step and every shared point, each edge with its reason.

use super::{escape, view};
use crate::analysis::Checked;
use crate::model::{Node, Wait};

/// The graph in the DOT language. With `critical` the steps of the longest way are filled.
pub fn render(checked: &Checked, critical: bool) -> String {
    let longest = if critical { view::critical(checked) } else { Default::default() };
    let compiled = checked.compiled();
    let numbers = view::numbers(&view::order(checked));
    let mut out = format!("digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box];\n", escape::dot(&compiled.scenario.id));
    for (i, step) in compiled.scenario.steps.iter().enumerate() {
        let label = format!("{}. {}\\n{}", numbers[i], escape::dot(&step.id), step.phase);
        let bold = if compiled.point_of_no_return.as_ref() == Some(&step.id) { ", penwidth=3" } else { "" };
        let fill = if longest.contains(&i) { ", style=filled" } else { "" };
        let tip = escape::dot(&view::title(compiled, step));
        out.push_str(&format!("  s{i} [label=\"{label}\", tooltip=\"{tip}\"{bold}{fill}];\n"));
    }
    for (j, join) in compiled.joins.iter().enumerate() {
        out.push_str(&format!("  j{j} [shape=ellipse, label=\"{}\"];\n", escape::dot(&join.what)));
    }
    let edges = |out: &mut String, to: String, waits: &[Wait]| {
        for wait in waits {
            let from = match wait.on {
                Node::Step(i) => format!("s{i}"),
                Node::Join(j) => format!("j{j}"),
            };
            out.push_str(&format!("  {from} -> {to} [label=\"{}\"];\n", escape::dot(&wait.why)));
        }
    };
    compiled.waits.iter().enumerate().for_each(|(i, waits)| edges(&mut out, format!("s{i}"), waits));
    compiled.joins.iter().enumerate().for_each(|(j, join)| edges(&mut out, format!("j{j}"), &join.waits));
    out.push_str("}\n");
    out
}
