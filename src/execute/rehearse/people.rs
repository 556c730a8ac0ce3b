//! People in a rehearsal: they answer what they are asked from what really happened, and now and then say something that
//! nobody asked for. They say nothing that the executor would refuse.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::laws::ticket;
use super::{RUN, Trouble, shadow};
use crate::analysis::chance::Chance;
use crate::execute::rollback;
use crate::execute::state::{Life, State, StepState};
use crate::execute::words;
use crate::journal::{About, Event, Word};
use crate::model::{OnFailure, Step, Undo};
use crate::world::sim::Sim;

/// Everybody who may speak.
pub struct People {
    /// What they do by chance.
    pub chance: Chance,
    words: u32,
    meddling: bool,
    /// They say nothing that they would not say in an undisturbed run.
    steady: bool,
    /// After so many attempts they go on without a step: what somebody else changed is never done.
    attempts: u32,
    /// How often they look at something new before they go home.
    patience: u32,
    seen: u64,
}

impl People {
    /// People as the trouble has them.
    pub fn new(chance: Chance, trouble: &Trouble) -> People {
        let (words, meddling) = (trouble.words, trouble.meddling);
        let steady = words == 0;
        People { chance, words, meddling, steady, attempts: if steady && !meddling { u32::MAX } else { 8 }, patience: 5_000, seen: 0 }
    }

    /// What somebody says now, if anybody does.
    pub fn say(&mut self, state: &State, now: Timestamp, sim: &Sim) -> Option<Event> {
        if state.finished.is_some() || self.patience == 0 {
            return None;
        }
        self.patience -= u32::from(state.seq > self.seen);
        self.seen = state.seq;
        if self.meddling && self.chance.below(20) == 0 {
            self.meddle(state, sim);
        }
        if state.paused.is_some() && self.chance.below(4) == 0 {
            return Some(word(Word::Resume, None, "lead"));
        }
        if self.words > 0
            && self.chance.below(8) == 0
            && let Some(event) = self.unasked(state, now)
        {
            self.words -= 1;
            return Some(event);
        }
        if let Some(event) = way_back(state) {
            return Some(event);
        }
        (0..state.steps.len()).find_map(|i| self.answer(state, now, i, sim))
    }

    /// Somebody else changes what a step changed, or could not change yet.
    fn meddle(&mut self, state: &State, sim: &Sim) {
        let tried = |life: &Life| matches!(life, Life::Done | Life::Failed { .. });
        let known = |i: &usize| tried(&state.steps[*i].life) && state.step(*i).undo == Undo::Auto;
        let all: Vec<usize> = (0..state.steps.len()).filter(known).collect();
        if !all.is_empty() {
            let i = all[self.chance.below(all.len() as u64) as usize];
            sim.meddle_record(shadow::record(&state.step(i).id, "elsewhere.example.com"));
            self.meddling = false;
        }
    }

    fn unasked(&mut self, state: &State, now: Timestamp) -> Option<Event> {
        let i = self.chance.below(state.steps.len() as u64) as usize;
        let id = state.step(i).id.clone();
        let (what, step) = match self.chance.below(15) {
            12 | 13 => {
                let again = words::again(state, i).ok()?.into_iter().map(|j| state.step(j).id.clone()).collect();
                (Word::RetryDownstream { again }, Some(id))
            }
            14 if matches!(state.steps[i].asked, Some((About::Approval, _))) => {
                let digest = state.checked.digest().to_owned();
                return Some(Event::Declined { step: id, who: "somebody".to_owned(), reason: "a rehearsal".to_owned(), digest });
            }
            0..=2 if state.paused.is_none() => (Word::Pause, None),
            3 | 4 => (Word::Skip, Some(id)),
            5 | 6 => (Word::Retry, Some(id)),
            7 => (Word::Resolve { done: true, record: Map::new(), accept_late_effect: false }, Some(id)),
            8 | 9 => (Word::Rollback { to: None }, None),
            10 => (Word::Rollback { to: Some(id) }, None),
            11 => (Word::Abort, None),
            _ => return None,
        };
        words::allowed(state, now, &what, step.as_deref(), false).ok()?;
        // What really happened is told only where somebody is asked; a guess would be a lie.
        if matches!(what, Word::Resolve { .. }) && matches!(state.steps[i].life, Life::Unknown { .. } | Life::Stuck { .. }) {
            return None;
        }
        Some(word(what, step, "somebody"))
    }

