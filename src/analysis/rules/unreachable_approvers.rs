//! `unreachable-approvers`: an approval that waits for people whom nothing says how to reach.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::analysis::facts::approves;
use crate::analysis::whole::Whole;
use crate::diagnostic::Diagnostic;
use crate::model::Contact;

pub(super) fn run(whole: &Whole<'_>, findings: &mut Vec<Diagnostic>) {
    let mut said = BTreeSet::new();
    for (s, scenario) in whole.scenarios.iter().enumerate() {
        for (i, step) in scenario.steps.iter().enumerate().filter(|(_, s)| approves(s)) {
            let from = step.call.with.get("from").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let asked: BTreeSet<&str> = from.iter().filter_map(Value::as_str).collect();
            let count = step.call.with.get("count").and_then(Value::as_u64).unwrap_or(1);
            let silent: Vec<&str> =
                asked.iter().copied().filter(|id| whole.plan.contacts.get(*id).is_some_and(|c| !reachable(c))).collect();
            if silent.is_empty() || (asked.len() - silent.len()) as u64 >= count {
                continue;
            }
            for id in silent.into_iter().filter(|id| said.insert(*id)) {
                let headline = format!("nothing says how `{id}` is reached, and approval `{}` cannot do without", step.id);
                let at = whole.places.contacts.get(id).map(|k| k.at).unwrap_or_default();
                let found = Diagnostic::warn("unreachable-approvers", headline, at, "no `reach`, `phone`, `webhook` or `email`");
                let found = found.also(whole.places.scenarios[s].steps[i].keys.at, format!("waits for {count} of {} people", asked.len()));
                findings.push(found.help(format!("add `phone: \"…\"`, `reach: \"…\"`, `webhook` or `email` to `{id}`")));
            }
        }
    }
}

fn reachable(contact: &Contact) -> bool {
    contact.reach.is_some() || contact.phone.is_some() || contact.webhook.is_some() || contact.email.is_some()
}
