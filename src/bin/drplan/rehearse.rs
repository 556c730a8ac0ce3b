//! `drplan rehearse PLAN`: many runs of the plan's shadow in a simulated world that fails on purpose. It reaches nothing
//! real: no server, no command, no secret.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use drplan::analysis::Checked;
use drplan::execute::rehearse::{Rehearsal, Trouble, rehearse, shadow};
use drplan::report::lines::{end_word, time};
use serde_json::json;

use crate::exit::{Ended, Exit, Stop};
use crate::load::{self, PlanArgs};
use crate::output;
use crate::settings::Settings;

/// Run a plan many times in a simulated world that fails on purpose: what it comes to, and how often people are needed
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    plan: PlanArgs,

    /// What everything that goes wrong follows from; the same seed gives the same run.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// How many runs, from this seed on.
    #[arg(long, value_name = "M", default_value_t = 200)]
    runs: u64,
}

/// Rehearses.
pub fn run(args: &Args, settings: &Settings) -> Ended {
    let checked = load::checked(&args.plan, settings)?;
    let shadow = Arc::new(shadow::of(&checked).map_err(|why| Stop::new(Exit::Findings, why))?);
    let all: Vec<Rehearsal> =
        (0..args.runs.max(1)).map(|n| rehearse(&shadow, args.seed + n, &Trouble::of(args.seed + n), &mut |_| {})).collect();
    let broken = all.iter().find(|r| !r.broken.is_empty());
    if settings.json {
        output::json(&data(&checked, &all))?;
    } else {
        output::data(&text(&checked, args.seed, &all))?;
    }
    match broken {
        None => Ok(Exit::Good),
        Some(run) => {
            Err(Stop::new(Exit::Findings, format!("with seed {} this program broke its own law: {}", run.seed, run.broken[0])).help(
                format!("this is a fault of drplan, not of the plan: please report it with the plan and `--seed {} --runs 1`", run.seed),
            ))
        }
    }
}

/// Times at which an asset was back, shortest first; only where the run came that far.
fn times<'a>(checked: &'a Checked, all: &'a [Rehearsal]) -> impl Iterator<Item = (&'a String, Vec<u64>)> {
    checked.compiled().predictions.keys().filter_map(|asset| {
        let mut found: Vec<u64> = all.iter().filter_map(|r| r.recovered.get(asset).copied()).collect();
        found.sort_unstable();
        (!found.is_empty()).then_some((asset, found))
    })
}

/// The time that so many of a hundred are not over.
fn share(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent).div_ceil(100).clamp(1, sorted.len()) - 1]
}

fn ends(all: &[Rehearsal]) -> BTreeMap<&'static str, usize> {
    let mut out = BTreeMap::new();
    for run in all {
        *out.entry(run.end.map_or("did not end", end_word)).or_default() += 1;
    }
    out
}

fn asked(checked: &Checked, all: &[Rehearsal]) -> Vec<(String, usize)> {
    let steps = checked.compiled().scenario.steps.iter().map(|s| &s.id);
    let count = |id: &String| (id.clone(), all.iter().filter(|r| r.asked.contains(id)).count());
    let mut out: Vec<(String, usize)> = steps.map(count).filter(|(_, n)| *n > 0).collect();
    out.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    out
}

fn text(checked: &Checked, seed: u64, all: &[Rehearsal]) -> String {
    let plan = checked.compiled();
    let mut out = format!(
        "{} · {}, mode {}: {} rehearsals from seed {seed}\n  Calls are refused, lost and late, the program dies and is stopped, people interfere.\n\n",
        plan.plan.name,
        plan.scenario.id,
        plan.mode,
        all.len()
    );
    for (how, n) in ends(all) {
        let _ = writeln!(out, "  {n:>6}  {how}");
    }
    let sum = |of: fn(&Rehearsal) -> u32| all.iter().map(of).sum::<u32>();
    let (deaths, takeovers, failures) = (sum(|r| r.deaths), sum(|r| r.takeovers), sum(|r| r.journal_failures));
    let _ = writeln!(
        out,
        "  On the way the program died {deaths} times, was taken over {takeovers} times, and lost its journal {failures} times.\n"
    );
    let wide = plan.predictions.keys().map(String::len).max().unwrap_or(0).max(5);
    let rows: Vec<(&String, Vec<u64>)> = times(checked, all).collect();
    if !rows.is_empty() {
        let _ = writeln!(out, "  {:wide$}  {:>8}  {:>8}  {:>8}  {:>8}  {:>8}", "asset", "half by", "9 of 10", "worst", "expected", "RTO");
        for (asset, found) in rows {
            let predicted = plan.predictions.get(asset);
            let opt = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), time);
            let _ = writeln!(
                out,
                "  {asset:wide$}  {:>8}  {:>8}  {:>8}  {:>8}  {:>8}",
                time(share(&found, 50)),
                time(share(&found, 90)),
                time(share(&found, 100)),
                opt(predicted.and_then(|p| p.recovery_ms)),
                opt(predicted.and_then(|p| p.rto_ms))
            );
        }
        out.push_str("  People answer when the plan expects it, and each step takes half to one and a half of what is expected.\n\n");
    }
    let asked = asked(checked, all);
    if !asked.is_empty() {
        let line = asked.iter().take(8).map(|(id, n)| format!("`{id}` in {n}")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "  A person had a word to say about {line}.");
    }
    if all.iter().all(|r| r.broken.is_empty()) {
        out.push_str("  Nothing was done twice, nothing out of order, and nobody's newer change was overwritten.\n");
    }
    out
}

fn data(checked: &Checked, all: &[Rehearsal]) -> serde_json::Value {
    let runs: Vec<_> = all
        .iter()
        .map(|r| {
            json!({
                "seed": r.seed, "end": r.end, "took_ms": r.took_ms, "deaths": r.deaths, "takeovers": r.takeovers, "journal_failures": r.journal_failures,
                "asked": r.asked, "broken": r.broken,
                "recovered_ms": r.recovered.iter().filter(|(a, _)| checked.compiled().predictions.contains_key(*a)).collect::<BTreeMap<_, _>>(),
            })
        })
        .collect();
    json!({ "plan": checked.compiled().plan.name, "scenario": checked.compiled().scenario.id, "digest": checked.digest(), "runs": runs })
}
