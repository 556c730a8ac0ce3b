//! A run of a plan's shadow in a world that fails on purpose: calls are refused, lost and late, the program dies and is
//! stopped, people say things at any moment, somebody else changes the same targets. Everything follows from one seed.
//! It does not know the real actions: what is rehearsed is the plan's order, its ways back, and this executor.

mod drivers;
pub mod laws;
mod people;
pub mod shadow;
pub mod touched;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{LocalBoxFuture, join};
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;

use super::driver::{Driver, Known, Observer, Options, Outcome, POLL};
use super::patience::Patient;
use super::start::Start;
use super::state::State;
use crate::actions::Effect;
use crate::analysis::Checked;
use crate::analysis::chance::Chance;
use crate::journal::memory::Memory;
use crate::journal::{End, Entry, Event, Store};
use crate::model::Undo;
use crate::world::sim::{Sim, Wrong};
use people::People;
use touched::{Illness, Notes, Touched};

/// The run's name.
pub const RUN: &str = "rehearsal";

/// Lives after which a rehearsal is given up.
const MOST_LIVES: u32 = 100;

/// Virtual time after which it is given up, besides ten times what the plan expects.
const MOST_MS: u64 = 12 * 3_600_000;

/// What happens to a run besides its own work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Of a thousand attempts so many go wrong.
    pub wrongs: u64,
    /// At which touches of the journal and the world the program dies, each counted from the death before.
    pub deaths: Vec<u64>,
    /// At which touch the program is stopped until another has taken over.
    pub stop: Option<u64>,
    /// How many words people say that nobody asked for.
    pub words: u32,
    /// Somebody else changes what the plan changes.
    pub meddling: bool,
    /// At which append the journal falls ill, and how.
    pub journal: Option<(u64, Illness)>,
}

impl Trouble {
    /// All of it, as a seed has it.
    pub fn of(seed: u64) -> Trouble {
        let mut chance = Chance::new(seed ^ 0x5eed);
        // Now and then it dies again and again.
        let (most, apart) = if chance.below(8) == 0 { (40, 20) } else { (6, 60) };
        let deaths = (0..chance.below(most)).map(|_| 1 + chance.below(apart)).collect();
        Trouble {
            wrongs: 100 * chance.below(4),
            deaths,
            stop: (chance.below(4) == 0).then(|| 1 + chance.below(150)),
            words: chance.below(4) as u32,
            meddling: chance.below(3) == 0,
            journal: (chance.below(4) == 0).then(|| (1 + chance.below(40), illness(&mut chance))),
        }
    }
}

/// How a rehearsal came out.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// What it followed from.
    pub seed: u64,
    /// How the run ended; none: it never did.
    pub end: Option<End>,
    /// From the run's start to its end, in virtual milliseconds.
    pub took_ms: u64,
    /// How often the program died.
    pub deaths: u32,
    /// How often another took over from one that was stopped.
    pub takeovers: u32,
    /// How often it ended because the journal failed.
    pub journal_failures: u32,
    /// Touches of the journal and the world in the last life.
    pub touches: u64,
    /// Steps about which a person was asked, or had to decide.
    pub asked: BTreeSet<String>,
    /// When assets were back, in milliseconds from the incident's start.
    pub recovered: BTreeMap<String, u64>,
    /// What must hold and did not: always a fault of this program.
    pub broken: Vec<String>,
    /// The journal.
    pub entries: Vec<Entry>,
    /// The world at the end.
    pub picture: Vec<String>,
}

/// Rehearses a shadow once. `seen` is told of every state that the machine was in.
pub fn rehearse(shadow: &Arc<Checked>, seed: u64, trouble: &Trouble, seen: &mut (dyn FnMut(&State) + Send)) -> Rehearsal {
    let sim = Sim::new(seed);
    let mut chance = Chance::new(seed);
    shadow::furnish(&sim, shadow, |n| chance.below(n));
    for step in &shadow.compiled().scenario.steps {
        // The first calls of a step go wrong, whichever attempt makes them: a death does not change how many do.
        for doing in ["apply", "apply", "undo"] {
            if chance.below(1_000) < trouble.wrongs {
                let by = if step.undo == Undo::Auto { format!("{RUN}/{}/", step.id) } else { format!("{RUN}/{}/{doing}/", step.id) };
                let wrong = wrong(&mut chance);
                // What says no and happens all the same is done once more if a person says so.
                let twice = wrong == Wrong::Half && step.effect == Effect::Once && trouble.words == 0;
                sim.go_wrong(&by, &[if twice { Wrong::Lost } else { wrong }]);
            }
        }
    }
    if let Some(touch) = trouble.stop {
        sim.freeze_at(touch);
    }
    let clock = sim.world().clock;
    let memory = Arc::new(Memory::timed(move || clock.elapsed().as_millis() as u64));
    let play = Play {
        sim,
        memory,
        notes: Arc::new(Notes::ill_at(trouble.journal)),
        shadow: Arc::clone(shadow),
        people: RefCell::new(People::new(chance, trouble)),
        sleepy: if seed.is_multiple_of(3) { 10 } else { 1 },
    };
    play.run(seed, trouble, seen)
}

