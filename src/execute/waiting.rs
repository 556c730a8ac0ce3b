//! For what a run waits for people, since when and for whom. It decides nothing; who is told, and how, is not known here.

use jiff::Timestamp;
use serde_json::Value;

use super::machine::retryable;
use super::state::{Life, State, StepState};
use super::words;
use crate::actions::units;
use crate::journal::About;
use crate::model::{Id, Step};

/// A step that does not move until a person speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The step, by index.
    pub step: usize,
    /// Since when.
    pub since: Timestamp,
    /// The question that stands, or why it failed.
    pub question: String,
    /// Who can answer: those who may approve and have not, else whoever answers for the step.
    pub contacts: Vec<Id>,
}

/// Everything for which a run waits for people, as written in the plan. What is tried again by itself is not among it.
pub fn people(state: &State) -> Vec<Waiting> {
    if state.finished.is_some() {
        return Vec::new();
    }
    (0..state.steps.len()).filter_map(|i| waiting(state, i)).collect()
}

/// For what a step waits for a person, if it does.
pub fn waiting(state: &State, i: usize) -> Option<Waiting> {
    let (step, life) = (state.step(i), &state.steps[i]);
    let back = state.back.is_some() || state.aborting;
    let question = match (&life.life, &life.asked) {
        // What has not begun never will, once the run was turned round.
        (Life::Waiting | Life::Left { .. }, _) if back => return None,
        // Enough have said yes: whoever drives goes on.
        (Life::Waiting, Some((About::Approval, _))) if life.approvals.len() >= count(step) => return None,
        (_, Some((_, question))) => question.clone(),
        (Life::Failed { reason, .. }, None) if !back && !retryable(step, life) => reason.clone(),
        (Life::Stuck { reason }, None) => reason.clone(),
        _ => return None,
    };
    let since = life.since.unwrap_or(state.started_at);
    Some(Waiting { step: i, since, question, contacts: contacts(state, step, life) })
}

fn contacts(state: &State, step: &Step, life: &StepState) -> Vec<Id> {
    let known = |id: &&str| state.plan().plan.contacts.contains_key(*id);
    let may: Vec<Id> = approvers(step).filter(known).filter(|id| !words::has_approved(life, id)).map(str::to_owned).collect();
    if may.is_empty() { step.contact.iter().cloned().collect() } else { may }
}

/// Who may approve a step.
pub fn approvers(step: &Step) -> impl Iterator<Item = &str> {
    let from = step.call.with.get("from").filter(|_| step.call.uses == "approval").and_then(Value::as_array);
    from.into_iter().flatten().filter_map(Value::as_str)
}

/// How many people must approve.
pub fn count(step: &Step) -> usize {
    step.call.with.get("count").and_then(Value::as_u64).unwrap_or(1).max(1) as usize
}

/// How long an approval holds over a pause, in milliseconds: an hour unless it says otherwise.
pub fn valid_ms(step: &Step) -> u64 {
    let said = step.call.with.get("valid").and_then(Value::as_str).and_then(|text| units::duration_ms(text).ok());
    said.unwrap_or(60 * 60 * 1000)
}

/// The step that sets the end of a run and how long it is until then, as far as the plan's estimates go: of what has
/// not ended, the one with the longest way to the end, less what it has run already. Milliseconds; none if nothing is left.
pub fn pace(state: &State, now: Timestamp) -> Option<(usize, u64)> {
    let tail = &state.checked.graph().tail_ms;
    let open = (0..state.steps.len()).filter(|&i| !state.steps[i].settled());
    let left = open.map(|i| match state.steps[i].life {
        Life::Running { since, .. } => {
            let ran = u64::try_from(now.duration_since(since).as_millis()).unwrap_or(0);
            (i, tail[i].saturating_sub(ran.min(state.step(i).takes_ms)))
        }
        _ => (i, tail[i]),
    });
    // Of two that are as long the first one written, which is the nearer one.
    left.max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))
}

/// When a failed step is tried again by itself, if it is.
pub fn again_at(state: &State, i: usize) -> Option<Timestamp> {
    let (step, life) = (state.step(i), &state.steps[i]);
    match life.life {
        Life::Failed { at, .. } if state.paused.is_none() && state.back.is_none() && retryable(step, life) => {
            Some(at + std::time::Duration::from_millis(step.retry.delay_after_ms(life.tries.max(1))))
        }
        _ => None,
    }
}
