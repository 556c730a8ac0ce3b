//! `contact-lost`: people who are told through a channel that the scenario loses.

use std::collections::BTreeSet;

use crate::analysis::facts::Facts;
use crate::analysis::stands::{Footing, Link, Part, Spot};
use crate::diagnostic::Diagnostic;
use crate::source::Span;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let tells = facts.plan.contacts.values().any(|c| c.webhook.is_some() || c.email.is_some());
    if !tells || facts.lost_sites.is_empty() {
        return;
    }
    let stands = facts.stands();
    let mut said = BTreeSet::new();
    for (i, step) in facts.scenario.steps.iter().enumerate() {
        let lost = |f: &Footing<'_>| f.part == Part::Contact && f.spots.iter().all(|s| facts.lost_sites.contains(s.site()));
        for footing in stands.people(step).iter().filter(|f| lost(f)) {
            let (Some(Link::Contact(id, key)), Some(&spot)) = (footing.chain.first(), footing.spots.first()) else { continue };
            // Who has two channels is told by the other one.
            let own = facts.plan.contacts.get(*id);
            let given = |key| own.is_some_and(|c| if key == "webhook" { c.webhook.is_some() } else { c.email.is_some() });
            let dark = |key| stands.of_contact(id).iter().any(|f| f.chain.first() == Some(&Link::Contact(id, key)) && lost(f));
            if !["webhook", "email"].into_iter().any(|key| given(key) && !dark(key)) && said.insert(*id) {
                findings.push(drawn(facts, i, id, key, footing, spot));
            }
        }
    }
}

fn drawn(facts: &Facts<'_>, step: usize, id: &str, key: &str, footing: &Footing<'_>, spot: Spot<'_>) -> Diagnostic {
    let told = facts.told();
    let site = spot.site();
    let headline = format!("in scenario `{}` nobody can tell `{id}` that a run waits", facts.scenario.id);
    let keys = facts.places.contacts.get(id);
    let mut labels: Vec<(Span, String)> = footing.chain[1..].iter().map(|link| told.link(*link)).collect();
    let (key, label) = match (footing.chain.get(1), spot) {
        (Some(Link::Secret(name)), spot) => {
            match spot {
                Spot::Site(_) => {
                    let at = facts.places.secrets.get(*name).map(|k| k.value("site")).unwrap_or_default();
                    labels.push((at, format!("`{site}` is lost")));
                }
                Spot::Copy(..) => labels.extend(told.spot(spot, "is lost")),
            }
            (key, "their address is a secret that nobody gives out then".to_owned())
        }
        (_, Spot::Copy(..)) => {
            labels.extend(told.spot(spot, "is lost"));
            (key, format!("their channel stands at `{site}`, which is lost"))
        }
        (_, Spot::Site(_)) => ("site", format!("their channel stands at `{site}`, which is lost")),
    };
    let at = keys.map(|k| k.value(key)).unwrap_or(facts.own.keys.at);
    let found = Diagnostic::warn("contact-lost", headline, at, label);
    let found = found.also_all(labels).also(facts.step(step).keys.at, format!("this waits for `{id}`"));
    let found = found.also(facts.own.keys.value("loses"), "lost here");
    found.help(format!("give `{id}` a `webhook` or an `email` that survives, and its `site`"))
}
