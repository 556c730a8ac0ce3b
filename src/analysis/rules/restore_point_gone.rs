//! `restore-point-gone`: the newest backup from before the damage may be deleted by the time the restore begins.

use crate::actions::units::duration_text;
use crate::analysis::facts::Facts;
use crate::analysis::loss::{builds_on_another, reach_ms};
use crate::diagnostic::Diagnostic;
use crate::model::damages;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    if !damages(facts.scenario) {
        return;
    }
    let steps = facts.scenario.steps.iter().enumerate().filter(|(i, s)| facts.runs(*i) && s.from.is_some());
    for (i, step) in steps {
        for id in &step.assets {
            let Some(asset) = facts.plan.assets.get(id).filter(|_| facts.loses(id)) else { continue };
            let mut next = step.from.as_deref();
            // A circle of bases is another mistake.
            for _ in 0..asset.backups.len() {
                let Some((n, backup)) = asset.backups.iter().enumerate().find(|(_, b)| Some(b.id.as_str()) == next) else { break };
                next = backup.base.as_deref().filter(|_| builds_on_another(backup));
                let Some(gap) = backup.continuous_ms.or_else(|| facts.gap_ms(backup)) else { continue };
                let whole = facts.damage(|d| d.whole(id, asset, backup).into_iter().map(|l| (l, l.keep)).collect::<Vec<_>>());
                let reaches = |keep: Option<&serde_json::Value>| keep.map_or(Some(u64::MAX), |k| reach_ms(k, facts.samples.of(backup)));
                let Some((kept, place)) = whole.into_iter().filter_map(|(l, keep)| Some((reaches(keep)?, l))).max_by_key(|(ms, _)| *ms)
                else {
                    continue;
                };
                let begins = facts.scenario.detect_ms + facts.scenario.decide_ms + facts.schedule.start_ms[i];
                let old = begins + gap + backup.takes_ms.unwrap_or(0);
                // One that is gone before the next one is there is another mistake.
                if kept >= old || kept < gap + backup.takes_ms.unwrap_or(0) {
                    continue;
                }
                let Some(places) = facts.places.backups.get(id).and_then(|b| b.get(n)) else { continue };
                let headline = format!("the newest `{}` of `{id}` from before the damage may be gone when `{}` begins", backup.id, step.id);
                let label = format!("it begins {} after the damage", duration_text(begins));
                let found = Diagnostic::warn("restore-point-gone", headline, facts.step(i).keys.value("from"), label);
                let found = found.also(
                    place.keys(places).value("keep"),
                    format!("kept {}; it may be {} old by then", duration_text(kept), duration_text(old)),
                );
                let found = found.also(facts.own.keys.value("detect"), "noticed only then");
                findings.push(found.help(format!("keep it for {} or more", duration_text(old))));
            }
        }
    }
}
