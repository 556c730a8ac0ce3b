//! What an event does to one step. It knows no other step, and whether an event has a place it says by a bool.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{Life, Past, StepState};
use crate::execute::planted::planted;
use crate::journal::{About, Answer, Carried, Doing, Stands};

impl StepState {
    pub(super) fn new() -> Self {
        StepState {
            life: Life::Waiting,
            attempts: 0,
            tries: 0,
            undo_attempts: 0,
            before: None,
            outputs: Map::new(),
            approvals: Vec::new(),
            asked: None,
            since: None,
            effect_seq: None,
            started_at: None,
            done_at: None,
            by_person: false,
            forced: false,
            again: false,
            lapsed: None,
            ready_at: None,
            surveyed: None,
            begun_by: String::new(),
            past: None,
            lands_by: None,
        }
    }

    /// The number of the last attempt to do it, or to take it back.
    pub fn attempt(&self, doing: Doing) -> u32 {
        match doing {
            Doing::Apply => self.attempts,
            Doing::Undo => self.undo_attempts,
        }
    }

    /// As an earlier run left it.
    pub(super) fn carried(left: &Carried, seq: u64, nth: u32, at: Timestamp) -> Self {
        let mut then = None;
        let life = match left.stands.clone() {
            Stands::Done => Life::Done,
            Stands::Again => Life::Waiting,
            Stands::Left { why } => Life::Left { why },
            Stands::Failed { reason, unreachable } => Life::Failed { reason, unreachable, at },
            Stands::Stuck { reason } => Life::Stuck { reason },
            Stands::Unknown { doing, why, open_until, then: after } => {
                then = after;
                Life::Unknown { doing, why, open_until, died: true, answer: None }
            }
        };
        StepState {
            life,
            attempts: left.attempts,
            tries: u32::from(left.attempts > 0),
            again: left.stands == Stands::Again,
            undo_attempts: left.undo_attempts,
            before: left.before.clone(),
            outputs: left.outputs.clone(),
            since: Some(at),
            effect_seq: Some((seq, nth)),
            started_at: left.started_at,
            done_at: left.done_at,
            by_person: left.by_person,
            begun_by: left.begun_by.clone(),
            past: Some(Box::new(Past { left: left.clone(), then })),
            ..StepState::new()
        }
    }

    /// True for a step of an earlier run that has no place in this plan.
    pub fn beside(&self) -> bool {
        self.past.as_ref().is_some_and(|past| past.left.beside)
    }

    /// True while nothing that changes anything may begin, because of what an earlier run left here.
    pub fn holds_back(&self) -> bool {
        matches!(self.life, Life::Left { .. }) || (self.beside() && !self.settled())
    }

    /// True while an attempt is under way or may still land: the step keeps its locks.
    pub fn in_flight(&self) -> bool {
        matches!(self.life, Life::Running { .. } | Life::Unknown { .. })
    }

    /// True while a person was asked to do it and has not answered.
    pub fn by_hand(&self) -> bool {
        self.life == Life::Waiting && matches!(self.asked, Some((About::Manual, _)))
    }

    /// True if something of it may have had an effect, whoever did it.
    pub fn touched(&self) -> bool {
        self.attempts > 0 || self.again
    }

    /// True if nothing more of the step can happen by itself.
    pub fn settled(&self) -> bool {
        matches!(self.life, Life::Done | Life::Skipped { .. } | Life::Undone)
    }

    pub(super) fn begin(&mut self, doing: Doing, attempt: u32, before: &Value, at: Timestamp, seq: u64) -> bool {
        let legal = match doing {
            Doing::Apply => {
                let from = match &self.life {
                    Life::Waiting | Life::Failed { .. } => true,
                    Life::Unknown { doing, .. } => *doing == Doing::Apply,
                    _ => false,
                };
                from && attempt == self.attempts + 1
            }
            Doing::Undo => {
                let from = match &self.life {
                    Life::Done | Life::Failed { .. } | Life::Stuck { .. } | Life::Left { .. } => true,
                    // It failed, and the plan or a person went on without it, or was about to try again.
                    Life::Skipped { .. } | Life::Waiting => self.touched(),
                    Life::Unknown { doing, .. } => *doing == Doing::Undo,
                    _ => false,
                };
                from && attempt == self.undo_attempts + 1
            }
        };
        match doing {
            Doing::Apply => {
                // An attempt whose driver died is not one that the plan's `retry` allows for.
                let again = matches!(self.life, Life::Unknown { died: true, .. });
                self.attempts = attempt;
                self.tries += u32::from(!again || self.tries == 0);
                // The state before is read once: what stands there after an attempt may be the attempt's own work.
                self.before.get_or_insert_with(|| before.clone());
                self.effect_seq.get_or_insert((seq, 0));
                self.started_at.get_or_insert(at);
                self.surveyed = None;
                // What it refers to is what it means in this run, from here on.
                if let Some(past) = &mut self.past {
                    past.then = None;
                    past.left.values.clear();
                    past.left.dir.clear();
                }
            }
            Doing::Undo => self.undo_attempts = attempt,
        }
        self.life = Life::Running { doing, since: at };
        self.asked = None;
        legal
    }

