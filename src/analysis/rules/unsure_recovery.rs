//! `unsure-recovery`: a step says when an asset was back, and may run before it is.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::OnFailure;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i)) {
        for (asset, at) in &facts.step(i).recovered {
            let own: Vec<usize> = facts.named(asset).filter(|(_, s)| s.phase.ends_recovery()).map(|(n, _)| n).collect();
            let earlier = ancestors(facts, i);
            let unsure = own.iter().map(|&n| (n, &facts.scenario.steps[n])).find_map(|(n, s)| {
                let why = if !facts.runs(n) {
                    "does not run here"
                } else if !earlier.contains(&n) {
                    "does not come before it"
                } else if !s.when.is_empty() {
                    "runs only under a condition"
                } else if s.on_failure == OnFailure::Continue {
                    "may fail and be passed over"
                } else {
                    return None;
                };
                Some((n, format!("`{}` brings it back, and {why}", s.id), format!("add `{}` to its `needs`", s.id)))
            });
            let headline = format!("`{}` may run before `{asset}` is back", step.id);
            let found = |label: String| Diagnostic::deny("unsure-recovery", headline.clone(), *at, label);
            match unsure {
                Some((n, label, help)) => findings.push(found(label).also(facts.step(n).keys.at, "this one").help(help)),
                None if own.is_empty() => {
                    let found = found(format!("no step of this scenario brings `{asset}` back"));
                    findings.push(found.help(format!("leave `${{assets.{asset}.recovered_at}}` out, or name another asset")));
                }
                None => {}
            }
        }
    }
}

/// Every step that surely comes before one.
fn ancestors(facts: &Facts<'_>, step: usize) -> Vec<usize> {
    let mut seen = vec![false; facts.graph.before.len()];
    let mut open = vec![step];
    while let Some(at) = open.pop() {
        for &before in &facts.graph.before[at] {
            if !std::mem::replace(&mut seen[before as usize], true) {
                open.push(before as usize);
            }
        }
    }
    (0..facts.graph.steps).filter(|n| seen[*n]).collect()
}
