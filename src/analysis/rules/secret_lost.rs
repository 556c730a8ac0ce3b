//! `secret-lost`: a secret that a step needs, kept where the scenario loses it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::actions::template::references;
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::model::{Undo, connect_at};

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let secrets = facts.plan.secrets.iter();
    let lost: BTreeMap<&str, &str> =
        secrets.filter_map(|(name, s)| Some((name.as_str(), s.site.as_deref().filter(|site| facts.lost_sites.contains(*site))?))).collect();
    if lost.is_empty() {
        return;
    }
    let mut said = BTreeSet::new();
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i)) {
        let undo = if let Undo::Use(undo) = &step.undo { Some(undo) } else { None };
        let fields = std::iter::once(&step.call).chain(&step.check).chain(undo).flat_map(|c| c.with.values());
        let connects = step.assets.iter().filter_map(|id| facts.plan.assets.get(id)).map(|a| connect_at(a, step.at.as_deref()));
        let held: Vec<&Value> = fields.chain(connects.flat_map(|c| c.values())).collect();
        for path in held.into_iter().flat_map(references) {
            let Some((name, site)) = path.strip_prefix("secrets.").and_then(|name| lost.get_key_value(name)) else { continue };
            if !said.insert(*name) {
                continue;
            }
            let headline = format!("`{}` needs secret `{name}`, which scenario `{}` loses", step.id, facts.scenario.id);
            let at = facts.places.secrets.get(*name).map(|k| k.value("site")).unwrap_or(facts.own.keys.at);
            let found = Diagnostic::deny("secret-lost", headline, at, format!("nobody answers at `{site}` then"));
            let found = found.also(facts.step(i).keys.at, "this step cannot start without it");
            let other = facts.plan.sites.keys().find(|s| !facts.lost_sites.contains(*s)).map_or("ANOTHER-SITE", String::as_str);
            findings.push(
                found
                    .also(facts.own.keys.value("loses"), "lost here")
                    .help(format!("keep it where it survives, and write that: `site: {other}`")),
            );
        }
    }
}
