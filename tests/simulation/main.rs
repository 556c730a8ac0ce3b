//! Runs in a simulated world: the program dies before and after every append and every call of the world, and goes on.
//! What must hold whatever happens is checked after every run, from the journal and from what was done to the world.

mod random;
mod world;

use std::collections::BTreeMap;

use drplan::compile::{Input, compile};
use drplan::execute::rollback;
use drplan::journal::{End, Store};
use drplan::render::yaml;
use drplan::world::sim::Wrong;
use world::{Play, Scene, Turn};

/// Forward to the end: refusals, a lost reply, late ones, a step that fails and did half of it, a pause on the way.
fn forward() -> Scene {
    Scene {
        wrongs: vec![
            ("stop-base/apply/1", Wrong::Refused),
            ("aside-1/apply/1", Wrong::Refused),
            ("aside-3/apply", Wrong::Half),
            ("switch", Wrong::Late(5_000)),
            ("warm-3/apply/1", Wrong::Late(3_000)),
            ("left-3/apply/1", Wrong::Lost),
            ("http://sim/health", Wrong::Unreachable),
        ],
        turn: Turn::Pause("base-2"),
        holder: false,
    }
}

/// Forward, then back to where it began.
fn back() -> Scene {
    Scene {
        wrongs: vec![
            ("stop-base/apply/1", Wrong::Refused),
            ("aside-3/apply", Wrong::Half),
            ("warm-3/apply/1", Wrong::Late(3_000)),
            ("aside-4/apply", Wrong::Lost),
            ("left-3/undo/1", Wrong::Lost),
        ],
        turn: Turn::Back("top-2"),
        holder: false,
    }
}

/// Forward past a step that cannot be undone, then back as far as that.
fn back_to() -> Scene {
    Scene { wrongs: vec![("right-4/undo/1", Wrong::Refused)], turn: Turn::Back("top-2"), holder: true }
}

/// How many deaths a run of the tests makes: all places once, and a sample of pairs; `DRPLAN_DEATHS=all` takes more pairs.
fn pairs() -> u64 {
    if std::env::var("DRPLAN_DEATHS").as_deref() == Ok("all") { 12 } else { 1 }
}

/// Random plans have much of the language in them.
#[test]
fn a_random_plan_that_is_printed_is_read_again_as_the_same() {
    for seed in 1..=200 {
        let plan = random::plan(seed);
        let compiled = plan.compiled();
        let text = yaml::render(&compiled.plan, [&compiled.scenario], &[]);
        let files = BTreeMap::from([("plan.yaml".to_owned(), text.clone())]);
        let parallel = Some(compiled.parallel);
        let again = compile(&files, "plan.yaml", &Input { parallel, ..Input::default() }).expect("the text is there");
        let again = again.checked.first().unwrap_or_else(|| panic!("seed {seed} is refused:\n{text}"));
        assert_eq!(again.compiled(), compiled, "seed {seed}\n{text}");
    }
}

#[test]
fn an_undisturbed_run_ends_well() {
    let play = Play::new(&forward(), 1);
    let end = play.run(&[]);
    assert_eq!(end, End::Flawed, "{}", play.tell());
    let (story, problems) = (play.tell(), play.problems());
    assert!(problems.is_empty(), "{problems:#?}\n{story}");
    assert!(play.sim.deeds().len() > 20, "{story}");
}

#[test]
fn an_undisturbed_rollback_restores_what_was() {
    let play = Play::new(&back(), 1);
    assert_eq!(play.run(&[]), End::RolledBack, "{}", play.tell());
    assert!(play.problems().is_empty(), "{:#?}\n{}", play.problems(), play.tell());
}

/// Dies at every touch once, and in pairs; gives the number of deaths and every problem found.
fn deaths(scene: &Scene, seed: u64, pairs: u64, stop_at_first: bool) -> (u64, Vec<String>) {
    let calm = Play::new(scene, seed);
    let end = calm.run(&[]);
    let (touches, picture) = (calm.touched(), calm.picture());
    let mut problems = calm.problems();
    let mut died = 0;
    let mut places: Vec<Vec<u64>> = (1..=touches).map(|k| vec![k]).collect();
    for k in 1..=touches {
        places.extend((0..pairs).map(|j| vec![k, 1 + (k * 7 + j * 5) % 40]));
    }
    for place in places {
        if stop_at_first && !problems.is_empty() {
            break;
        }
        let play = Play::new(scene, seed);
        let how = play.run(&place);
        died += play.deaths();
        let mut found = play.problems();
        if how != end {
            found.push(format!("it ended {how:?}, undisturbed it ended {end:?}"));
        }
        if play.picture() != picture {
            found.push(format!("the world is not the same:\n  {:?}\n  {:?}", play.picture(), picture));
        }
        problems.extend(found.into_iter().map(|p| format!("dying at {place:?} (seed {seed}): {p}\n{}", play.tell())));
    }
    (died, problems)
}

#[test]
fn death_anywhere_changes_nothing_in_the_end() {
    let (died, problems) = deaths(&forward(), 7, pairs(), true);
    assert!(problems.is_empty(), "{}", problems[0]);
    println!("{died} deaths on the way forward");
    assert!(died > 500, "only {died} deaths");
}

