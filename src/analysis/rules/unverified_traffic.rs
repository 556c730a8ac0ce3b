//! `unverified-traffic`: an order in which traffic goes to what nothing has shown to be well.

use crate::analysis::facts::Facts;
use crate::analysis::states::{Bad, Kind, said};
use crate::diagnostic::Diagnostic;
use crate::model::{Phase, Step};

/// What to type where a step looks at the asset, and another one changes it after that.
fn changed_after(facts: &Facts<'_>, bad: &Bad) -> Option<String> {
    let steps: Vec<&Step> = bad.before.iter().map(|(i, _)| &facts.scenario.steps[*i]).collect();
    let looks = steps.iter().rposition(|s| s.phase == Phase::Verify && s.assets.contains(&bad.asset))?;
    let changes = steps[looks..].iter().rfind(|s| s.phase != Phase::Verify && s.assets.contains(&bad.asset))?;
    let (look, change) = (&steps[looks].id, &changes.id);
    Some(match steps[looks].needs {
        Some(_) => format!("add `{change}` to the `needs` of `{look}`: it looks at what is there then"),
        None => format!("write `{change}` above `{look}`, and let that wait for it by `needs`: it looks at what is there then"),
    })
}

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let headline = "can send traffic to {asset} before it is shown to be well";
    for (bad, found) in said::found(facts, Kind::Unverified, "unverified-traffic", headline) {
        let step = &facts.scenario.steps[bad.step];
        let late = changed_after(facts, bad);
        let help = said::passed_over(facts, bad, &|_, s| s.phase == Phase::Verify).or(late);
        let shows = facts.steps_of(&bad.asset).filter(|(_, s)| s.phase == Phase::Verify).last();
        findings.push(found.help(help.unwrap_or_else(|| match (shows, &step.needs) {
            (Some((_, shows)), Some(_)) => format!("add `{}` to its `needs`", shows.id),
            (Some((_, shows)), None) => format!("write it below `{}`, or give it `needs: [{}]`", shows.id, shows.id),
            (None, _) => format!("write above it a `verify` step that looks at `{}`", bad.asset),
        })));
    }
}
