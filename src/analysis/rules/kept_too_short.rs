//! `kept-too-short`: a tier wants copies of the data to be kept longer than any backup of an asset is.

use serde_json::Value;

use super::keep_finer::PARTS;
use crate::actions::units::{duration_text, kept_ms};
use crate::analysis::gaps::Sample;
use crate::analysis::loss::{builds_on_another, holds_data, last, lying, reach_ms};
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::{Asset, Backup};

/// Links of a chain that are followed; nobody restores a longer one.
const LINKS: usize = 16;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, tier_id, tier) in whole.tiered() {
        let Some(wanted) = tier.keep.as_ref().filter(|_| holds_data(asset)) else { continue };
        let Some(missing) = missing(whole, id, wanted, asset) else { continue };
        let (alone, part) = missing.typed();
        let keys = whole.places.backups.get(id).and_then(|b| b.first());
        let at = keys.map(|b| b.keys.value("keep")).or(whole.places.assets.get(id).map(|k| k.at)).unwrap_or_default();
        let headline = format!("no backup of `{id}` is kept as long as tier `{tier_id}` wants");
        let found = Diagnostic::warn("kept-too-short", headline, at, format!("wanted: {part}"))
            .also(whole.places.wanted_at(tier_id, "keep"), "wanted here");
        findings.push(found.help(match missing {
            Missing::Part(..) => format!("add `{part}` to the `keep` of a backup that is taken so often"),
            _ => format!("write `keep: {alone}` in a backup that can be restored by itself, and in what it builds on"),
        }));
    }
}

/// What is wanted and no backup keeps.
enum Missing {
    /// All of them for so long.
    All(u64),
    /// So many of the newest.
    Last(u64),
    /// The first of each such time, for so long.
    Part(&'static str, u64),
}

impl Missing {
    /// As it is typed behind `keep:`, and within braces.
    fn typed(&self) -> (String, String) {
        match self {
            Missing::All(ms) => (duration_text(*ms), duration_text(*ms)),
            Missing::Last(n) => (format!("{{ last: {n} }}"), format!("last: {n}")),
            Missing::Part(part, ms) => (format!("{{ {part}: {} }}", duration_text(*ms)), format!("{part}: {}", duration_text(*ms))),
        }
    }
}

/// The first part of what is wanted that no backup keeps.
fn missing<'a>(whole: &Whole<'a>, id: &str, wanted: &Value, asset: &'a Asset) -> Option<Missing> {
    let kept: Vec<(&'a Backup, &Value)> =
        asset.backups.iter().flat_map(|b| lying(b).into_iter().filter_map(move |l| Some((b, l.keep?)))).collect();
    let of = |value: &Value| value.as_str().and_then(|t| kept_ms(t).ok());
    let any = |enough: &dyn Fn(&'a Backup, &Value) -> bool| kept.iter().any(|(b, keep)| enough(b, keep));
    if let Some(ms) = of(wanted) {
        let enough =
            |b: &'a Backup, keep: &Value| reach_ms(keep, whole.gaps.of(b)).is_some_and(|own| own >= ms) && stands(whole, id, b, ms);
        return (!any(&enough)).then_some(Missing::All(ms));
    }
    if let Some(n) = wanted.get("last").and_then(last) {
        let count = |b: &'a Backup, keep: &Value| match (keep.get("last").and_then(last), whole.gaps.of(b)) {
            (Some(own), _) => Some(own),
            (None, Sample::Gaps(_, most)) => Some(of(keep)? / most.max(1)),
            (None, _) => None,
        };
        if !any(&|b, keep| !builds_on_another(b) && count(b, keep).is_some_and(|own| own >= n)) {
            return Some(Missing::Last(n));
        }
    }
    PARTS.iter().find_map(|(part, period, _)| {
        let ms = of(wanted.get(*part)?)?;
        // All of them are kept and one is taken in each such time, or the first of each such time is.
        let often = |b: &'a Backup| !matches!(whole.gaps.of(b), Sample::Gaps(_, most) if most > *period);
        let enough = |b: &'a Backup, keep: &Value| match of(keep) {
            Some(own) => own >= ms && often(b) && stands(whole, id, b, ms),
            None => keep.get(*part).and_then(of).is_some_and(|own| own >= ms),
        };
        (!any(&enough)).then_some(Missing::Part(part, ms))
    })
}

/// Whether what a backup is restored onto is kept as long, whatever its place.
fn stands<'a>(whole: &Whole<'a>, id: &str, backup: &'a Backup, ms: u64) -> bool {
    let mut at = backup;
    // A circle of bases is another mistake.
    for _ in 0..LINKS {
        if !builds_on_another(at) {
            return true;
        }
        let Some(base) = whole.base(id, at) else { return false };
        if !lying(base).iter().any(|l| l.keep.is_none_or(|k| reach_ms(k, whole.gaps.of(base)).is_none_or(|own| own >= ms))) {
            return false;
        }
        at = base;
    }
    true
}
