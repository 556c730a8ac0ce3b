//! `contact-lost`: people who are told through a channel that the scenario loses.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::analysis::facts::{Facts, approves};
use crate::diagnostic::Diagnostic;
use crate::model::Effect;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let told = |id: &str| {
        let contact = facts.plan.contacts.get(id)?;
        let channel = contact.webhook.is_some() || contact.email.is_some();
        contact.site.as_deref().filter(|site| channel && facts.lost_sites.contains(*site))
    };
    if facts.plan.contacts.keys().all(|id| told(id).is_none()) {
        return;
    }
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, step) in facts.scenario.steps.iter().enumerate() {
        let asked = step.call.with.get("from").and_then(Value::as_array).filter(|_| approves(step));
        let asked = asked.into_iter().flatten().filter_map(Value::as_str);
        let waits = matches!(step.effect, Effect::Manual);
        for id in asked.chain(step.contact.as_deref().filter(|_| waits)) {
            first.entry(id).or_insert(i);
        }
    }
    for (id, i) in first {
        let Some(site) = told(id) else { continue };
        let headline = format!("in scenario `{}` nobody can tell `{id}` that a run waits", facts.scenario.id);
        let at = facts.places.contacts.get(id).map(|k| k.value("site")).unwrap_or(facts.own.keys.at);
        let found = Diagnostic::warn("contact-lost", headline, at, format!("their channel stands at `{site}`, which is lost"));
        let found = found.also(facts.step(i).keys.at, format!("this waits for `{id}`")).also(facts.own.keys.value("loses"), "lost here");
        findings.push(found.help(format!("give `{id}` a `webhook` or an `email` that survives, and its `site`")));
    }
}
