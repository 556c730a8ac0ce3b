//! `unverified-traffic`: an order in which traffic goes to what nothing has shown to be well.

use crate::analysis::facts::Facts;
use crate::analysis::states::{Kind, said};
use crate::diagnostic::Diagnostic;
use crate::model::Phase;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let headline = "can send traffic to {asset} before it is shown to be well";
    for (bad, found) in said::found(facts, Kind::Unverified, "unverified-traffic", headline) {
        let step = &facts.scenario.steps[bad.step];
        let help = said::passed_over(facts, bad, &|_, s| s.phase == Phase::Verify);
        let shows = facts.steps_of(&bad.asset).filter(|(_, s)| s.phase == Phase::Verify).last();
        findings.push(found.help(help.unwrap_or_else(|| match (shows, &step.needs) {
            (Some((_, shows)), Some(_)) => format!("add `{}` to its `needs`", shows.id),
            (Some((_, shows)), None) => format!("write it below `{}`, or give it `needs: [{}]`", shows.id, shows.id),
            (None, _) => format!("write above it a `verify` step that looks at `{}`", bad.asset),
        })));
    }
}
