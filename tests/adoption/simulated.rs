//! An adoption in the simulated world: the program dies at any touch of the run that is adopted, at any touch of the
//! adoption, and at any touch of the run that goes on. In the end the world is as if nothing had happened, and nothing was
//! done twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use drplan::analysis::Checked;
use drplan::compile::{Input, compile};
use drplan::execute::adopt::{self, By};
use drplan::execute::driver::{Observer, Options, POLL};
use drplan::execute::errand::Errand;
use drplan::execute::rehearse::touched::{Notes, Touched};
use drplan::execute::{Driver, Life, Outcome, Start, State};
use drplan::journal::memory::Memory;
use drplan::journal::{Doing, End, Entry, Error, Event, Head, Stands, Store, Word};
use drplan::world::Clock;
use drplan::world::sim::{Sim, Wrong};
use jiff::Timestamp;
use serde_json::Map;

const OLD: &str = "sim-20260101-000000-0ld0";

/// Five steps of all effects; in the mended plan `b` is another one, `c` stands on it, and `f` comes last.
fn plan(mended: bool) -> Arc<Checked> {
    let (b, last) = match mended {
        false => ("old", ""),
        true => (
            "new",
            "      - { id: f, needs: [c, d, e], uses: command, with: { argv: [take, \"500\", add, f] }, takes: 1s, undo: { none: no } }\n",
        ),
    };
    let text = format!(
        "drplan: v1\nname: sim\nassets: {{ x: {{ kind: other, tier: none }} }}\nscenarios:\n  move:\n    cause: planned\n    steps:\n\
         \x20     - {{ id: a, uses: command, with: {{ argv: [take, \"800\", add, a] }}, takes: 1s, undo: {{ none: no }} }}\n\
         \x20     - {{ id: b, asset: x, uses: command, with: {{ argv: [take, \"800\", set, b, {b}] }}, effect: idempotent, takes: 1s, undo: {{ uses: command, with: {{ argv: [del, b] }} }} }}\n\
         \x20     - {{ id: c, uses: command, with: {{ argv: [take, \"800\", set, c, \"1\"] }}, effect: idempotent, takes: 1s, undo: {{ uses: command, with: {{ argv: [del, c] }} }} }}\n\
         \x20     - {{ id: d, needs: [a], uses: command, with: {{ argv: [take, \"3000\", set, d, \"1\"] }}, check: {{ uses: command, effect: read, with: {{ argv: [is, d, \"1\"] }} }}, takes: 3s, undo: {{ uses: command, with: {{ argv: [del, d] }} }} }}\n\
         \x20     - {{ id: e, needs: [a], uses: command, with: {{ argv: [take, \"2000\", add, e] }}, takes: 2s, undo: {{ none: no }} }}\n{last}"
    );
    let files = BTreeMap::from([("plan.yaml".to_owned(), text)]);
    let found = compile(&files, "plan.yaml", &Input::default()).unwrap();
    let heads: Vec<String> = found.findings.iter().map(|f| f.headline.clone()).collect();
    Arc::new(found.scenario("move").unwrap_or_else(|| panic!("{heads:#?}")).clone())
}

struct Deaf;

impl Observer for Deaf {
    fn entry(&mut self, _: &Entry, _: &State) {}
    fn tick(&mut self, _: &State, _: Timestamp) {}
}

struct Play {
    sim: Sim,
    memory: Arc<Memory>,
    notes: Arc<Notes>,
    plans: [Arc<Checked>; 2],
    deaths: u64,
}

impl Play {
    fn new(plans: &[Arc<Checked>; 2]) -> Play {
        let sim = Sim::new(3);
        // What is sent for `d` lands late, whichever run sent it.
        sim.go_wrong("/d/apply/1", &[Wrong::Late(3_000)]);
        let clock = sim.world().clock;
        let memory = Arc::new(Memory::timed(move || clock.elapsed().as_millis() as u64));
        Play { sim, memory, notes: Arc::default(), plans: plans.clone(), deaths: 0 }
    }

    fn start(&self) -> Start {
        Start { dir: "/".to_owned(), incident_start: self.sim.now(), ..Start::default() }
    }

    fn create(&self, run: &str, plan: &Checked) {
        let first = (self.sim.now(), self.start().of(plan));
        self.sim.block_on(self.memory.create(run, first)).unwrap().unwrap();
    }

    fn store(&self) -> Touched {
        Touched::new(&self.memory, &self.sim, "driver", &self.notes)
    }

    /// The run that adopted the old one, if one did.
    async fn adopter(&self) -> Option<String> {
        let entries = self.memory.read(OLD, 0).await.unwrap();
        entries.iter().find_map(|e| match &e.event {
            Event::AdoptedBy { run, .. } => Some(run.clone()),
            _ => None,
        })
    }

