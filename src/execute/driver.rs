//! Carries out what the machine decides: one loop, events in one line, every attempt a future of its own. It does not
//! decide anything itself, and it does not know what an action does.
//!
//! Append, then act: an intent is in the journal before its effect starts, and if the journal cannot be written,
//! nothing more starts. Results and the intents that they make ready are appended together; the intent of a `once` step
//! alone, right before its own start. What is staged is folded already: if somebody spoke meanwhile and the append is
//! refused, the run is read again, what happened is appended anew, and what was decided is decided again.
//!
//! Dropping the driver drops every future it has in hand, as its death would.

mod attempts;
mod log;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;

use self::attempts::{Announced, Ready, once};
use super::attempt::{Ended, Look};
use super::machine::{self, Command, Hands, Idle};
use super::planted::planted;
use super::secret;
use super::state::{Illegal, Life, State};
use super::steady::{self, Steady};
use super::telling::{Said, Telling};
use crate::actions::Effect;
use crate::journal::{BEAT_MS, Doing, End, Entry, Error, Event, Head, Lease, Stamped, Store};
use crate::world::{Fault, World};

/// How often operator's words are looked for, where nothing else is known.
pub const POLL: Duration = Duration::from_millis(250);

/// An effect that has not begun this long after its intent was sent to the journal needs a new sign of life first, and
/// one that has not begun after twice as long a new intent. What an action gives to settle has room for both.
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
    Held {
        /// Which of both, in words.
        why: String,
        /// The run that holds the asset, if it is one.
        by: Option<String>,
    },
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
    /// The journal failed: what happened and is not in it, and the steps whose attempts go on.
    fn parted(&mut self, unwritten: &[Event], in_flight: &[&str]) {
        let _ = (unwritten, in_flight);
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
    /// How often operator's words are looked for.
    pub poll: Duration,
    /// Counts Ctrl-C.
    pub stop: Arc<AtomicU8>,
    /// The run as it was read before, if it was: only what came since is read again.
    pub known: Option<Known>,
}

/// A run as its journal had it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its events.
    pub entries: Vec<Entry>,
    /// Where it stood after them.
    pub state: State,
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
    staged: Vec<Stamped>,
    /// Which of these happened, whatever anybody said meanwhile.
    facts: Vec<bool>,
    /// Attempts whose intent is staged: they begin when it is appended.
    announced: Vec<Announced>,
    /// Prepared attempts of `once` steps, each of which wants an append of its own.
    alone: VecDeque<Ready>,
    held: bool,
    /// What the next intents have to begin beyond the usual, because the journal was slow.
    slack: Duration,
    beaten: Duration,
    polled: Duration,
    telling: Telling,
    /// The run's time: what is decided and written goes by it, whatever the wall clock says.
    time: Steady,
    /// Until when attempts may land that were unknown when this driver began, by its own time; by step and attempt.
    inherited: BTreeMap<(usize, Doing, u32), Timestamp>,
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
                let why = error.to_string();
                let by = if let Error::AssetHeld { run, .. } = error { Some(run) } else { None };
                Stop::With(Outcome::Held { why, by })
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
            let Life::Running { doing, .. } = life.life else { return None };
            let step = state.step(i);
            let attempt = life.attempt(doing);
            let open_until = life.lands_by.filter(|_| step.effect != Effect::Read && !planted("close-at-once")).map(carried);
            let why = "the program ended while it ran".to_owned();
            Some(Event::Unknown { step: step.id.clone(), doing, attempt, why, open_until, died: true })
        })
        .collect()
}

impl Known {
    /// As the journal has it now.
    async fn read(store: &dyn Store, run: &str, known: Option<Known>) -> Result<Known, Stop> {
        let damaged = |e: Illegal| Stop::With(Outcome::JournalFailed(e.to_string()));
        let Some(Known { mut entries, mut state }) = known else {
            let entries = store.read(run, 0).await?;
            let state = State::of(run, &entries).map_err(damaged)?;
            return Ok(Known { entries, state });
        };
        let later = store.read(run, state.seq).await?;
        later.iter().try_for_each(|entry| state.fold(entry)).map_err(damaged)?;
        entries.extend(later);
        Ok(Known { entries, state })
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
            Err(Stop::Again) => return (None, Outcome::Held { why: "the run went on meanwhile".to_owned(), by: None }),
        };
        let outcome = driver.run().await;
        if matches!(outcome, Outcome::JournalFailed(_)) {
            driver.part();
        }
        let Driver { store, lease, state, .. } = driver;
        // What stays unknown keeps its locks by its events; the lease is free for whoever goes on.
        if !matches!(outcome, Outcome::JournalFailed(_) | Outcome::Held { .. }) {
            let _ = store.give(lease).await;
        }
        (Some(state), outcome)
    }

    async fn begin(
        world: World,
        store: Arc<dyn Store>,
        run: &str,
        mut options: Options,
        observer: &'a mut dyn Observer,
    ) -> Result<Driver<'a>, Stop> {
        let lease = store.take(run, &options.holder).await?;
        let Known { entries, state } = Known::read(&*store, run, options.known.take()).await?;
        let head = store.head(run).await?;
        if let Some(end) = state.finished {
            let _ = store.give(lease).await;
            return Err(Stop::With(Outcome::Ended(end)));
        }
        secret::hide(&world, &state.plan().plan);
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
            facts: Vec::new(),
            announced: Vec::new(),
            alone: VecDeque::new(),
            held: false,
            slack: Duration::ZERO,
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
        let rest = self.options.poll.saturating_sub(elapsed.saturating_sub(self.polled));
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
}
