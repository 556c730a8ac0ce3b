//! The door of a run's state: every event comes in here, and changes the steps and what is kept beside them.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Back, Illegal, Life, Recovered, State, StepState, contact_of};
use crate::execute::machine::retryable;
use crate::execute::waiting;
use crate::journal::{Carried, End, Entry, Event, Word};

impl State {
    /// The one door: an event changes the state, or is refused.
    pub fn fold(&mut self, entry: &Entry) -> Result<(), Illegal> {
        if entry.seq != self.seq + 1 {
            return Err(Illegal(format!("event {} after event {}", entry.seq, self.seq)));
        }
        self.seq = entry.seq;
        // A person speaks by the clock of their own machine: what they say follows what had happened by then.
        let was = self.written_at;
        let at = entry.at.max(was);
        if !spoken(&entry.event) {
            self.written_at = at;
        }
        self.happen(entry, at)?;
        self.stand(entry, at, was);
        Ok(())
    }

    fn happen(&mut self, entry: &Entry, at: Timestamp) -> Result<(), Illegal> {
        match &entry.event {
            Event::RunStarted { operator, .. } => {
                self.starter.clone_from(operator);
                Ok(())
            }
            Event::LeaseGiven { .. } => Ok(()),
            Event::LeaseBroken { .. } | Event::HandedOver { .. } | Event::Imported { .. } => Ok(()),
            Event::Adopted { carried, .. } => self.adopt(carried, at),
            Event::AdoptedBy { .. } => {
                self.finished = Some(End::Adopted);
                Ok(())
            }
            Event::LeaseTaken { holder, .. } => {
                self.driver.clone_from(holder);
                Ok(())
            }
            Event::Ready { step } => self.change(step, at, "ready", |s| {
                s.ready_at = Some(at);
                matches!(s.life, Life::Waiting)
            }),
            Event::Intent { step, doing, attempt, before, timeout_ms, settles_ms, .. } => {
                let lands_by = at + Duration::from_millis(timeout_ms.unwrap_or(0) + settles_ms);
                let (seq, driver) = (entry.seq, self.driver.clone());
                self.change(step, at, "an intent", |s| {
                    s.begun_by = driver;
                    s.lands_by = Some(lands_by);
                    s.begin(*doing, *attempt, before, at, seq)
                })
            }
            Event::Done { step, doing, attempt, outputs, .. } => {
                let seq = entry.seq;
                self.change(step, at, "a result", |s| {
                    // What a person did has no intent: its place among the effects is where it was said.
                    s.effect_seq.get_or_insert((seq, 0));
                    s.end_well(*doing, *attempt, outputs, at)
                })?;
                self.passed_by(step)
            }
            Event::Failed { step, doing, attempt, reason, unreachable } => {
                self.change(step, at, "a failure", |s| s.end_badly(*doing, *attempt, reason, *unreachable, at))
            }
            Event::Unknown { step, doing, why, open_until, died, .. } => self.change(step, at, "an unknown", |s| {
                let legal = matches!(&s.life, Life::Running { doing: d, .. } if d == doing);
                s.life = Life::Unknown { doing: *doing, why: why.clone(), open_until: *open_until, died: *died, answer: None };
                legal
            }),
            Event::Probed { step, answer, closed, .. } => self.change(step, at, "a probe", |s| s.probed(*answer, *closed)),
            Event::Skipped { step, reason, flaw } => {
                self.change(step, at, "a skip", |s| {
                    let legal = matches!(s.life, Life::Waiting | Life::Failed { .. });
                    s.life = Life::Skipped { reason: reason.clone(), flaw: *flaw };
                    s.asked = None;
                    legal
                })?;
                self.passed_by(step)
            }
            Event::Asked { step, about, question } => self.change(step, at, "a question", |s| {
                s.asked = Some((*about, question.clone()));
                true
            }),
            Event::Approved { step, who, digest, .. } => {
                let fits = digest == self.checked.digest();
                self.change(step, at, "an approval", |s| {
                    if fits && matches!(s.life, Life::Waiting) && s.approvals.iter().all(|(w, _)| contact_of(w) != contact_of(who)) {
                        s.approvals.push((who.clone(), at));
                    }
                    true
                })
            }
            Event::Declined { step, who, reason, .. } => self.change(step, at, "a refusal", |s| {
                if matches!(s.life, Life::Waiting) {
                    s.life = Life::Failed { reason: format!("declined by {who}: {reason}"), unreachable: false, at };
                    s.asked = None;
                }
                true
            }),
            Event::Word { word, step, who, reason } => self.hear(word, step.as_deref(), who, reason, at),
            Event::Objective { asset, at, recovery_ms, .. } => {
                self.recovered.insert(asset.clone(), Recovered { at: *at, recovery_ms: *recovery_ms });
                self.due(asset);
                let index = Arc::clone(&self.index);
                index.above.get(asset).into_iter().flatten().for_each(|above| self.due(above));
                Ok(())
            }
            Event::Finished { how, .. } => {
                self.finished = Some(*how);
                Ok(())
            }
        }
    }

