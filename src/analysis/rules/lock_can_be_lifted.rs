//! `lock-can-be-lifted`: a tier wants backups that nobody can delete, and somebody can.

use crate::analysis::loss::holds_data;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, tier_id, _) in whole.tiered().filter(|(_, a, _, t)| t.worm && holds_data(a)) {
        let places = whole.places.backups.get(id).map_or(&[][..], Vec::as_slice);
        let mut weak = asset.backups.iter().zip(places).filter(|(b, _)| b.immutable.as_ref().is_some_and(|l| l.mode != "compliance"));
        let (headline, at, label) = match (weak.next(), places.first()) {
            (Some((backup, at)), _) => (
                format!("the lock of backup `{}` of `{id}` can be lifted", backup.id),
                at.keys.value("immutable"),
                "`governance`: whoever has the right to lifts it",
            ),
            (None, _) if asset.backups.iter().any(|b| b.immutable.is_some()) => continue,
            (None, first) => (
                format!("no backup of `{id}` is locked"),
                first.map_or(whole.places.assets[id].at, |b| b.keys.at),
                "it can be deleted, and written over",
            ),
        };
        let found = Diagnostic::warn("lock-can-be-lifted", headline, at, label);
        let found = found.also(whole.places.wanted_at(tier_id, "worm"), "wanted here");
        findings.push(found.help("lock it where it lies, and write that: `immutable: { mode: compliance, for: … }`"));
    }
}