    async fn drive(&self, run: &str) -> Outcome {
        let options = Options {
            holder: "me@here pid 1".to_owned(),
            wait_for_people: true,
            remind: Duration::from_secs(300),
            poll: POLL,
            stop: Arc::new(AtomicU8::new(0)),
            known: None,
        };
        let mut deaf = Deaf;
        let drive = Driver::drive(self.sim.world(), Arc::new(self.store()), run, options, &mut deaf);
        match futures_util::future::select(Box::pin(drive), Box::pin(self.person(run))).await {
            futures_util::future::Either::Left(((_, outcome), _)) => outcome,
            futures_util::future::Either::Right(_) => panic!("a person does not end"),
        }
    }

    /// Answers from what really happened.
    async fn person(&self, run: &str) {
        let mut seen = 0;
        loop {
            self.sim.sleep(Duration::from_millis(300)).await;
            let Ok(head) = self.memory.head(run).await else { continue };
            if self.sim.elapsed() > Duration::from_secs(3_600) {
                panic!("it stands still: {:#?}", self.memory.read(run, 1).await);
            }
            // What nobody added to asks nothing new.
            if head.seq == seen {
                continue;
            }
            seen = head.seq;
            let entries = self.memory.read(run, 0).await.unwrap();
            assert!(entries.len() < 2_000, "it goes round");
            let state = State::of(run, &entries).unwrap();
            let said = (0..state.steps.len()).find_map(|i| self.answer(&state, i));
            if let Some(event) = said.filter(|_| state.seq == head.seq && state.finished.is_none()) {
                let _ = self.memory.append(run, &head, None, &[(self.sim.now(), event)]).await;
            }
        }
    }

    fn answer(&self, state: &State, i: usize) -> Option<Event> {
        let life = &state.steps[i];
        let resolve = |done| Word::Resolve { done, record: Map::new(), accept_late_effect: false };
        let word = match &life.life {
            Life::Left { .. } if life.asked.is_some() => resolve(true),
            Life::Unknown { .. } if life.asked.is_some() => {
                let by = Errand::of(state, i).names(Doing::Apply, life.attempts).ticket;
                resolve(self.sim.deeds().iter().any(|d| d.by == by))
            }
            Life::Failed { .. } => Word::Retry,
            _ => return None,
        };
        Some(Event::Word { word, step: Some(state.step(i).id.clone()), who: "me".to_owned(), reason: "looked".to_owned() })
    }

    /// Drives the old run until it dies at a touch; false if it ended before.
    fn old(&mut self, die_at: u64) -> bool {
        self.create(OLD, &self.plans[0]);
        self.sim.die_at(&[die_at]);
        if self.sim.block_on(self.drive(OLD)).is_some() {
            return false;
        }
        self.deaths += 1;
        self.memory.bury(OLD);
        self.sim.pass(700);
        true
    }

    fn ended(&self) -> bool {
        self.entries(OLD).iter().any(|e| matches!(e.event, Event::Finished { .. }))
    }

    /// What an adoption says, nobody dying.
    fn refused(&self) -> Result<Head, Error> {
        self.sim.die_at(&[]);
        let by = By { who: "me", holder: "me@here pid 2", reason: "mended" };
        let (store, clock) = (self.store(), || self.sim.now());
        self.sim.block_on(adopt::adopt(&store, &clock, by, OLD, "none", &self.plans[1], self.start())).unwrap()
    }

    /// Adopts it and goes on to the end, dying once at a touch on the way; the run that went on.
    fn new_run(&mut self, die_at: Option<u64>) -> String {
        for life in 0..50 {
            self.sim.die_at(&die_at.filter(|_| life == 0).into_iter().collect::<Vec<_>>());
            let ran = async {
                // As whoever types the same command again.
                let run = match self.adopter().await {
                    Some(run) => run,
                    None => {
                        let run = format!("sim-20260101-000001-{life:04}");
                        let by = By { who: "me", holder: "me@here pid 2", reason: "mended" };
                        let clock = || self.sim.now();
                        adopt::adopt(&self.store(), &clock, by, OLD, &run, &self.plans[1], self.start()).await.unwrap();
                        run
                    }
                };
                (self.drive(&run).await, run)
            };
            match self.sim.block_on(ran) {
                Some((Outcome::Ended(End::Good), run)) => {
                    self.sim.pass(600_000);
                    return run;
                }
                Some(other) => panic!("it stopped: {other:?}"),
                None => {
                    self.deaths += 1;
                    self.memory.bury(OLD);
                    if let Some(Some(run)) = self.sim.block_on(self.adopter()) {
                        self.memory.bury(&run);
                    }
                    self.sim.pass(700);
                }
            }
        }
        panic!("it does not end");
    }

    fn entries(&self, run: &str) -> Vec<Entry> {
        self.sim.block_on(self.memory.read(run, 0)).unwrap().unwrap()
    }

