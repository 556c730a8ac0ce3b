//! `latest-too-late`: the newest backup is restored although it was taken after the damage.

use crate::actions::units::duration_text;
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::damages;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    if !damages(facts.scenario) {
        return;
    }
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i)) {
        let newest = ["backup", "until"].iter().any(|key| step.call.with.get(*key).is_some_and(|v| v == "latest"));
        let Some(from) = step.from.as_ref().filter(|_| newest) else { continue };
        let backups = step.assets.iter().filter_map(|id| facts.plan.assets.get(id)).flat_map(|a| &a.backups);
        let Some(backup) = backups.into_iter().find(|b| b.id == *from) else { continue };
        let Some(gap) = backup.continuous_ms.or_else(|| facts.gap_ms(backup)) else { continue };
        let next = gap + backup.takes_ms.unwrap_or(0);
        if next > facts.scenario.detect_ms {
            continue;
        }
        let headline = format!("`{}` restores the newest `{from}`, which holds the damage", step.id);
        let label = format!("one is taken every {}: the newest is from after the damage", duration_text(gap));
        let found = Diagnostic::warn("latest-too-late", headline, facts.step(i).keys.value("with"), label);
        let detect = duration_text(facts.scenario.detect_ms);
        let found = found.also(facts.own.keys.value("detect"), format!("the damage is noticed after {detect}"));
        findings
            .push(found.help(
                "restore up to a time from before the damage: `with: { until: \"${params.clean_at}\" }`, a parameter of type `time`",
            ));
    }
}
