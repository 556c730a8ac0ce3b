//! Clocks that somebody sets, in a simulated world: a day forward, two days back, while a run goes on and while nobody
//! drives it. Every deadline is judged as if nobody had.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use drplan::analysis::Checked;
use drplan::compile::{Input, compile};
use drplan::execute::driver::{Observer, Options, POLL};
use drplan::execute::rehearse::touched::Touched;
use drplan::execute::{Driver, Outcome, Start, State};
use drplan::journal::memory::Memory;
use drplan::journal::{Entry, Event, Store};
use drplan::world::RecordSet;
use drplan::world::sim::{Sim, Wrong};
use futures_util::future::{Either, select};
use jiff::Timestamp;

const DAY: i64 = 86_400;
const RUN: &str = "clocks-1";

/// A retry after ten seconds, a command of a minute, a reply that is lost and lands after twenty seconds, an approval that
/// nobody gives within two minutes.
const PLAN: &str = r#"
drplan: v1
name: clocks
owner: ops
contacts: { ops: { title: Operations } }
tiers: { slow: { rto: 1h } }
assets:
  app: { kind: other, tier: slow }
  name: { kind: route53, tier: none, connect: { zone: Z1, record: www.example.com, type: CNAME, ttl: 1s } }
scenarios:
  move:
    cause: planned
    steps:
      - { id: again, uses: command, with: { argv: [set, again, "1"] }, effect: idempotent, takes: 1s, retry: { attempts: 3, delay: 10s }, undo: { none: set } }
      - { id: point, asset: name, uses: route53.upsert, with: { value: new.example.com }, takes: 1s, timeout: 10s, undo: auto }
      - { id: long, asset: app, uses: command, with: { argv: [take, "60000", set, long, "1"] }, effect: idempotent, takes: 1m, undo: { none: set } }
      - { id: look, asset: app, phase: verify, uses: command, effect: read, with: { argv: [is, long, "1"] }, takes: 1s }
      - { id: gate, uses: approval, phase: close, with: { ask: "Was it good?", from: [ops] }, takes: 1m, timeout: 2m, needs: [look] }
"#;

/// What whoever looks on is told of clocks.
#[derive(Default)]
struct Ears(Vec<String>);

impl Observer for Ears {
    fn entry(&mut self, _: &Entry, _: &State) {}
    fn tick(&mut self, _: &State, _: Timestamp) {}
    fn notice(&mut self, words: &str) {
        self.0.push(words.to_owned());
    }
}

struct Play {
    sim: Sim,
    memory: Arc<Memory>,
    began: Timestamp,
}

fn plan() -> Checked {
    let files = BTreeMap::from([("plan.yaml".to_owned(), PLAN.to_owned())]);
    let compilation = compile(&files, "plan.yaml", &Input::default()).unwrap();
    let heads: Vec<String> = compilation.findings.iter().map(|f| format!("{}: {}", f.rule, f.headline)).collect();
    compilation.scenario("move").unwrap_or_else(|| panic!("{heads:#?}")).clone()
}

impl Play {
    fn new() -> Play {
        let sim = Sim::new(3);
        let old = RecordSet { name: "www.example.com".into(), kind: "CNAME".into(), ttl_s: 1, values: vec!["old.example.com".into()] };
        sim.set_record(old);
        sim.go_wrong("again/apply/1", &[Wrong::Refused]);
        sim.go_wrong("point", &[Wrong::Late(20_000)]);
        let clock = sim.world().clock;
        let began = clock.now();
        let memory = Arc::new(Memory::timed(move || clock.elapsed().as_millis() as u64));
        let event = Start { dir: "/".to_owned(), incident_start: began, ..Start::default() }.of(&plan());
        sim.block_on(memory.create(RUN, (began, event))).unwrap().unwrap();
        Play { sim, memory, began }
    }

    /// One life of a driver, while somebody sets the clock at these seconds of it; none if it died.
    fn live(&self, jumps: &[(u64, i64)], ears: &mut Ears) -> Option<Outcome> {
        let store: Arc<dyn Store> = Arc::new(Touched::new(&self.memory, &self.sim, "ops", &Arc::default()));
        let options = Options {
            holder: "ops@here pid 1".to_owned(),
            wait_for_people: false,
            remind: Duration::from_secs(300),
            poll: POLL,
            stop: Arc::new(AtomicU8::new(0)),
            known: None,
        };
        let world = self.sim.world();
        let setting = async {
            for (after, by) in jumps {
                world.clock.sleep(Duration::from_secs(*after)).await;
                self.sim.jump(*by);
            }
            std::future::pending::<()>().await;
        };
        let drive = Driver::drive(world.clone(), store, RUN, options, ears);
        let life = select(Box::pin(drive), Box::pin(setting));
        self.sim.block_on(async {
            match life.await {
                Either::Left(((_, outcome), _)) => outcome,
                Either::Right(_) => unreachable!("the clock is set for ever"),
            }
        })
    }

    fn entries(&self) -> Vec<Entry> {
        self.sim.block_on(self.memory.read(RUN, 0)).unwrap().unwrap()
    }

    /// What it wrote, in order, and when by the run's time.
    fn told(&self) -> Vec<String> {
        let ms = |at: Timestamp| at.duration_since(self.began).as_millis();
        self.entries().iter().skip(1).map(|e| format!("{} {:?}", ms(e.at), e.event)).collect()
    }

    fn attempts(&self, wanted: &str) -> usize {
        self.entries().iter().filter(|e| matches!(&e.event, Event::Intent { step, .. } if step == wanted)).count()
    }
}

