//! Recovery time as it is predicted, against an oracle written in another way, against what the executor does in a
//! simulated world, and against itself.

mod dice;
mod oracle;

use std::collections::BTreeMap;

use dice::Taste;
use drplan::graph::schedule::{durations, schedule};

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
