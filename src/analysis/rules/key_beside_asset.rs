//! `key-beside-asset`: a backup that outlives its asset, and whose key does not.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, backup, at) in whole.backups() {
        let goes = |site: &String| whole.lost_with_asset(asset, site);
        let Some(_) = backup.encryption.as_ref().and_then(|e| e.site.as_ref()).filter(|s| goes(s)) else { continue };
        let mut places = std::iter::once(&backup.site).chain(backup.copies.iter().map(|c| &c.site)).flatten();
        let Some(survives) = places.find(|s| !goes(s)) else { continue };
        let headline = format!("backup `{}` of `{id}` survives at `{survives}`, and its key does not", backup.id);
        let label = format!("what loses `{id}` loses this key: the backup cannot be read then");
        let found = Diagnostic::warn("key-beside-asset", headline, at.encryption.value("site"), label);
        let found = found.also(whole.places.assets[id].value("site"), format!("`{id}` stands here"));
        findings.push(found.help(format!("keep the key where the backup survives too, and write that: `site: {survives}`")));
    }
}
