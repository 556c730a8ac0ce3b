//! What a driver has in hand: an attempt is prepared, announced by its intent, begun when that is appended, and ends in
//! an event; a look ends in one too. It does not decide which, and it does not know when an append happens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::Timestamp;
use serde_json::Value;

use super::{Driver, Message, REST, Stop};
use crate::actions::{self, Effect};
use crate::execute::attempt::{self, Ended, Look, Prepared};
use crate::execute::errand::{Errand, Names};
use crate::execute::machine::{self, Command};
use crate::execute::planted::planted;
use crate::execute::state::{Life, State};
use crate::journal::{Answer, Doing, Event};
use crate::model::Undo;

/// An attempt with everything resolved.
pub(super) struct Ready {
    pub(super) i: usize,
    doing: Doing,
    prepared: Prepared,
    before: Value,
}

pub(super) struct Announced {
    pub(super) ready: Ready,
    pub(super) errand: Errand,
    attempt: u32,
    names: Names,
}

impl Driver<'_> {
    pub(super) fn prepare(&mut self, i: usize, doing: Doing) {
        self.hands.busy.insert(i);
        let (world, errand) = (self.world.clone(), Errand::of(&self.state, i));
        let work = async move {
            let result = match attempt::prepare(&world, &errand, doing).await {
                Ok(prepared) => match (errand.before().filter(|_| !planted("before-again")), doing) {
                    (Some(before), _) => Ok((prepared, before.clone())),
                    (None, Doing::Undo) => Ok((prepared, Value::Null)),
                    (None, Doing::Apply) => attempt::before(&world, &errand, &prepared).await.map(|before| (prepared, before)),
                },
                Err(fault) => Err(fault),
            };
            Message::Prepared { i, doing, result: result.map(|(prepared, before)| Ready { i, doing, prepared, before }) }
        };
        self.work.push(work.boxed());
    }

    /// Everything is resolved and the state before is read: the intent.
    pub(super) async fn announce(&mut self, ready: Ready) -> Result<(), Stop> {
        let (i, doing) = (ready.i, ready.doing);
        self.hands.busy.remove(&i);
        // Meanwhile something may have happened: only what would still be begun is begun.
        let wanted = if doing == Doing::Apply { Command::Start(i) } else { Command::Undo(i) };
        let mut hands = self.hands.clone();
        hands.parallel += 1;
        if !machine::decide(&self.state, &hands, self.time.now()).commands.contains(&wanted) {
            return Ok(());
        }
        let checked = Arc::clone(&self.state.checked);
        let step = &checked.compiled().scenario.steps[i];
        if step.effect != Effect::Read && !self.held && !planted("hold-nothing") {
            // What happened so far is not lost if another run holds an asset.
            self.append().await?;
            self.store.hold(&self.state.run, &attempt::targets(&self.state)).await?;
            self.held = true;
        }
        let attempt = 1 + self.state.steps[i].attempt(doing);
        let names = Names::of(&self.state.run, &step.id, doing, attempt);
        let intent = Event::Intent {
            step: step.id.clone(),
            doing,
            attempt,
            key: names.key.clone(),
            inputs: ready.prepared.inputs.clone(),
            timeout_ms: step.timeout_ms,
            settles_ms: ready.prepared.settles_ms().saturating_add(u64::try_from(self.slack.as_millis()).unwrap_or(u64::MAX)),
            before: ready.before.clone(),
        };
        self.stage(intent, false)?;
        self.hands.busy.insert(i);
        let announced = Announced { ready, errand: Errand::of(&self.state, i), attempt, names };
        if planted("act-then-append") {
            self.begin_attempt(announced);
        } else {
            self.announced.push(announced);
        }
        Ok(())
    }

    pub(super) fn begin_attempt(&mut self, announced: Announced) {
        let world = self.world.clone();
        let work = async move {
            let Announced { ready: Ready { i, doing, prepared, before }, errand, attempt, names } = announced;
            let ended = attempt::begin(&world, &errand, &prepared, &names, (doing, &before)).await;
            Message::Ended { i, doing, attempt, settles_ms: prepared.settles_ms(), ended }
        };
        self.work.push(work.boxed());
    }

    /// What was announced and did not begin in time: it needs a new intent, and surely nothing of this one will land.
    pub(super) fn lapse(&mut self, announced: &Announced) -> Result<(), Stop> {
        let Announced { ready: Ready { i, doing, .. }, attempt, .. } = *announced;
        self.hands.busy.remove(&i);
        let step = self.state.step(i).id.clone();
        let why = "the journal took its intent too late for it to begin".to_owned();
        let open_until = self.state.steps[i].lands_by;
        self.stage(Event::Unknown { step: step.clone(), doing, attempt, why, open_until, died: true }, true)?;
        let (answer, detail) = attempt::never_begun(doing);
        self.stage(Event::Probed { step, doing, attempt, answer, detail, closed: true }, true)
    }

    pub(super) fn end_event(&self, i: usize, doing: Doing, attempt: u32, settles_ms: u64, ended: Ended, found: bool) -> Event {
        let step = self.state.step(i).id.clone();
        match ended {
            Ended::Done(outputs) => Event::Done { step, doing, attempt, outputs, found },
            Ended::Failed { reason, unreachable } => Event::Failed { step, doing, attempt, reason, unreachable },
            Ended::Unknown { why } if planted("lost-is-failed") => Event::Failed { step, doing, attempt, reason: why, unreachable: false },
            Ended::Unknown { why } => {
                // Who held its process is gone: unless it is seen to have ended, it may go on until its deadline.
                let open_until = if attempt::has_process(self.state.step(i), doing) && !planted("no-deadline") {
                    self.state.steps[i].lands_by
                } else {
                    (settles_ms > 0).then(|| self.time.now() + Duration::from_millis(settles_ms))
                };
                Event::Unknown { step, doing, attempt, why, open_until, died: false }
            }
        }
    }

    pub(super) fn look(&mut self, i: usize, began: Timestamp) {
        self.hands.busy.insert(i);
        let doing = match self.state.steps[i].life {
            Life::Unknown { doing, .. } => doing,
            _ => Doing::Apply,
        };
        let (world, errand) = (self.world.clone(), Errand::of(&self.state, i));
        let work = async move { Message::Looked { i, doing, look: attempt::look(&world, &errand, doing).await, began } };
        self.work.push(work.boxed());
    }

    pub(super) fn looked(&mut self, i: usize, doing: Doing, look: Look, began: Timestamp) -> Result<(), Stop> {
        self.hands.busy.remove(&i);
        let life = &self.state.steps[i];
        let attempt = life.attempt(doing);
        let (was, open_until) = match &life.life {
            Life::Unknown { doing: d, answer, open_until, .. } if *d == doing => (*answer, *open_until),
            Life::Failed { .. } | Life::Skipped { .. } | Life::Waiting | Life::Left { .. } if doing == Doing::Apply => (None, None),
            // A person spoke while it was looked at.
            _ => return Ok(()),
        };
        match look {
            Look::Ended(ended) => {
                let event = self.end_event(i, doing, attempt, 0, ended, true);
                self.stage(event, false)
            }
            Look::Said { answer, detail, gone } => {
                let open_until = open_until.map(|until| self.inherited.get(&(i, doing, attempt)).copied().unwrap_or(until));
                let closed = answer != Answer::Running && (gone || open_until.is_none_or(|t| t <= began));
                self.hands.resting.insert(i, self.time.now() + REST);
                if was == Some(answer) && closed == open_until.is_none() {
                    return Ok(());
                }
                let step = self.state.step(i).id.clone();
                self.stage(Event::Probed { step, doing, attempt, answer, detail, closed }, false)
            }
        }
    }
}

/// True if the attempt may happen once only, so that its intent stands right before its start.
pub(super) fn once(state: &State, ready: &Ready) -> bool {
    let step = state.step(ready.i);
    match (&step.undo, ready.doing) {
        (_, Doing::Apply) => step.effect == Effect::Once,
        (Undo::Use(call), Doing::Undo) => actions::find(&call.uses).is_none_or(|a| a.effect == Effect::Once),
        (_, Doing::Undo) => false,
    }
}
