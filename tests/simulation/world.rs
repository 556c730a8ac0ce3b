//! The stage of a simulated run: the plan, a journal whose every call may be the last, a person who answers from what
//! really happened, and the loop that begins the program again whenever it died.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use drplan::analysis::Checked;
use drplan::compile::{Input, compile};
use drplan::execute::driver::{Observer, Options, POLL};
use drplan::execute::rehearse::touched::{Notes, Touched};
use drplan::execute::{Driver, Life, Outcome, State, rollback, words};
use drplan::journal::memory::Memory;
use drplan::journal::{About, Doing, End, Entry, Event, Store, Word};
use drplan::world::Clock;
use drplan::world::sim::{Sim, Wrong};
use jiff::Timestamp;
use serde_json::{Map, json};

/// What goes wrong, and whether the run is rolled back.
pub struct Scene {
    /// Calls that go wrong, by a piece of their name.
    pub wrongs: Vec<(&'static str, Wrong)>,
    /// What a person wants on the way.
    pub turn: Turn,
    /// `base-2` cannot be undone.
    pub holder: bool,
}

/// What a person wants on the way.
#[derive(Clone, Copy)]
pub enum Turn {
    /// A pause of two seconds once this step is done.
    Pause(&'static str),
    /// Everything back once this step is done; what stands on `base-2` if that is refused.
    Back(&'static str),
}

/// One run, from its start to its end, with as many deaths as it is told.
pub struct Play {
    pub sim: Sim,
    pub memory: Arc<Memory>,
    notes: Arc<Notes>,
    pub run: String,
    turn: Turn,
    deaths: Cell<u64>,
    touched: Cell<u64>,
}

/// No run of the plan comes near it.
const MOST_EVENTS: u64 = 5_000;

thread_local! {
    static PLANS: [Checked; 2] = [plan(false), plan(true)];
}

fn plan(holder: bool) -> Checked {
    let mut text = include_str!("plan.yaml").to_owned();
    if holder {
        let undo = "{ uses: command, with: { argv: [set, base-role, old] } }";
        assert!(text.contains(undo));
        text = text.replace(undo, "{ none: \"there is no way back\" }");
    }
    let files = BTreeMap::from([("plan.yaml".to_owned(), text)]);
    let compilation = compile(&files, "plan.yaml", &Input { parallel: Some(4), ..Input::default() }).expect("the text is there");
    let heads: Vec<String> = compilation.findings.iter().map(|f| format!("{}: {}", f.rule, f.headline)).collect();
    compilation.scenario("move").unwrap_or_else(|| panic!("{heads:#?}")).clone()
}

struct Deaf;

impl Observer for Deaf {
    fn entry(&mut self, _: &Entry, _: &State) {}
    fn tick(&mut self, _: &State, _: Timestamp) {}
}

impl Play {
    pub fn new(scene: &Scene, seed: u64) -> Play {
        let sim = Sim::new(seed);
        for (name, value) in
            [("health", "up"), ("mode", "small"), ("top", "running"), ("left", "running"), ("base", "running"), ("base-role", "old")]
        {
            sim.set(name, value);
        }
        sim.set_record(drplan::world::RecordSet {
            name: "www.example.com".into(),
            kind: "CNAME".into(),
            ttl_s: 1,
            values: vec!["old.example.com".into()],
        });
        for (by, wrong) in &scene.wrongs {
            sim.go_wrong(by, &[*wrong]);
        }
        let clock = sim.world().clock;
        let memory = Arc::new(Memory::timed(move || clock.elapsed().as_millis() as u64));
        let run = "sim-1".to_owned();
        let now = sim.now();
        let checked = PLANS.with(|plans| plans[usize::from(scene.holder)].clone());
        {
            let event = Event::RunStarted {
                plan: "sim".into(),
                scenario: "move".into(),
                mode: "planned".into(),
                digest: checked.digest().into(),
                compiled: checked.to_json(),
                dir: "/".into(),
                operator: "lead".into(),
                host: "here".into(),
                commit: None,
                incident_start: now,
                incident_assumed: false,
                version: "0".into(),
            };
            sim.block_on(memory.create(&run, (now, event))).expect("nobody dies here").expect("a new run");
        }
        Play { sim, memory, notes: Arc::default(), run, turn: scene.turn, deaths: Cell::new(0), touched: Cell::new(0) }
    }

    pub fn deaths(&self) -> u64 {
        self.deaths.get()
    }

    /// Touches of the life that ended the run.
    pub fn touched(&self) -> u64 {
        self.touched.get()
    }

    pub fn picture(&self) -> Vec<String> {
        // What a command for the record adds is counted by what it did, not when.
        self.sim.picture()
    }

    /// Runs to the end, dying at these touches, each counted from the death before.
    pub fn run(&self, die_at: &[u64]) -> End {
        let mut left: Vec<u64> = die_at.to_vec();
        for _ in 0..200 {
            let at = if left.is_empty() { vec![] } else { vec![left.remove(0)] };
            self.sim.die_at(&at);
            let life = async {
                let store: Arc<dyn Store> = Arc::new(Touched::new(&self.memory, &self.sim, "driver", &self.notes));
                let options = Options {
                    holder: "driver".into(),
                    wait_for_people: true,
                    remind: Duration::from_secs(300),
                    poll: POLL,
                    stop: Arc::new(AtomicU8::new(0)),
                    known: None,
                };
                let mut deaf = Deaf;
                let drive = Driver::drive(self.sim.world(), store, &self.run, options, &mut deaf);
                let person = self.person();
                match futures_util::future::select(Box::pin(drive), Box::pin(person)).await {
                    futures_util::future::Either::Left(((_, outcome), _)) => outcome,
                    futures_util::future::Either::Right(_) => panic!("a person does not end"),
                }
            };
            match self.sim.block_on(life) {
                Some(Outcome::Ended(end)) => {
                    self.touched.set(self.sim.touches());
                    // What was sent still lands.
                    self.sim.pass(600_000);
                    return end;
                }
                Some(other) => panic!("it stopped: {other:?}"),
                None => {
                    self.deaths.set(self.deaths.get() + 1);
                    self.memory.bury(&self.run);
                    self.sim.pass(700);
                }
            }
        }
        panic!("it does not end");
    }

    /// A person who looks every now and then, and answers from what really happened.
    async fn person(&self) {
        let entries = self.memory.read(&self.run, 0).await.expect("the journal is whole");
        let mut state = State::of(&self.run, &entries).expect("the journal is whole");
        loop {
            self.sim.sleep(Duration::from_millis(300)).await;
            for entry in self.memory.read(&self.run, state.seq).await.expect("the journal is whole") {
                state.fold(&entry).expect("the journal is whole");
            }
            assert!(state.seq < MOST_EVENTS, "it goes round: {MOST_EVENTS} events and no end");
            let Ok(head) = self.memory.head(&self.run).await else { continue };
            if let Some(event) = self.answer(&state) {
                let _ = self.memory.append(&self.run, &head, None, &[(self.sim.now(), event)]).await;
            }
        }
    }

    fn answer(&self, state: &State) -> Option<Event> {
        if let Some(word) = self.turn(state) {
            return Some(Event::Word { word, step: None, who: "lead".into(), reason: "it is time".into() });
        }
        (0..state.steps.len()).find_map(|i| self.answer_step(state, i))
    }

    fn turn(&self, state: &State) -> Option<Word> {
        if state.finished.is_some() {
            return None;
        }
        let since = |step: &str| {
            let done = state.steps[state.find(step)?].done_at?;
            Some(self.sim.now().duration_since(done).as_millis())
        };
        match self.turn {
            Turn::Pause(step) => {
                let past = since(step)?;
                let wanted = past < 2_000;
                match (state.paused.is_some(), wanted) {
                    (false, true) => Some(Word::Pause),
                    (true, false) => Some(Word::Resume),
                    _ => None,
                }
            }
            Turn::Back(step) => {
                let past = since(step)?;
                match &state.back {
                    None => Some(Word::Rollback { to: None }),
                    Some(back) if back.to.is_none() && past > 3_000 && rollback::plan(state).refused() => {
                        Some(Word::Rollback { to: Some("base-2".into()) })
                    }
                    Some(_) => None,
                }
            }
        }
    }

    fn answer_step(&self, state: &State, i: usize) -> Option<Event> {
        let (step, life) = (state.step(i), &state.steps[i]);
        let id = step.id.clone();
        let resolve = |done: bool, record: Map<String, serde_json::Value>| Event::Word {
            word: Word::Resolve { done, record, accept_late_effect: false },
            step: Some(id.clone()),
            who: "lead".into(),
            reason: "looked".into(),
        };
        let event = match (&life.life, life.asked.as_ref().map(|(a, _)| *a)) {
            (Life::Waiting, Some(About::Approval)) => {
                if state.back.is_some() {
                    return None;
                }
                let who = if life.approvals.is_empty() { "lead" } else { "second" };
                Event::Approved {
                    step: id,
                    who: who.into(),
                    comment: String::new(),
                    digest: state.checked.digest().into(),
                    break_glass: false,
                }
            }
            (_, Some(About::Manual)) => resolve(true, Map::from_iter([("answer".to_owned(), json!("fine"))])),
            (Life::Unknown { doing, .. }, Some(_)) => {
                let word = if *doing == Doing::Apply { format!("apply/{}", life.attempts) } else { format!("undo/{}", life.undo_attempts) };
                let happened = self.sim.deeds().iter().any(|d| d.by == format!("{}/{id}/{word}", self.run));
                resolve(happened, Map::new())
            }
            (Life::Failed { .. }, _)
                if life.tries >= step.retry.attempts && step.on_failure == drplan::model::OnFailure::Pause && state.back.is_none() =>
            {
                Event::Word { word: Word::Retry, step: Some(id), who: "lead".into(), reason: "again".into() }
            }
            (Life::Stuck { .. }, _) => Event::Word { word: Word::Retry, step: Some(id), who: "lead".into(), reason: "again".into() },
            _ => return None,
        };
        match &event {
            Event::Word { word, step, .. } => words::allowed(state, self.sim.now(), word, step.as_deref(), false).is_ok().then_some(event),
            _ => Some(event),
        }
    }
}