    fn answer(&mut self, state: &State, now: Timestamp, i: usize, sim: &Sim) -> Option<Event> {
        let (step, life) = (state.step(i), &state.steps[i]);
        let id = step.id.clone();
        let event = match (&life.life, life.asked.as_ref().map(|(a, _)| *a)) {
            // Nobody answers sooner than the plan expects.
            (Life::Waiting, Some(About::Approval | About::Manual)) if thinks(life, now, step.takes_ms) => return None,
            (Life::Waiting, Some(About::Approval)) if state.back.is_none() && !state.aborting => approval(state, step, life)?,
            (Life::Waiting, Some(About::When)) => {
                let what = if self.steady || self.chance.below(2) == 0 { Word::Retry } else { Word::Skip };
                word(what, Some(id), "lead")
            }
            (_, Some(About::Manual)) => {
                let record = recorded(step.call.with.get("record"), &mut self.chance);
                word(Word::Resolve { done: true, record, accept_late_effect: false }, Some(id), "lead")
            }
            (Life::Unknown { doing, .. }, Some(_)) => {
                let attempt = life.attempt(*doing);
                let by = ticket(RUN, &id, *doing, attempt);
                let done = sim.deeds().iter().any(|d| d.by == by);
                word(Word::Resolve { done, record: Map::new(), accept_late_effect: false }, Some(id), "lead")
            }
            (Life::Failed { .. }, asked) if asked.is_some() || decides(state, step, life) => {
                // Trying again heals in the end: what goes wrong, goes wrong a few times.
                let gives_up = life.attempts > self.attempts || (!self.steady && self.chance.below(5) == 0);
                let what = if gives_up { Word::Skip } else { Word::Retry };
                let what = if words::allowed(state, now, &what, Some(&id), false).is_ok() { what } else { Word::Retry };
                word(what, Some(id), "lead")
            }
            (Life::Stuck { .. }, _) if life.undo_attempts < self.attempts && (self.steady || self.chance.below(3) > 0) => {
                word(Word::Retry, Some(id), "lead")
            }
            (Life::Stuck { .. }, _) => word(Word::Resolve { done: true, record: Map::new(), accept_late_effect: false }, Some(id), "lead"),
            _ => return None,
        };
        match &event {
            Event::Word { word, step, .. } => words::allowed(state, now, word, step.as_deref(), false).is_ok().then_some(event),
            _ => Some(event),
        }
    }
}

/// True while a person still thinks about it.
fn thinks(life: &StepState, now: Timestamp, takes_ms: u64) -> bool {
    life.since.is_some_and(|since| now < since + std::time::Duration::from_millis(takes_ms))
}

/// True if a failure waits for a person.
fn decides(state: &State, step: &Step, life: &StepState) -> bool {
    let forward = state.back.is_none() && !state.aborting;
    forward && !crate::execute::machine::retryable(step, life) && step.on_failure != OnFailure::Continue
}

/// A rollback that was refused needs to be told how far.
fn way_back(state: &State) -> Option<Event> {
    let back = state.back.as_ref().filter(|b| b.to.is_none())?;
    let plan = rollback::plan(state);
    if back.to.is_some() || !plan.refused() || !state.lists.unknown.is_empty() {
        return None;
    }
    let first = plan.holders.iter().min_by_key(|&&h| state.steps[h].effect_seq)?;
    Some(word(Word::Rollback { to: Some(state.step(*first).id.clone()) }, None, "lead"))
}

fn approval(state: &State, step: &Step, life: &StepState) -> Option<Event> {
    let from = step.call.with.get("from").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    // Who said yes has said all they can.
    let who = from.into_iter().find(|who| life.approvals.iter().all(|(w, _)| w != who))?;
    let digest = state.checked.digest().to_owned();
    Some(Event::Approved { step: step.id.clone(), who: who.to_owned(), comment: String::new(), digest, break_glass: false })
}

/// What a person writes down, as the step wants it.
fn recorded(wanted: Option<&Value>, chance: &mut Chance) -> Map<String, Value> {
    let wanted = wanted.and_then(Value::as_object).into_iter().flatten();
    let value = |shape: &Value, chance: &mut Chance| match shape.get("enum").and_then(Value::as_array) {
        Some(choices) if !choices.is_empty() => choices[chance.below(choices.len() as u64) as usize].clone(),
        _ => match shape.get("type").and_then(Value::as_str) {
            Some("int") => json!(1),
            Some("bool") => json!(chance.below(2) == 0),
            Some("time") => json!("2026-01-01T00:00:00Z"),
            Some("duration") => json!("1m"),
            _ => json!("seen"),
        },
    };
    wanted.map(|(name, shape)| (name.clone(), value(shape, chance))).collect()
}

fn word(word: Word, step: Option<String>, who: &str) -> Event {
    Event::Word { word, step, who: who.to_owned(), reason: "a rehearsal".to_owned() }
}
