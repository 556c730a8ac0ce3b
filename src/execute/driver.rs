//! Carries out what the machine decides: one loop, events in one line, every attempt a future of its own. It does not
//! decide anything itself, and it does not know what an action does.
//!
//! Append, then act: an intent is in the journal before its effect starts, and if the journal cannot be written,
//! nothing more starts. Dropping the driver drops every future it has in hand, as its death would.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use serde_json::Value;

use super::attempt::{self, Ended, Errand, Look, Prepared};
use super::machine::{self, Command, Hands, Idle};
use super::planted::planted;
use super::state::{Life, State};
use crate::actions::Effect;
use crate::journal::{self, Answer, BEAT_MS, Doing, End, Entry, Error, Event, Head, Lease, Store};
use crate::world::{Fault, World};

/// How often operator's words are looked for.
const POLL: Duration = Duration::from_millis(250);

/// An effect that has not begun this long after its intent was sent to the journal needs a new sign of life first.
const STALE: Duration = Duration::from_secs(2);

/// How long a step rests between two looks at it.
const REST: Duration = Duration::from_secs(2);

/// Why the driver stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The run ended.
    Ended(End),
    /// Nothing moves until a person speaks.
    Waiting(Idle),
    /// Ctrl-C; what was in flight at the second one is unknown.
    Interrupted,
    /// Another drives the run, or holds an asset.
    Held(String),
    /// The journal failed: nothing more was started.
    JournalFailed(String),
}

/// Who is told of every event.
pub trait Observer: Send {
    /// An event was appended, by this driver or by a voice.
    fn entry(&mut self, entry: &Entry, state: &State);
    /// Time passed.
    fn tick(&mut self, state: &State, now: Timestamp);
}

/// Settings of a driver.
pub struct Options {
    /// Who drives: `user@host pid`.
    pub holder: String,
    /// Go on waiting when only a person can answer (at a terminal).
    pub wait_for_people: bool,
    /// Counts Ctrl-C.
    pub stop: Arc<AtomicU8>,
}

/// Drives one run.
pub struct Driver<'a> {
    world: World,
    store: Arc<dyn Store>,
    lease: Lease,
    head: Head,
    state: State,
    hands: Hands,
    options: Options,
    observer: &'a mut dyn Observer,
    work: FuturesUnordered<BoxFuture<'static, Message>>,
    held: bool,
    beaten: Duration,
    polled: Duration,
}

enum Message {
    Prepared { i: usize, doing: Doing, result: Result<(Prepared, Value), Fault> },
    Ended { i: usize, doing: Doing, attempt: u32, settles_ms: u64, ended: Ended },
    Looked { i: usize, doing: Doing, look: Look, began: Timestamp },
}

/// What stops a turn.
enum Stop {
    /// The head moved, or a word came: decide again.
    Again,
    /// The driver ends.
    With(Outcome),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        match error {
            Error::Moved => Stop::Again,
            Error::Held { .. } | Error::Fenced | Error::AssetHeld { .. } => Stop::With(Outcome::Held(error.to_string())),
            other => Stop::With(Outcome::JournalFailed(other.to_string())),
        }
    }
}

impl<'a> Driver<'a> {
    /// Takes the lease of a run and drives it until it ends, waits for a person, or is stopped. The state is given
    /// back as far as it was folded; none if the lease was not to be had.
    pub async fn drive(
        world: World,
        store: Arc<dyn Store>,
        run: &str,
        options: Options,
        observer: &'a mut dyn Observer,
    ) -> (Option<State>, Outcome) {
        let mut driver = match Driver::begin(world, store, run, options, observer).await {
            Ok(driver) => driver,
            Err(Stop::With(outcome)) => return (None, outcome),
            Err(Stop::Again) => return (None, Outcome::Held("the run went on meanwhile".to_owned())),
        };
        let outcome = driver.run().await;
        let Driver { store, lease, state, .. } = driver;
        // What stays unknown keeps its locks by its events; the lease is free for whoever goes on.
        if !matches!(outcome, Outcome::JournalFailed(_) | Outcome::Held(_)) {
            let _ = store.give(lease).await;
        }
        (Some(state), outcome)
    }

