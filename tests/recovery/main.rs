//! Recovery time as it is predicted, against an oracle written in another way, against what the executor does in a
//! simulated world, and against itself.

mod dice;
mod estimates;
mod inversions;
mod oracle;
mod simulated;
mod typed;

#[path = "../support"]
mod support {
    pub mod desk;
}

use std::collections::BTreeMap;
use std::sync::Arc;

use dice::Taste;
use drplan::graph::schedule::{by_people, durations, schedule};
use drplan::journal::End;

/// How many random plans: `DRPLAN_DAGS`, and few unless it is set.
fn dags() -> u64 {
    std::env::var("DRPLAN_DAGS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_500)
}

#[test]
fn the_prediction_is_the_oracle_s() {
    let (mut slots, mut locks, mut refused) = (0, 0, 0);
    for seed in 0..dags() {
        // Mostly small ones, for there the mistakes are; now and then a larger one.
        let steps = if seed % 20 == 0 { 60 } else { 4 + seed % 12 };
        let (checked, drafts) = dice::plan(seed, Taste { steps, longest_ms: 9_000, grain_ms: 1_000, plain: false });
        refused += drafts;
        let plan = checked.compiled();
        let told = oracle::told(plan, 1_000);
        let takes = durations(plan);
        let found = schedule(plan, checked.graph(), &takes);
        let n = plan.scenario.steps.len();
        let back: BTreeMap<String, u64> = plan.predictions.iter().filter_map(|(asset, p)| Some((asset.clone(), p.recovery_ms?))).collect();
        let seen = oracle::Told {
            start_ms: found.start_ms[..n].to_vec(),
            end_ms: found.end_ms[..n].to_vec(),
            total_ms: plan.predicted_ms,
            back_ms: back,
        };
        assert_eq!(seen, told, "seed {seed}: {:#?}", plan.scenario.steps);
        let earliest = checked.graph().earliest_ms(&takes);
        let late = (0..n).filter(|&i| found.start_ms[i] > earliest[i]).count();
        slots += usize::from(late > 0 && plan.parallel == 1);
        locks += usize::from(late > 0 && plan.parallel == 5);
    }
    assert!(slots as u64 > dags() / 20 && locks as u64 > dags() / 100, "slots decided in {slots} plans, locks in {locks}");
    println!("{} plans, {refused} drafts refused; slots decided in {slots}, locks in {locks}", dags());
}

/// What the executor did in the simulated world otherwise than it was predicted, if anything; else how many steps there were,
/// how many of them people did, and how many waited for a slot or a lock.
fn otherwise(seed: u64) -> Result<[u64; 3], String> {
    // Odd times, so that hardly ever two things happen at once: of those the first one that is heard of comes first.
    let taste = Taste { steps: 4 + seed % 16, longest_ms: 3_001, grain_ms: 1, plain: true };
    let (checked, _) = dice::plan(seed, taste);
    let checked = Arc::new(simulated::exact(&checked));
    let plan = checked.compiled();
    let takes = durations(plan);
    let told = schedule(plan, checked.graph(), &takes);
    let ran = simulated::run(&checked);
    if ran.end != Some(End::Good) || !ran.broken.is_empty() {
        return Err(format!("seed {seed}: it ended {:?}, {:?}", ran.end, ran.broken));
    }
    // People are heard within a millisecond or two; what follows from their words is later by as much.
    let people = plan.scenario.steps.iter().filter(|s| by_people(s)).count() as u64;
    let near = |a: u64, b: u64| a.abs_diff(b) <= 3 * people;
    let earliest = checked.graph().earliest_ms(&takes);
    let mut late = 0;
    for (i, step) in plan.scenario.steps.iter().enumerate() {
        let (from, to) = (ran.start_ms[&step.id], ran.end_ms[&step.id]);
        if !near(from, told.start_ms[i]) || !near(to, told.end_ms[i]) {
            let (start, end) = (told.start_ms[i], told.end_ms[i]);
            return Err(format!("seed {seed}: `{}` was predicted for {start} to {end}, and was there from {from} to {to}", step.id));
        }
        late += u64::from(told.start_ms[i] > earliest[i]);
    }
    Ok([plan.scenario.steps.len() as u64, people, late])
}

#[test]
fn the_executor_starts_and_ends_every_step_when_it_was_predicted() {
    let mut sums = [0; 3];
    for seed in 0..dags().div_ceil(10) {
        let counts = otherwise(seed).unwrap_or_else(|what| panic!("{what}"));
        (0..3).for_each(|n| sums[n] += counts[n]);
    }
    let [steps, people, late] = sums;
    assert!(late * 10 > steps && people > 0, "of {steps} steps {late} waited for a slot or a lock, and people did {people}");
    println!("{steps} steps, {people} of them by people; {late} waited for a slot or a lock");
}

/// An executor that does not keep the rule is seen not to.
#[test]
#[cfg(feature = "planted-faults")]
fn another_order_than_the_predicted_one_is_seen() {
    use drplan::execute::planted::plant;
    for fault in ["ignore-locks", "crowd", "ignore-needs"] {
        plant(fault);
        let seen = (0..40).find_map(|seed| otherwise(seed).err());
        plant("");
        assert!(seen.is_some(), "{fault}");
    }
}
