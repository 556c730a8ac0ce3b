//! `no-offline-copy`: a tier wants a copy that nobody reaches from the network, and an asset has none.

use crate::analysis::loss::{builds_on_another, holds_data, lying, offline};
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    for (id, asset, tier_id, _) in whole.tiered().filter(|(_, a, _, t)| t.offline && holds_data(a)) {
        let mut apart = asset.backups.iter().filter(|b| !builds_on_another(b)).flat_map(lying);
        if apart.any(|l| offline(whole.plan, l.site)) {
            continue;
        }
        let headline = format!("no copy of `{id}` lies offline");
        let found =
            Diagnostic::warn("no-offline-copy", headline, whole.places.assets[id].at, "who is in the network reaches every copy of it");
        let found = found.also(whole.places.wanted_at(tier_id, "offline"), "wanted here");
        let site = whole.plan.sites.keys().find(|s| offline(whole.plan, Some(s)));
        findings.push(match site {
            Some(site) => found.help(format!("add `copies: [{{ to: …, site: {site}, after: 12h, keep: 35d }}]` to a backup")),
            None => found.help("declare the place (`sites: { safe: { kind: offline } }`), and add `copies: [{ to: …, site: safe, after: 12h }]` to a backup"),
        });
    }
}