#[test]
fn jumps_in_the_middle_of_a_run_change_nothing_of_it() {
    let calm = Play::new();
    assert_eq!(calm.live(&[], &mut Ears::default()), Some(Outcome::Waiting(drplan::execute::machine::Idle::Person)));
    let told = calm.told();
    assert!(told.last().unwrap().contains("LeaseGiven") && told.iter().any(|t| t.contains("nobody approved in time")), "{told:#?}");
    // In the delay before a retry; while an attempt may still land; in a long command; while an approval waits.
    for jumps in [
        &[(3, DAY), (7, -2 * DAY), (13, DAY), (40, -DAY), (60, 3 * DAY)][..],
        &[(3, -DAY), (7, 2 * DAY), (13, -DAY), (40, DAY), (60, -3 * DAY)],
    ] {
        let (play, mut ears) = (Play::new(), Ears::default());
        assert!(play.live(jumps, &mut ears).is_some());
        assert_eq!(play.told(), told, "{jumps:?}");
        assert_eq!(ears.0.len(), jumps.len(), "each is said, once: {:#?}", ears.0);
        assert!(ears.0.iter().any(|said| said.contains("set back by")) && ears.0.iter().any(|said| said.contains("set forward by")));
    }
}

#[test]
fn what_may_still_land_is_waited_for_wherever_the_clock_was_set_while_nobody_drove() {
    let touches = {
        let play = Play::new();
        play.live(&[], &mut Ears::default());
        play.sim.touches()
    };
    assert!(touches > 20, "{touches}");
    for touch in 1..=touches {
        let mut calm: Option<(i64, Vec<String>)> = None;
        for jump in [0, DAY, -DAY] {
            let (play, mut ears) = (Play::new(), Ears::default());
            play.sim.die_at(&[touch]);
            assert_eq!(play.live(&[], &mut ears), None, "it dies at {touch}");
            play.memory.bury(RUN);
            play.sim.jump(jump);
            play.sim.pass(700);
            assert!(play.live(&[], &mut ears).is_some());
            let mut deeds: Vec<String> = play.sim.deeds().iter().map(|d| format!("{} {}", d.by, d.what)).collect();
            deeds.push(format!("{} attempts to change the record", play.attempts("point")));
            let here = format!("dying at {touch}, the clock set by {jump} s: {:#?}", play.told());
            let took = play.sim.world().clock.elapsed().as_secs() as i64;
            match &calm {
                None => calm = Some((took, deeds)),
                Some((calm_took, calm_deeds)) => {
                    assert_eq!(&deeds, calm_deeds, "{here}");
                    // It may wait out once more what no clock shows to be over, and never for a day.
                    assert!(took - calm_took <= 200, "it took {took} s instead of {calm_took}: {here}");
                }
            }
            let back = play.entries().iter().find_map(|e| match &e.event {
                Event::Objective { asset, recovery_ms, .. } if asset == "app" => Some(*recovery_ms),
                _ => None,
            });
            let back = back.unwrap_or_else(|| panic!("{here}"));
            let real = 30_000..300_000;
            assert!(real.contains(&back) || (jump == DAY && real.contains(&(back - 86_400_000))), "{back}: {here}");
        }
    }
}

#[test]
fn a_journal_from_the_future_is_gone_on_with_at_once_and_it_is_said() {
    let play = Play::new();
    let mut ears = Ears::default();
    // Whoever wrote it had a clock that was a day ahead; its reader's is right.
    play.sim.jump(DAY);
    play.sim.die_at(&[9]);
    assert_eq!(play.live(&[], &mut ears), None);
    play.memory.bury(RUN);
    play.sim.jump(-DAY);
    play.sim.pass(700);
    let before = play.entries().len();
    assert!(play.live(&[], &mut ears).is_some());
    assert!(ears.0[0].contains("behind the last event of the run"), "{:?}", ears.0);
    assert!(play.sim.world().clock.elapsed() < Duration::from_secs(600), "{:#?}", play.told());
    let entries = play.entries();
    assert!(entries.len() > before && entries.windows(2).all(|two| two[0].at <= two[1].at), "{:#?}", play.told());
    assert_eq!(play.attempts("point"), 1, "{:#?}", play.told());
}

#[test]
fn a_person_whose_clock_is_wrong_delays_nothing() {
    for wrong in [DAY, -DAY] {
        let play = Play::new();
        play.sim.go_wrong("again/apply/2", &[Wrong::Refused]);
        play.sim.go_wrong("again/apply/3", &[Wrong::Refused]);
        assert!(matches!(play.live(&[], &mut Ears::default()), Some(Outcome::Waiting(_))));
        let waited = play.sim.world().clock.elapsed();
        let at = play.sim.world().clock.now() + jiff::SignedDuration::from_secs(wrong);
        let word = drplan::journal::Word::Retry;
        let event = Event::Word { word, step: Some("again".to_owned()), who: "ops".to_owned(), reason: "mended".to_owned() };
        let head = play.sim.block_on(play.memory.head(RUN)).unwrap().unwrap();
        play.sim.block_on(play.memory.append(RUN, &head, None, &[(at, event)])).unwrap().unwrap();
        assert!(play.live(&[], &mut Ears::default()).is_some());
        assert_eq!(play.sim.get("again").as_deref(), Some("1"), "{:#?}", play.told());
        assert!(play.sim.world().clock.elapsed() - waited < Duration::from_secs(600), "{:#?}", play.told());
        let written: Vec<Timestamp> = play.entries().iter().filter(|e| !matches!(e.event, Event::Word { .. })).map(|e| e.at).collect();
        assert!(written.windows(2).all(|two| two[0] <= two[1] && two[1].duration_since(two[0]).as_hours() < 1), "{:#?}", play.told());
    }
}
