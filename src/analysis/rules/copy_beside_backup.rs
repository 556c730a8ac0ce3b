//! `copy-beside-backup`: a copy of a backup at the backup's own site.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, backup, at) in whole.backups() {
        for (copy, place) in backup.copies.iter().zip(&at.copies) {
            let (Some(site), Some(inner)) = (&backup.site, &copy.site) else { continue };
            // Where the backup itself goes with the asset, that is the mistake.
            if !whole.lost_with(site, inner) || inner != site && whole.lost_with_asset(asset, site) {
                continue;
            }
            let headline = format!("a copy of backup `{}` of `{id}` lies beside the backup", backup.id);
            let label = format!("what loses `{site}` loses both");
            let found = Diagnostic::warn("copy-beside-backup", headline, place.value("site"), label);
            let found = found.also(at.keys.value("site"), "the backup lies here");
            let other = whole.plan.sites.keys().find(|s| *s != site && !whole.lost_with(site, s) && !asset.sites.contains(s));
            findings.push(match other {
                Some(other) => found.help(format!("keep the copy at another site, like `site: {other}`")),
                None => found.help("name the site at which the copy survives, or leave the copy out"),
            });
        }
    }
}
