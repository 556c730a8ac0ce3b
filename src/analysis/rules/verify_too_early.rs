//! `verify-too-early`: a step that shows an asset to be back before anything has brought it back.

use foldhash::{HashMap, HashMapExt};

use crate::analysis::facts::{Facts, changes};
use crate::diagnostic::Diagnostic;
use crate::model::{Id, Phase, Step};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let brings = |s: &Step| s.phase == Phase::Recover || s.phase == Phase::Prepare && changes(s);
    // By asset: the step that first brings something back, and when that ends.
    let mut first: HashMap<&str, (u64, usize)> = HashMap::new();
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, s)| facts.runs(*i) && brings(s)) {
        for asset in &step.assets {
            let this = (facts.schedule.end_ms[i], i);
            first.entry(asset).and_modify(|at| *at = this.min(*at)).or_insert(this);
        }
    }
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, s)| s.phase == Phase::Verify && facts.runs(*i)) {
        let brought = || step.assets.iter().filter_map(|asset| Some((asset, *first.get(asset.as_str())?)));
        let waits = |asset: &Id, soonest: u64| {
            let other = |j: usize| brings(&facts.scenario.steps[j]) && facts.scenario.steps[j].assets.contains(asset);
            facts.waits_for(i, soonest, &other)
        };
        // One that looks at several assets cannot wait for all of them: what stands on the others waits for it.
        let Some((asset, (_, by))) = brought().next().filter(|_| !brought().any(|(asset, (soonest, _))| waits(asset, soonest))) else {
            continue;
        };
        let bringer = &facts.scenario.steps[by];
        let headline = format!("`{}` looks at `{asset}` before anything has brought it back", step.id);
        let label = "what it sees here is what was there before, and it counts as shown";
        let found = Diagnostic::warn("verify-too-early", headline, facts.step(i).keys.at, label);
        let found = found.also(facts.step(by).keys.at, format!("this brings `{asset}` back"));
        findings.push(found.help(match step.needs {
            Some(_) => format!("write `needs: [{}]`; or `phase: assess`, if it looks at what is left", bringer.id),
            None => format!("write it below `{}`; or `phase: assess`, if it looks at what is left", bringer.id),
        }));
    }
}
