//! Runs in a simulated world: the program dies before and after every append and every call of the world, and goes on.
//! What must hold whatever happens is checked after every run, from the journal and from what was done to the world.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use drplan::execute::rollback;
use drplan::journal::{Doing, End, Event, Store};
use drplan::model::{Node, Undo};
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

    /// Plants a fault and counts what is found; a fault that makes the program stop where it must not is found too.
    fn found(fault: &'static str) -> bool {
        let caught = std::panic::catch_unwind(|| {
            drplan::execute::planted::plant(fault);
            [forward(), back(), back_to()].iter().any(|scene| !deaths(scene, 7, 0, true).1.is_empty())
        });
        drplan::execute::planted::plant("");
        caught.unwrap_or(true)
    }

    #[test]
    fn every_planted_fault_is_found() {
        let faults = [
            "retry-once",
            "believe-open",
            "repeat-once",
            "ignore-locks",
            "ignore-needs",
            "start-while-paused",
            "approve-alone",
            "undo-under-holder",
            "undo-forwards",
            "forget-failed",
            "lost-is-failed",
            "close-at-once",
            "always-shown",
        ];
        let missed: Vec<&str> = faults
            .iter()
            .copied()
            .filter(|f| {
                let found = found(f);
                println!("{f}: {}", if found { "found" } else { "MISSED" });
                !found
            })
            .collect();
        assert!(missed.is_empty(), "not found: {missed:?}");
        println!("{} planted faults, each found", faults.len());
    }
}

