//! `replica-hidden`: a replica at a site where another copy of the asset stands already, so that no step reaches it.

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset) in whole.plan.assets.iter().filter(|(_, a)| !a.replicas.is_empty()) {
        let places = whole.places.replicas.get(id).map_or(&[][..], Vec::as_slice);
        for (i, (replica, at)) in asset.replicas.iter().zip(places).enumerate() {
            let site = &replica.site;
            let twin = asset.replicas[..i].iter().position(|r| r.site == *site);
            let (who, other) = match twin {
                Some(twin) => ("another replica", places[twin].value("site")),
                None if asset.sites.contains(site) => ("the asset itself", whole.places.assets[id].value("site")),
                None => continue,
            };
            let headline = format!("no step can reach this replica of `{id}`");
            let found = Diagnostic::deny("replica-hidden", headline, at.value("site"), format!("`at: {site}` means {who}"));
            let found = found.also(other, format!("{who} stands here"));
            findings.push(found.help(format!(
                "give it a site of its own: `sites: {{ {site}-2: {{ kind: host, within: {site} }} }}` and `site: {site}-2` here"
            )));
        }
    }
}
