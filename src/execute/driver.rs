//! Carries out what the machine decides: one loop, events in one line, every attempt a future of its own. It does not
//! decide anything itself, and it does not know what an action does.
//!
//! Append, then act: an intent is in the journal before its effect starts, and if the journal cannot be written,
//! nothing more starts. Results and the intents that they make ready are appended together; the intent of a `once` step
//! alone, right before its own start. What is staged is folded already: if somebody spoke meanwhile and the append is
//! refused, the run is read again, what happened is appended anew, and what was decided is decided again.
//!
//! Dropping the driver drops every future it has in hand, as its death would.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use serde_json::Value;

use super::attempt::{self, Ended, Look, Prepared};
use super::errand::{Errand, Names};
use super::machine::{self, Command, Hands, Idle};
use super::planted::planted;
use super::state::{Life, State};
use super::steady::{self, Steady};
use super::telling::{Said, Telling};
use crate::actions::{self, Effect};
use crate::analysis::Checked;
use crate::journal::{self, Answer, BEAT_MS, Doing, End, Entry, Error, Event, Head, Lease, Store};
use crate::model::Undo;
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
    /// This driver has the run, which came so far; nothing was started yet.
    fn begin(&mut self, entries: &[Entry], state: &State) {
        let _ = (entries, state);
    }
    /// An event was appended, by this driver or by a voice.
    fn entry(&mut self, entry: &Entry, state: &State);
    /// Time passed.
    fn tick(&mut self, state: &State, now: Timestamp);
    /// Somebody was told that the run waits, or could not be.
    fn told(&mut self, said: &Said) {
        let _ = said;
    }
    /// Something about this machine that whoever looks on should know.
    fn notice(&mut self, words: &str) {
        let _ = words;
    }
}

/// Settings of a driver.
pub struct Options {
    /// Who drives: `user@host pid`.
    pub holder: String,
    /// Go on waiting when only a person can answer (at a terminal).
    pub wait_for_people: bool,
    /// How often people are told again that the run waits for them.
    pub remind: Duration,
    /// Counts Ctrl-C.
    pub stop: Arc<AtomicU8>,
    /// The plan that the run is bound to, if it is known already: it need not be read again.
    pub known: Option<Arc<Checked>>,
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
    /// Folded, not appended yet.
    staged: Vec<Staged>,
    /// Attempts whose intent is staged: they begin when it is appended.
    announced: Vec<Announced>,
    /// Prepared attempts of `once` steps, each of which wants an append of its own.
    alone: VecDeque<Ready>,
    held: bool,
    beaten: Duration,
    polled: Duration,
    telling: Telling,
    /// The run's time: what is decided and written goes by it, whatever the wall clock says.
    time: Steady,
    /// Until when attempts may land that were unknown when this driver began, by its own time; by step and attempt.
    inherited: BTreeMap<(usize, Doing, u32), Timestamp>,
}

struct Staged {
    at: Timestamp,
    event: Event,
    /// It happened, whatever anybody said meanwhile.
    fact: bool,
}

/// An attempt with everything resolved.
struct Ready {
    i: usize,
    doing: Doing,
    prepared: Prepared,
    before: Value,
}

struct Announced {
    ready: Ready,
    errand: Errand,
    attempt: u32,
    names: Names,
}

enum Message {
    Prepared { i: usize, doing: Doing, result: Result<Ready, Fault> },
    Ended { i: usize, doing: Doing, attempt: u32, settles_ms: u64, ended: Ended },
    Looked { i: usize, doing: Doing, look: Look, began: Timestamp },
    Told(Vec<Said>),
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
            Error::Held { .. } | Error::Fenced | Error::AssetHeld { .. } | Error::Closed { .. } => {
                Stop::With(Outcome::Held(error.to_string()))
            }
            other => Stop::With(Outcome::JournalFailed(other.to_string())),
        }
    }
}

