//! `objective-missed`: the prediction is worse than the tier.

use super::{detect_over_objective, implied_wait};
use crate::actions::units::duration_text;
use crate::analysis::facts::Facts;
use crate::diagnostic::Diagnostic;
use crate::graph::way::latest;
use crate::model::{Asset, ReplicaMode};

/// Steps named as those that take the longest, and places at which sources cannot be used.
const NAMED: usize = 3;

pub(super) fn run(facts: &Facts<'_>, findings: &mut Vec<Diagnostic>) {
    let mut tries = implied_wait::tries(facts);
    for (id, found) in &facts.predictions {
        let Some(asset) = facts.plan.assets.get(id) else { continue };
        let (_, tier_at) = facts.objective(asset);
        if let (Some(recovery), Some(rto)) = (found.recovery_ms, found.rto_ms)
            && recovery > rto
            && !detect_over_objective::over(facts, asset)
            && implied_wait::culprit(facts, id, rto, &mut tries).is_none()
        {
            let last = facts.back(id).map(|back| back.step);
            let at = last.map_or(facts.asset_keys(id).at, |i| facts.step(i).keys.at);
            let headline = format!("`{id}` is back after {}, its objective is {}", duration_text(recovery), duration_text(rto));
            let label = format!("in scenario `{}` it is back with this", facts.scenario.id);
            let finding = Diagnostic::warn("objective-missed", headline, at, label).also(tier_at, "the objective");
            findings.push(finding.help(shorten(facts, last)));
        }
        if let (Some(loss), Some(rpo)) = (found.loss_ms, found.rpo_ms)
            && loss > rpo
        {
            let source = facts.steps_of(id).find(|(_, s)| s.from.is_some());
            let at = source.map_or(facts.asset_keys(id).at, |(i, _)| facts.step(i).keys.at);
            let headline = format!("`{id}` may lose {} of data, its objective is {}", duration_text(loss), duration_text(rpo));
            let label = format!("in scenario `{}`: {}", facts.scenario.id, found.loss_source);
            let finding = Diagnostic::warn("objective-missed", headline, at, label).also(tier_at, "the objective");
            let (finding, better) = others(facts, id, asset, loss, finding);
            findings.push(finding.help(match better {
                Some(better) => format!("let a step use what survives and loses less: {better}; or raise the tier's `rpo`"),
                None => "take backups more often, use a source that is less behind, or raise the tier's `rpo`".to_owned(),
            }));
        }
    }
}

/// The finding with why other sources cannot be used, and the best one that could be and loses less.
fn others<'a>(facts: &Facts<'a>, id: &str, asset: &'a Asset, loss: u64, finding: Diagnostic) -> (Diagnostic, Option<String>) {
    let all = facts.damage(|damage| damage.sources(id, asset));
    // Nobody takes an empty place for a source.
    let holds = asset.replicas.iter().map(|r| r.mode != ReplicaMode::Standby).chain(std::iter::repeat(true));
    let unused = all.iter().zip(holds).filter(|(s, holds)| *holds && s.ms.is_none()).flat_map(|(s, _)| &s.why);
    let finding = finding.also_all(unused.take(NAMED).map(|reason| (reason.at, format!("not used: {}", reason.words))));
    let better = all.into_iter().filter(|s| s.ms.is_some_and(|ms| ms < loss)).min_by_key(|s| s.ms);
    (finding, better.map(|s| s.source))
}

/// What would help: an edge that nobody asked for, or the longest steps on the way.
fn shorten(facts: &Facts<'_>, last: Option<usize>) -> String {
    let way = last.map_or_else(Vec::new, |i| longest_way(facts, i));
    let mut steps: Vec<usize> = way.into_iter().filter(|&i| facts.takes[i] > 0).collect();
    steps.sort_by_key(|&i| std::cmp::Reverse(facts.takes[i]));
    let named = steps.iter().take(NAMED).map(|&i| format!("`{}` ({})", facts.scenario.steps[i].id, duration_text(facts.takes[i])));
    let named: Vec<String> = named.collect();
    match named.is_empty() {
        true => "shorten `detect` and `decide`, or raise the tier's `rto`".to_owned(),
        false => format!("shorten what takes longest on the way: {}; or let steps run side by side with `needs`", named.join(", ")),
    }
}

/// The chain of steps that decides by their order when a step ends, that one first.
pub(super) fn longest_way(facts: &Facts<'_>, last: usize) -> Vec<usize> {
    let chain = std::iter::successors(Some(last), |&node| latest(facts.graph, &facts.schedule, node));
    chain.filter(|&node| node < facts.graph.steps).collect()
}