    /// Whether the run goes on, and what a pause that ends here has outlived. It stands while a person paused it, a
    /// failure waits for a person, or nobody drives it; whoever went away without a word was last there when they last wrote.
    fn stand(&mut self, entry: &Entry, at: Timestamp, was: Timestamp) {
        match &entry.event {
            Event::LeaseTaken { .. } => {
                if self.driven {
                    self.stood_since.get_or_insert(was);
                }
                self.driven = true;
            }
            Event::LeaseGiven { .. } | Event::LeaseBroken { .. } | Event::HandedOver { .. } => self.driven = false,
            _ => {}
        }
        let failed = |&i: &usize| !retryable(self.step(i), &self.steps[i]);
        if !self.driven || self.paused.is_some() || self.lists.failed.iter().any(failed) {
            self.stood_since.get_or_insert(at);
        } else if let Some(since) = self.stood_since.take() {
            self.lapse(since, at);
        }
    }

    /// Approvals that a pause has outlived are wanted again, where something still stands on them.
    fn lapse(&mut self, since: Timestamp, until: Timestamp) {
        if self.back.is_some() || self.aborting || self.finished.is_some() {
            return;
        }
        for i in 0..self.steps.len() {
            if self.steps[i].approvals.is_empty() {
                continue;
            }
            let valid = waiting::valid_ms(self.step(i));
            let lasted = |given: Timestamp| u64::try_from(until.duration_since(given.max(since)).as_millis()).unwrap_or(0);
            let longest = self.steps[i].approvals.iter().map(|(_, given)| lasted(*given)).max().unwrap_or(0);
            if longest <= valid {
                continue;
            }
            let open = |j: &usize| matches!(self.steps[*j].life, Life::Waiting | Life::Failed { .. });
            match self.steps[i].life {
                Life::Waiting => {}
                Life::Done if self.downstream(i).iter().any(open) => {}
                _ => continue,
            }
            let settled = self.steps[i].settled();
            let step = &mut self.steps[i];
            step.approvals.retain(|(_, given)| lasted(*given) <= valid);
            step.lapsed = Some(longest);
            step.since = Some(until);
            step.wait_again();
            self.sort(i, settled);
            self.unpass(i);
        }
    }

    /// Steps that are to be done again, with all that stands on them.
    fn redo(&mut self, again: &[String], at: Timestamp) {
        let all: Vec<usize> = again.iter().filter_map(|id| self.find(id)).collect();
        for &i in &all {
            let settled = self.steps[i].settled();
            let step = &mut self.steps[i];
            match step.life {
                Life::Done => step.again = true,
                Life::Failed { .. } | Life::Skipped { .. } => {}
                _ => continue,
            }
            step.wait_again();
            step.approvals.clear();
            step.lapsed = None;
            step.surveyed = None;
            step.by_person = false;
            step.tries = 0;
            step.since = Some(at);
            for asset in self.step(i).assets.clone() {
                self.gone(&asset);
            }
            self.sort(i, settled);
            self.unpass(i);
        }
    }

    /// An asset is not back any more, nor is what stands on it.
    fn gone(&mut self, asset: &str) {
        let index = Arc::clone(&self.index);
        let mut open = vec![asset];
        while let Some(asset) = open.pop() {
            if self.recovered.remove(asset).is_some() {
                open.extend(index.above.get(asset).into_iter().flatten().map(String::as_str));
            }
            self.due(asset);
        }
    }