    pub(super) fn end_well(&mut self, doing: Doing, attempt: u32, outputs: &Map<String, Value>, at: Timestamp) -> bool {
        let legal = match (doing, &self.life) {
            (_, Life::Running { doing: d, .. } | Life::Unknown { doing: d, .. }) => *d == doing,
            (Doing::Apply, Life::Waiting) => attempt == 0,
            // It was looked for, and is not there.
            (Doing::Undo, Life::Left { .. }) => attempt == 0,
            _ => false,
        };
        match doing {
            Doing::Apply => {
                self.outputs = outputs.clone();
                self.done_at = Some(at);
                self.started_at.get_or_insert(at);
                let then = self.past.as_mut().and_then(|past| past.then.take()).filter(|_| !planted("adopt-unproved"));
                self.again |= matches!(then.as_deref(), Some(Stands::Again));
                self.life = match then.map(|then| *then) {
                    None => Life::Done,
                    Some(Stands::Left { why }) => Life::Left { why },
                    Some(_) => Life::Waiting,
                };
            }
            Doing::Undo => self.life = Life::Undone,
        }
        self.asked = None;
        legal
    }

    pub(super) fn end_badly(&mut self, doing: Doing, attempt: u32, reason: &str, unreachable: bool, at: Timestamp) -> bool {
        let legal = match (doing, &self.life) {
            (_, Life::Running { doing: d, .. } | Life::Unknown { doing: d, .. }) => *d == doing,
            (Doing::Apply, Life::Waiting | Life::Failed { .. }) => attempt == 0,
            (Doing::Undo, Life::Done | Life::Failed { .. } | Life::Skipped { .. } | Life::Stuck { .. } | Life::Waiting) => attempt == 0,
            _ => false,
        };
        if attempt == 0 {
            self.tries += 1;
        }
        if let Life::Unknown { answer: Some(Answer::NotThere), .. } = self.life {
            self.surveyed = Some(Answer::NotThere);
        }
        self.life = match doing {
            Doing::Apply if self.beside() => Life::Left { why: reason.to_owned() },
            Doing::Apply => Life::Failed { reason: reason.to_owned(), unreachable, at },
            Doing::Undo => Life::Stuck { reason: reason.to_owned() },
        };
        self.asked = None;
        legal
    }

    pub(super) fn probed(&mut self, found: Answer, closed: bool) -> bool {
        match &mut self.life {
            Life::Unknown { open_until, answer, .. } => {
                *answer = Some(found);
                if closed {
                    *open_until = None;
                }
                true
            }
            Life::Failed { .. } | Life::Skipped { .. } | Life::Waiting | Life::Left { .. } => {
                self.surveyed = Some(found);
                self.touched()
            }
            _ => false,
        }
    }

    /// Back to where it had not begun; what it did stays known.
    pub(super) fn wait_again(&mut self) {
        self.life = Life::Waiting;
        self.asked = None;
        self.ready_at = None;
        self.done_at = None;
    }

    pub(super) fn again(&mut self) {
        match &self.life {
            Life::Failed { .. } => {
                self.life = Life::Waiting;
                self.tries = 0;
                self.approvals.clear();
                // Asked again, an approval has its whole time again.
                self.ready_at = None;
                // Whoever says so after a look that could not tell, knows.
                self.again &= self.attempts == 0;
            }
            Life::Stuck { reason } if self.beside() => self.life = Life::Left { why: reason.clone() },
            Life::Stuck { .. } => self.life = Life::Done,
            Life::Left { .. } if !self.beside() => self.life = Life::Waiting,
            Life::Waiting if matches!(self.asked, Some((About::When, _))) => self.forced = true,
            _ => return,
        }
        self.asked = None;
    }

    pub(super) fn resolved(&mut self, done: bool, back: bool, record: &Map<String, Value>, words: &str, at: Timestamp) {
        let undoing = matches!(self.life, Life::Unknown { doing: Doing::Undo, .. } | Life::Stuck { .. })
            || (matches!(self.asked, Some((About::Manual, _)))
                && match self.life {
                    Life::Done | Life::Failed { .. } => true,
                    Life::Waiting | Life::Skipped { .. } => back,
                    _ => false,
                });
        match (&self.life, done) {
            (Life::Skipped { .. } | Life::Undone | Life::Running { .. }, _) if !undoing => return,
            (Life::Done, _) if !undoing => return,
            (Life::Left { .. }, true) => {
                self.done_at.get_or_insert(at);
                self.by_person = true;
                self.life = Life::Done;
            }
            (_, false) if self.beside() && !undoing => self.life = Life::Undone,
            (Life::Left { .. }, false) => {
                self.surveyed = Some(Answer::NotThere);
                self.life = Life::Waiting;
            }
            (_, true) if undoing => self.life = Life::Undone,
            (_, true) => {
                self.outputs = record.clone();
                self.done_at = Some(at);
                self.by_person = true;
                self.life = Life::Done;
            }
            (_, false) if undoing => self.life = Life::Stuck { reason: format!("said not to be taken back by {words}") },
            (_, false) => self.life = Life::Failed { reason: format!("said not to be done by {words}"), unreachable: false, at },
        }
        self.asked = None;
    }
}
