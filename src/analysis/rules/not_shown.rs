//! `not-shown`: an asset with an objective that nothing looks at after it was brought back.

use crate::actions::units::duration_text;
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, rto) in facts.predictions.iter().filter_map(|(id, p)| Some((id, p.rto_ms?))) {
        let steps = || facts.steps_of(id);
        let last = steps().filter(|(_, s)| s.phase == Phase::Recover).max_by_key(|(i, _)| (facts.schedule.end_ms[*i], *i));
        let Some((last, step)) = last else { continue };
        if step.check.is_some() || steps().any(|(_, s)| s.phase == Phase::Verify) {
            continue;
        }
        let headline = format!("nothing shows that `{id}` is back");
        let label = format!("`{}` ends well, and nobody has looked at `{id}`", step.id);
        let found = Diagnostic::warn("not-shown", headline, facts.step(last).keys.at, label);
        let asset = facts.plan.assets.get(id);
        let found = match asset.map(|a| facts.objective(a).1) {
            Some(at) => found.also(at, format!("back within {}: a run reports that as met only if it was shown", duration_text(rto))),
            None => found,
        };
        let probe = asset.and_then(|a| crate::actions::all().iter().find(|x| x.name.ends_with(".check") && x.kinds.contains(&a.kind)));
        let probe = probe.map_or("http.check", |a| a.name);
        findings.push(found.help(format!("add a step after it: `{{ id: {id}-is-back, asset: {id}, phase: verify, uses: {probe}, takes: 5s }}`, with what you expect in `with`")));
    }
}
