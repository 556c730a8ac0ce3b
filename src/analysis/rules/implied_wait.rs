//! `implied-wait`: an asset misses its objective only because a step waits for the one written above it.

use crate::actions::units::duration_text;
use crate::analysis::estimate::{above, needs_of};
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::graph::Graph;
use crate::graph::order::order;
use crate::model::{Compiled, Id};

use super::detect_over_objective;
use super::objective_missed::longest_way;

/// How many steps are ordered anew in all, to see what would help.
const MOST: usize = 200_000;

/// A wait that nobody asked for, and what would be without it.
pub(super) struct Culprit {
    /// The step that waits.
    waits: usize,
    /// The step above it.
    above: usize,
    /// What the waiting step would need instead.
    needs: Vec<Id>,
    /// When the asset would be back, in milliseconds.
    back_ms: u64,
}

/// The wait that alone makes an asset late; `tries` is how often it may still be looked for.
pub(super) fn culprit(facts: &Facts<'_>, id: &str, rto_ms: u64, tries: &mut usize) -> Option<Culprit> {
    let way = facts.back(id).map_or_else(Vec::new, |back| longest_way(facts, back.step));
    let mut pairs: Vec<(usize, usize)> =
        way.windows(2).map(|w| (w[0], w[1])).filter(|(step, on)| above(facts.scenario, *step) == Some(*on)).collect();
    pairs.sort_by_key(|(_, above)| std::cmp::Reverse(facts.takes[*above]));
    for (waits, on) in pairs {
        *tries = tries.checked_sub(1)?;
        let needs = needs_of(facts.scenario, on);
        let back_ms = without(facts, id, waits, &needs).filter(|ms| *ms <= rto_ms);
        if let Some(back_ms) = back_ms {
            return Some(Culprit { waits, above: on, needs, back_ms });
        }
    }
    None
}

/// How often a wait may be looked for in a scenario, so that large plans are looked at in bounded time.
pub(super) fn tries(facts: &Facts<'_>) -> usize {
    (MOST / facts.scenario.steps.len().max(1)).clamp(1, 16)
}

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let mut tries = tries(facts);
    let mut said = Vec::new();
    for (id, found) in &facts.predictions {
        let (Some(recovery), Some(rto)) = (found.recovery_ms, found.rto_ms) else { continue };
        let late = facts.plan.assets.get(id).filter(|a| recovery > rto && !detect_over_objective::over(facts, a));
        let Some((asset, at)) = late.and_then(|a| Some((a, culprit(facts, id, rto, &mut tries)?))) else { continue };
        if said.contains(&(at.waits, at.above)) {
            continue;
        }
        said.push((at.waits, at.above));
        let (step, above) = (&facts.scenario.steps[at.waits], &facts.scenario.steps[at.above]);
        let headline = format!(
            "`{id}` is back after {}, its objective is {}: `{}` waits for `{}`",
            duration_text(recovery),
            duration_text(rto),
            step.id,
            above.id
        );
        let label = format!(
            "it waits only because `{}` stands above it; without that `{id}` is back after {}",
            above.id,
            duration_text(at.back_ms)
        );
        let found = Diagnostic::warn("implied-wait", headline, facts.step(at.waits).keys.at, label);
        let found = found.also(facts.step(at.above).keys.at, format!("this takes {}", duration_text(facts.takes[at.above])));
        let found = found.also(facts.objective(asset).1, "the objective");
        findings.push(found.help(format!(
            "if `{}` needs nothing of `{}`, write `needs: [{}]` in it",
            step.id,
            above.id,
            at.needs.join(", ")
        )));
    }
}

/// When an asset would be back if a step needed these.
fn without(facts: &Facts<'_>, id: &str, step: usize, needs: &[Id]) -> Option<u64> {
    let mut scenario = facts.scenario.clone();
    scenario.steps[step].needs = Some(needs.to_vec());
    let order = order(facts.plan, &scenario, facts.index, facts.places);
    let other = Compiled { scenario, waits: order.waits, joins: order.joins, ..facts.compiled.clone() };
    let graph = Graph::of(&other)?;
    let facts = Facts::new(&other, facts.places, facts.index, &graph, facts.wanted());
    facts.predictions.get(id)?.recovery_ms
}
