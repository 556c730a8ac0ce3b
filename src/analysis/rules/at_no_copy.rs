//! `at-no-copy`: a step that acts on an asset at a site where no copy of it stands, and would act on another one.

use crate::actions::{self, AssetKind};
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;

/// Kinds that stand at a site as a server does; the others are reached in the same way from everywhere.
const SERVERS: [AssetKind; 5] = [AssetKind::Postgres, AssetKind::Clickhouse, AssetKind::Redis, AssetKind::Sqlite, AssetKind::Kubernetes];

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    for (i, step) in facts.scenario.steps.iter().enumerate() {
        let (Some(site), Some(action)) = (&step.at, actions::find(&step.call.uses)) else { continue };
        let acts_on =
            |id: &&String| facts.plan.assets.get(*id).is_some_and(|a| action.kinds.contains(&a.kind) && SERVERS.contains(&a.kind));
        let Some((id, asset)) = step.assets.iter().find(acts_on).and_then(|id| Some((id, facts.plan.assets.get(id)?))) else { continue };
        let places = || asset.sites.iter().chain(asset.replicas.iter().map(|r| &r.site));
        let keys = &facts.step(i).keys;
        if places().any(|s| s == site) || !keys.has("at") {
            continue;
        }
        let own = asset.sites.first().map_or("its own site", String::as_str);
        let headline = format!("`{}` acts on `{id}` at `{site}`, where no copy of it stands", step.id);
        let label = format!("it would reach the one at `{own}` instead");
        let found = Diagnostic::deny("at-no-copy", headline, keys.value("at"), label);
        let found = found.also(
            facts.asset_keys(id).at,
            format!("it stands at {}", places().take(4).map(|p| format!("`{p}`")).collect::<Vec<_>>().join(", ")),
        );
        let surviving = places().find(|p| !facts.lost_sites.contains(*p)).or(places().next());
        findings.push(found.help(match surviving {
            Some(place) => format!("write `at: {place}`; or add a replica at `{site}` to `{id}`"),
            None => format!("add a replica at `{site}` to `{id}`"),
        }));
    }
}
