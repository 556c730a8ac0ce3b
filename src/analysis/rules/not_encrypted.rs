//! `not-encrypted`: a tier wants encrypted backups, and one is not.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, backup, at) in whole.backups().filter(|(_, _, b, _)| b.encryption.is_none()) {
        let Some((tier_id, _)) = whole.tier(asset).filter(|(_, tier)| tier.encrypted) else { continue };
        let headline = format!("backup `{}` of `{id}` is not encrypted", backup.id);
        let found = Diagnostic::warn("not-encrypted", headline, at.keys.at, "whoever finds it reads it");
        let found = found.also(whole.places.wanted_at(tier_id, "encrypted"), "wanted here");
        let site = backup.site.as_deref().unwrap_or("SITE");
        findings.push(found.help(format!("add `encryption: {{ key: WHICH-KEY, site: {site} }}`, as it is really encrypted there")));
    }
}
