//! `stands-on-lost`: a step needs something that the scenario loses, by a chain that nobody wrote down as one: the keeper of a
//! secret, a server that it names, the bucket of a backup, an asset on which its own one stands.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::facts::{Facts, changes};
use crate::analysis::stands::{Footing, Link, Part, Spot, Told};
use crate::diagnostic::Diagnostic;
use crate::model::{Cause, ReplicaMode, Step};
use crate::source::Span;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let outage = facts.scenario.cause == Cause::Outage && !facts.lost_assets.is_empty();
    if facts.lost_sites.is_empty() && !outage {
        return;
    }
    by_address(facts, findings);
    by_dependency(facts, findings);
}

/// Why a spot is of no use to a step.
#[derive(Clone, Copy)]
enum Wrong {
    Lost,
    NotBack,
}

fn by_address(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let mut said: BTreeSet<(Vec<Link<'_>>, &str, &str)> = BTreeSet::new();
    for (i, step) in facts.scenario.steps.iter().enumerate().filter(|(i, _)| facts.runs(*i)) {
        for footing in facts.stands().of_step(step) {
            // What is said to stand at a site is judged by rules of its own.
            let (Some(&Spot::Copy(id, site)), true) = (footing.spots.first(), footing.spots.iter().all(|s| matches!(s, Spot::Copy(..))))
            else {
                continue;
            };
            if !matches!(footing.part, Part::Address | Part::Secret | Part::Source) {
                continue;
            }
            let wrong: Option<Vec<Wrong>> = footing.spots.iter().map(|s| wrong(facts, i, step, *s)).collect();
            let Some(wrong) = wrong.and_then(|all| all.first().copied()) else { continue };
            if said.insert((footing.chain.clone(), id, site)) {
                findings.push(drawn(facts, i, &footing, (id, site), wrong));
            }
        }
    }
}

/// What is wrong with a copy when a step reaches for it; nothing if it is there.
fn wrong(facts: &Facts<'_>, i: usize, step: &Step, spot: Spot<'_>) -> Option<Wrong> {
    if facts.lost_sites.contains(spot.site()) {
        return Some(Wrong::Lost);
    }
    let Spot::Copy(id, site) = spot else { return None };
    let asset = facts.plan.assets.get(id)?;
    // Damaged data are on servers that answer, and the step that brings something back may name it.
    let alone = facts.scenario.cause == Cause::Outage && facts.loses(id) && asset.sites.iter().any(|s| s == site);
    if !alone || step.assets.iter().any(|a| a == id) {
        return None;
    }
    let brings = |s: &Step| s.phase.brings() && changes(s) && s.at.as_deref().is_none_or(|at| at == site);
    let Some(soonest) = facts.steps_of(id).filter(|(_, s)| brings(s)).map(|(j, _)| facts.schedule.end_ms[j]).min() else {
        return Some(Wrong::Lost);
    };
    let back = |j: usize| facts.scenario.steps[j].assets.iter().any(|a| a == id) && brings(&facts.scenario.steps[j]);
    (!facts.waits_for(i, soonest, &back)).then_some(Wrong::NotBack)
}

fn drawn(facts: &Facts<'_>, i: usize, footing: &Footing<'_>, (id, site): (&str, &str), wrong: Wrong) -> Diagnostic {
    let told = facts.told();
    let step = &facts.scenario.steps[i];
    let (headline, label, help) = match wrong {
        Wrong::Lost => (
            format!("`{}` needs `{id}` at `{site}`, which scenario `{}` loses", step.id, facts.scenario.id),
            "this needs something that is not there then".to_owned(),
            format!(
                "let it need what survives; or, if the step can do without, write `when_unreachable: ask`; or bring `{id}` back before it, elsewhere"
            ),
        ),
        Wrong::NotBack => (
            format!("`{}` needs `{id}`, which is not back by then", step.id),
            "it does not wait for what it needs".to_owned(),
            format!("let it wait for the step that brings `{id}` back, with `needs`"),
        ),
    };
    let mut labels: Vec<(Span, String)> = footing.chain.iter().map(|link| told.link(*link)).collect();
    labels.extend(told.spot(Spot::Copy(id, site), "is lost"));
    match wrong {
        // The site is there, the asset at it is not.
        Wrong::NotBack => labels.truncate(labels.len() - 1),
        Wrong::Lost => labels.extend(told.within(site, &facts.scenario.loses.sites)),
    }
    chained(Diagnostic::warn("stands-on-lost", headline, facts.step(i).keys.at, label), labels, facts).help(help)
}

/// The finding with each place of its chain, and where it is lost.
fn chained(found: Diagnostic, labels: Vec<(Span, String)>, facts: &Facts<'_>) -> Diagnostic {
    found.also_all(labels).also(facts.own.keys.value("loses"), "lost here")
}

/// What stands on an asset that is lost and that nobody brings back.
fn by_dependency(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let plan = facts.plan;
    let serves = |r: &crate::model::Replica| r.mode == ReplicaMode::Active && !facts.lost_sites.contains(&r.site);
    let dead = |id: &str| {
        let copies = plan.assets.get(id).is_some_and(|a| a.replicas.iter().any(serves));
        facts.loses(id) && !copies && !facts.named(id).any(|(_, s)| s.phase.of_recovery())
    };
    let dead: Vec<&str> = facts.lost_assets.iter().map(String::as_str).filter(|id| dead(id)).collect();
    if dead.is_empty() {
        return;
    }
    let above = plan.above();
    let told = facts.told();
    for root in dead {
        // By asset: the one below it, towards the root.
        let mut below: BTreeMap<&str, &str> = BTreeMap::new();
        let mut open = std::collections::VecDeque::from([root]);
        while let Some(at) = open.pop_front() {
            for &next in above.get(at).into_iter().flatten() {
                if next != root && !below.contains_key(next) && !facts.scenario.leaves.iter().any(|l| l == next) {
                    below.insert(next, at);
                    open.push_back(next);
                }
            }
        }
        // The nearest one that a step brings back, or that promises something.
        let stepped = |id: &str| facts.steps_of(id).filter(|(_, s)| s.phase.of_recovery()).map(|(i, _)| i).min();
        let Some(step) = below.keys().filter_map(|id| Some((stepped(id)?, *id))).min() else {
            let promised = |id: &&str| plan.assets.get(*id).is_some_and(|a| !facts.loses(id) && facts.objective(a).0.rto_ms.is_some());
            if let Some(id) = below.keys().copied().find(promised) {
                findings.push(standing(facts, &told, None, id, &below, root));
            }
            continue;
        };
        findings.push(standing(facts, &told, Some(step.0), step.1, &below, root));
    }
}

fn standing(facts: &Facts<'_>, told: &Told<'_>, step: Option<usize>, id: &str, below: &BTreeMap<&str, &str>, root: &str) -> Diagnostic {
    let mut labels = vec![(facts.asset_keys(id).at, format!("`{id}` stands on the next one"))];
    let mut at = id;
    while let Some(&next) = below.get(at) {
        let words = if next == root { format!("`{root}` is not brought back") } else { format!("`{next}` stands on the next one") };
        labels.push((facts.asset_keys(next).at, words));
        at = next;
    }
    let site = facts.plan.assets.get(root).and_then(|a| a.sites.iter().find(|s| facts.lost_sites.contains(*s)));
    if let Some(site) = site {
        labels.push((told.stands(root, site), format!("`{site}` is lost")));
        labels.extend(told.within(site, &facts.scenario.loses.sites));
    }
    let headline = format!("`{id}` stands on `{root}`, which scenario `{}` loses and does not bring back", facts.scenario.id);
    let help = format!(
        "bring `{root}` back before it; or, if `{id}` works without, write `{{ asset: {root}, strength: weak }}` in its `depends_on`"
    );
    let found = match step {
        Some(i) => Diagnostic::warn("stands-on-lost", headline, facts.step(i).keys.at, "what this step needs is not there then"),
        None => {
            let (at, words) = labels.remove(0);
            Diagnostic::warn("stands-on-lost", headline, at, words)
        }
    };
    chained(found, labels, facts).help(help)
}