    /// What must hold and does not.
    fn broken(&self, new: &str, wanted: &[String]) -> Vec<String> {
        let (first, second) = (self.entries(OLD), self.entries(new));
        let mut out = Vec::new();
        if self.sim.picture() != wanted {
            out.push(format!("the world is not the same: {:?} and {wanted:?}", self.sim.picture()));
        }
        let deeds = self.sim.deeds();
        let by = |step: &str| deeds.iter().filter(|d| d.by.contains(&format!("/{step}/apply/"))).count();
        out.extend(
            ["a", "e", "f"]
                .into_iter()
                .filter(|step| by(step) > 1)
                .map(|step| format!("`{step}` is `once` and happened {} times", by(step))),
        );
        // What `c` did before the new `b` does not count.
        let last = |what: &str| deeds.iter().rposition(|d| d.what.contains(what));
        if last("set c") < last("set b new") {
            out.push("`c` was not done again on what changed before it".to_owned());
        }
        let Some(Event::Adopted { carried, .. }) = second.get(1).map(|e| &e.event) else { return vec!["it adopted nothing".to_owned()] };
        let begun = |step: &str| first.iter().any(|e| matches!(&e.event, Event::Intent { step: s, .. } if s == step));
        let never = first.iter().any(|e| matches!(&e.event, Event::Done { step, doing: Doing::Undo, .. } if step == "b"));
        if begun("b") && !never && !carried.iter().any(|left| left.beside && left.step.starts_with("b@")) {
            out.push("what the old `b` did was forgotten".to_owned());
        }
        // Nothing that changes anything begins before every question about what is left is answered.
        let mut open: Vec<&str> =
            carried.iter().filter(|l| l.beside || matches!(l.stands, Stands::Left { .. })).map(|l| l.step.as_str()).collect();
        for entry in &second {
            match &entry.event {
                Event::Word { step: Some(step), .. } | Event::Done { step, doing: Doing::Undo, .. } => open.retain(|left| left != step),
                Event::Intent { step, .. } if !open.is_empty() => out.push(format!("`{step}` was begun before {open:?} was answered")),
                _ => {}
            }
        }
        for run in [OLD, new] {
            if self.sim.block_on(self.memory.verify(run)).unwrap().is_err() {
                out.push(format!("the chain of {run} is broken"));
            }
        }
        out
    }
}

/// How an undisturbed run of the mended plan leaves the world.
fn calm(plans: &[Arc<Checked>; 2]) -> Vec<String> {
    let play = Play::new(plans);
    play.create("calm", &plans[1]);
    let Some(outcome) = play.sim.block_on(play.drive("calm")) else { panic!("nobody dies here") };
    assert_eq!(outcome, Outcome::Ended(End::Good));
    play.sim.pass(600_000);
    play.sim.picture()
}

/// Dies everywhere; the number of deaths, of adoptions, and what was found, up to the first.
fn deaths(every: u64) -> (u64, u64, Vec<String>) {
    let plans = [plan(false), plan(true)];
    let wanted = calm(&plans);
    let (mut died, mut adopted) = (0, 0);
    for k in 1.. {
        let mut touches = 0;
        // First without a further death, which says how many touches there are to die at.
        for j in std::iter::once(None).chain((1..=400).map(Some)) {
            if j.is_some_and(|j| j > touches) || (j.is_some() && k % every != 0) {
                break;
            }
            let mut play = Play::new(&plans);
            if !play.old(k) {
                return (died, adopted, Vec::new());
            }
            if play.ended() {
                assert_eq!(play.refused(), Err(Error::Ended(OLD.to_owned())), "what has ended is not adopted");
                break;
            }
            let new = play.new_run(j);
            if j.is_none() {
                touches = play.sim.touches();
            }
            (died, adopted) = (died + play.deaths, adopted + 1);
            let broken = play.broken(&new, &wanted);
            if !broken.is_empty() {
                let tell = |run: &str| play.entries(run).iter().skip(1).map(|e| format!("  {:?}\n", e.event)).collect::<String>();
                return (died, adopted, vec![format!("dying at {k}, then {j:?}: {broken:#?}\n{}\n{}", tell(OLD), tell(&new))]);
            }
        }
    }
    unreachable!("every run ends")
}

/// `DRPLAN_DEATHS=all` dies at every pair of touches.
fn every() -> u64 {
    if std::env::var("DRPLAN_DEATHS").as_deref() == Ok("all") { 1 } else { 12 }
}

#[test]
fn death_anywhere_changes_nothing_of_an_adoption() {
    let (died, adopted, broken) = deaths(every());
    assert!(broken.is_empty(), "{}", broken[0]);
    println!("{died} deaths in {adopted} adoptions");
    assert!(died > 100, "only {died} deaths");
}

#[cfg(feature = "planted-faults")]
#[test]
fn every_fault_that_is_planted_into_an_adoption_is_found() {
    let faults = ["adopt-unproved", "adopt-forgets", "adopt-unasked", "adopt-new-names"];
    let found = |fault: &&&'static str| {
        let caught = std::panic::catch_unwind(|| {
            drplan::execute::planted::plant(fault);
            !deaths(1_000).2.is_empty()
        });
        drplan::execute::planted::plant("");
        let found = caught.unwrap_or(true);
        println!("{fault}: {}", if found { "found" } else { "MISSED" });
        !found
    };
    let missed: Vec<&&str> = faults.iter().filter(found).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}