/// What goes wrong with a call.
fn wrong(chance: &mut Chance) -> Wrong {
    match chance.below(5) {
        0 => Wrong::Unreachable,
        1 => Wrong::Refused,
        2 => Wrong::Half,
        3 => Wrong::Lost,
        // As long as nearly nobody waits, or for longer than the usual limit of 30 s.
        _ => Wrong::Late(if chance.below(3) == 0 { 26_000 + chance.below(10_000) } else { 100 + chance.below(8_000) }),
    }
}

/// What the journal suffers from.
fn illness(chance: &mut Chance) -> Illness {
    match chance.below(4) {
        0 => Illness::Full,
        1 => Illness::Unsynced,
        2 => Illness::Away(1_000 + chance.below(60_000)),
        _ => Illness::Silent(1_000 + chance.below(60_000)),
    }
}

struct Play {
    sim: Sim,
    memory: Arc<Memory>,
    notes: Arc<Notes>,
    shadow: Arc<Checked>,
    people: RefCell<People>,
    /// How much longer than usual who was stopped stays so.
    sleepy: u64,
}

/// What one of those who act in a life came to.
enum Came {
    Outcome(Outcome),
    Nothing,
}

impl Play {
    fn run(self, seed: u64, trouble: &Trouble, seen: &mut (dyn FnMut(&State) + Send)) -> Rehearsal {
        let started = self.sim.world().clock.now();
        let start = Start { dir: "/".to_owned(), incident_start: started, ..Start::default() };
        let first = (started, start.of(&self.shadow));
        let mut broken = Vec::new();
        if !matches!(self.sim.block_on(self.memory.create(RUN, first)), Some(Ok(_))) {
            broken.push("the journal did not take the run's start".to_owned());
        }
        let (mut deaths, mut journal_failures, mut end) = (0, 0, None);
        let mut left = trouble.deaths.iter();
        for _ in 0..MOST_LIVES {
            self.sim.die_at(&left.next().copied().into_iter().collect::<Vec<_>>());
            let mut watch = Watch(seen);
            match self.sim.block_on(self.life(&mut watch)) {
                Some(Some(Outcome::Ended(how))) => {
                    end = Some(how);
                    break;
                }
                // Exit 16, and somebody says `resume` a while later.
                Some(Some(Outcome::JournalFailed(_))) if self.notes.failures() > 0 => {
                    journal_failures += 1;
                    self.rest(5_000);
                }
                Some(other) => {
                    broken.push(format!("it stopped: {other:?}"));
                    break;
                }
                None => {
                    deaths += 1;
                    self.rest(700);
                }
            }
        }
        let touches = self.sim.touches();
        let took_ms = self.sim.world().clock.elapsed().as_millis() as u64;
        // What was sent still lands.
        self.sim.pass(3_600_000);
        let entries = match self.sim.block_on(self.memory.read(RUN, 0)) {
            Some(Ok(entries)) => entries,
            _ => Vec::new(),
        };
        if end.is_none() && broken.is_empty() {
            broken.push("it did not end".to_owned());
        }
        broken.extend(laws::broken(&self.shadow, RUN, &entries, &self.sim.deeds()));
        broken.extend(laws::folded(&self.shadow, RUN, &entries));
        broken.extend(drivers::driven(&self.shadow, RUN, &entries, &self.notes, &self.sim.begun()));
        let mut recovered = BTreeMap::new();
        let mut takeovers = 0;
        let mut asked = BTreeSet::new();
        for entry in &entries {
            match &entry.event {
                Event::Objective { asset, recovery_ms, .. } => drop(recovered.insert(asset.clone(), *recovery_ms)),
                Event::LeaseTaken { holder, .. } => takeovers += u32::from(holder == "second"),
                Event::Asked { step, .. } | Event::Word { step: Some(step), .. } => drop(asked.insert(step.clone())),
                _ => {}
            }
        }
        let picture = self.sim.picture();
        Rehearsal { seed, end, took_ms, deaths, takeovers, journal_failures, touches, asked, recovered, broken, entries, picture }
    }

