//! What was proved of each scenario, on one line: how long recovery takes, what is lost, what was explored on the way.

use drplan::actions::units::duration_text;
use drplan::analysis::Checked;
use drplan::analysis::states::{Explored, SAMPLES, SEED};
use drplan::compile::Compilation;

/// From here on nobody counts.
const MANY: u64 = 1_000_000;
/// Names are laid out to this width.
const NAME: usize = 24;

/// A line for each scenario that passed.
pub fn lines(found: &Compilation) -> Vec<String> {
    let id = |c: &Checked| c.compiled().scenario.id.clone();
    let width = found.checked.iter().map(|c| id(c).len()).max().unwrap_or(0).min(NAME);
    let line = |c: &Checked| format!("  {:width$}  {}", id(c), one(c, found.explored.get(&id(c))));
    found.checked.iter().map(line).collect()
}

fn one(checked: &Checked, explored: Option<&Explored>) -> String {
    let all = &checked.compiled().predictions;
    let recovery = worst(all.values().filter_map(|p| Some((p.recovery_ms?, p.rto_ms))));
    // One that stays as it is was left on purpose.
    let left = |id| checked.compiled().scenario.leaves.contains(id).then_some(0);
    let loss = all.iter().filter(|(_, p)| p.holds_data).map(|(id, p)| (p.loss_ms.or(left(id)), p.rpo_ms));
    let (unbounded, bounded): (Vec<_>, Vec<_>) = loss.partition(|(ms, _)| ms.is_none());
    let loss = match unbounded.is_empty() {
        true => worst(bounded.into_iter().filter_map(|(ms, most)| Some((ms?, most)))),
        false => Some("without bound".to_owned()),
    };
    let named = |what: &str, ms: Option<String>| ms.map(|ms| format!("{what} {ms}"));
    let parts = [named("recovery", recovery), named("data loss", loss), Some(states(explored))];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The one that comes nearest to what was promised; without any promise the longest.
fn worst(all: impl Iterator<Item = (u64, Option<u64>)> + Clone) -> Option<String> {
    let promised = all.clone().filter_map(|(ms, most)| Some((ms, most?)));
    let nearest = promised.max_by(|a, b| (u128::from(a.0) * u128::from(b.1)).cmp(&(u128::from(b.0) * u128::from(a.1))));
    match nearest {
        Some((ms, most)) => Some(format!("{} of {}", duration_text(ms), duration_text(most))),
        None => all.map(|(ms, _)| ms).max().map(duration_text),
    }
}

fn states(explored: Option<&Explored>) -> String {
    let Some(found) = explored else { return "not explored: steps are left out".to_owned() };
    let count = |n: u64, what: &str| match n {
        1 => format!("1 {what}"),
        0..MANY => format!("{n} {what}s"),
        _ => format!("more than a million {what}s"),
    };
    let mut words = match found.parts.is_empty() && found.left.is_empty() {
        true => "no copy takes over".to_owned(),
        false => format!("{} explored, {}", count(found.orders, "order"), count(found.bad.len() as u64, "bad state")),
    };
    if !found.sampled.is_empty() {
        words.push_str(&format!(
            "; too many to look at all: of {} {SAMPLES} were drawn by seed {SEED}, `--explore all` goes on",
            names(&found.sampled)
        ));
    }
    if !found.left.is_empty() {
        words.push_str(&format!("; not explored: {}", names(&found.left)));
    }
    words
}

fn names(ids: &[String]) -> String {
    let few: Vec<String> = ids.iter().take(3).map(|id| format!("`{id}`")).collect();
    let more = ids.len().saturating_sub(few.len());
    if more == 0 { few.join(", ") } else { format!("{} and {more} more", few.join(", ")) }
}
