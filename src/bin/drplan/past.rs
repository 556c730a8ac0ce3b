//! What steps took in earlier runs, as a journal has it. It reads, and changes nothing.

use drplan::journal::Error;
use drplan::model::Compiled;
use drplan::report::past::passed;

use crate::board::Earlier;
use crate::desk::Desk;

/// Runs that are looked at for a run's screen.
pub const SHOWN: usize = 20;

/// How long each step took in the last runs of the same plan and scenario in this journal, but not in the named one.
pub async fn earlier(desk: &Desk, plan: &Compiled, but: &str, runs: usize) -> Result<Earlier, Error> {
    let mut out = Earlier::new();
    let all = desk.store.runs().await?;
    for row in all.iter().filter(|r| r.plan == plan.plan.name && r.scenario == plan.scenario.id && r.id != but).take(runs) {
        // What cannot be read any more is no measure.
        let Ok(entries) = desk.store.read(&row.id, 0).await else { continue };
        for (step, took_ms) in passed(&entries) {
            out.entry(step).or_default().push(took_ms);
        }
    }
    Ok(out)
}