    /// Nobody drives for a while.
    fn rest(&self, ms: u64) {
        self.memory.bury(RUN);
        self.sim.thaw();
        self.sim.pass(ms);
    }

    /// One life of the program: until the run ends, or the program dies.
    async fn life(&self, watch: &mut Watch<'_>) -> Option<Outcome> {
        let mut quiet = Quiet;
        let mut acts: FuturesUnordered<LocalBoxFuture<'_, Came>> = FuturesUnordered::new();
        let first = self.sim.stoppable(self.driver("first", watch));
        acts.push(Box::pin(async { Came::Outcome(first.await) }));
        acts.push(Box::pin(async {
            self.until_stopped().await;
            // It is silent for longer than its lease.
            self.sim.world().clock.sleep(Duration::from_secs(31)).await;
            self.memory.bury(RUN);
            // Who was stopped wakes up while the other one drives, or when all is over.
            let thaw = async {
                // Some sleep for longer than any attempt may take.
                let ms = self.people.borrow_mut().chance.below(20_000) * self.sleepy;
                self.sim.world().clock.sleep(Duration::from_millis(ms)).await;
                self.sim.thaw();
                self.sim.world().clock.sleep(Duration::from_secs(10)).await;
            };
            Came::Outcome(join(self.driver("second", &mut quiet), thaw).await.0)
        }));
        acts.push(Box::pin(async {
            self.people().await;
            Came::Nothing
        }));
        while let Some(came) = acts.next().await {
            match came {
                // Another took over: that one goes on.
                Came::Outcome(Outcome::Held { .. }) => {}
                Came::Outcome(outcome) => return Some(outcome),
                Came::Nothing => return None,
            }
        }
        None
    }

    async fn driver(&self, name: &'static str, observer: &mut dyn Observer) -> Outcome {
        let world = self.sim.world_of(name);
        let stop = Arc::new(AtomicU8::new(0));
        let known = match self.memory.read(RUN, 0).await {
            Ok(entries) => State::bound(RUN, &entries, &self.shadow).ok().map(|state| Known { entries, state }),
            Err(_) => None,
        };
        let store = Arc::new(Touched::new(&self.memory, &self.sim, name, &self.notes));
        let store = Arc::new(Patient::new(store, world.clone(), Arc::clone(&stop), Box::new(|_| {})));
        let options =
            Options { holder: name.to_owned(), wait_for_people: true, stop, known, remind: Duration::from_secs(300), poll: self.poll() };
        Driver::drive(world, store, RUN, options, observer).await.1
    }

    /// How often a driver looks for what people said: less often where it would look ten thousand times in vain.
    fn poll(&self) -> Duration {
        Duration::from_millis(self.shadow.compiled().predicted_ms / 2_000).clamp(POLL, Duration::from_secs(2))
    }

    async fn until_stopped(&self) {
        while !self.sim.frozen() {
            self.sim.world().clock.sleep(Duration::from_millis(500)).await;
        }
    }

    /// People look every now and then, answer what they are asked from what really happened, and say what they like. They
    /// go home when it takes too long.
    async fn people(&self) {
        let Ok(entries) = self.memory.read(RUN, 0).await else { return };
        let Ok(mut state) = State::bound(RUN, &entries, &self.shadow) else { return };
        let clock = self.sim.world().clock;
        let most = MOST_MS + 10 * self.shadow.compiled().predicted_ms;
        while clock.elapsed().as_millis() < u128::from(most) {
            clock.sleep(self.poll() + Duration::from_millis(50)).await;
            let Ok(entries) = self.memory.read(RUN, state.seq).await else { return };
            if entries.iter().try_for_each(|entry| state.fold(entry)).is_err() {
                return;
            }
            let Ok(head) = self.memory.head(RUN).await else { return };
            let said = self.people.borrow_mut().say(&state, clock.now(), &self.sim);
            if let Some(event) = said {
                let _ = self.memory.append(RUN, &head, None, &[(clock.now(), event)]).await;
            }
        }
    }
}

/// Tells of every state.
struct Watch<'a>(&'a mut (dyn FnMut(&State) + Send));

impl Observer for Watch<'_> {
    fn entry(&mut self, _: &Entry, state: &State) {
        (self.0)(state);
    }
    fn tick(&mut self, _: &State, _: Timestamp) {}
}

struct Quiet;

impl Observer for Quiet {
    fn entry(&mut self, _: &Entry, _: &State) {}
    fn tick(&mut self, _: &State, _: Timestamp) {}
}
