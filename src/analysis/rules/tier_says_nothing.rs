//! `tier-says-nothing`: a tier without any objective.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::Tier;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, _) in whole.plan.tiers.iter().filter(|(_, tier)| **tier == Tier::default()) {
        let at = whole.places.tiers.get(id).map(|k| k.at).unwrap_or_default();
        let found =
            Diagnostic::warn("tier-says-nothing", format!("tier `{id}` promises nothing"), at, "its assets can never miss anything");
        let help = format!("add `rto` and `rpo` (`{id}: {{ rto: 4h, rpo: 24h }}`), or write `tier: none` in its assets");
        findings.push(found.help(help));
    }
}
