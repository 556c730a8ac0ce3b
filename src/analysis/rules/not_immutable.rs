//! `not-immutable`: a tier wants a copy that nobody can delete, and an asset has none, or not for so long.

use crate::actions::units::duration_text;
use crate::analysis::loss::{builds_on_another, holds_data, lying, offline, reach_ms};
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::{Backup, Id};

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, tier_id, tier) in whole.tiered() {
        let Some(wanted) = tier.immutable_ms.filter(|_| holds_data(asset)) else { continue };
        let longest = asset.backups.iter().filter_map(|b| undeletable_ms(whole, id, b)).max();
        if longest.is_some_and(|ms| ms >= wanted) {
            continue;
        }
        let keys = whole.places.backups.get(id).and_then(|b| b.first());
        let at = keys.map(|b| b.keys.at).or(whole.places.assets.get(id).map(|k| k.at)).unwrap_or_default();
        let headline = match longest {
            None => format!("every copy of `{id}` can be deleted"),
            Some(ms) => format!(
                "copies of `{id}` cannot be deleted for {}, and tier `{tier_id}` wants {}",
                duration_text(ms),
                duration_text(wanted)
            ),
        };
        let label = "who takes over the account deletes it";
        let found =
            Diagnostic::warn("not-immutable", headline, at, label).also(whole.places.wanted_at(tier_id, "immutable"), "wanted here");
        findings.push(found.help(format!(
            "add `immutable: {{ mode: compliance, for: {} }}` to a backup, or a copy at a site of kind `offline`",
            duration_text(wanted)
        )));
    }
}

/// For how long nobody can delete a backup, with all that it is restored onto; none if that can be deleted at any time.
fn undeletable_ms<'a>(whole: &Whole<'a>, id: &Id, backup: &'a Backup) -> Option<u64> {
    let own = |b: &'a Backup| {
        let locked = b.immutable.as_ref().map(|lock| lock.for_ms);
        // What is taken out of the machine can only be deleted by hand.
        let apart = lying(b).into_iter().filter(|l| offline(whole.plan, l.site));
        let apart = apart.filter_map(|l| reach_ms(l.keep?, whole.gaps.of(b)));
        locked.into_iter().chain(apart).max()
    };
    let mut least = own(backup)?;
    let mut at = backup;
    for _ in 0..whole.plan.assets.get(id).map_or(0, |a| a.backups.len()) {
        let Some(base) = whole.base(id, at).filter(|_| builds_on_another(at)) else { break };
        least = least.min(own(base)?);
        at = base;
    }
    Some(least)
}