impl Play {
    /// What must hold whatever happened, and does not.
    fn problems(&self) -> Vec<String> {
        let mut out = Vec::new();
        let entries = self.entries();
        let state = drplan::execute::State::of(&self.run, &entries).map_err(|e| e.to_string());
        let state = match state {
            Ok(state) => state,
            Err(why) => return vec![why],
        };
        let plan = state.plan();
        let steps = &plan.scenario.steps;
        let index: BTreeMap<&str, usize> = steps.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
        let mut done: BTreeSet<usize> = BTreeSet::new();
        let mut passed: BTreeSet<usize> = BTreeSet::new();
        let mut undone: BTreeSet<usize> = BTreeSet::new();
        let mut flying: BTreeSet<usize> = BTreeSet::new();
        let mut back = false;
        let mut paused = false;
        // Steps that may be begun again: a person said so, or it was seen that they never were.
        let mut again: BTreeSet<usize> = BTreeSet::new();
        // Steps of which an attempt was cut off by a death.
        let mut unknown: BTreeSet<&str> = BTreeSet::new();
        // From when on nothing of the last attempt can land, as its intent says.
        let mut deadline: BTreeMap<&str, jiff::Timestamp> = BTreeMap::new();
        // Until when an unknown attempt may still land.
        let mut open: BTreeMap<&str, jiff::Timestamp> = BTreeMap::new();
        let mut approvals: BTreeMap<usize, BTreeSet<&str>> = BTreeMap::new();
        let after = |i: usize| -> BTreeSet<usize> {
            let graph = state.checked.graph();
            let mut seen = BTreeSet::new();
            let mut open = vec![i];
            while let Some(n) = open.pop() {
                open.extend(graph.after[n].iter().map(|&x| x as usize).filter(|&x| seen.insert(x)));
            }
            seen
        };
        fn met(plan: &drplan::model::Compiled, node: Node, passed: &BTreeSet<usize>) -> bool {
            match node {
                Node::Step(i) => passed.contains(&(i as usize)),
                Node::Join(j) => plan.joins[j as usize].waits.iter().all(|w| met(plan, w.on, passed)),
            }
        }
        for entry in &entries {
            match &entry.event {
                Event::Intent { step, doing: Doing::Apply, attempt, timeout_ms, settles_ms, .. } => {
                    let i = index[step.as_str()];
                    if unknown.remove(step.as_str()) && deadline.get(step.as_str()).is_some_and(|t| entry.at < *t) {
                        out.push(format!(
                            "`{step}` was begun again before {}, when its last attempt could still land",
                            deadline[step.as_str()]
                        ));
                    }
                    let limit = timeout_ms.unwrap_or(0) + settles_ms;
                    if *settles_ms > 0 {
                        deadline.insert(step, entry.at + std::time::Duration::from_millis(limit));
                    }
                    if steps[i].effect == drplan::model::Effect::Once && *attempt > 1 && !again.remove(&i) {
                        out.push(format!("`{step}` is `once` and was begun again, and nobody said so"));
                    }
                    if done.contains(&i) {
                        out.push(format!("`{step}` was begun again after it was done"));
                    }
                    if back || paused {
                        out.push(format!("`{step}` was begun while the run was {}", if back { "rolled back" } else { "paused" }));
                    }
                    if let Some(wait) = plan.waits[i].iter().find(|w| !met(plan, w.on, &passed)) {
                        out.push(format!("`{step}` was begun before {:?}", wait.on));
                    }
                    for &j in &flying {
                        if j != i && drplan::graph::schedule::collide(&steps[i], &steps[j]) {
                            out.push(format!("`{step}` and `{}` were in flight at once", steps[j].id));
                        }
                    }
                    flying.insert(i);
                }
                Event::Intent { step, doing: Doing::Undo, .. } => {
                    let i = index[step.as_str()];
                    let above = after(i);
                    for &j in done.iter().filter(|j| !undone.contains(*j) && above.contains(*j)) {
                        if !matches!(steps[j].undo, Undo::Unneeded) {
                            out.push(format!("`{step}` was taken back while `{}` stood on it", steps[j].id));
                        }
                    }
                    if matches!(steps[i].undo, Undo::None(_)) {
                        out.push(format!("`{step}` cannot be undone, and was"));
                    }
                    flying.insert(i);
                }
                Event::Done { step, doing, .. } => {
                    let i = index[step.as_str()];
                    flying.remove(&i);
                    match doing {
                        Doing::Apply if steps[i].call.uses == "approval" => {
                            let wanted = steps[i].call.with.get("count").and_then(|c| c.as_u64()).unwrap_or(1);
                            if (approvals.get(&i).map_or(0, BTreeSet::len) as u64) < wanted {
                                out.push(format!("`{step}` passed without {wanted} people"));
                            }
                        }
                        _ => {}
                    }
                    match doing {
                        Doing::Apply => {
                            done.insert(i);
                            passed.insert(i);
                        }
                        Doing::Undo => {
                            undone.insert(i);
                        }
                    }
                }
                Event::Failed { step, reason, .. } => {
                    // What a process's own exit said is known, however early.
                    let judged = reason.ends_with("it did not happen");
                    if let Some(until) = open.remove(step.as_str()).filter(|until| judged && entry.at < *until) {
                        out.push(format!("`{step}` was called not there, and could land until {until}"));
                    }
                    flying.remove(&index[step.as_str()]);
                }
                Event::Unknown { step, open_until, died, .. } => {
                    if *died {
                        unknown.insert(step);
                    }
                    open.extend(open_until.map(|until| (step.as_str(), until)));
                }
                Event::Probed { step, answer: drplan::journal::Answer::NotThere, closed: true, .. } => {
                    open.remove(step.as_str());
                    again.insert(index[step.as_str()]);
                }
                Event::Skipped { step, .. } => {
                    passed.insert(index[step.as_str()]);
                }
                Event::Approved { step, who, .. } => {
                    approvals.entry(index[step.as_str()]).or_default().insert(who);
                }
                Event::Word { word, step, .. } => match word {
                    drplan::journal::Word::Rollback { .. } => back = true,
                    drplan::journal::Word::Retry => {
                        again.extend(step.as_deref().and_then(|s| index.get(s)));
                    }
                    drplan::journal::Word::Pause => paused = true,
                    drplan::journal::Word::Resume => paused = false,
                    drplan::journal::Word::Resolve { done: was_done, .. } => {
                        if let Some(&i) = step.as_deref().and_then(|s| index.get(s)) {
                            flying.remove(&i);
                            if *was_done && !back {
                                done.insert(i);
                                passed.insert(i);
                            } else if *was_done {
                                undone.insert(i);
                            }
                        }
                    }
                    _ => {}
                },
                Event::Objective { asset, shown, .. } if shown == "shown" => {
                    let verified = steps.iter().enumerate().any(|(i, s)| {
                        s.assets.contains(asset) && done.contains(&i) && (s.phase == drplan::model::Phase::Verify || s.check.is_some())
                    });
                    if !verified {
                        out.push(format!("`{asset}` is said to be shown, and nothing verified it"));
                    }
                }
                _ => {}
            }
        }
        out.extend(self.deed_problems(&entries, &state));
        if state.finished == Some(End::RolledBack) && state.back.as_ref().is_some_and(|b| b.to.is_none()) {
            out.extend(
                (0..steps.len()).filter(|&i| rollback::in_effect(&state, i)).map(|i| format!("`{}` is still in effect", steps[i].id)),
            );
        }
        out
    }