    async fn begin(
        world: World,
        store: Arc<dyn Store>,
        run: &str,
        options: Options,
        observer: &'a mut dyn Observer,
    ) -> Result<Driver<'a>, Stop> {
        let lease = store.take(run, &options.holder).await?;
        let entries = store.read(run, 0).await?;
        let head = store.head(run).await?;
        let state = State::of(run, &entries).map_err(|e| Stop::With(Outcome::JournalFailed(e.to_string())))?;
        let parallel = state.plan().parallel.max(1) as usize;
        let elapsed = world.clock.elapsed();
        let mut driver = Driver {
            world,
            store,
            // A voice may have spoken between the two: then this is no head, and what was said is read next.
            head: Head { seq: state.seq, digest: head.digest },
            state,
            hands: Hands { parallel, ..Hands::default() },
            options,
            observer,
            work: FuturesUnordered::new(),
            held: false,
            beaten: elapsed,
            polled: elapsed,
            lease,
        };
        driver.refresh().await?;
        let taken = Event::LeaseTaken { fence: driver.lease.fence, holder: driver.options.holder.clone(), from: driver.lease.from.clone() };
        let mut events = vec![taken];
        events.extend(driver.orphans());
        driver.tell(events).await?;
        Ok(driver)
    }

    /// Attempts that an earlier driver left running: nobody knows what became of them.
    fn orphans(&self) -> Vec<Event> {
        let steps = self.state.steps.iter().enumerate();
        steps
            .filter_map(|(i, life)| {
                let Life::Running { doing, since } = life.life else { return None };
                let step = self.state.step(i);
                let attempt = if doing == Doing::Apply { life.attempts } else { life.undo_attempts };
                let settles = crate::actions::find(&step.call.uses).map_or(0, |a| a.settles_ms);
                let open = Duration::from_millis(step.timeout_ms.unwrap_or(0) + settles);
                let open_until = (step.effect != Effect::Read && !planted("close-at-once")).then_some(since + open);
                let why = "the program ended while it ran".to_owned();
                Some(Event::Unknown { step: step.id.clone(), doing, attempt, why, open_until, died: true })
            })
            .collect()
    }

    async fn run(&mut self) -> Outcome {
        loop {
            let turn = match self.turn().await {
                Err(stop) => Err(stop),
                Ok(Some(outcome)) => return outcome,
                Ok(None) => self.wait().await,
            };
            match turn {
                Ok(()) | Err(Stop::Again) => {}
                Err(Stop::With(outcome)) => return outcome,
            }
        }
    }

    /// Decides once and carries it out.
    async fn turn(&mut self) -> Result<Option<Outcome>, Stop> {
        if let Some(end) = self.state.finished {
            return Ok(Some(Outcome::Ended(end)));
        }
        let stopping = self.options.stop.load(Ordering::SeqCst);
        self.hands.stopping = stopping > 0;
        if stopping > 1 || (stopping == 1 && self.hands.busy.is_empty()) {
            return Ok(Some(Outcome::Interrupted));
        }
        loop {
            let now = self.world.clock.now();
            let decision = machine::decide(&self.state, &self.hands, now);
            if let Some(idle) = decision.idle {
                if self.options.wait_for_people {
                    return Ok(None);
                }
                self.tell(vec![Event::LeaseGiven { fence: self.lease.fence }]).await?;
                return Ok(Some(Outcome::Waiting(idle)));
            }
            let mut notes = Vec::new();
            for command in decision.commands {
                match command {
                    Command::Note(event) => notes.push(event),
                    Command::Start(i) => self.prepare(i, Doing::Apply),
                    Command::Undo(i) => self.prepare(i, Doing::Undo),
                    Command::Look(i) if !self.hands.stopping => self.look(i, now),
                    Command::Look(_) => {}
                }
            }
            if notes.is_empty() {
                return Ok(None);
            }
            self.decided(notes).await?;
            if let Some(end) = self.state.finished {
                return Ok(Some(Outcome::Ended(end)));
            }
        }
    }

    /// Waits for the next thing that happens: an attempt's end, a word, a time.
    async fn wait(&mut self) -> Result<(), Stop> {
        let elapsed = self.world.clock.elapsed();
        let rest = POLL.saturating_sub(elapsed.saturating_sub(self.polled));
        let world = self.world.clone();
        let pause = world.clock.sleep(rest.max(Duration::from_millis(1)));
        let message = if self.work.is_empty() {
            pause.await;
            None
        } else {
            match select(self.work.next(), pause).await {
                Either::Left((message, _)) => message,
                Either::Right(_) => None,
            }
        };
        match message {
            Some(message) => self.handle(message).await,
            None => {
                let now = self.world.clock.elapsed();
                self.polled = now;
                if now.saturating_sub(self.beaten) >= Duration::from_millis(BEAT_MS) {
                    self.store.beat(&self.lease).await?;
                    self.beaten = now;
                }
                self.refresh().await?;
                let wall = self.world.clock.now();
                self.observer.tick(&self.state, wall);
                Ok(())
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Stop> {
        match message {
            Message::Prepared { i, doing, result } => self.prepared(i, doing, result).await,
            Message::Ended { i, doing, attempt, settles_ms, ended } => {
                self.hands.busy.remove(&i);
                let event = self.end_event(i, doing, attempt, settles_ms, ended, false);
                self.tell(vec![event]).await
            }
            Message::Looked { i, doing, look, began } => self.looked(i, doing, look, began).await,
        }
    }

    fn prepare(&mut self, i: usize, doing: Doing) {
        self.hands.busy.insert(i);
        let (world, errand) = (self.world.clone(), Errand::of(&self.state, i));
        let work = async move {
            let result = match attempt::prepare(&world, &errand, doing).await {
                Ok(prepared) => match (errand.before(), doing) {
                    (Some(before), _) => Ok((prepared, before.clone())),
                    (None, Doing::Undo) => Ok((prepared, Value::Null)),
                    (None, Doing::Apply) => attempt::before(&world, &errand, &prepared).await.map(|before| (prepared, before)),
                },
                Err(fault) => Err(fault),
            };
            Message::Prepared { i, doing, result }
        };
        self.work.push(work.boxed());
    }

    /// Everything is resolved and the state before is read: the intent, then the effect.
    async fn prepared(&mut self, i: usize, doing: Doing, result: Result<(Prepared, Value), Fault>) -> Result<(), Stop> {
        self.hands.busy.remove(&i);
        let step = self.state.step(i).clone();
        let (prepared, before) = match result {
            Ok(ready) => ready,
            Err(fault) => {
                let event = Event::Failed { step: step.id, doing, attempt: 0, reason: fault.cause, unreachable: fault.unreachable };
                return self.decided(vec![event]).await;
            }
        };
        // Meanwhile a word may have come: only what would still be begun is begun.
        self.refresh().await?;
        let wanted = if doing == Doing::Apply { Command::Start(i) } else { Command::Undo(i) };
        let mut hands = self.hands.clone();
        hands.parallel += 1;
        if !machine::decide(&self.state, &hands, self.world.clock.now()).commands.contains(&wanted) {
            return Ok(());
        }
        if step.effect != Effect::Read && !self.held {
            self.store.hold(&self.state.run, &attempt::targets(&self.state)).await?;
            self.held = true;
        }
        let life = &self.state.steps[i];
        let attempt = 1 + if doing == Doing::Apply { life.attempts } else { life.undo_attempts };
        let errand = Errand::of(&self.state, i);
        let names = errand.names(doing, attempt);
        let intent = Event::Intent {
            step: step.id.clone(),
            doing,
            attempt,
            key: names.key.clone(),
            inputs: prepared.inputs.clone(),
            timeout_ms: step.timeout_ms,
            settles_ms: prepared.settles_ms(),
            before: before.clone(),
        };
        let sent = self.world.clock.elapsed();
        self.decided(vec![intent]).await?;
        if self.world.clock.elapsed().saturating_sub(sent) > STALE {
            self.store.beat(&self.lease).await?;
        }
        self.begin_attempt(i, doing, attempt, prepared, names, before);
        Ok(())
    }

    fn begin_attempt(&mut self, i: usize, doing: Doing, attempt: u32, prepared: Prepared, names: attempt::Names, before: Value) {
        self.hands.busy.insert(i);
        let (world, errand) = (self.world.clone(), Errand::of(&self.state, i));
        let work = async move {
            let ended = match doing {
                Doing::Apply => attempt::apply(&world, &errand, &prepared, &names, &before).await,
                Doing::Undo => attempt::undo(&world, &errand, &prepared, &names).await,
            };
            Message::Ended { i, doing, attempt, settles_ms: prepared.settles_ms(), ended }
        };
        self.work.push(work.boxed());
    }

    fn end_event(&self, i: usize, doing: Doing, attempt: u32, settles_ms: u64, ended: Ended, found: bool) -> Event {
        let step = self.state.step(i).id.clone();
        match ended {
            Ended::Done(outputs) => Event::Done { step, doing, attempt, outputs, found },
            Ended::Failed { reason, unreachable } => Event::Failed { step, doing, attempt, reason, unreachable },
            Ended::Unknown { why } if planted("lost-is-failed") => Event::Failed { step, doing, attempt, reason: why, unreachable: false },
            Ended::Unknown { why } => {
                let open_until = (settles_ms > 0).then(|| self.world.clock.now() + Duration::from_millis(settles_ms));
                Event::Unknown { step, doing, attempt, why, open_until, died: false }
            }
        }
    }

    fn look(&mut self, i: usize, began: Timestamp) {
        self.hands.busy.insert(i);
        let doing = match self.state.steps[i].life {
            Life::Unknown { doing, .. } => doing,
            _ => Doing::Apply,
        };
        let (world, errand) = (self.world.clone(), Errand::of(&self.state, i));
        let work = async move { Message::Looked { i, doing, look: attempt::look(&world, &errand, doing).await, began } };
        self.work.push(work.boxed());
    }

    async fn looked(&mut self, i: usize, doing: Doing, look: Look, began: Timestamp) -> Result<(), Stop> {
        self.hands.busy.remove(&i);
        self.refresh().await?;
        let life = &self.state.steps[i];
        let attempt = if doing == Doing::Apply { life.attempts } else { life.undo_attempts };
        let (was, open_until) = match &life.life {
            Life::Unknown { doing: d, answer, open_until, .. } if *d == doing => (*answer, *open_until),
            Life::Failed { .. } | Life::Skipped { .. } if doing == Doing::Apply => (None, None),
            // A person spoke while it was looked at.
            _ => return Ok(()),
        };
        match look {
            Look::Ended(ended) => {
                let event = self.end_event(i, doing, attempt, 0, ended, true);
                self.tell(vec![event]).await
            }
            Look::Said { answer, detail, gone } => {
                let closed = answer != Answer::Running && (gone || open_until.is_none_or(|t| t <= began));
                self.hands.resting.insert(i, self.world.clock.now() + REST);
                if was == Some(answer) && closed == open_until.is_none() {
                    return Ok(());
                }
                let step = self.state.step(i).id.clone();
                self.tell(vec![Event::Probed { step, doing, attempt, answer, detail, closed }]).await
            }
        }
    }

    /// Reads what voices appended.
    async fn refresh(&mut self) -> Result<(), Stop> {
        if self.store.head(&self.state.run).await?.seq == self.head.seq {
            return Ok(());
        }
        let entries = self.store.read(&self.state.run, self.head.seq).await?;
        let head = self.store.head(&self.state.run).await?;
        for entry in entries {
            self.fold(entry)?;
        }
        // A voice may have spoken between the two: then the digests differ and the next append is refused as moved.
        self.head = Head { seq: self.state.seq, digest: head.digest };
        Ok(())
    }

    fn fold(&mut self, entry: Entry) -> Result<(), Stop> {
        let folded = self.state.fold(&entry);
        folded.map_err(|e| Stop::With(Outcome::JournalFailed(e.to_string())))?;
        self.observer.entry(&entry, &self.state);
        Ok(())
    }

    /// Appends what was decided on this head; if the head moved, it must be decided again.
    async fn decided(&mut self, events: Vec<Event>) -> Result<(), Stop> {
        let at = self.world.clock.now();
        let stamped: Vec<journal::Stamped> = events.into_iter().map(|e| (at, e)).collect();
        match self.store.append(&self.state.run, &self.head, Some(self.lease.fence), &stamped).await {
            Ok(head) => {
                self.head = head;
                for (at, event) in stamped {
                    let seq = self.state.seq + 1;
                    self.fold(Entry { seq, at, event })?;
                }
                Ok(())
            }
            Err(Error::Moved) => {
                self.reread().await?;
                Err(Stop::Again)
            }
            Err(other) => Err(other.into()),
        }
    }

    async fn reread(&mut self) -> Result<(), Stop> {
        for entry in self.store.read(&self.state.run, self.state.seq).await? {
            self.fold(entry)?;
        }
        self.head = self.store.head(&self.state.run).await?;
        if self.head.seq != self.state.seq { Err(Stop::Again) } else { Ok(()) }
    }

    /// Appends what happened: it is true whatever a voice said meanwhile.
    async fn tell(&mut self, events: Vec<Event>) -> Result<(), Stop> {
        loop {
            match self.decided(events.clone()).await {
                Err(Stop::Again) => {}
                other => return other,
            }
        }
    }
}
