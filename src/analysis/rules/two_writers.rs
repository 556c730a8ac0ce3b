//! `two-writers`: an order in which two copies of an asset take writes at once.

use super::promote_before_fence::early;
use crate::actions::{self, Deed};
use crate::analysis::facts::{Facts, promotes};
use crate::analysis::states::{Kind, said};
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let early = early(facts);
    for (bad, found) in said::found(facts, Kind::TwoWriters, "two-writers", "lets two copies of {asset} take writes") {
        // That it does not wait for the fence was said, and what to type.
        if early.iter().any(|(i, _, asset)| (*i, *asset) == (bad.step, bad.asset.as_str())) {
            continue;
        }
        let Some(asset) = facts.plan.assets.get(&bad.asset) else { continue };
        let fence = |i: usize| facts.fences.binary_search(&i).is_ok();
        let site = bad.other.as_ref().map(|s| format!("at: {s}, ")).unwrap_or_default();
        let action = actions::all().iter().find(|a| a.deed == Deed::StopsWrites && a.kinds.contains(&asset.kind));
        let action = action.map_or("command, check: …", |a| a.name);
        let sample = format!(
            "{{ id: fence, asset: {}, {site}phase: contain, uses: {action}, when_unreachable: ask, takes: 20s, undo: auto }}",
            bad.asset
        );
        let by_step = bad.before.iter().map(|(i, _)| &facts.scenario.steps[*i]).find(|s| promotes(s) && s.at == bad.other);
        let help = match (said::passed_over(facts, bad, &|i, _| fence(i)), by_step) {
            (Some(help), _) => help,
            (None, Some(other)) => {
                format!(
                    "let only one of `{}` and `{}` run: `when` on one value, each with another one",
                    other.id, facts.scenario.steps[bad.step].id
                )
            }
            (None, None) => format!("write above it: `{sample}`"),
        };
        findings.push(found.help(help));
    }
}