    /// What was done to the world must have been announced, and `once` at most once.
    fn deed_problems(&self, entries: &[drplan::journal::Entry], state: &drplan::execute::State) -> Vec<String> {
        let mut out = Vec::new();
        let mut announced: Vec<(String, i64)> = Vec::new();
        let mut closed: BTreeMap<String, i64> = BTreeMap::new();
        for entry in entries {
            let at = entry.at.as_millisecond();
            match &entry.event {
                Event::Intent { step, doing, attempt, .. } => announced.push((ticket(&self.run, step, *doing, *attempt), at)),
                Event::Failed { step, doing, attempt, .. } => {
                    closed.insert(ticket(&self.run, step, *doing, *attempt), at);
                }
                _ => {}
            }
        }
        let start = entries.first().map_or(0, |e| e.at.as_millisecond());
        for deed in self.sim.deeds() {
            let by = deed.by.trim_start_matches("drplan ");
            if !by.starts_with(&self.run) {
                continue;
            }
            let at = start + deed.at_ms as i64;
            let mine = |t: &str| t == by || t.starts_with(&format!("{by}/"));
            match announced.iter().rfind(|(t, intent)| mine(t) && *intent <= at) {
                None => out.push(format!("`{by}` acted before its intent was in the journal")),
                Some((t, _)) if closed.get(t).is_some_and(|c| at > *c) => {
                    out.push(format!("`{by}` landed after it was called not there"));
                }
                Some(_) => {}
            }
        }
        if state.finished == Some(End::RolledBack) && state.back.as_ref().is_some_and(|b| b.to.is_none()) {
            let left =
                ["warm-1", "warm-2", "warm-3", "aside-2", "aside-3", "aside-4", "left-1", "left-3", "right-1", "right-4", "base-conf"];
            out.extend(left.iter().filter(|k| self.sim.get(k).is_some()).map(|k| format!("`{k}` was left behind by the rollback")));
        }
        for step in &state.plan().scenario.steps {
            let mine = |word: &str| self.sim.deeds().iter().filter(|d| d.by.contains(&format!("/{}/{word}", step.id))).count();
            if step.effect == drplan::model::Effect::Once && mine("apply") > 1 {
                out.push(format!("`{}` is `once` and happened {} times", step.id, mine("apply")));
            }
        }
        out
    }

    fn entries(&self) -> Vec<drplan::journal::Entry> {
        self.sim.block_on(self.memory.read(&self.run, 0)).expect("nobody dies here").expect("the journal is whole")
    }

    /// The run as lines, for a failing test.
    fn tell(&self) -> String {
        let entries = self.entries();
        let mut story = drplan::report::Story::begin(&self.run, &entries[0]).expect("it begins");
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

fn ticket(run: &str, step: &str, doing: Doing, attempt: u32) -> String {
    let word = if doing == Doing::Apply { "apply" } else { "undo" };
    format!("{run}/{step}/{word}/{attempt}")
}
