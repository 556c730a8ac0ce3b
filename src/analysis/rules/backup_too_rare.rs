//! `backup-too-rare`: data with an objective of which backups are taken too rarely to keep it, in whatever scenario.

use std::collections::BTreeSet;

use crate::actions::units::duration_text;
use crate::analysis::gaps::Sample;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::{Cause, Id, ReplicaMode, lost_assets};

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    let mut lost: Option<BTreeSet<Id>> = None;
    for (id, asset, tier_id, tier) in whole.tiered().filter(|(_, a, ..)| !a.backups.is_empty()) {
        let Some(rpo) = tier.rpo_ms else { continue };
        let follows = asset.replicas.iter().any(|r| r.mode != ReplicaMode::Standby) || asset.sites.len() > 1 || asset.rebuild.is_some();
        // Where a scenario loses it, the prediction says so with the source that is used there.
        let scenarios = || whole.scenarios.iter().filter(|s| s.cause != Cause::Planned);
        let lost = lost.get_or_insert_with(|| scenarios().flat_map(|s| lost_assets(whole.plan, s)).collect());
        if follows || lost.contains(id) {
            continue;
        }
        let worst = asset.backups.iter().enumerate().map(|(n, b)| {
            let gap = match whole.gaps.of(b) {
                Sample::Gaps(_, most) => Some(most),
                _ => b.continuous_ms,
            };
            gap.map(|gap| (gap + b.takes_ms.unwrap_or(0), n))
        });
        // One of which nobody knows how often it is taken may be the one that keeps the promise.
        let Some(all) = worst.collect::<Option<Vec<_>>>() else { continue };
        let Some((loss, n)) = all.into_iter().min().filter(|(loss, _)| *loss > rpo) else { continue };
        let Some(at) = whole.places.backups.get(id).and_then(|b| b.get(n)) else { continue };
        let (loss, rpo) = (duration_text(loss), duration_text(rpo));
        let headline = format!("backups of `{id}` are taken too rarely: {loss} of data may be lost, the objective is {rpo}");
        let key = if at.keys.has("schedule") { "schedule" } else { "continuous" };
        let found = Diagnostic::warn("backup-too-rare", headline, at.keys.value(key), "from one to the end of the next");
        let tier_at = whole.places.tiers.get(tier_id).map(|k| k.at).unwrap_or_default();
        findings.push(found.also(tier_at, format!("promised: {rpo}")).help("take it more often, or raise the tier's `rpo`"));
    }
}
