//! Recovery time and data loss as measured, on the same clock as the prediction. It judges nothing and touches nothing.
//!
//! The clock starts when the incident began. An asset is back when its last `recover` or `verify` step passed, plus the
//! TTL of its name, and never before what it strongly depends on. Without a passed verification it is "not shown".

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::lists::Index;
use super::planted::planted;
use super::state::{Life, State};
use crate::actions::units;
use crate::journal::Event;
use crate::model::{Asset, Phase};

/// Events for the assets that are back and of which no event says so yet.
pub fn objectives(state: &State) -> Vec<Event> {
    state.lists.due.iter().filter_map(|id| objective(state, id)).collect()
}

/// Steps and assets by each other.
pub fn index(state: &State) -> Index {
    let mut index = Index::default();
    for (i, step) in state.plan().scenario.steps.iter().enumerate() {
        for asset in &step.assets {
            let steps = index.steps_of.entry(asset.clone()).or_default();
            if steps.last() != Some(&i) {
                steps.push(i);
            }
        }
    }
    for (id, asset) in &state.plan().plan.assets {
        for base in stands_on(state, &index, asset) {
            index.above.entry(base.to_owned()).or_default().push(id.clone());
        }
    }
    index
}

/// For each asset that is brought back, how many steps do so.
pub fn open(state: &State) -> BTreeMap<String, usize> {
    let steps = &state.plan().scenario.steps;
    let count = |own: &[usize]| own.iter().filter(|&&i| steps[i].phase.ends_recovery()).count();
    state.index.steps_of.iter().map(|(id, own)| (id.clone(), count(own))).filter(|(_, n)| *n > 0).collect()
}

/// The event for an asset that is back; none if it is not, or not yet.
pub fn objective(state: &State, id: &str) -> Option<Event> {
    let asset = state.plan().plan.assets.get(id)?;
    let own: Vec<usize> = steps_of(state, id, Phase::ends_recovery);
    if own.is_empty() || !own.iter().all(|&i| state.steps[i].settled()) {
        return None;
    }
    let mut at = own.iter().filter_map(|&i| state.steps[i].done_at).max()?;
    let mut recovery_ms = since(state.incident_start, at) + asset.ttl_ms();
    for base in stands_on(state, &state.index, asset) {
        let under = state.recovered.get(base)?;
        at = at.max(under.at);
        recovery_ms = recovery_ms.max(under.recovery_ms);
    }
    let shown = not_shown(state, &own).map_or_else(|| "shown".to_owned(), |why| format!("not shown: {why}"));
    Some(Event::Objective { asset: id.to_owned(), at, recovery_ms, shown, loss_ms: loss_ms(state, id) })
}

/// What an asset strongly depends on; in place of one without steps, what that one depends on.
fn stands_on<'a>(state: &'a State, index: &Index, asset: &'a Asset) -> BTreeSet<&'a str> {
    let assets = &state.plan().plan.assets;
    let mut seen = BTreeSet::new();
    let mut open = vec![asset];
    while let Some(at) = open.pop() {
        for base in at.strong().map(String::as_str).filter(|base| seen.insert(*base)).collect::<Vec<_>>() {
            open.extend(assets.get(base).filter(|_| !has_steps(state, index, base)));
        }
    }
    seen.into_iter().filter(|base| has_steps(state, index, base)).collect()
}

fn has_steps(state: &State, index: &Index, asset: &str) -> bool {
    index.steps(asset).iter().any(|&i| state.step(i).phase.ends_recovery())
}

/// Why the recovery of an asset is not shown, if it is not.
fn not_shown(state: &State, own: &[usize]) -> Option<String> {
    let mut verified = planted("always-shown");
    for &i in own {
        let (step, life) = (state.step(i), &state.steps[i]);
        match &life.life {
            // What a person leaves out, or what failed, no later look makes whole.
            Life::Skipped { reason, flaw } if *flaw || step.phase == Phase::Verify => {
                return Some(format!("`{}` was skipped: {reason}", step.id));
            }
            Life::Done if life.by_person => return Some(format!("`{}` was said to be done by hand", step.id)),
            Life::Done => verified |= step.phase == Phase::Verify || step.check.is_some(),
            _ => {}
        }
    }
    (!verified).then(|| "no step verified it".to_owned())
}

/// Data lost, where a step that brought the asset back could tell how far its data reach.
///
/// The step's own word counts first: it saw both servers. Else the loss reaches from the newest data to the incident's
/// start; to the run's start where the incident's start is only assumed, or where the data reach past it, so that what is
/// reported is never less than what was lost.
pub fn loss_ms(state: &State, asset: &str) -> Option<u64> {
    let outputs =
        steps_of(state, asset, Phase::brings).into_iter().filter(|&i| state.steps[i].life == Life::Done).map(|i| &state.steps[i].outputs);
    outputs.filter_map(|found| told(found).or_else(|| counted(state, found))).max()
}

fn told(found: &Map<String, Value>) -> Option<u64> {
    units::duration_ms(found.get("loss")?.as_str()?).ok()
}

fn counted(state: &State, found: &Map<String, Value>) -> Option<u64> {
    let reach = ["restored_to", "last_commit"].iter().filter_map(|k| found.get(*k)?.as_str()?.parse::<Timestamp>().ok()).min()?;
    let end = if state.incident_assumed || reach > state.incident_start { state.started_at } else { state.incident_start };
    Some(since(reach, end))
}

/// Steps of an asset in some phases.
fn steps_of(state: &State, asset: &str, phases: fn(Phase) -> bool) -> Vec<usize> {
    state.index.steps(asset).iter().copied().filter(|&i| phases(state.step(i).phase)).collect()
}

fn since(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}
