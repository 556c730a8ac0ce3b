//! `verify-too-rare`: a tier wants backups to be seen or restored more often than any backup of an asset promises.

use crate::actions::units::duration_text;
use crate::analysis::loss::holds_data;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::Verify;

/// What is done so often: its key, what it is called, and how often a `verify` says.
type Part = (&'static str, &'static str, fn(&Verify) -> Option<u64>);

const PARTS: [Part; 2] = [("exists", "seen to be there", |v| v.exists_ms), ("restore", "restored", |v| v.restore_ms)];

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, tier_id, tier) in whole.tiered().filter(|(_, a, ..)| holds_data(a) && !a.backups.is_empty()) {
        let Some(wanted) = &tier.verify else { continue };
        for (key, what, of) in PARTS {
            let Some(often) = of(wanted) else { continue };
            let said = asset.backups.iter().enumerate().filter_map(|(n, b)| Some((b.verify.as_ref().and_then(of)?, n)));
            let best = said.min();
            if best.is_some_and(|(ms, _)| ms <= often) {
                continue;
            }
            let Some(at) = whole.places.backups.get(id).and_then(|all| all.get(best.map_or(0, |(_, n)| n))) else { continue };
            let (headline, place, label) = match best {
                Some((ms, _)) => (
                    format!("backups of `{id}` are {what} every {}, not every {}", duration_text(ms), duration_text(often)),
                    at.verify.value(key),
                    "too rare",
                ),
                None => (format!("nothing says how often backups of `{id}` are {what}"), at.keys.at, "`verify` would say it"),
            };
            let found = Diagnostic::warn("verify-too-rare", headline, place, label);
            let found = found.also(whole.places.wanted_at(tier_id, "verify"), format!("wanted: every {}", duration_text(often)));
            findings.push(found.help(format!("write `verify: {{ {key}: {} }}`, and do it", duration_text(often))));
        }
    }
}
