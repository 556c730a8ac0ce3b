//! The executor in the simulated world, where every step takes exactly what the plan expects and people answer exactly then:
//! each step begins and ends when it was predicted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use drplan::analysis::Checked;
use drplan::execute::driver::{Driver, Known, Observer, Options, Outcome};
use drplan::execute::rehearse::laws;
use drplan::execute::{Start, State};
use drplan::journal::memory::Memory;
use drplan::journal::{About, Doing, End, Entry, Event, Store, Word};
use drplan::model::{ActionUse, Effect, Undo};
use drplan::world::sim::Sim;
use futures_util::future::{Either, select};
use jiff::Timestamp;
use serde_json::{Map, json};

const RUN: &str = "predicted";

/// When each step began and ended, in milliseconds from the run's start.
pub struct Ran {
    pub start_ms: BTreeMap<String, u64>,
    pub end_ms: BTreeMap<String, u64>,
    pub end: Option<End>,
    pub broken: Vec<String>,
}

/// The plan with commands of the simulated world that take exactly as long as expected.
pub fn exact(checked: &Checked) -> Checked {
    let mut plan = checked.compiled().clone();
    for step in &mut plan.scenario.steps {
        if step.call.uses != "command" {
            continue;
        }
        let words = if step.effect == Effect::Read { ["nop", ""] } else { ["set", step.id.as_str()] };
        let takes = step.takes_ms.to_string();
        let argv: Vec<&str> = ["last", takes.as_str()].into_iter().chain(words).chain(["1"]).filter(|w| !w.is_empty()).collect();
        step.call = ActionUse { uses: "command".to_owned(), with: Map::from_iter([("argv".to_owned(), json!(argv))]) };
        step.outputs.clear();
        if step.undo != Undo::Unneeded {
            step.undo = Undo::None("no way back".to_owned());
        }
    }
    Checked::from_json(&serde_json::to_string(&plan).unwrap()).unwrap()
}

/// Runs it.
pub fn run(checked: &Arc<Checked>) -> Ran {
    let sim = Sim::new(1);
    let clock = sim.world().clock;
    let began = clock.now();
    let memory = Arc::new(Memory::timed(move || clock.elapsed().as_millis() as u64));
    let start = Start { dir: "/".to_owned(), incident_start: began, ..Start::default() };
    sim.block_on(memory.create(RUN, (began, start.of(checked)))).unwrap().unwrap();
    let outcome = sim
        .block_on(async {
            let drive = drive(&sim, Arc::clone(&memory) as Arc<dyn Store>, checked);
            match select(std::pin::pin!(drive), std::pin::pin!(people(&sim, &memory, checked))).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => panic!("people go home before the run is over"),
            }
        })
        .unwrap();
    let end = if let Outcome::Ended(end) = outcome { Some(end) } else { None };
    let entries = sim.block_on(memory.read(RUN, 0)).unwrap().unwrap();
    let mut ran =
        Ran { start_ms: BTreeMap::new(), end_ms: BTreeMap::new(), end, broken: laws::broken(checked, RUN, &entries, &sim.deeds()) };
    let ms = |at: Timestamp| u64::try_from(at.as_millisecond() - began.as_millisecond()).unwrap();
    for Entry { at, event, .. } in &entries {
        match event {
            Event::Intent { step, .. } | Event::Asked { step, .. } => drop(ran.start_ms.insert(step.clone(), ms(*at))),
            Event::Done { step, doing: Doing::Apply, .. } => drop(ran.end_ms.insert(step.clone(), ms(*at))),
            Event::Word { step: Some(step), .. } => drop(ran.end_ms.insert(step.clone(), ms(*at))),
            _ => {}
        }
    }
    ran
}

async fn drive(sim: &Sim, store: Arc<dyn Store>, checked: &Arc<Checked>) -> Outcome {
    let entries = store.read(RUN, 0).await.unwrap();
    let state = State::bound(RUN, &entries, checked).unwrap();
    let options = Options {
        holder: "first".to_owned(),
        wait_for_people: true,
        stop: Arc::new(AtomicU8::new(0)),
        known: Some(Known { entries, state }),
        remind: Duration::from_secs(3_600),
        // What people say is heard at once.
        poll: Duration::from_millis(1),
    };
    Driver::drive(sim.world_of("first"), store, RUN, options, &mut Quiet).await.1
}

/// People answer what they are asked when the plan expects it, to the millisecond.
async fn people(sim: &Sim, memory: &Memory, checked: &Arc<Checked>) {
    let entries = memory.read(RUN, 0).await.unwrap();
    let mut state = State::bound(RUN, &entries, checked).unwrap();
    let clock = sim.world().clock;
    loop {
        clock.sleep(Duration::from_millis(1)).await;
        let entries = memory.read(RUN, state.seq).await.unwrap();
        entries.iter().for_each(|entry| state.fold(entry).unwrap());
        for i in 0..state.steps.len() {
            let (step, life) = (state.step(i), &state.steps[i]);
            let Some((about, _)) = &life.asked else { continue };
            let due = life.since.unwrap() + Duration::from_millis(step.takes_ms);
            if clock.now() < due {
                continue;
            }
            let id = step.id.clone();
            let event = match about {
                About::Approval if life.approvals.is_empty() => {
                    let digest = checked.digest().to_owned();
                    Event::Approved { step: id, who: "lead".to_owned(), comment: String::new(), digest, break_glass: false }
                }
                About::Manual => {
                    let word = Word::Resolve { done: true, record: Map::new(), accept_late_effect: false };
                    Event::Word { word, step: Some(id), who: "lead".to_owned(), reason: "done".to_owned() }
                }
                _ => continue,
            };
            let head = memory.head(RUN).await.unwrap();
            // Who speaks while the driver writes says it again a moment later.
            let _ = memory.append(RUN, &head, None, &[(clock.now(), event)]).await;
        }
    }
}

struct Quiet;

impl Observer for Quiet {
    fn entry(&mut self, _: &Entry, _: &State) {}
    fn tick(&mut self, _: &State, _: Timestamp) {}
}
