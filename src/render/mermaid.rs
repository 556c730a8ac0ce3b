//! The order of a plan as a Mermaid flowchart: steps by phase, or, where there are many, how many of which asset. An edge
//! that others imply is left out. It shows texts; it cannot be made to run them.

use std::collections::{BTreeMap, BTreeSet};

use super::{escape, view};
use crate::actions::Phase;
use crate::analysis::Checked;
use crate::model::Node;

/// More steps than this are drawn as groups: Mermaid stops at 500 edges, and a reader long before.
const MOST_STEPS: usize = 60;

const PHASES: [Phase; 6] = [Phase::Assess, Phase::Contain, Phase::Prepare, Phase::Recover, Phase::Verify, Phase::Close];

/// The flowchart, without a fence. With `critical` the longest way is drawn thick; groups have none.
pub fn render(checked: &Checked, critical: bool) -> String {
    if checked.compiled().scenario.steps.len() > MOST_STEPS { groups(checked) } else { steps(checked, critical) }
}

fn steps(checked: &Checked, critical: bool) -> String {
    let longest = if critical { view::critical(checked) } else { BTreeSet::new() };
    let compiled = checked.compiled();
    let numbers = view::numbers(&view::order(checked));
    let mut out = "flowchart TD\n".to_owned();
    for phase in PHASES {
        let of: Vec<usize> = (0..compiled.scenario.steps.len()).filter(|i| compiled.scenario.steps[*i].phase == phase).collect();
        if of.is_empty() {
            continue;
        }
        out.push_str(&format!("  subgraph {}\n", phase));
        for i in of {
            let step = &compiled.scenario.steps[i];
            let label = escape::mermaid(&format!("{}. {}", numbers[i], step.id));
            let mark = if compiled.point_of_no_return.as_ref() == Some(&step.id) { ":::noreturn" } else { "" };
            out.push_str(&format!("    s{i}[\"{label}\"]{mark}\n"));
        }
        out.push_str("  end\n");
    }
    for (from, to) in direct_edges(checked) {
        let arrow = if longest.contains(&from) && longest.contains(&to) { "==>" } else { "-->" };
        out.push_str(&format!("  s{from} {arrow} s{to}\n"));
    }
    if compiled.point_of_no_return.is_some() {
        out.push_str("  classDef noreturn stroke-width:4px\n");
    }
    out
}

/// Edges between steps, joins looked through, without those that a longer way implies.
pub fn direct_edges(checked: &Checked) -> BTreeSet<(usize, usize)> {
    let compiled = checked.compiled();
    let before: Vec<BTreeSet<usize>> =
        compiled.waits.iter().map(|ws| ws.iter().flat_map(|w| view::steps_before(compiled, w.on)).collect()).collect();
    let mut above: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); before.len()];
    for i in view::order(checked) {
        above[i] = before[i].iter().flat_map(|b| above[*b].iter().copied().chain([*b])).collect();
    }
    let implied = |from: usize, to: usize| before[to].iter().any(|b| above[*b].contains(&from));
    let all = before.iter().enumerate().flat_map(|(to, from)| from.iter().map(move |f| (*f, to)));
    all.filter(|(from, to)| !implied(*from, *to)).collect()
}

/// One node for each phase of each asset, with the number of its steps.
fn groups(checked: &Checked) -> String {
    let compiled = checked.compiled();
    let key = |i: usize| {
        let step = &compiled.scenario.steps[i];
        (step.phase, step.assets.first().cloned().unwrap_or_default())
    };
    let mut count: BTreeMap<(Phase, String), usize> = BTreeMap::new();
    (0..compiled.scenario.steps.len()).for_each(|i| *count.entry(key(i)).or_default() += 1);
    // Where even the assets are many, the phases alone stay readable.
    let by_asset = count.len() <= MOST_STEPS;
    let group = |i: usize| if by_asset { key(i) } else { (key(i).0, String::new()) };
    let mut nodes: BTreeMap<(Phase, String), usize> = BTreeMap::new();
    (0..compiled.scenario.steps.len()).for_each(|i| *nodes.entry(group(i)).or_default() += 1);
    let ids: BTreeMap<&(Phase, String), usize> = nodes.keys().enumerate().map(|(n, k)| (k, n)).collect();
    let mut out = "flowchart TD\n".to_owned();
    for (key, n) in &nodes {
        let asset = if key.1.is_empty() { String::new() } else { format!(" {}", key.1) };
        let label = escape::mermaid(&format!("{}{asset}: {n} step{}", key.0, if *n == 1 { "" } else { "s" }));
        out.push_str(&format!("  g{}[\"{label}\"]\n", ids[key]));
    }
    let mut edges = BTreeSet::new();
    for (to, waits) in compiled.waits.iter().enumerate() {
        for wait in waits {
            let from = match wait.on {
                Node::Step(i) => BTreeSet::from([group(i as usize)]),
                join => view::steps_before(compiled, join).into_iter().map(group).collect(),
            };
            edges.extend(from.into_iter().filter(|f| *f != group(to)).map(|f| (ids[&f], ids[&group(to)])));
        }
    }
    edges.iter().for_each(|(from, to)| out.push_str(&format!("  g{from} --> g{to}\n")));
    out
}
