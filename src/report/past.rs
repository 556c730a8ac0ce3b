//! How long the steps of a run took, for whoever wants to know how long they will take. It does not know the plan.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::journal::{About, Doing, Entry, Event, Word};

/// Every passed attempt of a run: its step, and how long it took in milliseconds. Of a person's work from the question to the
/// answer. What was only found to be done, or said to be, has no length that anybody knows.
pub fn passed(entries: &[Entry]) -> Vec<(String, u64)> {
    let mut begun: BTreeMap<&str, (Timestamp, Option<u32>)> = BTreeMap::new();
    let mut out = Vec::new();
    for Entry { at, event, .. } in entries {
        match event {
            Event::Intent { step, doing: Doing::Apply, attempt, .. } => drop(begun.insert(step, (*at, Some(*attempt)))),
            Event::Asked { step, about: About::Approval | About::Manual, .. } => drop(begun.entry(step).or_insert((*at, None))),
            Event::Done { step, doing: Doing::Apply, attempt, found: false, .. } => {
                // The attempt that ends is the one that began; what a person did has none.
                let own = begun.remove(step.as_str()).filter(|(_, n)| n.unwrap_or(0) == *attempt);
                out.extend(own.map(|(since, _)| (step.clone(), length(since, *at))));
            }
            Event::Word { word: Word::Resolve { done: true, .. }, step: Some(step), .. } => {
                let own = begun.remove(step.as_str()).filter(|(_, n)| n.is_none());
                out.extend(own.map(|(since, _)| (step.clone(), length(since, *at))));
            }
            // What is done from here on is taken back.
            Event::Word { word: Word::Rollback { .. } | Word::Abort, .. } => break,
            Event::Done { step, .. }
            | Event::Failed { step, .. }
            | Event::Unknown { step, .. }
            | Event::Skipped { step, .. }
            | Event::Declined { step, .. }
            | Event::Intent { step, .. }
            | Event::Word { step: Some(step), .. } => drop(begun.remove(step.as_str())),
            _ => {}
        }
    }
    out
}

fn length(since: Timestamp, at: Timestamp) -> u64 {
    u64::try_from(at.duration_since(since).as_millis()).unwrap_or(0)
}
