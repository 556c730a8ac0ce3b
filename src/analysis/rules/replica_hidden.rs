//! `replica-hidden`: a replica at a site where another copy of the asset stands already, so that no step reaches it.

use foldhash::HashMap;

use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset) in whole.plan.assets.iter().filter(|(_, a)| !a.replicas.is_empty()) {
        let places = whole.places.replicas.get(id).map_or(&[][..], Vec::as_slice);
        let mut first: HashMap<&str, Span> = HashMap::default();
        for (replica, at) in asset.replicas.iter().zip(places) {
            let site = &replica.site;
            let twin = first.get(site.as_str()).copied();
            first.entry(site).or_insert(at.value("site"));
            let (who, other) = match twin {
                Some(twin) => ("another replica", twin),
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
