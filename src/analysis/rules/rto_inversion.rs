//! `rto-inversion`: an asset promises to be back sooner than one that it stands on does.

use std::collections::BTreeMap;

use crate::actions::units::duration_text;
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::Id;

/// The latest promise that an asset stands on: after how many milliseconds, and whose it is.
type Latest<'a> = Option<(u64, &'a Id)>;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let (mut known, mut known_here) = (BTreeMap::new(), BTreeMap::new());
    for (id, asset) in &facts.plan.assets {
        let (tier, tier_at) = facts.objective(asset);
        let Some(rto) = tier.rto_ms else { continue };
        // What a scenario promises counts there, and who is not touched there is never away.
        let here = asset.tier.as_ref().is_some_and(|t| facts.own.objectives.contains_key(t));
        for on in asset.strong() {
            let found = if here { latest(facts, on, true, &mut known_here) } else { latest(facts, on, false, &mut known) };
            let Some((ms, base)) = found.filter(|(ms, _)| *ms > rto) else { continue };
            let (rto, ms) = (duration_text(rto), duration_text(ms));
            let through = if base == on { String::new() } else { format!(" (through `{on}`)") };
            let headline = format!("`{id}` is to be back after {rto}, and stands on `{base}`{through}, which promises {ms}");
            let label = format!("it cannot be back before `{base}`");
            let found = Diagnostic::warn("rto-inversion", headline, facts.asset_keys(id).value("depends_on"), label);
            let other_at = facts.plan.assets.get(base).map_or(tier_at, |other| facts.objective(other).1);
            let found = found.also(other_at, format!("`{base}`: {ms}")).also(tier_at, format!("`{id}`: {rto}"));
            findings.push(found.help(format!(
                "give `{base}` a tier that promises {rto}, give `{id}` one that promises {ms}, or write `strength: weak` if `{id}` serves \
                 without it"
            )));
        }
    }
}

/// The promise of an asset; of one that promises nothing the latest of those that it stands on. With `here`, only what the
/// scenario touches promises something.
fn latest<'a>(facts: &Facts<'a>, id: &'a Id, here: bool, known: &mut BTreeMap<&'a Id, Latest<'a>>) -> Latest<'a> {
    // Without recursion, for chains may be deep: an asset is settled when all that it stands on are.
    let mut open = vec![(id, false)];
    while let Some((at, below_known)) = open.pop() {
        let Some(asset) = facts.plan.assets.get(at) else { continue };
        if below_known {
            let worst = asset.strong().filter_map(|b| known.get(b).copied().flatten()).max();
            known.insert(at, worst);
        } else if !known.contains_key(at) {
            let counts = !here || facts.predictions.contains_key(at);
            let own = facts.objective(asset).0.rto_ms.filter(|_| counts).map(|ms| (ms, at));
            known.insert(at, own);
            if own.is_none() {
                open.push((at, true));
                open.extend(asset.strong().map(|b| (b, false)));
            }
        }
    }
    known.get(id).copied().flatten()
}
