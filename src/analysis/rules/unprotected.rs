//! `unprotected`: data with an objective, and nothing that could bring them back.

use crate::actions::units::duration_text;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::{AssetKind, ReplicaMode};

/// Kinds that hold data, whoever says what.
const STORES: [AssetKind; 6] =
    [AssetKind::Postgres, AssetKind::Clickhouse, AssetKind::Redis, AssetKind::Sqlite, AssetKind::S3, AssetKind::Kafka];

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset) in whole.plan.assets.iter().filter(|(_, a)| STORES.contains(&a.kind)) {
        let Some((tier, rpo)) = asset.tier.as_ref().and_then(|t| Some((t, whole.plan.tiers.get(t)?.rpo_ms?))) else { continue };
        let follows = asset.replicas.iter().any(|r| r.mode != ReplicaMode::Standby);
        if follows || asset.sites.len() > 1 || !asset.backups.is_empty() || asset.rebuild.is_some() {
            continue;
        }
        let rpo = duration_text(rpo);
        let keys = &whole.places.assets[id];
        let headline = format!("nothing could bring `{id}` back, and at most {rpo} of it may be lost");
        let found = Diagnostic::warn("unprotected", headline, keys.at, "it has no replica with data, no backup and no `rebuild`");
        let found = found.also(keys.value("tier"), format!("tier `{tier}` promises {rpo}"));
        let sample = "backups: [{ id: nightly, method: full, schedule: \"0 2 * * *\", takes: 10m, to: … }]";
        findings.push(found.help(format!("add `{sample}` as it is really taken, or `tier: none` if it may be lost")));
    }
}
