//! `drill-proves-nothing`: a `verify` step of a drill looks at production.

use crate::analysis::rehearsal::Rehearsal;
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(drill: &Rehearsal<'_>, findings: &mut Vec<Diagnostic>) {
    if drill.drill.production {
        return;
    }
    for (i, step) in drill.steps().filter(|(i, s)| s.phase == Phase::Verify && !drill.elsewhere(*i)) {
        let headline = format!("`{}` looks at production in drill `{}`", step.id, drill.drill.id);
        let found = Diagnostic::warn("drill-proves-nothing", headline, drill.own.steps[i].keys.at, "it would pass whatever the drill did");
        let found = found.also(drill.at.keys.at, "the drill");
        findings.push(match (step.assets.first(), &step.at) {
            (Some(asset), Some(site)) => {
                found.help(format!("in the drill, add `connect: {{ {asset}: {{ {site}: {{ … }} }} }}`, or `skip: [{}]`", step.id))
            }
            _ => found.help(format!("use a parameter in it that the drill sets by `with`, or add `skip: [{}]`", step.id)),
        });
    }
}