/// Attempts that an earlier driver left running: nobody knows what became of them. `carried` gives a deadline by the
/// earlier one's time in that of the one that goes on.
pub fn orphans(state: &State, carried: &dyn Fn(Timestamp) -> Timestamp) -> Vec<Event> {
    let steps = state.steps.iter().enumerate().filter(|_| !planted("forget-orphans"));
    steps
        .filter_map(|(i, life)| {
            let Life::Running { doing, since } = life.life else { return None };
            let step = state.step(i);
            let attempt = if doing == Doing::Apply { life.attempts } else { life.undo_attempts };
            let settles = actions::find(&step.call.uses).map_or(0, |a| a.settles_ms);
            let open = Duration::from_millis(step.timeout_ms.unwrap_or(0) + settles);
            let open_until = (step.effect != Effect::Read && !planted("close-at-once")).then(|| carried(since + open));
            let why = "the program ended while it ran".to_owned();
            Some(Event::Unknown { step: step.id.clone(), doing, attempt, why, open_until, died: true })
        })
        .collect()
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
        let state = match &options.known {
            Some(known) => State::bound(run, &entries, known),
            None => State::of(run, &entries),
        };
        let state = state.map_err(|e| Stop::With(Outcome::JournalFailed(e.to_string())))?;
        if let Some(end) = state.finished {
            let _ = store.give(lease).await;
            return Err(Stop::With(Outcome::Ended(end)));
        }
        observer.begin(&entries, &state);
        let telling = Telling::new(&state.plan().plan, options.remind);
        let parallel = state.plan().parallel.max(1) as usize;
        let elapsed = world.clock.elapsed();
        let quiet = lease.quiet_ms.map(Duration::from_millis);
        let time = Steady::since(Arc::clone(&world.clock), state.written_at, quiet);
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
            staged: Vec::new(),
            announced: Vec::new(),
            alone: VecDeque::new(),
            held: false,
            beaten: elapsed,
            polled: elapsed,
            telling,
            time,
            inherited: BTreeMap::new(),
            lease,
        };
        driver.refresh().await?;
        let (last, now) = (driver.state.written_at, driver.time.now());
        let carried = |until: Timestamp| steady::carried(until, last, quiet, now);
        driver.inherited = driver.state.open_until().map(|(i, doing, attempt, until)| ((i, doing, attempt), carried(until))).collect();
        let orphans = orphans(&driver.state, &carried);
        let taken = Event::LeaseTaken { fence: driver.lease.fence, holder: driver.options.holder.clone(), from: driver.lease.from.clone() };
        driver.stage(taken, true)?;
        for event in orphans {
            driver.stage(event, true)?;
        }
        driver.look_at_the_clock();
        Ok(driver)
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

    /// Decides and carries out until nothing more can be done at once.
    async fn turn(&mut self) -> Result<Option<Outcome>, Stop> {
        loop {
            let outcome = self.settle().await?;
            self.append().await?;
            if outcome.is_some() {
                return Ok(outcome);
            }
            let Some(ready) = self.alone.pop_front() else { return Ok(None) };
            self.announce(ready).await?;
            self.append().await?;
        }
    }

    /// Decides, and takes in what has ended, until neither gives anything new.
    async fn settle(&mut self) -> Result<Option<Outcome>, Stop> {
        loop {
            if let Some(end) = self.state.finished {
                return Ok(Some(Outcome::Ended(end)));
            }
            let stopping = self.options.stop.load(Ordering::SeqCst);
            self.hands.stopping = stopping > 0;
            if stopping > 1 || (stopping == 1 && self.hands.busy.is_empty()) {
                return Ok(Some(Outcome::Interrupted));
            }
            let now = self.time.now();
            let decision = machine::decide(&self.state, &self.hands, now);
            if let Some(idle) = decision.idle {
                if self.options.wait_for_people {
                    return Ok(None);
                }
                if self.last_words().await? {
                    continue;
                }
                self.stage(Event::LeaseGiven { fence: self.lease.fence }, false)?;
                return Ok(Some(Outcome::Waiting(idle)));
            }
            let mut moved = false;
            for command in decision.commands {
                match command {
                    Command::Note(event) => {
                        self.stage(event, false)?;
                        moved = true;
                    }
                    Command::Start(i) => self.prepare(i, Doing::Apply),
                    Command::Undo(i) => self.prepare(i, Doing::Undo),
                    Command::Look(i) if !self.hands.stopping => self.look(i, now),
                    Command::Look(_) => {}
                }
            }
            while let Some(Some(message)) = self.work.next().now_or_never() {
                self.handle(message).await?;
                moved = true;
            }
            if !moved {
                return Ok(None);
            }
        }
    }

    fn look_at_the_clock(&mut self) {
        if let Some(words) = self.time.look() {
            self.observer.notice(&words);
        }
    }

    /// Begins to tell those who are due to be told; nothing waits for it.
    fn tell_people(&mut self) {
        let (now, elapsed) = (self.time.now(), self.world.clock.elapsed());
        for note in self.telling.due(&self.state, now, elapsed) {
            let (world, plan) = (self.world.clone(), Arc::clone(&self.state.plan().plan));
            self.work.push(async move { Message::Told(note.send(&world, &plan).await) }.boxed());
        }
    }

    /// Whoever must answer hears of it before this driver leaves them alone with it. True if somebody answered meanwhile.
    async fn last_words(&mut self) -> Result<bool, Stop> {
        // What they are asked is in the journal before they hear of it.
        self.append().await?;
        let seq = self.state.seq;
        self.tell_people();
        // Nothing else is in hand, and each channel has its limit.
        while let Some(message) = self.work.next().await {
            self.handle(message).await?;
        }
        self.refresh().await?;
        Ok(self.state.seq != seq)
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
                self.tell_people();
                self.look_at_the_clock();
                self.observer.tick(&self.state, self.time.now());
                Ok(())
            }
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), Stop> {
        match message {
            Message::Prepared { i, doing, result: Err(fault) } => {
                self.hands.busy.remove(&i);
                let step = self.state.step(i).id.clone();
                let event = Event::Failed { step, doing, attempt: 0, reason: fault.cause, unreachable: fault.unreachable };
                self.stage(event, false)
            }
            // It stays in hand until its turn comes.
            Message::Prepared { result: Ok(ready), .. } if once(&self.state, &ready) => {
                self.alone.push_back(ready);
                Ok(())
            }
            Message::Prepared { result: Ok(ready), .. } => self.announce(ready).await,
            Message::Ended { i, doing, attempt, settles_ms, ended } => {
                self.hands.busy.remove(&i);
                let event = self.end_event(i, doing, attempt, settles_ms, ended, false);
                self.stage(event, true)
            }
            Message::Looked { i, doing, look, began } => self.looked(i, doing, look, began),
            Message::Told(said) => {
                said.iter().for_each(|said| self.observer.told(said));
                Ok(())
            }
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
            Message::Prepared { i, doing, result: result.map(|(prepared, before)| Ready { i, doing, prepared, before }) }
        };
        self.work.push(work.boxed());
    }

    /// Everything is resolved and the state before is read: the intent.
    async fn announce(&mut self, ready: Ready) -> Result<(), Stop> {
        let (i, doing) = (ready.i, ready.doing);
        self.hands.busy.remove(&i);
        // Meanwhile something may have happened: only what would still be begun is begun.
        let wanted = if doing == Doing::Apply { Command::Start(i) } else { Command::Undo(i) };
        let mut hands = self.hands.clone();
        hands.parallel += 1;
        if !machine::decide(&self.state, &hands, self.time.now()).commands.contains(&wanted) {
            return Ok(());
        }
        let step = self.state.step(i).clone();
        if step.effect != Effect::Read && !self.held {
            // What happened so far is not lost if another run holds an asset.
            self.append().await?;
            self.store.hold(&self.state.run, &attempt::targets(&self.state)).await?;
            self.held = true;
        }
        let life = &self.state.steps[i];
        let attempt = 1 + if doing == Doing::Apply { life.attempts } else { life.undo_attempts };
        let names = Errand::of(&self.state, i).names(doing, attempt);
        let intent = Event::Intent {
            step: step.id.clone(),
            doing,
            attempt,
            key: names.key.clone(),
            inputs: ready.prepared.inputs.clone(),
            timeout_ms: step.timeout_ms,
            settles_ms: ready.prepared.settles_ms(),
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

    fn begin_attempt(&mut self, announced: Announced) {
        let world = self.world.clone();
        let work = async move {
            let Announced { ready: Ready { i, doing, prepared, before }, errand, attempt, names } = announced;
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
                let settled = (settles_ms > 0).then(|| self.time.now() + Duration::from_millis(settles_ms));
                // Who held its process is gone: unless it is seen to have ended, it may go on until its deadline.
                let deadline = match self.state.steps[i].life {
                    Life::Running { since, .. } if attempt::has_process(self.state.step(i), doing) => {
                        Some(since + Duration::from_millis(self.state.step(i).timeout_ms.unwrap_or(0)))
                    }
                    _ => None,
                };
                let open_until = settled.max(deadline);
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

    fn looked(&mut self, i: usize, doing: Doing, look: Look, began: Timestamp) -> Result<(), Stop> {
        self.hands.busy.remove(&i);
        let life = &self.state.steps[i];
        let attempt = if doing == Doing::Apply { life.attempts } else { life.undo_attempts };
        let (was, open_until) = match &life.life {
            Life::Unknown { doing: d, answer, open_until, .. } if *d == doing => (*answer, *open_until),
            Life::Failed { .. } | Life::Skipped { .. } | Life::Waiting if doing == Doing::Apply => (None, None),
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

    /// Reads what voices appended.
    async fn refresh(&mut self) -> Result<(), Stop> {
        if self.store.head(&self.state.run).await?.seq == self.head.seq {
            return Ok(());
        }
        let entries = self.store.read(&self.state.run, self.head.seq).await?;
        let head = self.store.head(&self.state.run).await?;
        for entry in entries {
            self.fold(&entry)?;
            self.observer.entry(&entry, &self.state);
        }
        // A voice may have spoken between the two: then the digests differ and the next append is refused as moved.
        self.head = Head { seq: self.state.seq, digest: head.digest };
        Ok(())
    }

    fn fold(&mut self, entry: &Entry) -> Result<(), Stop> {
        self.state.fold(entry).map_err(|e| Stop::With(Outcome::JournalFailed(e.to_string())))
    }

    /// Folds an event that is appended next. `fact`: it happened, whatever anybody said meanwhile; else it was decided
    /// on what is known here, and only then holds.
    fn stage(&mut self, event: Event, fact: bool) -> Result<(), Stop> {
        self.stage_at(self.time.now(), event, fact)
    }

    fn stage_at(&mut self, at: Timestamp, event: Event, fact: bool) -> Result<(), Stop> {
        let entry = Entry { seq: self.state.seq + 1, at, event };
        self.fold(&entry)?;
        self.staged.push(Staged { at, event: entry.event, fact });
        Ok(())
    }

    /// Appends what is staged, all of it or nothing; then what was announced begins.
    async fn append(&mut self) -> Result<(), Stop> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let sent = self.world.clock.elapsed();
        let stamped: Vec<journal::Stamped> = self.staged.iter().map(|s| (s.at, s.event.clone())).collect();
        match self.store.append(&self.state.run, &self.head, Some(self.lease.fence), &stamped).await {
            Ok(head) => {
                let first = self.head.seq + 1;
                self.head = head;
                self.staged.clear();
                if !self.announced.is_empty() && self.world.clock.elapsed().saturating_sub(sent) > STALE {
                    self.store.beat(&self.lease).await?;
                }
                for announced in std::mem::take(&mut self.announced) {
                    self.begin_attempt(announced);
                }
                for (seq, (at, event)) in (first..).zip(stamped) {
                    self.observer.entry(&Entry { seq, at, event }, &self.state);
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

    /// Somebody spoke: the state as the journal has it now, and on it what happened here meanwhile.
    async fn reread(&mut self) -> Result<(), Stop> {
        for announced in std::mem::take(&mut self.announced) {
            self.hands.busy.remove(&announced.ready.i);
        }
        let staged = std::mem::take(&mut self.staged);
        let entries = self.store.read(&self.state.run, 0).await?;
        self.state = self.state.again(&entries).map_err(|e| Stop::With(Outcome::JournalFailed(e.to_string())))?;
        let known = self.head.seq;
        let head = self.store.head(&self.state.run).await?;
        // As in `refresh`: who spoke between the two is read when the next append is refused.
        self.head = Head { seq: self.state.seq, digest: head.digest };
        for entry in entries.iter().filter(|e| e.seq > known) {
            self.observer.entry(entry, &self.state);
        }
        staged.into_iter().filter(|s| s.fact).try_for_each(|s| self.stage_at(s.at, s.event, true))
    }
}

/// True if the attempt may happen once only, so that its intent stands right before its start.
fn once(state: &State, ready: &Ready) -> bool {
    let step = state.step(ready.i);
    match (&step.undo, ready.doing) {
        (_, Doing::Apply) => step.effect == Effect::Once,
        (Undo::Use(call), Doing::Undo) => actions::find(&call.uses).is_none_or(|a| a.effect == Effect::Once),
        (_, Doing::Undo) => false,
    }
}