    /// Takes in what an earlier run left, before anything else happened.
    fn adopt(&mut self, carried: &[Carried], at: Timestamp) -> Result<(), Illegal> {
        if self.seq != 2 {
            return Err(Illegal(format!("event {}: a run adopts another one before anything else", self.seq)));
        }
        for (left, nth) in carried.iter().zip(0..) {
            let i = self.find(&left.step).ok_or_else(|| Illegal(format!("event {}: there is no step `{}`", self.seq, left.step)))?;
            let settled = self.steps[i].settled();
            self.steps[i] = StepState::carried(left, self.seq, nth, at);
            self.sort(i, settled);
        }
        (0..self.steps.len()).for_each(|i| self.pass(i));
        Ok(())
    }

    fn change(&mut self, step: &str, at: Timestamp, what: &str, door: impl FnOnce(&mut StepState) -> bool) -> Result<(), Illegal> {
        let i = self.find(step).ok_or_else(|| Illegal(format!("event {}: there is no step `{step}`", self.seq)))?;
        let was = self.steps[i].life.clone();
        let settled = self.steps[i].settled();
        let about = self.steps[i].asked.as_ref().map(|(about, _)| *about);
        let legal = door(&mut self.steps[i]);
        if self.steps[i].life != was || self.steps[i].asked.as_ref().map(|(about, _)| *about) != about {
            self.steps[i].since = Some(at);
        }
        self.sort(i, settled);
        if legal { Ok(()) } else { Err(Illegal(format!("event {}: {what} for step `{step}`, which was {was:?}", self.seq))) }
    }

    fn passed_by(&mut self, step: &str) -> Result<(), Illegal> {
        if let Some(i) = self.find(step) {
            self.pass(i);
        }
        Ok(())
    }

    /// An operator's word. What has no place any more (the step went on meanwhile) does nothing.
    fn hear(&mut self, word: &Word, step: Option<&str>, who: &str, reason: &str, at: Timestamp) -> Result<(), Illegal> {
        if let Word::RetryDownstream { again } = word {
            self.redo(again, at);
            return Ok(());
        }
        let target = step.and_then(|s| self.find(s));
        let settled = target.is_some_and(|i| self.steps[i].settled());
        match (word, target) {
            (Word::Pause, _) => self.paused = Some(format!("{who}: {reason}")),
            (Word::Resume, _) => self.paused = None,
            (Word::Abort, _) => self.aborting = true,
            (Word::Rollback { to }, _) => {
                self.paused = None;
                self.back = Some(Back { to: to.as_deref().and_then(|t| self.find(t)) });
                // What was asked in order to go on is asked no more.
                self.steps.iter_mut().filter(|s| s.life == Life::Waiting).for_each(|s| s.asked = None);
                self.lists.by_hand.clear();
            }
            (Word::Retry, Some(i)) => self.steps[i].again(),
            (Word::Skip, Some(i)) => {
                let step = &mut self.steps[i];
                if matches!(step.life, Life::Waiting | Life::Failed { .. }) {
                    step.life = Life::Skipped { reason: format!("{who}: {reason}"), flaw: true };
                    step.asked = None;
                }
            }
            (Word::Resolve { done, record, .. }, Some(i)) => {
                let seq = self.seq;
                self.steps[i].effect_seq.get_or_insert((seq, 0));
                let back = self.back.is_some();
                self.steps[i].resolved(*done, back, record, &format!("{who}: {reason}"), at);
            }
            (Word::Retry | Word::Skip | Word::Resolve { .. }, None) | (Word::RetryDownstream { .. }, _) => {}
        }
        if let Some(i) = target {
            self.steps[i].since = Some(at);
            self.sort(i, settled);
            self.pass(i);
        }
        Ok(())
    }
}

/// True if a person may have written the event, by the clock of any machine.
fn spoken(event: &Event) -> bool {
    use Event::{Approved, Declined, HandedOver, Imported, LeaseBroken, Word};
    matches!(event, Word { .. } | Approved { .. } | Declined { .. } | LeaseBroken { .. } | HandedOver { .. } | Imported { .. })
}
