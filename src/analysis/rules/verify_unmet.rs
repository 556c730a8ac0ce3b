//! `verify-unmet`: a backup is to be seen or restored so often, and nothing in the plan does that.

use crate::actions::units::duration_text;
use crate::analysis::rehearsal::left_out;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::{Backup, Id, target_of};

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (asset, _, backup, at) in whole.backups() {
        let Some(verify) = &backup.verify else { continue };
        let name = format!("{asset}.{}", backup.id);
        if verify.exists_ms.is_some() && !seen(whole, backup) {
            let headline = format!("nothing sees that backup `{name}` is there");
            let found = Diagnostic::warn("verify-unmet", headline, at.verify.key("exists"), "no `s3.check` looks at its place");
            findings.push(found.help(format!("add a step that `uses: s3.check` at {}, or leave `exists` out", backup.to)));
        }
        if let Some(wanted) = verify.restore_ms {
            let drills = whole.drills.iter().filter(|d| restores(whole, d, asset, backup));
            let most = drills.min_by_key(|d| d.every_ms);
            if most.is_some_and(|d| d.every_ms <= wanted) {
                continue;
            }
            let place = at.verify.key("restore");
            let (headline, label) = match most {
                None => (format!("no drill restores backup `{name}`"), "nothing does this".to_owned()),
                Some(d) => (
                    format!("backup `{name}` is restored every {}, not every {}", duration_text(d.every_ms), duration_text(wanted)),
                    format!("drill `{}` is the only one", d.id),
                ),
            };
            let found = Diagnostic::warn("verify-unmet", headline, place, label);
            findings.push(match most {
                None => found.help(format!("add a drill of a scenario that has a step with `from: {}`", backup.id)),
                Some(d) => match whole.places.drills.get(&d.id) {
                    Some(drill) => {
                        found.also(drill.keys.value("every"), "too rare").help(format!("write `every: {}`", duration_text(wanted)))
                    }
                    None => found.help(format!("write `every: {}` in drill `{}`", duration_text(wanted), d.id)),
                },
            });
        }
    }
}

/// Whether some step looks at the place of a backup or of one of its copies.
fn seen(whole: &Whole<'_>, backup: &Backup) -> bool {
    let places: Vec<&str> = std::iter::once(&backup.to).chain(backup.copies.iter().map(|c| &c.to)).map(String::as_str).collect();
    whole.scenarios.iter().flat_map(|s| &s.steps).filter(|s| s.call.uses == "s3.check").any(|step| {
        let Some(target) = target_of(whole.plan, step, &step.call) else { return false };
        let text =
            |map: &serde_json::Map<String, serde_json::Value>, key: &str| map.get(key).and_then(|v| v.as_str()).unwrap_or("").to_owned();
        let prefix =
            [text(&target.connect, "prefix"), text(&step.call.with, "prefix")].into_iter().max_by_key(String::len).unwrap_or_default();
        let looked = format!("s3://{}/{prefix}", text(&target.connect, "bucket"));
        places.iter().any(|place| place.starts_with(&looked) || looked.starts_with(place))
    })
}

/// Whether a drill has a step that restores a backup: itself, or a later link of its chain, which stands on it.
fn restores(whole: &Whole<'_>, drill: &crate::model::Drill, asset: &Id, backup: &Backup) -> bool {
    let Some(scenario) = whole.scenarios.iter().find(|s| s.id == drill.scenario) else { return false };
    let out = left_out(drill, scenario);
    let runs = |s: &&crate::model::Step| !out.contains(&s.id.as_str());
    let backups = whole.plan.assets.get(asset).map_or(&[][..], |a| &a.backups);
    let known = |id: &Id| backups.iter().find(|b| b.id == *id);
    // A chain that goes in a circle is a finding of its own.
    let chain = |from: &Id| {
        let links = std::iter::successors(known(from), |link| known(link.base.as_ref()?));
        links.take(backups.len()).any(|link| link.id == backup.id)
    };
    scenario.steps.iter().filter(runs).any(|s| s.assets.contains(asset) && s.from.as_ref().is_some_and(chain))
}
