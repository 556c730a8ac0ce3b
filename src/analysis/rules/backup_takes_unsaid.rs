//! `backup-takes-unsaid`: a backup of data with an objective of which nobody says how long it takes.

use crate::actions::units::duration_text;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, backup, at) in whole.backups().filter(|(_, _, b, _)| b.schedule.is_some() && b.takes_ms.is_none()) {
        let Some((tier_id, rpo)) = whole.tier(asset).and_then(|(id, tier)| Some((id, tier.rpo_ms?))) else { continue };
        let headline = format!("nothing says how long backup `{}` of `{id}` takes", backup.id);
        let found =
            Diagnostic::warn("backup-takes-unsaid", headline, at.keys.at, "what is written meanwhile is not in it, and is not predicted");
        let tier_at = whole.places.tiers.get(tier_id).map(|k| k.at).unwrap_or_default();
        let found = found.also(tier_at, format!("at most {} may be lost", duration_text(rpo)));
        findings.push(found.help("add `takes: …`, as long as the last ones took"));
    }
}
