//! `promote-primary`: a promotion of the one that is the primary already.

use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Cause;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    // A planned move, or one that undoes another, may begin with the primary elsewhere.
    if facts.scenario.undoes.is_some() || facts.scenario.cause == Cause::Planned {
        return;
    }
    for (i, step) in facts.promotions.iter().map(|&i| (i, &facts.scenario.steps[i])) {
        let Some(site) = &step.at else { continue };
        for (id, asset) in step.assets.iter().filter_map(|id| Some((id, facts.plan.assets.get(id)?))) {
            if asset.sites.len() != 1 || !asset.sites.contains(site) {
                continue;
            }
            let headline = format!("`{}` promotes `{id}` where it is the primary already", step.id);
            let found =
                Diagnostic::warn("promote-primary", headline, facts.step(i).keys.value("at"), "the primary stands here, not a replica");
            let found = found.also(facts.asset_keys(id).value("site"), format!("the site of `{id}` itself"));
            findings.push(found.help(match asset.replicas.iter().find(|r| !facts.lost_sites.contains(&r.site)) {
                Some(replica) => format!("write `at: {}`, where its replica stands", replica.site),
                None => format!("add to `{id}` the replica that is promoted, and write its site as `at`"),
            }));
        }
    }
}
