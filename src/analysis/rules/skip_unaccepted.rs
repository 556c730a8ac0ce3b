//! `skip-unaccepted`: a fence that may be skipped without anybody having accepted that.

use serde_json::Value;

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::WhenUnreachable;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let steps = &facts.scenario.steps;
    for (i, step) in facts.fences.iter().map(|&i| (i, &steps[i])).filter(|(_, s)| s.when_unreachable == WhenUnreachable::Skip) {
        let before = facts.graph.before_any([i as u32]);
        let accepts = |s: &crate::model::Step| {
            let ids = s.call.with.get("accepts").and_then(Value::as_array);
            ids.is_some_and(|ids| ids.iter().any(|v| v.as_str() == Some(&step.id)))
        };
        if facts.approvals.iter().any(|&j| before[j] && accepts(&steps[j])) {
            continue;
        }
        let headline = format!("fence `{}` may be skipped and nobody accepts that", step.id);
        let at = facts.step(i).keys.value("when_unreachable");
        let found = Diagnostic::deny("skip-unaccepted", headline, at, "two copies could then take writes");
        findings.push(found.help(format!("write `when_unreachable: ask`, or give an approval before it `accepts: [{}]`", step.id)));
    }
}
