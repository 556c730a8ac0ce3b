//! `unfenced-promote`: a promotion while the old primary's site survives, and nothing keeps the old one from taking writes.

use foldhash::HashSet;

use crate::actions;
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    if facts.scenario.undoes.is_some() {
        return;
    }
    let fenced: HashSet<&str> = facts.fences.iter().flat_map(|&i| facts.scenario.steps[i].assets.iter().map(String::as_str)).collect();
    for (i, step) in facts.running(&facts.promotions) {
        for (id, asset) in step.assets.iter().filter_map(|id| Some((id, facts.plan.assets.get(id)?))) {
            let Some(site) = asset.sites.iter().find(|s| !facts.lost_sites.contains(*s) && Some(*s) != step.at.as_ref()) else { continue };
            if fenced.contains(id.as_str()) {
                continue;
            }
            let headline = format!("`{}` promotes `{id}`, and nothing fences the old one", step.id);
            let label = "two of them could take writes: what each takes alone is lost";
            let found = Diagnostic::warn("unfenced-promote", headline, facts.step(i).keys.at, label);
            let found = found.also(
                facts.asset_keys(id).value("site"),
                format!("`{site}` is not lost in scenario `{}`: it may come back", facts.scenario.id),
            );
            let fence = actions::all().iter().find(|a| a.name.ends_with(".fence") && a.kinds.contains(&asset.kind));
            let action = fence.map_or("command, check: …", |a| a.name);
            let sample = format!(
                "{{ id: fence, asset: {id}, at: {site}, phase: contain, uses: {action}, when_unreachable: ask, takes: 20s, undo: auto }}"
            );
            findings.push(found.help(format!("write above it: `{sample}`")));
        }
    }
}
