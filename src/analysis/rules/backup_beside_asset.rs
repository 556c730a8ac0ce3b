//! `backup-beside-asset`: every backup lies where the asset stands, and goes with it.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::ReplicaMode;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset) in &whole.plan.assets {
        let (Some(first), Some(at)) = (asset.backups.first(), whole.places.backups.get(id).and_then(|b| b.first())) else { continue };
        let lies_elsewhere = |site: Option<&str>| site.is_none_or(|s| !whole.lost_with_asset(asset, s));
        let places = asset.backups.iter().flat_map(|b| std::iter::once(&b.site).chain(b.copies.iter().map(|c| &c.site)));
        let replica = asset.replicas.iter().any(|r| r.mode != ReplicaMode::Standby && lies_elsewhere(Some(&r.site)));
        let (Some(site), Some(own)) = (&first.site, asset.sites.first()) else { continue };
        if asset.rebuild.is_some() || replica || places.into_iter().any(|site| lies_elsewhere(site.as_deref())) {
            continue;
        }
        let headline = format!("every backup of `{id}` is lost with `{id}` itself");
        let label = if site == own { format!("`{id}` stands here too") } else { format!("this lies within `{own}`, where `{id}` stands") };
        let found = Diagnostic::warn("backup-beside-asset", headline, at.keys.value("site"), label);
        let found = found.also(whole.places.assets[id].value("site"), format!("losing `{own}` loses both"));
        let other = whole.elsewhere(asset).unwrap_or("ANOTHER-SITE");
        findings.push(found.help(format!("add `copies: [{{ to: …, site: {other}, after: 1h }}]` to `{}`", first.id)));
    }
}
