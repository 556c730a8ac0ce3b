//! `not-immutable`: a tier wants a copy that nobody can delete, and an asset has none, or not for so long.

use crate::actions::units::duration_text;
use crate::analysis::loss::{holds_data, reach_ms};
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset) in &whole.plan.assets {
        let Some((tier_id, tier)) = asset.tier.as_ref().and_then(|t| whole.plan.tiers.get_key_value(t)) else { continue };
        let Some(wanted) = tier.immutable_ms.filter(|_| holds_data(asset)) else { continue };
        let offline =
            |site: Option<&String>| site.and_then(|s| whole.plan.sites.get(s)).is_some_and(|s| s.kind.as_deref() == Some("offline"));
        let locked = asset.backups.iter().filter_map(|b| b.immutable.as_ref()).map(|i| i.for_ms);
        let apart = asset.backups.iter().flat_map(|b| {
            let own = (b.site.as_ref(), b.keep.as_ref());
            std::iter::once(own).chain(b.copies.iter().map(|c| (c.site.as_ref(), c.keep.as_ref())))
        });
        // What is taken out of the machine can only be deleted by hand.
        let apart = apart.filter(|(site, _)| offline(*site)).filter_map(|(_, keep)| reach_ms(keep?));
        let longest = locked.chain(apart).max();
        if longest.is_some_and(|ms| ms >= wanted) {
            continue;
        }
        let keys = whole.places.backups.get(id).and_then(|b| b.first());
        let at = keys.map(|b| b.keys.at).or(whole.places.assets.get(id).map(|k| k.at)).unwrap_or_default();
        let wants = whole.places.tiers.get(tier_id).map(|k| k.key("immutable")).unwrap_or_default();
        let headline = match longest {
            None => format!("every copy of `{id}` can be deleted"),
            Some(ms) => format!(
                "copies of `{id}` cannot be deleted for {}, and tier `{tier_id}` wants {}",
                duration_text(ms),
                duration_text(wanted)
            ),
        };
        let label = "who takes over the account deletes it";
        let found = Diagnostic::warn("not-immutable", headline, at, label).also(wants, "wanted here");
        findings.push(found.help(format!(
            "add `immutable: {{ mode: compliance, for: {} }}` to a backup, or a copy at a site of kind `offline`",
            duration_text(wanted)
        )));
    }
}
