//! `promote-before-fence`: a new primary that can take writes while the old one still does.

use foldhash::{HashMap, HashMapExt};

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

/// Promotions that do not wait for the fence of their asset, each with that fence.
pub(super) fn early<'a>(facts: &Facts<'a>) -> Vec<(usize, usize, &'a str)> {
    let steps = &facts.scenario.steps;
    let mut fence_of: HashMap<&str, (u64, usize)> = HashMap::new();
    for (i, step) in facts.running(&facts.fences) {
        for asset in &step.assets {
            let this = (facts.schedule.end_ms[i], i);
            fence_of.entry(asset).and_modify(|at| *at = this.min(*at)).or_insert(this);
        }
    }
    let mut found = Vec::new();
    for (i, step) in facts.running(&facts.promotions) {
        for asset in &step.assets {
            let Some(&(soonest, fence)) = fence_of.get(asset.as_str()) else { continue };
            let other = |j: usize| facts.fences.binary_search(&j).is_ok() && steps[j].assets.contains(asset);
            if !facts.waits_for(i, soonest, &other) {
                found.push((i, fence, asset.as_str()));
            }
        }
    }
    found
}

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, fence, asset) in early(facts) {
        let (step, fence_step) = (&facts.scenario.steps[i], &facts.scenario.steps[fence]);
        let headline = format!("`{}` does not wait until the old `{asset}` is fenced", step.id);
        let found = Diagnostic::deny("promote-before-fence", headline, facts.step(i).keys.at, "two of them could take writes");
        let found = found.also(facts.step(fence).keys.at, "this fences the old one");
        let turned = facts.waits_for(fence, facts.schedule.end_ms[i], &|j| j == i);
        findings.push(found.help(match (turned, step.needs.is_some()) {
            (true, _) => format!("give `{}` phase `contain`, and write it above `{}`", fence_step.id, step.id),
            (false, true) => format!("add `{}` to the `needs` of `{}`", fence_step.id, step.id),
            (false, false) => format!("write `needs: [{}]` in `{}`", fence_step.id, step.id),
        }));
    }
}