#[test]
fn death_anywhere_changes_nothing_of_a_rollback() {
    let (died, problems) = deaths(&back(), 7, pairs(), true);
    assert!(problems.is_empty(), "{}", problems[0]);
    println!("{died} deaths on the way forward and back");
    assert!(died > 500, "only {died} deaths");
}

#[test]
fn death_anywhere_changes_nothing_of_a_rollback_to_a_step() {
    let (died, problems) = deaths(&back_to(), 7, 0, true);
    assert!(problems.is_empty(), "{}", problems[0]);
    println!("{died} deaths on the way forward and back to a step");
    assert!(died > 200, "only {died} deaths");
}

#[cfg(feature = "planted-faults")]
mod planted {
    use super::*;

    /// Where a fault shows: in a scene, or in a random run from this seed on.
    #[derive(Clone, Copy)]
    enum By {
        Scenes,
        Seeds(u64),
    }
    use By::{Scenes, Seeds};

    const FAULTS: [(&str, By); 30] = [
        ("retry-once", Scenes),
        ("believe-open", Scenes),
        ("repeat-once", Scenes),
        ("ignore-locks", Scenes),
        ("ignore-needs", Scenes),
        ("start-while-paused", Scenes),
        ("approve-alone", Scenes),
        ("undo-under-holder", Scenes),
        ("undo-forwards", Scenes),
        ("forget-failed", Scenes),
        ("lost-is-failed", Scenes),
        ("close-at-once", Scenes),
        ("always-shown", Scenes),
        ("act-then-append", Seeds(1)),
        ("forget-orphans", Seeds(1)),
        ("end-early", Seeds(490)),
        ("append-unfenced", Seeds(1)),
        ("start-stale", Seeds(15)),
        ("forget-hands", Seeds(155)),
        ("decide-once", Seeds(155)),
        ("before-again", Seeds(1120)),
        ("hold-nothing", Seeds(1)),
        ("no-deadline", Seeds(1)),
        ("undo-unlooked", Seeds(680)),
        ("ignore-when", Seeds(1)),
        ("always-good", Seeds(1)),
        ("hurry", Seeds(1)),
        ("crowd", Seeds(35)),
        ("late-work", Seeds(4060)),
        ("begin-late", Seeds(20_130)),
    ];

    /// Plants a fault and looks whether it shows; one that makes the program stop where it must not has shown.
    fn found(fault: &'static str, by: By) -> Option<String> {
        let caught = std::panic::catch_unwind(|| {
            drplan::execute::planted::plant(fault);
            match by {
                Scenes => [forward(), back(), back_to()].iter().find_map(|scene| deaths(scene, 7, 0, true).1.into_iter().next()),
                Seeds(from) => random::search(from, 400).err(),
            }
        });
        drplan::execute::planted::plant("");
        caught.unwrap_or_else(|_| Some("it goes round".to_owned()))
    }

    /// `DRPLAN_FAULT=NAME` plants that one only.
    #[test]
    fn every_planted_fault_is_found() {
        let only = std::env::var("DRPLAN_FAULT").ok();
        let missed: Vec<&str> = FAULTS
            .iter()
            .filter(|(fault, _)| only.as_deref().is_none_or(|only| only == *fault))
            .filter(|(fault, by)| {
                let found = found(fault, *by);
                let shown = found.as_deref().map_or("MISSED", |why| why.lines().next().unwrap_or_default());
                println!("{fault}: {shown}");
                found.is_none()
            })
            .map(|(fault, _)| *fault)
            .collect();
        assert!(missed.is_empty(), "not found: {missed:?}");
        println!("{} planted faults, each found", FAULTS.len());
    }
}

impl Play {
    /// What must hold whatever happened, and does not.
    fn problems(&self) -> Vec<String> {
        let entries = self.entries();
        let state = match drplan::execute::State::of(&self.run, &entries) {
            Ok(state) => state,
            Err(why) => return vec![why.to_string()],
        };
        let mut out = drplan::execute::rehearse::laws::broken(&state.checked, &self.run, &entries, &self.sim.deeds());
        if state.finished == Some(End::RolledBack) && state.back.as_ref().is_some_and(|b| b.to.is_none()) {
            let steps = &state.plan().scenario.steps;
            out.extend(
                (0..steps.len()).filter(|&i| rollback::in_effect(&state, i)).map(|i| format!("`{}` is still in effect", steps[i].id)),
            );
            let left =
                ["warm-1", "warm-2", "warm-3", "aside-2", "aside-3", "aside-4", "left-1", "left-3", "right-1", "right-4", "base-conf"];
            out.extend(left.iter().filter(|k| self.sim.get(k).is_some()).map(|k| format!("`{k}` was left behind by the rollback")));
        }
        out
    }

    fn entries(&self) -> Vec<drplan::journal::Entry> {
        self.sim.block_on(self.memory.read(&self.run, 0)).expect("nobody dies here").expect("the journal is whole")
    }

    /// The run as lines, for a failing test.
    fn tell(&self) -> String {
        let entries = self.entries();
        let state = drplan::execute::State::of(&self.run, &entries[..1]).expect("it begins");
        let incident = (state.incident_start, state.incident_assumed);
        let mut story = drplan::report::Story::of(&self.run, &state.checked, state.started_at, incident);
        let mut out = String::new();
        for entry in &entries {
            story.tell(entry);
            if let Some(line) = drplan::report::lines::line(&story, entry) {
                out.push_str(&line);
                out.push('\n');
            }
        }
        out
    }
}
