//! `kept-too-short`: a tier wants copies of the data to be kept longer than any backup of an asset is.

use serde_json::Value;

use crate::actions::units::{duration_text, kept_ms};
use crate::analysis::loss::{holds_data, reach_ms};
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::Asset;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset) in &whole.plan.assets {
        let Some((tier_id, tier)) = asset.tier.as_ref().and_then(|t| whole.plan.tiers.get_key_value(t)) else { continue };
        let Some(wanted) = tier.keep.as_ref().filter(|_| holds_data(asset)) else { continue };
        let Some((what, ms)) = missing(wanted, asset) else { continue };
        let keys = whole.places.backups.get(id).and_then(|b| b.first());
        let at = keys.map(|b| b.keys.value("keep")).or(whole.places.assets.get(id).map(|k| k.at)).unwrap_or_default();
        let wants = whole.places.tiers.get(tier_id).map(|k| k.key("keep")).unwrap_or_default();
        let headline = format!("no backup of `{id}` is kept as long as tier `{tier_id}` wants");
        let label = format!("wanted: {what}{}", duration_text(ms));
        let found = Diagnostic::warn("kept-too-short", headline, at, label).also(wants, "wanted here");
        findings.push(found.help(match what {
            "" => format!("write `keep: {}`", duration_text(ms)),
            _ => format!("add `{}{}` to the `keep` of a backup", what, duration_text(ms)),
        }));
    }
}

/// The first part of what is wanted that no backup keeps: its name with a colon, and how long.
fn missing(wanted: &Value, asset: &Asset) -> Option<(&'static str, u64)> {
    let keeps = || asset.backups.iter().flat_map(|b| b.keep.iter().chain(b.copies.iter().filter_map(|c| c.keep.as_ref())));
    let of = |value: &Value| value.as_str().and_then(|t| kept_ms(t).ok());
    if let Some(ms) = of(wanted) {
        return (!keeps().any(|k| reach_ms(k).is_some_and(|own| own >= ms))).then_some(("", ms));
    }
    const PARTS: [(&str, &str); 5] =
        [("hourly", "hourly: "), ("daily", "daily: "), ("weekly", "weekly: "), ("monthly", "monthly: "), ("yearly", "yearly: ")];
    PARTS.into_iter().find_map(|(key, shown)| {
        let ms = of(wanted.get(key)?)?;
        // All of them are kept, or the first of each such time is.
        let kept = keeps().any(|k| of(k).or_else(|| of(k.get(key)?)).is_some_and(|own| own >= ms));
        (!kept).then_some((shown, ms))
    })
}
